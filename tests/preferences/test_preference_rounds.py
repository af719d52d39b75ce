"""A method that learns from preferences: what its rounds read, what a params file may say, that it runs."""

from __future__ import annotations

import pytest
from helpers.episodes import CARD, by_back, by_next, naive
from helpers.glossary import undocumented
from helpers.paths import ROOT
from helpers.stage_folders import Folders
from helpers.workspaces import write_params

from eefcore.errors import ParamsError
from eefcore.figures import plots, preferences
from eefcore.rendering.renderer import make_renderer
from eefcore.reports.evidence import Method
from eefcore.runs import runner
from eefcore.runs.plan import methods_by_stage
from eefcore.runs.planning import plan_run
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.records import read_records
from eefcore.storage.stage_inputs import StageInputs
from eefcore.training.rows import make_row
from eefcore.types import Example, Preference


def preference(task="a", **rest):
    return Preference(
        chosen=Example(by_next(task, source="strong")), rejected=Example(naive(task)), margin=0.34, **rest
    )


# ---------------------------------------------------------------------------------- the plan


def test_rounds_of_preference_learning(demo):
    """π_ref of a round is the model that explored, and a round reads its own simulations alone."""
    write_params(
        demo.parents[1], "run: a\nmethods: {ETO: {iterations: 3, learn: dpo, explore: {samples: 1, M: 0}}}"
    )
    *planned, report = plan_run(demo)
    reads = {n.label: {name: read.label for name, read in n.inputs.items()} for n in planned}
    assert reads == {
        "expert": {},
        "select.1": {"experts": "expert"},
        "train.1": {"examples": "select.1"},
        "evaluate.1": {"model": "train.1"},
        "explore.1": {"model": "train.1", "experts": "expert"},
        "preferences.2": {"model": "train.1", "experts": "expert", "simulations": "explore.1"},
        "dpo.2": {"preferences": "preferences.2", "model": "train.1"},
        "evaluate.2": {"model": "dpo.2"},
        "explore.2": {"model": "dpo.2", "experts": "expert"},
        "preferences.3": {"model": "dpo.2", "experts": "expert", "simulations": "explore.2"},
        "dpo.3": {"preferences": "preferences.3", "model": "dpo.2"},
        "evaluate.3": {"model": "dpo.3"},
        "evaluate.test": {
            **{f"model{i}": model for i, model in [(1, "train.1"), (2, "dpo.2"), (3, "dpo.3")]},
            **{f"dev{i}": f"evaluate.{i}" for i in (1, 2, 3)},
        },
    }
    assert {name: n.label for name, n in report.inputs.items()} == {
        "ETO/experts": "expert",
        "ETO/select1": "select.1",
        "ETO/test": "evaluate.test",
        **{f"ETO/{name}": label for name, label in reads["evaluate.test"].items()},
        **{f"ETO/simulations{i}": f"explore.{i}" for i in (1, 2)},
        **{f"ETO/preferences{i}": f"preferences.{i}" for i in (2, 3)},
    }


def test_a_preference_method_begins_with_the_stages_of_behaviour_cloning(demo):
    text = """
    run: a
    methods:
      SFT POS: {iterations: 1}
      EEF: {iterations: 2}
      EEF-DPO: {iterations: 2, learn: dpo, preferences: {pairs: beneficial}}
    """
    nodes = plan_run(write_params(demo.parents[1], text))
    serves = methods_by_stage(n.inputs for n in nodes)
    assert [n.label for n in nodes if len(serves[n]) == 3] == ["expert", "select.1", "train.1", "evaluate.1"]
    assert [n.label for n in nodes if serves[n] == ["EEF", "EEF-DPO"]] == ["explore.1"]
    (pairs,) = [n for n in nodes if n.label == "preferences.2"]
    assert pairs.params["pairs"] == "beneficial"


@pytest.mark.parametrize(
    ("method", "says"),
    [
        ("{iterations: 2, learn: ppo}", r"methods.x.learn: 'ppo' is unknown.* Allowed: sft, dpo"),
        ("{iterations: 2, learn: 1}", "methods.x.learn: 1 is unknown"),
        ("{iterations: 1, learn: dpo}", "methods.x.iterations: learn: dpo begins with the second iteration"),
        ("{iterations: 2, dpo: {beta: 0.2}}", "methods.x.dpo: a method with learn: sft has no such stage"),
        ("{iterations: 2, preferences: {}}", "methods.x.preferences: a method with learn: sft"),
        ("{iterations: 2, learn: dpo, dpo: {bta: 0.2}}", "09_dpo's parameter 'bta' .*did you mean 'beta'"),
    ],
)
def test_a_params_file_that_contradicts_preference_learning_is_refused(demo, method, says):
    with pytest.raises(ParamsError, match=says):
        plan_run(write_params(demo.parents[1], f"run: a\nmethods: {{x: {method}}}"))


