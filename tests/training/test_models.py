"""A model is the same from every place and for every use; a model that can't be loaded is named with the cause."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from helpers.byte_tokenizer import byte_tokenizer
from helpers.sft_runs import run, some_rows, tiny
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Gemma3Config, Gemma3TextConfig

from eefcore.errors import PolicyError
from eefcore.policies import load_policy, model_path
from eefcore.policies.hf_engine.policy import HFPolicy
from eefcore.runs.estimate import model_shape
from eefcore.training.model_files import find_files
from eefcore.training.models import (
    add_adapter,
    load_config,
    load_generation_config,
    load_model,
    load_tokenizer,
    save_model,
)

TOKENS = torch.arange(10, 30)[None]


def logits(model) -> torch.Tensor:
    with torch.no_grad():
        return model(TOKENS).logits


def save_base(folder: Path, seed: int = 0) -> Path:
    save_model(tiny(seed), byte_tokenizer(), folder)
    return folder


def train_adapter(base: str | Path, folder: Path, out: Path) -> torch.Tensor:
    """Train a LoRA adapter on `base` and save it in `folder`; return the logits of the trained model."""
    model, tokenizer = load_model(base, trainable=True)
    model = add_adapter(model, r=2, alpha=4, seed=0)
    run(model, some_rows(8), out, epochs=4, learning_rate=3e-2)
    save_model(model, tokenizer, folder)
    return logits(model.eval())


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[Path, torch.Tensor]:
    """A folder with `base` and `adapter`, and the logits of the trained model."""
    folder = tmp_path_factory.mktemp("mine")
    expected = train_adapter(save_base(folder / "base"), folder / "adapter", folder / "out")
    with torch.no_grad():
        assert (expected - tiny()(TOKENS).logits).abs().max() > 0.05  # the adapter does something
    return folder, expected


@pytest.fixture
def mine(trained, tmp_path) -> tuple[Path, torch.Tensor]:
    """Return a copy of the trained adapter that a test may damage."""
    for name in ("base", "adapter"):
        shutil.copytree(trained[0] / name, tmp_path / "mine" / name)
    return tmp_path / "mine", trained[1]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """Return a working folder in which, and beside which, other models have the same names."""
    here = tmp_path / "other" / "sub"
    for decoy in (here.parent / "base", here / "base", here / "org" / "base"):
        save_base(decoy, seed=9)
    monkeypatch.chdir(here)
    return here


# Adapters.


def test_every_way_of_loading_an_adapter_gives_the_model_that_was_trained(mine, elsewhere):
    folder, expected = mine
    adapter = folder / "adapter"
    loaded = {
        "to train": load_model(adapter, trainable=True).model.eval(),
        "to score": load_model(adapter, merge=True).model,
        "on its base": load_model(folder / "base", adapter=adapter).model,
        "to play": load_policy(str(adapter)).model,
        "to play, by hf:": load_policy(f"hf:{adapter}").model,
        "to play, on its base": load_policy(str(folder / "base"), adapter=str(adapter)).model,
    }
    for how, model in loaded.items():
        torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-5, msg=how)


def test_an_adapter_is_trained_on_and_saved_again_from_another_working_folder(mine, elsewhere, tmp_path):
    folder, _ = mine
    model, tokenizer = load_model(folder / "adapter", trainable=True)
    run(model, some_rows(8), tmp_path / "out", epochs=1, learning_rate=1e-2)
    save_model(model, tokenizer, tmp_path / "results" / "deep" / "adapter")
    torch.testing.assert_close(
        logits(load_policy(str(tmp_path / "results" / "deep" / "adapter")).model),
        logits(model.eval()),
        rtol=1e-4,
        atol=1e-5,
    )
    assert json.loads((tmp_path / "results/deep/adapter/adapter_config.json").read_text())[
        "base_model_name_or_path"
    ].startswith("../../../mine")


@pytest.mark.parametrize("parent", ["", "models/"])
def test_a_base_that_an_adapter_names_from_the_workspace_is_found_there(mine, elsewhere, parent):
    folder, expected = mine
    workspace = folder.parent / "workspace"
    for name in ("notebooks", "params"):
        (workspace / name).mkdir(parents=True)
    shutil.copytree(folder / "base", workspace / f"{parent}base")
    shutil.copytree(folder / "adapter", workspace / "results" / "run" / "adapter")
    _name_base(workspace / "results" / "run" / "adapter", f"{parent}base")
    played = load_policy(str(workspace / "results" / "run" / "adapter")).model
    torch.testing.assert_close(logits(played), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["../base", "base", "org/base", "/nowhere/base", None, ""])
def test_a_missing_base_is_not_searched_in_the_working_folder(mine, elsewhere, name):
    folder, _ = mine
    shutil.rmtree(folder / "base")
    _name_base(folder / "adapter", name)
    for load in (load_model, HFPolicy.load, load_config):
        with pytest.raises(
            PolicyError, match=r"adapter: the adapter('s base .* is not found| names no base)"
        ):
            load(folder / "adapter")


def test_a_hub_name_is_not_a_folder_of_the_working_folder(elsewhere, tmp_path, monkeypatch):
    """The workspace decides, as for every name in a params file."""
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "params").mkdir()
    for load in (load_model, load_tokenizer, load_config, HFPolicy.load):
        with pytest.raises(
            PolicyError, match="org/base: no model can be read there: expected a folder of that name"
        ):
            load("org/base")
    (tmp_path / "models").mkdir()
    shutil.copytree(elsewhere / "base", tmp_path / "models" / "org")
    assert load_policy("models/org").name == load_policy("hf:models/org").name == "org"


def _name_base(adapter: Path, name: str | None) -> None:
    settings = json.loads((adapter / "adapter_config.json").read_text())
    (adapter / "adapter_config.json").write_text(json.dumps(settings | {"base_model_name_or_path": name}))


def test_a_base_with_other_weights_or_another_config_is_refused_by_both_names(mine, tmp_path):
    folder, _ = mine
    save_base(folder / "like", seed=9)  # of the same shape
    match = r"adapter: expected the base .*\.\./base \(config .*\), got another model, .*like \(config"
    for load in (load_model, HFPolicy.load, find_files):
        with pytest.raises(PolicyError, match=match):
            load(folder / "like", adapter=folder / "adapter")
    settings = json.loads((folder / "base" / "config.json").read_text())
    (folder / "base" / "config.json").write_text(json.dumps(settings | {"rms_norm_eps": 0.1}))
    with pytest.raises(PolicyError, match="got another model"):
        load_model(folder / "adapter")
    (folder / "base" / "config.json").write_text(json.dumps(settings | {"transformers_version": "9.9"}))
    load_model(folder / "adapter")
    shutil.copy(folder / "like" / "model.safetensors", folder / "base" / "model.safetensors")
    with pytest.raises(PolicyError, match="got another model"):
        load_policy(str(folder / "adapter"))


def test_the_record_describes_the_base_that_was_loaded(tmp_path):
    """A base that is made anew while its adapter trains is not the one that the adapter was trained on."""
    loaded = load_model(save_base(tmp_path / "base"))
    model = add_adapter(loaded.model, r=2, alpha=4, seed=0)
    save_base(tmp_path / "base", seed=9)
    save_model(model, loaded.tokenizer, tmp_path / "adapter")
    with pytest.raises(PolicyError, match="got another model"):
        load_model(tmp_path / "adapter")


def test_an_adapter_of_another_program_is_checked_by_the_base_it_names(mine, tmp_path):
    folder, expected = mine
    (folder / "adapter" / "base.json").unlink()
    save_base(folder / "like", seed=9)
    torch.testing.assert_close(logits(load_model(folder / "adapter").model), expected)
    with pytest.raises(PolicyError, match="got another model"):
        load_model(folder / "like", adapter=folder / "adapter")
    _name_base(folder / "adapter", "someone/model")
    with pytest.warns(UserWarning, match="'someone/model' is not on this machine"):
        loaded = load_model(folder / "base", adapter=folder / "adapter")
    torch.testing.assert_close(logits(loaded.model), expected)


def _other_prefix(weights):
    return {k.replace("model.layers", "language_model.layers"): v for k, v in weights.items()}


def _one_less(weights):
    return dict(list(weights.items())[1:])


def _one_more(weights):
    return weights | {"base_model.model.model.layers.7.mlp.up_proj.lora_A.weight": torch.ones(2, 16)}


def _another_shape(weights):
    return {k: v[:1] if "lora_A" in k else v for k, v in weights.items()}


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (_other_prefix, "does not fit .*base: .*misses"),
        (_one_less, "does not fit .*base: .*misses base_model"),
        (_one_more, "does not fit .*base: .*has besides base_model.model.model.layers.7"),
        (_another_shape, "adapter, whose base is .*base, can't be loaded: .*size mismatch"),
    ],
)
def test_an_adapter_plays_with_exactly_its_own_weights(mine, damage, match):
    folder, _ = mine
    file = folder / "adapter" / "adapter_model.safetensors"
    save_file(damage(load_file(file)), file)
    for load in (load_model, HFPolicy.load):
        with pytest.raises(PolicyError, match=match):
            load(folder / "adapter")


def test_an_adapter_with_saved_modules_needs_their_weights(tmp_path):
    base = load_model(save_base(tmp_path / "base"))
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], modules_to_save=["norm"])
    model = get_peft_model(base.model, config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "modules_to_save" in name or "lora_B" in name:
                weights.add_(0.5)
    save_model(model, base.tokenizer, tmp_path / "adapter")
    torch.testing.assert_close(logits(load_model(tmp_path / "adapter").model), logits(model.eval()))
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({k: v for k, v in load_file(file).items() if "lora" in k}, file)
    with pytest.raises(PolicyError, match=r"adapter, whose base is .*norm"):
        load_model(tmp_path / "adapter")


@pytest.mark.parametrize("whole", [["embed_tokens", "lm_head"], None], ids=["trained whole", "left as drawn"])
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings")
def test_an_adapter_of_a_base_with_more_tokens(tmp_path, whole):
    loaded = load_model(save_base(tmp_path / "base"))
    loaded.model.resize_token_embeddings(259)
    tokenizer = byte_tokenizer(special=("<|a|>", "<|b|>"))
    config = LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], modules_to_save=whole)
    model = get_peft_model(loaded.model, config)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "modules_to_save" in name or "lora_B" in name:
                weights.add_(0.3 * torch.randn_like(weights))
    save_model(model, tokenizer, tmp_path / "adapter")
    expected = logits(model.eval())
    for load in (load_model, HFPolicy.load):
        played = logits(load(tmp_path / "adapter").model)
        torch.testing.assert_close(played, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("targets", [["embed_tokens"], ["q_proj", "embed_tokens", "lm_head"]])
@pytest.mark.filterwarnings("ignore:Model with? .*tie_word_embeddings", "ignore:Model has `tie_word")
def test_an_adapter_on_tied_embeddings_changes_each_end_by_itself(tmp_path, targets):
    """Merged into one tensor, it would change both ends of the model at once."""
    loaded = load_model(save_base(tmp_path / "base"))
    model = add_adapter(loaded.model, r=2, alpha=4, targets=targets, seed=0)
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "lora" in name:
                weights.normal_(0, 0.3)
    expected = logits(model.eval())
    save_model(model, loaded.tokenizer, tmp_path / "adapter")
    torch.testing.assert_close(
        logits(load_policy(str(tmp_path / "adapter")).model), expected, rtol=1e-4, atol=1e-4
    )
    save_model(model, loaded.tokenizer, tmp_path / "merged", merge=True)
    torch.testing.assert_close(logits(load_model(tmp_path / "merged").model), expected, rtol=1e-4, atol=1e-4)


def test_an_adapter_on_an_adapter(mine, elsewhere, tmp_path):
    """Merged, the first is the base of the second; unmerged, it would be thrown away silently."""
    folder, expected = mine
    first = load_model(folder / "adapter", merge=True)
    second = add_adapter(first.model, r=2, alpha=4, seed=1)
    with torch.no_grad():
        for name, weights in second.named_parameters():
            if "lora_B" in name:
                weights.add_(0.3)
    save_model(second, first.tokenizer, tmp_path / "second")
    played = logits(load_policy(str(tmp_path / "second")).model)
    torch.testing.assert_close(played, logits(second.eval()), rtol=1e-4, atol=1e-5)
    assert (played - expected).abs().max() > 0.05
    with pytest.raises(PolicyError, match="expected a model without an adapter"):
        add_adapter(load_model(folder / "adapter", trainable=True).model, r=2, alpha=4, seed=0)


def test_an_adapter_whose_base_was_never_saved_is_not_saved(tmp_path):
    with pytest.raises(PolicyError, match="got a base that was made in memory"):
        save_model(add_adapter(tiny(), r=2, alpha=4, seed=0), byte_tokenizer(), tmp_path / "adapter")


# What can't be loaded.


def _lacks_config(folder):
    (folder / "config.json").unlink()


def _config_is_torn(folder):
    (folder / "config.json").write_text('{"model_type": "lla')


def _config_is_a_list(folder):
    (folder / "config.json").write_text("[]")


def _set(folder, **settings):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def _unknown_architecture(folder):
    _set(folder, model_type="hal9000")


def _own_code(folder):
    code = "from pathlib import Path\nPath('it_ran').touch()\nclass Config: ...\nclass Model: ...\n"
    (folder / "modeling_own.py").write_text(code)
    _set(folder, model_type="own", auto_map={"AutoConfig": "modeling_own.Config", "AutoModelForCausalLM": "modeling_own.Model"})  # fmt: skip


def _impossible_config(folder):
    _set(folder, num_attention_heads="two")


def _other_shape(folder):
    _set(folder, hidden_size=32)


def _more_layers(folder):
    _set(folder, num_hidden_layers=3)


def _lacks_weights(folder):
    (folder / "model.safetensors").unlink()


def _pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def _torn_weights(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def _empty_weights(folder):
    (folder / "model.safetensors").write_bytes(b"")


def _lacks_a_shard(folder):
    index = {"metadata": {}, "weight_map": {"lm_head.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _lacks_tokenizer(folder):
    for path in folder.glob("token*"):
        path.unlink()


def _torn_tokenizer(folder):
    (folder / "tokenizer.json").write_text('{"version": ')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_lacks_config, "expected config.json .*got .*model.safetensors"),
        (_config_is_torn, "config.json can't be read: expected a JSON object, got"),
        (_config_is_a_list, "expected a JSON object, got list"),
        (_unknown_architecture, "unknown architecture: .* got 'hal9000'"),
        (_own_code, "unknown architecture: .* got 'own' and brings code of its own, which is never run"),
        (_impossible_config, "can't be loaded: expected files that fit each other"),
        (_other_shape, "can't be loaded: expected files that fit each other"),
        (_more_layers, "expected weights for every part of LlamaForCausalLM, got none for model.layers.2"),
        (_lacks_weights, r"expected weights as model\*.safetensors, got "),
        (_pickled, "got pytorch_model.bin; pickled weights are not read"),
        (_torn_weights, "model.safetensors is torn: expected safetensors"),
        (_empty_weights, "model.safetensors is torn: expected safetensors"),
        (_lacks_a_shard, "misses model-00002-of-00002.safetensors"),
        (_lacks_tokenizer, "the tokenizer can't be loaded"),
        (_torn_tokenizer, "the tokenizer can't be loaded"),
    ],
    ids=lambda x: x.__name__ if callable(x) else "",
)
def test_a_folder_that_can_not_be_loaded_is_named_with_the_cause_and_the_next_step(
    tmp_path, monkeypatch, damage, message
):
    monkeypatch.chdir(tmp_path)
    folder = save_base(tmp_path / "spoiled")
    damage(folder)
    for load in (load_model, HFPolicy.load, lambda path: load_policy(str(path))):
        with pytest.raises(PolicyError, match=message) as caught:
            load(folder)
        assert str(folder) in str(caught.value) and "expected" in str(caught.value)
        assert any(verb in str(caught.value) for verb in ("give", "copy", "take", "load"))
    assert not (tmp_path / "it_ran").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "adapter_config.json").write_text("{"), "adapter_config.json can't be read"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "expected weights as adapter_model"),
        (lambda f: (f / "adapter_model.safetensors").write_bytes(b"0" * 50), "adapter_model.safetensors is torn"),
        (lambda f: (f / "adapter_model.safetensors").rename(f / "adapter_model.bin"), "pickled weights are not read"),
        (lambda f: (f / "base.json").write_text("{}"), "expected the record of the adapter's base"),
    ],
)  # fmt: skip
def test_a_damaged_adapter_folder_is_named_with_the_cause(mine, damage, message):
    folder, _ = mine
    damage(folder / "adapter")
    for load in (load_model, HFPolicy.load):
        with pytest.raises(PolicyError, match=message) as caught:
            load(folder / "adapter")
        assert str(folder / "adapter") in str(caught.value)


def test_a_file_in_place_of_a_model_folder_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(PolicyError, match="expected a folder, got a file"):
        load_model(tmp_path / "model.gguf")


# Hub names.


def test_a_hub_name_is_read_from_the_cache_and_recorded_by_its_name(mine, elsewhere, tmp_path, monkeypatch):
    """A cache as `hf download` leaves it; nothing is asked of the hub."""
    folder, _ = mine
    cache = tmp_path / "cache" / "models--org--base"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder / "base", cache / "snapshots" / ("0" * 40))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache.parent))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache.parent))
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "params").mkdir()
    expected = train_adapter("org/base", tmp_path / "adapter", tmp_path / "out")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["base_model_name_or_path"] == "org/base"
    torch.testing.assert_close(
        logits(load_policy(str(tmp_path / "adapter")).model), expected, rtol=1e-4, atol=1e-5
    )
    _set(cache / "snapshots" / ("0" * 40), rms_norm_eps=0.1)
    with pytest.raises(PolicyError, match=r"trained on, org/base .* got another model, org/base"):
        load_model(tmp_path / "adapter")


# Configs.


def test_a_config_that_keeps_the_language_part_one_level_down(tmp_path):
    text = Gemma3TextConfig(
        vocab_size=264,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=512,
        sliding_window=4096,
    )
    vision = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # fmt: skip
    config = Gemma3Config(text_config=text.to_dict(), vision_config=vision, mm_tokens_per_image=4)
    torch.manual_seed(0)
    save_model(AutoModelForCausalLM.from_config(config).eval(), byte_tokenizer(), tmp_path / "two")
    policy = load_policy(str(tmp_path / "two"))
    assert policy.context == 512
    torch.testing.assert_close(logits(policy.model), logits(load_model(tmp_path / "two").model))
    model = load_model(tmp_path / "two").model
    before = model.config.to_dict()
    assert len(run(model, some_rows(8), tmp_path / "out").losses) == 1
    assert model.config.to_dict() == before
    shape = model_shape(str(tmp_path / "two"))
    assert shape and (shape.hidden, shape.layers, shape.key_values, shape.vocabulary) == (32, 2, 16, 264)


def test_the_tiny_base_has_a_shape_and_a_config():
    assert load_config(model_path("tiny")).model_type == "llama"


def test_the_end_tokens_of_a_model_are_those_of_its_generation_config(tmp_path):
    folder = save_base(tmp_path / "base")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [5, 6]}))
    assert load_generation_config(folder).eos_token_id == [5, 6]
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(PolicyError, match="the generation config can't be loaded"):
        load_generation_config(folder)
    (folder / "generation_config.json").unlink()
    _set(folder, eos_token_id=7)
    assert load_generation_config(folder).eos_token_id == 7
