"""A run whose models are LoRA adapters, through every stage that trains, scores, plays and searches.

What must not change here without a decision:
1. The model that a stage plays is the one that was trained: what it wrote has the likelihoods of the trained adapter.
2. A base is found by its folder in the workspace or by its hub name; a folder beside the notebooks changes nothing.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from helpers.paths import ROOT
from helpers.workspaces import write_params
from peft import PeftModel

from eefcore.policies import BASES
from eefcore.rendering.renderer import make_renderer
from eefcore.runs import runner
from eefcore.runs.plan import Node
from eefcore.runs.planning import plan_run
from eefcore.storage.records import read_records
from eefcore.training.logprobs import token_logps
from eefcore.training.model_files import is_adapter, read_json
from eefcore.training.models import load_model, save_model
from eefcore.training.rows import make_rows
from eefcore.types import Example, Trajectory

PARAMS = """
run: adapters
shared: {sizes: 12/4/4, slots: 16, critic: models/base}
stages:
  train: {epochs: 2, batch_size: 4, lora_r: 4, learning_rate: 5.0e-3}
  tune: {epochs: 2, batch_size: 4, lora_r: 4}
  search: {simulations: 4}
methods:
  EEF: {iterations: 2, train: {base: models/base}, explore: {M: 1}}
  Agent Q: {iterations: 2, learn: dpo, train: {base: org/base}, search: {}, pairs: {theta: 0.1}, tune: {}, decide: {}}
"""


def hub_cache(folder: Path, base: Path) -> Path:
    """A cache as `hf download org/base` leaves it."""
    snapshot = folder / "models--org--base" / "snapshots" / ("0" * 40)
    shutil.copytree(base, snapshot)
    (folder / "models--org--base" / "refs").mkdir()
    (folder / "models--org--base" / "refs" / "main").write_text("0" * 40)
    return folder


def write_decoy(folder: Path, base: Path) -> None:
    """Another model of the same shape."""
    model, tokenizer = load_model(base)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(0.1 * torch.randn_like(weights))
    save_model(model, tokenizer, folder)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> list[Node]:
    """The stages of the run, in a workspace of its own."""
    workspace = tmp_path_factory.mktemp("workspace")
    shutil.copytree(ROOT / "notebooks", workspace / "notebooks", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(BASES["tiny"], workspace / "models" / "base")
    for decoy in ("models/base", "org/base", "base"):
        write_decoy(workspace / "notebooks" / decoy, BASES["tiny"])
    cache = hub_cache(workspace / "cache", BASES["tiny"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(workspace)
        patch.setenv("HF_HUB_CACHE", str(cache))
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
        patch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache))
        patch.setenv("HF_HUB_OFFLINE", "1")
        patch.setenv("WANDB_MODE", "disabled")
        patch.setenv("EEF_RESULTS", str(workspace / "results"))
        patch.setenv("PYTHONPATH", str(ROOT))
        nodes = plan_run(write_params(workspace, PARAMS, "adapters"))
        runner.run(nodes, resume="")
        yield nodes


def of_kind(nodes: list[Node], *stages: str) -> list[Node]:
    found = [node for node in nodes if node.notebook.stage in stages]
    assert found
    return found


pytestmark = [pytest.mark.notebook, pytest.mark.slow, pytest.mark.xdist_group("notebooks")]


def test_every_trained_model_is_an_adapter_that_names_its_base(finished):
    bases = set()
    for node in of_kind(finished, "train", "dpo", "tune"):
        folder = node.folder / "model"
        assert is_adapter(folder) and (folder / "base.json").is_file(), node.label
        name = read_json(folder / "adapter_config.json")["base_model_name_or_path"]
        bases.add("org/base" if name == "org/base" else Path(folder, name).resolve().name)
        assert isinstance(load_model(folder, trainable=True).model, PeftModel)
    assert bases == {"org/base", "base"}


def test_what_was_played_has_the_likelihoods_of_the_adapter_that_was_trained(finished):
    checked = 0
    for node in of_kind(finished, "explore", "search", "evaluate"):
        files = [node.folder / name for name in ("simulations.jsonl", "panel.jsonl")]
        played = [t for f in files if f.is_file() for t in read_records(f, Trajectory).list]
        sources = {n.folder for n in node.inputs.values() if n.notebook.stage in ("train", "dpo")}
        if len(sources) > 1:  # the test panel, whose model is chosen among all iterations
            continue
        model, tokenizer = load_model(sources.pop() / "model")
        renderer = make_renderer(tokenizer, "compact")
        for trajectory in [t for t in played if t.history.steps and t.history.steps[-1].tokens][:4]:
            first = trajectory.n_expert
            (row,) = make_rows(Example(trajectory, first), renderer)
            (now,) = token_logps(model, [row], batch_tokens=4096)
            then = [p for step in trajectory.history.steps[first:] for p in step.logps]
            assert then == pytest.approx(list(now), abs=1e-4), node.label
            checked += len(then)
    assert checked > 100


def test_the_adapters_learnt(finished):
    """What they play is neither their base nor one of the models beside the notebooks."""
    base = load_model(BASES["tiny"]).model
    ids = torch.arange(10, 40)[None]
    for node in of_kind(finished, "train"):
        with torch.no_grad():
            moved = (load_model(node.folder / "model").model(ids).logits - base(ids).logits).abs()
        assert 0.01 < moved.max() < 20, node.label
