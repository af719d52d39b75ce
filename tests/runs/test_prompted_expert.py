"""A language model at an endpoint as the expert of a whole run: notebooks 02, 03, 04, 05, 06 and the report."""

from __future__ import annotations

import csv
import json

import pytest
import yaml
from helpers.paths import ROOT
from helpers.recorded_endpoint import Answer, prompt_text, recorded_endpoint

from eefcore import envs
from eefcore.experts.collect import demonstrations
from eefcore.runs import runner
from eefcore.runs.planning import plan_run
from eefcore.storage import stages
from eefcore.storage.records import read_records
from eefcore.types import Example, Trajectory

SIZES = "12/4/6"


@pytest.mark.notebook
@pytest.mark.xdist_group("notebooks")
def test_a_model_is_learnt_from_explored_from_and_reported(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OPENAI_API_KEY", "the-secret-key")
    world = envs.load("webshop_mini", sizes=SIZES, seed=0)
    recorded = [t for split in ("train", "test") for t in demonstrations(world, ["strong"], split, seed=0)]
    failing = next(t for t in recorded if not t.win).history.at(0).observation

    def run(spec: str) -> dict[str, stages.StageRecord]:
        file = tmp_path / "prompted.yaml"
        params = {
            "run": "prompted",
            "shared": {"sizes": SIZES},
            "stages": {"expert": {"expert": spec, "slots": 4}, "train": {"epochs": 1}},
            "methods": {"SFT POS": {"iterations": 1}, "EEF": {"iterations": 2, "explore": {"M": 1}}},
        }
        file.write_text(yaml.safe_dump(params, sort_keys=False))
        nodes = plan_run(file)
        runner.run(nodes, resume="")
        return {node.label: stages.read_record(node.folder) for node in nodes} | {
            f"folder of {node.label}": node.folder for node in nodes
        }

    with recorded_endpoint(recorded) as endpoint:
        replay = endpoint.answer
        endpoint.answer = lambda r: Answer({}, 503) if failing in prompt_text(r.body) else replay(r)
        spec = f"openai:{endpoint.url}#gpt-4?prices=30/60&attempts=1"
        found = run(spec)
        asked = len(endpoint.requests)
        again = run(f"{spec}&budget=1000")  # another stage, whose answers are kept
        new = [r for r in endpoint.requests[asked:] if failing not in prompt_text(r.body)]

    expert, folder = found["expert"], found["folder of expert"]
    experts = read_records(folder / "experts.jsonl", Trajectory).list
    panel = read_records(folder / "panel.jsonl", Trajectory).list
    played = {t.task_id: t for t in recorded if t.history.at(0).observation != failing}
    assert {t.source for t in (*experts, *panel)} == {"gpt-4"}
    assert [t.actions for t in experts] == [played[t.task_id].actions for t in experts]
    assert len(experts) == 11 and len(panel) == 6
    assert expert.metrics["expert/n"] == 11 and expert.metrics["expert/unjudged"] == 1
    assert expert.cost.tokens_read > 0 and expert.cost.money == pytest.approx(sum(t.money for t in experts))
    rows = [*csv.DictReader((folder / "tables" / "outcomes.csv").open())]
    (failed,) = [row for row in rows if row["outcome"] == "model_failure"]
    assert (failed["split"], failed["trajectories"]) == ("train", "1") and "503" in failed["reasons"]

    wins = [t for t in experts if t.win]
    cloned = read_records(found["folder of select.1"] / "examples.jsonl", Example).list
    assert [e.trajectory.actions for e in cloned] == [t.actions for t in wins]
    assert found["train.1"].metrics["train/rows"] == len(wins)
    assert found["explore.1"].metrics["explore/n_expert_states"] == 11
    assert found["explore.1"].metrics["explore/refused"] == 0

    report = found["folder of report"]
    (row,) = [
        row for row in csv.DictReader((report / "tables" / "methods.csv").open()) if "gpt-4" in row["method"]
    ]
    print(json.dumps(row))
    assert not new and again["expert"].metrics["expert/win_rate"] == expert.metrics["expert/win_rate"]
    secret = [
        path
        for path in (tmp_path / "results").rglob("*")
        if path.is_file() and b"the-secret-key" in path.read_bytes()
    ]
    assert not secret