# ---------------------------------------------------------------------------------- what is told of it


def test_a_report_shows_what_was_preferred_and_what_it_cost(tmp_path):
    folders = Folders(tmp_path)
    folders.method("SFT POS", "ab")
    folders.method("ETO", "abc", example=Example(by_back("b")))
    folders.stage("ETO/preferences2", preferences=[preference("c")])
    folders.stage(
        "ETO/preferences3", cost=Cost(seconds=2.0), preferences=[preference("b", reason="won"), preference()]
    )
    model = folders.stage("ETO/model2", cost=Cost(tokens_trained=50, seconds=1.0))
    folders.tokenizer.save_pretrained(model / "model")
    of_eto = StageInputs(folders.stages).by_folder()["ETO"]
    cost = Method("run", "ETO", {0: of_eto}, CARD).cost
    assert (cost.tokens_trained, cost.seconds) == (1050, 1.0 + 0.5 + 4.0 + 2.0 + 1.0)
    shown = Method("run", "ETO", {0: of_eto}, CARD).training_row("compact")
    expected = make_row(Example(by_next("b")), make_renderer(folders.tokenizer, "compact"))
    assert "".join(part.text for part in shown) == folders.tokenizer.decode(expected.tokens)
    folders.stage("ETO/preferences4", preferences=[])
    of_eto = StageInputs(folders.stages).by_folder()["ETO"]
    shown = Method("run", "ETO", {0: of_eto}, CARD).training_row("compact")
    assert "Back to Search" in "".join(part.text for part in shown if part.trained)


def test_figures_of_preferences_keep_their_numbers(tmp_path):
    pairs = [
        preference(chosen_logps=(-1.0, -2.0) * 5, rejected_logps=(-2.0,) * 9),
        preference(chosen_logps=(-3.0,) * 9, rejected_logps=(-1.0,) * 9),
    ]
    leaning = preferences.likelihoods(pairs)
    assert [(r["chosen"], r["rejected"]) for r in leaning.data] == [(-1.5, -2.0), (-3.0, -1.0)]
    legend = [text.get_text() for text in leaning.axes[0].get_legend().get_texts()]
    assert legend == ["leans to the chosen: 1", "leans to the rejected: 1"]
    learning = preferences.learning([0.7, 0.6], [0.0, 0.1], [0.0, -0.1])
    assert learning.data[1] == {"step": 1, "loss": 0.6, "chosen": 0.1, "rejected": -0.1}
    for figure in (leaning, learning, preferences.likelihoods([])):
        assert len(plots.render_files(figure)["png"]) > 1000


# ---------------------------------------------------------------------------------- that it runs

ETO = """
run: eto
shared: {sizes: 24/4/4}
stages:
  train: {epochs: 2}
  dpo: {epochs: 1}
methods:
  ETO: {iterations: 3, learn: dpo, explore: {samples: 1, M: 0}, preferences: {demonstrations: all}}
"""


@pytest.mark.notebook
@pytest.mark.xdist_group("notebooks")
def test_two_rounds_through_the_notebooks(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    *planned, _ = plan_run(write_params(tmp_path, ETO, "eto"))
    runner.run(planned, resume="", jobs=1)
    records = {n.label: stages.read_record(n.folder) for n in planned}
    assert undocumented(key for r in records.values() for key in r.metrics) == set()
    for i in (2, 3):
        made, trained = records[f"preferences.{i}"].metrics, records[f"dpo.{i}"].metrics
        assert made["preferences/n"] == trained["dpo/pairs"] > 0
        assert trained["dpo/drift"] < 0.001
        assert records[f"dpo.{i}"].cost.tokens_trained > 0
    (pairs,) = [n for n in planned if n.label == "preferences.3"]
    stored = read_records(pairs.folder / "preferences.jsonl", Preference).list
    assert all(p.chosen_logps and p.rejected_logps for p in stored)
    assert {p.chosen.first for p in stored} == {0}
