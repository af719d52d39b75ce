"""A language model at an endpoint as the expert of a whole run: notebooks 02, 03, 04, 05, 06 and the report."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml
from helpers.paths import ROOT
from helpers.recorded_endpoint import Answer, prompt_text, recorded_endpoint

from eefcore import envs
from eefcore.experts.collect import demonstrations
from eefcore.runs import runner
from eefcore.runs.plan import Node
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

    def plan(spec: str) -> list[Node]:
        file = tmp_path / "prompted.yaml"
        params = {
            "run": "prompted",
            "shared": {"sizes": SIZES},
            "stages": {"expert": {"expert": spec, "slots": 4}, "train": {"epochs": 1}},
            "methods": {"SFT POS": {"iterations": 1}, "EEF": {"iterations": 2, "explore": {"M": 1}}},
        }
        file.write_text(yaml.safe_dump(params, sort_keys=False))
        return plan_run(file)

    def rows(folder: Path, name: str) -> list[dict[str, str]]:
        return [*csv.DictReader((folder / "tables" / f"{name}.csv").read_text().splitlines())]

    with recorded_endpoint(recorded) as endpoint:
        replay = endpoint.answer
        endpoint.answer = lambda r: Answer({}, 503) if failing in prompt_text(r.body) else replay(r)
        spec = f"openai:{endpoint.url}#gpt-4?prices=30/60&attempts=1"
        nodes = plan(spec)
        runner.run(nodes, resume="")
        asked = len(endpoint.requests)
        again, *_ = plan(f"{spec}&budget=1000")
        runner.run([again], resume="")  # another stage, which pays for nothing twice
        new = [r for r in endpoint.requests[asked:] if failing not in prompt_text(r.body)]
    folders = {node.label: node.folder for node in nodes}
    found = {label: stages.read_record(folder) for label, folder in folders.items()}
    expert, folder = found["expert"], folders["expert"]
    assert not new and stages.read_record(again.folder).metrics["expert/n"] == expert.metrics["expert/n"]

    experts = read_records(folder / "experts.jsonl", Trajectory).list
    panel = read_records(folder / "panel.jsonl", Trajectory).list
    played = {t.task_id: t for t in recorded if t.history.at(0).observation != failing}
    assert {t.source for t in (*experts, *panel)} == {"gpt-4"}
    assert [t.actions for t in experts] == [played[t.task_id].actions for t in experts]
    assert len(experts) == 11 and len(panel) == 6
    assert expert.metrics["expert/n"] == 11 and expert.metrics["expert/unjudged"] == 1
    assert expert.cost.tokens_read > 0 and expert.cost.money == pytest.approx(sum(t.money for t in experts))
    (failed,) = [row for row in rows(folder, "outcomes") if row["outcome"] == "model_failure"]
    assert (failed["split"], failed["trajectories"]) == ("train", "1") and "503" in failed["reasons"]

    wins = [t for t in experts if t.win]
    cloned = read_records(folders["select.1"] / "examples.jsonl", Example).list
    assert [e.trajectory.actions for e in cloned] == [t.actions for t in wins]
    assert found["train.1"].metrics["train/rows"] == len(wins)
    assert found["explore.1"].metrics["explore/n_expert_states"] == 11
    assert found["explore.1"].metrics["explore/refused"] == 0

    row = next(row for row in rows(folders["report"], "methods") if row["method"] == "expert: gpt-4")
    assert (row["win rate n"], float(row["win rate"])) == ("6", sum(t.win for t in panel) / 6)
    assert float(row["win rate low"]) < float(row["win rate"]) < float(row["win rate high"])
    assert float(row["seconds expert $"]) == pytest.approx(sum(t.money for t in panel))
    assert int(row["tokens written read"]) == sum(t.tokens_read for t in panel) > 0
    skills = next(row for row in rows(folders["report"], "skills") if row["method"] == "expert: gpt-4")
    for skill in world.skills:
        used = [t for t in panel if world.skills[skill](t.history)]
        assert float(skills[f"{skill} attempt"]) == pytest.approx(len(used) / 6)
        assert float(skills[f"{skill} success"]) == pytest.approx(sum(t.win for t in used) / 6)
    (data,) = rows(folders["report"], "data")
    assert (data["expert"], data["trajectories"]) == ("gpt-4", "11.0")

    secret = [
        path
        for path in (tmp_path / "results").rglob("*")
        if path.is_file() and b"the-secret-key" in path.read_bytes()
    ]
    assert not secret
