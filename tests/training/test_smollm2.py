"""A real language model goes through every stage by its name."""

from __future__ import annotations

import pytest
import torch

from eefcore.experts import demonstrations
from eefcore.policies import PolicySettings, load_policy
from eefcore.protocols import Sampling
from eefcore.rendering import make_renderer
from eefcore.training import TrainSettings, add_adapter, load_model, make_rows, save_model, train_sft
from eefcore.types import Example, History

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


def test_an_adapter_on_smollm2_is_played_as_it_was_trained(smollm2, mini, tmp_path, monkeypatch):
    """Its base is named, so another working folder and another place of the cache change nothing."""
    model, tokenizer = load_model(smollm2, trainable=True)
    model = add_adapter(model, r=2, alpha=4, seed=0)
    demonstration = min((t for t in demonstrations(mini, ["strong"], "train", seed=0) if t.win), key=len)
    rows = make_rows(Example(demonstration), make_renderer(tokenizer, "compact"))
    settings = TrainSettings(
        epochs=4,
        batch_size=1,
        learning_rate=2e-3,
        bf16=True,
        seed=0,
        warmup=0.0,
        out=tmp_path / "checkpoints",
    )
    losses = train_sft(model, rows, settings).losses
    assert losses[-1] < 0.9 * losses[0]
    save_model(model, tokenizer, tmp_path / "adapter")
    ids = torch.tensor([rows[0].tokens])
    with torch.no_grad():
        expected = model.eval()(ids).logits
    monkeypatch.chdir(tmp_path)
    (tmp_path / smollm2).mkdir()  # a decoy
    policy = load_policy(str(tmp_path / "adapter"), PolicySettings(slots=2, context=1024, max_new_tokens=32))
    with torch.no_grad():
        torch.testing.assert_close(policy.model(ids).logits, expected, rtol=1e-3, atol=1e-3)
    policy.ask("episode", start := demonstration.history.at(0), Sampling(temperature=1.0, seed=0))
    ((_, reply),) = policy.answers()
    assert len(reply.tokens) > 3
    read = policy.renderer.encode(start).tokens
    with torch.no_grad():
        logits = model(torch.tensor([[*read, *reply.tokens]])).logits[0, len(read) - 1 : -1]
    logps = logits.log_softmax(-1).gather(1, torch.tensor(reply.tokens)[:, None])[:, 0]
    torch.testing.assert_close(torch.tensor(reply.logps), logps, rtol=1e-3, atol=1e-3)
