"""Agent Q as a plan of stages: trees, pairs and search at test time in the place of what others do."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.glossary import undocumented
from helpers.paths import ROOT
from helpers.workspaces import write_params

from eefcore.errors import ParamsError
from eefcore.runs import estimate, runner
from eefcore.runs.plan import methods_by_stage
from eefcore.runs.planning import plan_run
from eefcore.storage import stages
from eefcore.storage.records import read_records
from eefcore.tracking import identity
from eefcore.types import Preference


def reads(path: Path) -> dict[str, dict[str, str]]:
    *planned, _ = plan_run(path)
    return {n.label: {name: read.label for name, read in n.inputs.items()} for n in planned}


def test_algorithm_1_of_agent_q(demo):
    write_params(
        demo.parents[1],
        "run: a\nmethods: {Agent Q: {iterations: 3, learn: dpo, search: {K: 5}, pairs: {}, decide: {}}}",
    )
    assert reads(demo) == {
        "expert": {},
        "select.1": {"experts": "expert"},
        "train.1": {"examples": "select.1"},
        "evaluate.1": {"model": "train.1"},
        "search.1": {"model": "train.1", "experts": "expert"},
        "pairs.2": {"model": "train.1", "experts": "expert", "simulations": "search.1"},
        "dpo.2": {"preferences": "pairs.2", "model": "train.1"},
        "evaluate.2": {"model": "dpo.2"},
        "search.2": {"model": "dpo.2", "experts": "expert"},
        "pairs.3": {"model": "dpo.2", "experts": "expert", "simulations": "search.2"},
        "dpo.3": {"preferences": "pairs.3", "model": "dpo.2"},
        "evaluate.3": {"model": "dpo.3"},
        "decide.test": {
            **{f"model{i}": model for i, model in [(1, "train.1"), (2, "dpo.2"), (3, "dpo.3")]},
            **{f"dev{i}": f"evaluate.{i}" for i in (1, 2, 3)},
        },
    }
    *planned, report = plan_run(demo)
    assert {n.label: n.params["split"] for n in planned if "split" in n.params} == {
        **{f"evaluate.{i}": "dev" for i in (1, 2, 3)},
        "decide.test": "test",
    }
    assert report.inputs["Agent Q/simulations1"].label == "search.1"
    assert report.inputs["Agent Q/preferences2"].label == "pairs.2"


def test_pairs_of_earlier_rounds_stay_in_the_buffer(demo):
    """`replay` rounds before the newest, as many as there are; with 0 the plan is what it is without."""
    text = "run: a\nmethods: {{Agent Q: {{iterations: 5, learn: dpo, search: {{}}, pairs: {}}}}}"
    found = {}
    for pairs in ("{}", "{replay: 0}", "{replay: 2}", "{replay: 9}"):
        write_params(demo.parents[1], text.format(pairs))
        found[pairs] = reads(demo)
    assert found["{}"] == found["{replay: 0}"]
    own = {"model": "dpo.4", "experts": "expert", "simulations": "search.4"}
    assert found["{}"]["pairs.5"] == own
    assert found["{replay: 2}"]["pairs.5"] == {**own, "earlier1": "search.3", "earlier2": "search.2"}
    assert found["{replay: 2}"]["pairs.2"] == found["{}"]["pairs.2"]
    assert found["{replay: 9}"]["pairs.5"] == {
        **own,
        **{f"earlier{n}": f"search.{4 - n}" for n in (1, 2, 3)},
    }


def test_replay_for_all_methods_is_of_those_that_have_pairs(demo):
    write_params(
        demo.parents[1],
        "run: a\nstages: {pairs: {replay: 1}}\n"
        "methods: {ETO: {iterations: 3, learn: dpo}, trajectory DPO: {iterations: 3, learn: dpo, pairs: {}}}",
    )
    found = reads(demo)
    assert "earlier1" not in found["preferences.3"]
    assert found["pairs.3"]["earlier1"] == "explore.1"


TUNED = "run: a\nmethods: {{Agent Q: {{iterations: 3, learn: dpo, search: {{}}, pairs: {{}}, tune: {{}}{}}}}}"


def test_a_tuned_critic_is_asked_by_the_next_search_and_at_test_time(demo):
    write_params(demo.parents[1], TUNED.format(", decide: {}"))
    found = reads(demo)
    assert "critic" not in found["search.1"]
    assert found["tune.1"] == {"experts": "expert", "search": "search.1"}
    assert found["search.2"] == {"model": "dpo.2", "experts": "expert", "critic": "tune.1"}
    assert found["tune.2"] == {"experts": "expert", "search": "search.2", "critic": "tune.1"}
    assert found["pairs.3"] == {"model": "dpo.2", "experts": "expert", "simulations": "search.2"}
    assert found["decide.test"]["critic"] == "tune.2"
    *_, report = plan_run(demo)
    assert report.inputs["Agent Q/critic2"].label == "tune.2"
    write_params(demo.parents[1], TUNED.format(""))
    assert "critic" not in reads(demo)["evaluate.test"]


def test_reinforced_fine_tuning_may_tune_its_critic_as_well(demo):
    write_params(demo.parents[1], "run: a\nmethods: {RFT: {iterations: 3, search: {}, tune: {}}}")
    found = reads(demo)
    assert found["search.2"]["critic"] == "tune.1" and found["tune.2"]["critic"] == "tune.1"


def test_reinforced_fine_tuning_on_trees_is_algorithm_1_with_another_explorer(demo):
    write_params(demo.parents[1], "run: a\nmethods: {RFT: {iterations: 2, search: {}}}")
    found = reads(demo)
    assert found["select.2"] == {"experts": "expert", "simulations1": "search.1", "model": "train.1"}
    assert "explore.1" not in found


def test_methods_that_differ_at_test_time_alone_share_all_before(demo):
    write_params(
        demo.parents[1],
        "run: a\nmethods: {zero-shot: {iterations: 2, search: {}}, MCTS: {iterations: 2, search: {}, decide: {}}}",
    )
    *_, report = plan_run(demo)
    serves = methods_by_stage([report.inputs])
    alone = [n.label for n, served in serves.items() if len(served) == 1]
    assert sorted(alone) == ["decide.test", "evaluate.test"]


def test_a_stage_that_no_method_names_is_not_planned(demo):
    write_params(
        demo.parents[1],
        "run: a\nstages: {search: {K: 7}, decide: {signal: reward}}\nmethods: {RFT: {iterations: 2}}",
    )
    assert not {"search.1", "decide.test"} & set(reads(demo))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("{iterations: 2, search: {}, explore: {M: 1}}", "search takes its place"),
        ("{iterations: 2, learn: dpo, pairs: {}, preferences: {}}", "pairs takes its place"),
        ("{iterations: 2, pairs: {}}", "a method with learn: sft has no such stage"),
        ("{iterations: 2, search: {k: 1}}", "11_search's parameter 'k' is unknown"),
        ("{iterations: 2, learn: dpo, pairs: {replay: -1}}", "A.pairs.replay: must be a number of rounds"),
        ("{iterations: 2, tune: {}}", "A.tune: a critic learns from searches; name search"),
        ("{iterations: 1, search: {}, tune: {}}", "A.tune: .* 2 iterations or more"),
        ("{iterations: 2, search: {critic: self}, tune: {critic: self}}", "critic 'self' of search has no w"),
        ("{iterations: 2, search: {}, tune: {}, decide: {critic: none}}", "critic 'none' of decide has no w"),
        ("{iterations: 2, search: {critic: other}, tune: {}}", "A.tune: one critic is tuned, got .*'other'"),
    ],
)
def test_an_impossible_agent_q_method_is_refused_when_it_is_planned(demo, entry, says):
    write_params(demo.parents[1], f"run: a\nmethods: {{A: {entry}}}")
    with pytest.raises(ParamsError, match=says):
        plan_run(demo)


def test_a_critic_is_known_by_what_its_folder_holds(tmp_path, monkeypatch):
    from eefcore import policies

    judge = tmp_path / "judge"
    judge.mkdir()
    (judge / "config.json").write_text("{}")
    (judge / "weights").write_text("one")
    monkeypatch.setitem(policies.BASES, "judge", judge)
    before = identity.identity("11_search", {"critic": "judge"}, {})
    assert before == identity.identity("11_search", {"critic": "judge"}, {})
    assert before != identity.identity("11_search", {"critic": "none"}, {})
    (judge / "weights").write_text("another")
    assert before != identity.identity("11_search", {"critic": "judge"}, {})


def test_what_agent_q_asks_for_is_estimated(monkeypatch):
    """By arithmetic: 120 tasks × 8 simulations; a tree of 4 simulations before each of 5 actions; 8 pairs a task."""
    monkeypatch.chdir(ROOT)
    nodes = {
        (n.notebook.stage, n.label): n for n in plan_run(ROOT / "params" / "agentq_webshop_mini_methods.yaml")
    }
    found = {label: estimate.work(n) for (_, label), n in nodes.items()}
    assert found["search.1"].simulations == 120 * 8
    assert found["dpo.2"].rows == 2 * 120 * 8
    assert found["decide.test"].evaluated == 150
    trees = next(n for n in nodes.values() if n.label == "decide.test" and n.params["how"] == "mcts")
    assert estimate.work(trees).typical.steps == 150 * (1 + 5 * 4) * 5


def test_a_buffer_of_two_rounds_and_lessons_are_estimated(monkeypatch):
    """8 pairs a task of each round; a lesson of each simulation's node and one of its end."""
    monkeypatch.chdir(ROOT)
    nodes = plan_run(ROOT / "params" / "agentq_webshop_mini_critic.yaml")
    buffers = {estimate.work(n).rows for n in nodes if n.label == "dpo.3"}
    assert buffers == {2 * 120 * 8, 2 * 2 * 120 * 8}
    assert {estimate.work(n).rows for n in nodes if n.label == "tune.1"} == {2 * 120 * 8}


