"""A real language model goes through every stage by its name."""

from __future__ import annotations

import pytest

from eefcore.rendering import make_renderer
from eefcore.training import load_model
from eefcore.types import History

pytestmark = pytest.mark.slow


def test_smollm2_answers_a_question(smollm2):
    model, tokenizer = load_model(smollm2)
    question = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
    prompt = tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    answer = model.generate(**prompt, max_new_tokens=20, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer)
    assert answer[-1] == tokenizer.eos_token_id


def test_smollm2_reads_a_dialogue_turn_by_turn_as_in_one_piece(smollm2):
    _, tokenizer = load_model(smollm2)
    renderer = make_renderer(tokenizer, "chat")
    history = History("t", "Instruction: find a mug under $12.50\n\n1. the first  é")
    for i in range(3):
        history = history.then(f"search[mug  {i}]", f"page {i}\n\n[Next >]")
    ids = renderer.encode(history).tokens
    text = tokenizer.decode(ids)
    assert text.count("<|im_end|>") == 8 and text.endswith("<|im_start|>assistant\n")
    assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
