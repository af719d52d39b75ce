"""What vLLM is started with: everything that changes a likelihood, and room that can be joined."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import pytest
from helpers.served_models import save_base_and_adapter
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import PolicyError
from eefcore.policies.openai.lease import ServerRequest
from eefcore.policies.openai.serving import server_request
from eefcore.policies.settings import RunServerOptions, VLLMOptions
from eefcore.policies.vllm_arguments import EngineModel, Room, write_flags
from eefcore.training.model_files import find_files

rooms = st.builds(
    Room,
    slots=st.integers(1, 99),
    context=st.none() | st.integers(1, 9999),
    adapter_rank=st.sampled_from([0, 8, 64]),
)


@given(rooms, rooms)
def test_joined_room_holds_both_and_no_more(a, b):
    joined = a.joined(b)
    assert joined == b.joined(a) and joined.holds(a) and joined.holds(b)
    assert joined.slots in (a.slots, b.slots) and joined.context in (a.context, b.context)
    assert a.holds(b) == (joined == a)


def test_a_context_of_the_model_is_the_longest():
    assert Room(1, None, 0).holds(Room(1, 10**9, 0)) and not Room(1, 10**9, 0).holds(Room(1, None, 0))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_base_and_adapter(folder, rank=48)
    return folder


def request(saved, name: str, **options) -> ServerRequest:
    files = find_files(saved / name)
    return server_request(files, RunServerOptions(dtype="float32", **options), slots=8, context=128)


def test_a_base_and_its_adapters_are_one_model_in_different_room(saved):
    base, adapter = (request(saved, name) for name in ("base", "stage/model"))
    assert base.model == adapter.model and base.name == adapter.name == "base"
    assert (base.room.adapter_rank, adapter.room.adapter_rank) == (0, 64)
    assert "--max-loras" in adapter.flags and "--max-loras" not in base.flags
    assert request(saved, "base", max_lora_rank=32).room.adapter_rank == 32
    with pytest.raises(PolicyError, match="rank 32 at most, got 48"):
        request(saved, "stage/model", max_lora_rank=32)


def test_every_argument_that_changes_a_likelihood_is_said(saved):
    arguments = EngineModel.of(find_files(saved / "base"), VLLMOptions(dtype="bfloat16")).arguments(
        Room(4, 128, 16), 0.5
    )
    expected = {
        "dtype": "bfloat16",
        "logprobs_mode": "raw_logprobs",
        "generation_config": "vllm",
        "hf_overrides": {"head_dtype": "float32"},
        "max_lora_rank": 16,
        "max_model_len": 128,
        "max_num_seqs": 4,
    }
    assert arguments.items() >= expected.items()


def test_arguments_are_written_as_flags():
    arguments = {"a_b": 1, "yes": True, "no_way": False, "left": None, "more": {"x": "y z"}}
    assert write_flags(arguments) == ["--a-b", "1", "--yes", "--no-no-way", "--more", '{"x": "y z"}']


@pytest.mark.vllm
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(
    find_spec("vllm") is None, reason="vllm is not installed; `make test-vllm` has its own environment"
)
def test_vllms_server_takes_every_flag(saved, monkeypatch):
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    monkeypatch.setattr(sys, "argv", ["vllm"])
    asked = request(saved, "stage/model")
    read = make_arg_parser(FlexibleArgumentParser()).parse_args(asked.flags)
    for name, value in asked.model.arguments(asked.room, 0.9).items():
        assert getattr(read, name) == value, name
