"""A run on one vLLM server: an expert, adapters, a critic that is tuned, and the searches play there, whatever follows what."""

from __future__ import annotations

from importlib.util import find_spec

import psutil
import pytest
from helpers.paths import ROOT
from helpers.workspaces import write_params

from eefcore.rendering.renderer import make_renderer
from eefcore.runs import runner
from eefcore.runs.planning import plan_run
from eefcore.runs.servers import RunServers
from eefcore.storage.records import read_records
from eefcore.training.logprobs import token_logps
from eefcore.training.models import load_model
from eefcore.training.rows import make_rows
from eefcore.types import Example, Trajectory

PARAMS = """
run: served
shared: {engine: "vllm_server?dtype=float32&max_lora_rank=8", sizes: 8/3/3, slots: 8, context: 512}
stages:
  expert: {expert: strong+tiny, prompt: compact, max_new_tokens: 24}
  train: {epochs: 1, batch_size: 4, lora_r: 4, learning_rate: 5.0e-3}
  tune: {epochs: 1, batch_size: 4, lora_r: 4}
  search: {simulations: 3, K: 4}
methods:
  EEF: {iterations: 2, explore: {M: 1}}
  Agent Q: {iterations: 2, learn: dpo, search: {}, pairs: {theta: 0.1}, tune: {}, decide: {simulations: 2, K: 2}}
"""


@pytest.mark.vllm
@pytest.mark.slow
@pytest.mark.notebook
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.xdist_group("notebooks")
@pytest.mark.skipif(
    find_spec("vllm") is None, reason="vllm is not installed; `make test-vllm` has its own environment"
)
def test_every_stage_of_a_run_plays_its_own_model_on_one_server(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    started: list[psutil.Process] = []
    start = RunServers._start

    def counted(self, request):
        server = start(self, request)
        started.append(psutil.Process(server.process.pid))
        return server

    monkeypatch.setattr(RunServers, "_start", counted)
    nodes = plan_run(write_params(tmp_path, PARAMS, "served"))
    runner.run(nodes, resume="", jobs=1)
    assert all(node.finished for node in nodes)
    assert len(started) == 1 and not started[0].is_running()

    checked = 0
    for node in nodes:
        if node.notebook.stage not in ("explore", "search", "evaluate"):
            continue
        files = [node.folder / name for name in ("simulations.jsonl", "panel.jsonl")]
        played = [t for f in files if f.is_file() for t in read_records(f, Trajectory).list]
        assert played and not any(t.stop and t.stop.infrastructure for t in played), node.label
        sources = {n.folder for n in node.inputs.values() if n.notebook.stage in ("train", "dpo")}
        if len(sources) > 1:  # the test panel, whose model is chosen among all iterations
            continue
        model, tokenizer = load_model(sources.pop() / "model")
        renderer = make_renderer(tokenizer, "compact")
        for trajectory in [t for t in played if t.history.steps and t.history.steps[-1].tokens][:3]:
            (row,) = make_rows(Example(trajectory, trajectory.n_expert), renderer)
            (now,) = token_logps(model, [row], batch_tokens=4096)
            then = [p for step in trajectory.history.steps[trajectory.n_expert :] for p in step.logps]
            assert then == pytest.approx(list(now), abs=1e-4), node.label
            checked += len(then)
    assert checked > 100
    (expert,) = (node for node in nodes if node.label == "expert")
    assert {t.source for t in read_records(expert.folder / "experts.jsonl", Trajectory).list} == {
        "strong",
        "tiny",
    }