ROUNDS = """
run: rounds
shared: {sizes: 24/4/4}
stages:
  train: {epochs: 2}
  search: {simulations: 8, K: 3}
  dpo: {epochs: 1}
  tune: {batch_size: 4, held_out: 0.5, draws: null}
methods:
  Agent Q: {iterations: 3, learn: dpo, search: {}, pairs: {kind: trajectory, replay: 1}, tune: {}, decide: {simulations: 1}}
"""


@pytest.mark.notebook
@pytest.mark.xdist_group("notebooks")
def test_two_rounds_with_a_buffer_and_a_critic_that_learns(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("WANDB_MODE", "disabled")
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path / "results"))
    *planned, _ = plan_run(write_params(tmp_path, ROUNDS, "rounds"))
    runner.run(planned, resume="", jobs=1)
    folders = {n.label: n.folder for n in planned}
    logged = {label: stages.read_record(folder).metrics for label, folder in folders.items()}
    assert undocumented(key for metrics in logged.values() for key in metrics) == set()
    pairs = read_records(folders["pairs.3"] / "preferences.jsonl", Preference).list
    ages = [p.age for p in pairs]
    assert ages.count(1) == logged["pairs.3"]["preferences/replayed"] > 0
    assert len(pairs) == logged["dpo.3"]["dpo/pairs"]
    assert logged["dpo.3"]["dpo/drift"] < 0.02 and logged["pairs.3"]["preferences/shift"] > 0.0
    own = read_records(folders["pairs.2"] / "preferences.jsonl", Preference).list
    stored = {p.chosen_logps for p in own}
    assert {p.chosen_logps for p in pairs if p.age} <= stored, "as likely as when they were sampled"
    assert all(logged[f"tune.{i}"]["tune/rows"] > 0 for i in (1, 2))
    weights = {(folders[f"tune.{i}"] / "model" / "model.safetensors").read_bytes() for i in (1, 2)}
    assert len(weights) == 2
    asked = {
        label: stages.read_record(folders[label]).inputs.get("critic")
        for label in ("search.2", "decide.test")
    }
    known = {i: stages.read_record(folders[f"tune.{i}"]).identity for i in (1, 2)}
    assert asked == {"search.2": known[1], "decide.test": known[2]}
