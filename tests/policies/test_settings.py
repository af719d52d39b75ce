"""The engine parameter and the settings that a policy is played with."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from helpers.paths import ROOT
from helpers.workspaces import write_params
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import ParamsError, PolicyError
from eefcore.policies import PolicySettings, settings
from eefcore.policies.settings import HFOptions, RunServerOptions, VLLMOptions, read_engine
from eefcore.runs.notebook import read_notebooks
from eefcore.runs.params import read_params
from eefcore.runs.plan import plan


@pytest.fixture
def vllm_installed(monkeypatch):
    monkeypatch.setattr(settings, "find_spec", lambda name: object())


@pytest.mark.parametrize(
    ("text", "engine"),
    [
        ("hf", HFOptions()),
        ("hf?dtype=bfloat16", HFOptions(dtype="bfloat16")),
        ("hf?device=cuda:1&dtype=float32", HFOptions(dtype="float32", device="cuda:1")),
        ("vllm", VLLMOptions()),
        (
            "vllm?block_size=32&tensor_parallel=2&memory=0.5&critic_memory=0.25&max_lora_rank=64",
            VLLMOptions(block_size=32, tensor_parallel=2, memory=0.5, critic_memory=0.25, max_lora_rank=64),
        ),
        ("vllm_server?dtype=float32&memory=0.5", RunServerOptions(dtype="float32", memory=0.5)),
    ],
)
def test_an_engine_is_read_with_its_options(vllm_installed, text, engine):
    assert read_engine(text) == engine and type(read_engine(text)) is type(engine)


WRONG = [
    ("vlm", "did you mean 'vllm'"),
    ("", "expected one of hf, vllm"),
    ("hf?dtyp=bfloat16", "unknown field `dtyp`.*hf takes dtype, device"),
    ("hf?dtype=int8", "Invalid enum value 'int8'"),
    ("hf?dtype", "bad query field"),
    ("vllm?tensor_parallel=0", ">= 1"),
    ("vllm?tensor_parallel=two", "Expected `int`"),
    ("vllm?eager=maybe", "Expected `bool"),
    ("vllm?memory=1.5", "<= 1"),
    ("vllm?memory=0", "> 0"),
    ("vllm_serve", "did you mean 'vllm_server'"),
    ("vllm_server?port=8000", "unknown field `port`.*vllm_server takes dtype, block_size"),
    ("vllm?max_lora_rank=48", "Invalid enum value 48"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_an_impossible_engine_is_refused(vllm_installed, text, message):
    with pytest.raises(PolicyError, match=message):
        read_engine(text)


@given(st.text(max_size=30))
def test_any_text_is_an_engine_or_a_clear_error(text):
    try:
        read_engine(f"hf?{text}")
    except PolicyError as error:
        assert "hf takes dtype, device" in str(error)


@pytest.mark.parametrize(
    "lines",
    [
        "shared: {engine: vlm}\nmethods: {A: {iterations: 2}}",
        "stages: {explore: {engine: vlm}}\nmethods: {A: {iterations: 2}}",
        "methods: {A: {iterations: 2, explore: {engine: vlm}}}",
    ],
)
def test_a_wrong_engine_is_refused_before_anything_starts(tmp_path, lines):
    notebooks = read_notebooks(ROOT / "notebooks")
    params = read_params(write_params(tmp_path, f"run: a\n{lines}"), notebooks)
    with pytest.raises(ParamsError, match=r"methods\.A\.\w+: engine 'vlm'.*did you mean 'vllm'"):
        plan(params, notebooks)


def test_the_settings_of_a_stage_come_from_its_parameters(vllm_installed):
    p = SimpleNamespace(
        format="chat",
        template_args="enable_thinking: false",
        engine="vllm?memory=0.5&critic_memory=0.2",
        slots=3,
        max_new_tokens=9,
        context=77,
        seed=1,
    )
    made = PolicySettings.of(p)
    assert made == PolicySettings(
        format="chat",
        template_args="enable_thinking: false",
        engine=VLLMOptions(memory=0.5, critic_memory=0.2),
        slots=3,
        max_new_tokens=9,
        context=77,
    )
    assert made.for_critic().engine == VLLMOptions(memory=0.2, critic_memory=0.2)
    served = PolicySettings(engine=read_engine("vllm_server?critic_memory=0.2"))
    assert served.for_critic().engine == RunServerOptions(memory=0.2, critic_memory=0.2)
    limits = {"format": "chat", "template_args": "enable_thinking: false", "slots": 3, "max_new_tokens": 9}
    assert made.limits == limits | {"context": 77}


def test_a_stage_without_an_engine_plays_with_transformers():
    p = SimpleNamespace(format="compact", template_args=None, slots=3, max_new_tokens=9, context=None)
    assert PolicySettings.of(p).engine == HFOptions()
    assert PolicySettings.of(p).for_critic() == PolicySettings.of(p)
