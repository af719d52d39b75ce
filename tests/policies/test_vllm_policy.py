from __future__ import annotations

from importlib.util import find_spec

import pytest

if find_spec("vllm") is None:
    pytest.skip("vllm is not installed; it has an environment of its own on CPUs", allow_module_level=True)

import torch
from helpers.byte_tokenizer import byte_tokenizer
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.policies.vllm import VLLMPolicy
from eefcore.protocols import Sampling
from eefcore.testing import PolicyContract, answer_all, play_turns
from eefcore.types import History, StopReason

# An engine warns of many things that are not ours, and takes half a minute to start.
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

CLOSERS = tuple((chr(c), "Ċ") for c in range(ord("!"), ord("~") + 1))
HISTORIES = tuple(
    History(f"t{i}", "find a " + "soft " * (3 * i % 7) + "towel").then("next", "page 2") for i in range(5)
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "random-llama"
    tokenizer = byte_tokenizer(merges=CLOSERS)
    torch.manual_seed(0)
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=256,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        **shape,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    lora = LoraConfig(r=8, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    get_peft_model(model, lora).save_pretrained(folder / "adapter")
    return folder


@pytest.fixture(scope="module")
def served(saved):
    """One engine for all tests, with an adapter."""
    return VLLMPolicy.load(
        saved, adapter=saved / "adapter", format="compact", max_new_tokens=24, context=256, dtype="float32"
    )


class TestVLLMPolicy(PolicyContract):
    histories = HISTORIES

    @pytest.fixture(autouse=True)
    def _engine(self, served):
        self.engine = served

    def make(self):
        return VLLMPolicy(self.engine._llm, self.engine.renderer, max_new_tokens=24)


@pytest.mark.parametrize("adapter", [False, True])
def test_it_says_what_transformers_says(saved, served, adapter):
    path = saved / "adapter" if adapter else None
    theirs = VLLMPolicy(served._llm, served.renderer, adapter=path, max_new_tokens=24)
    ours = HFPolicy.load(saved, adapter=path, max_new_tokens=24)
    greedy = [Sampling()] * len(HISTORIES)
    said, expected = (play_turns(p, HISTORIES, greedy, turns=3) for p in (theirs, ours))
    for i, history in expected.items():
        assert said[i].actions == history.actions
        for a, b in zip(said[i].steps[1:], history.steps[1:], strict=True):
            assert a.tokens == b.tokens and a.logps == pytest.approx(b.logps, abs=1e-3)
    assert sum(map(len, expected.values())) > 2 * len(HISTORIES)


def test_every_policy_has_an_adapter_number_of_its_own(saved, served):
    numbers = {
        VLLMPolicy(served._llm, served.renderer, adapter=saved / "adapter")._lora.lora_int_id
        for _ in range(3)
    }
    assert len(numbers) == 3 and served._lora.lora_int_id not in numbers


def test_a_full_context_is_said_to_be_so(served):
    long = History("t", "soft " * 60)
    assert answer_all(served, {"e": (long, Sampling())})["e"].stop is StopReason.CONTEXT_LIMIT
