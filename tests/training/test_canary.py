"""The text whose log-likelihoods are saved beside a model tells which weights an engine computes with."""

from __future__ import annotations

import pytest
import torch
from helpers.byte_tokenizer import byte_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from eefcore.errors import PolicyError
from eefcore.training.canary import CANARY, Canary, check_canary, read_canary, write_canary
from eefcore.training.models import add_adapter, load_model, save_model


def tiny(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=len(byte_tokenizer()), max_position_embeddings=256, **shape)
    return LlamaForCausalLM(config)


@pytest.fixture
def saved(tmp_path):
    """A base and a trained adapter of it, saved."""
    save_model(tiny(), byte_tokenizer(), tmp_path / "base")
    model, tokenizer = load_model(tmp_path / "base", trainable=True)
    model = add_adapter(model, r=4, alpha=8, seed=0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, 0.3)
    save_model(model, tokenizer, tmp_path / "adapter")
    return tmp_path


def given_by(model, canary: Canary) -> list[float]:
    ids = torch.tensor([canary.tokens])
    with torch.no_grad():
        logps = model(input_ids=ids).logits[0, :-1].log_softmax(-1)
    return logps.gather(-1, ids[0, 1:, None])[:, 0].tolist()


@pytest.mark.parametrize("name", ["base", "adapter"])
def test_the_model_that_was_saved_passes_when_it_is_loaded(saved, name):
    canary = read_canary(saved / name)
    model = load_model(saved / name).model
    assert check_canary(canary, given_by(model, canary), dtype="float32", model=name) < 1e-5


def test_the_base_in_place_of_its_adapter_is_found(saved):
    canary, base = read_canary(saved / "adapter"), load_model(saved / "base").model
    with pytest.raises(
        PolicyError, match=r"adapter: the engine answers with other weights.*0\.0000 from the base"
    ):
        check_canary(canary, given_by(base, canary), dtype="float32", model="adapter")


def test_the_base_is_found_within_the_rounding_of_bfloat16(saved):
    """An adapter that moved log π by less than rounding does: nearer to the base is not the adapter."""
    canary = read_canary(saved / "base")
    trained = Canary(canary.tokens, [x + 0.02 for x in canary.logps], canary.logps, "bfloat16")
    check_canary(trained, [x + 0.015 for x in canary.logps], dtype="bfloat16", model="m")
    with pytest.raises(PolicyError, match="other weights"):
        check_canary(trained, [x + 0.005 for x in canary.logps], dtype="bfloat16", model="m")


def test_an_adapter_that_learned_nothing_is_its_base(saved, tmp_path):
    model, tokenizer = load_model(saved / "base", trainable=True)
    save_model(add_adapter(model, r=4, alpha=8, seed=0), tokenizer, tmp_path / "new")
    canary, base = read_canary(tmp_path / "new"), load_model(saved / "base").model
    check_canary(canary, given_by(base, canary), dtype="float32", model="new")


@given(st.lists(st.floats(-20, 0), min_size=2, max_size=20), st.floats(0.0011, 5))
def test_any_shift_beyond_rounding_is_found(logps, shift):
    canary = Canary([0] * (len(logps) + 1), logps, None, "float32")
    with pytest.raises(PolicyError):
        check_canary(canary, [x + shift for x in logps], dtype="float32", model="m")


def test_saving_does_not_change_the_model_or_the_random_numbers(tmp_path):
    model = tiny().train()
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    write_canary(model, byte_tokenizer(), tmp_path)
    assert model.training and torch.equal(torch.rand(3), expected)


def test_a_model_from_elsewhere_has_none_and_a_damaged_one_is_an_error(saved):
    (saved / "base" / CANARY).write_text("{")
    with pytest.raises(PolicyError, match="expected the log-likelihoods of a text"):
        read_canary(saved / "base")
    (saved / "base" / CANARY).unlink()
    assert read_canary(saved / "base") is None
