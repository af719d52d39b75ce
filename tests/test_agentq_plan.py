"""Agent Q as a plan of stages: trees, pairs and search at test time in the place of what others do."""

from __future__ import annotations

from pathlib import Path

import pytest
from workspaces import write_params

from eefcore.errors import ParamsError
from eefcore.pipeline import planned
from eefcore.runs import estimate, identity
from eefcore.runs.plan import methods

ROOT = Path(__file__).parents[1]


def reads(path: Path) -> dict[str, dict[str, str]]:
    *stages, _ = planned(path)
    return {n.label: {name: read.label for name, read in n.inputs.items()} for n in stages}


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
    *stages, report = planned(demo)
    assert {n.label: n.params["split"] for n in stages if "split" in n.params} == {
        **{f"evaluate.{i}": "dev" for i in (1, 2, 3)},
        "decide.test": "test",
    }
    assert report.inputs["Agent Q/simulations1"].label == "search.1"
    assert report.inputs["Agent Q/preferences2"].label == "pairs.2"


def test_reinforced_fine_tuning_on_trees_is_algorithm_1_with_another_explorer(demo):
    write_params(demo.parents[1], "run: a\nmethods: {RFT: {iterations: 2, search: {}}}")
    told = reads(demo)
    assert told["select.2"] == {"experts": "expert", "simulations1": "search.1", "model": "train.1"}
    assert "explore.1" not in told


def test_methods_that_differ_at_test_time_alone_share_all_before(demo):
    write_params(
        demo.parents[1],
        "run: a\nmethods: {zero-shot: {iterations: 2, search: {}}, MCTS: {iterations: 2, search: {}, decide: {}}}",
    )
    *_, report = planned(demo)
    serves = methods([report.inputs])
    alone = [n.label for n, served in serves.items() if len(served) == 1]
    assert sorted(alone) == ["decide.test", "evaluate.test"]


def test_what_no_method_names_is_in_no_plan(demo):
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
    ],
)
def test_what_can_not_be_is_said_before_anything_starts(demo, entry, says):
    write_params(demo.parents[1], f"run: a\nmethods: {{A: {entry}}}")
    with pytest.raises(ParamsError, match=says):
        planned(demo)


def test_a_critic_is_known_by_what_its_folder_holds(tmp_path, monkeypatch):
    from eefcore import policies

    judge = tmp_path / "judge"
    judge.mkdir()
    (judge / "weights").write_text("one")
    monkeypatch.setitem(policies.BASES, "judge", judge)
    before = identity.identity("11_search", {"critic": "judge"}, {})
    assert before == identity.identity("11_search", {"critic": "judge"}, {})
    assert before != identity.identity("11_search", {"critic": "none"}, {})
    (judge / "weights").write_text("another")
    assert before != identity.identity("11_search", {"critic": "judge"}, {})


def test_what_agent_q_asks_for_is_estimated(monkeypatch):
    """By arithmetic: 300 tasks × 12 simulations; a tree of 6 simulations before each of 5 actions; 8 pairs a task."""
    monkeypatch.chdir(ROOT)
    nodes = {
        (n.notebook.stage, n.label): n for n in planned(ROOT / "params" / "agentq_webshop_mini_methods.yaml")
    }
    found = {label: estimate.work(n) for (_, label), n in nodes.items()}
    assert found["search.1"].simulations == 300 * 12
    assert found["dpo.2"].rows == 2 * 300 * 8
    assert found["decide.test"].evaluated == 300
    trees = next(n for n in nodes.values() if n.label == "decide.test" and n.params["how"] == "mcts")
    assert estimate.work(trees).typical.steps == 300 * (1 + 5 * 6) * 5
