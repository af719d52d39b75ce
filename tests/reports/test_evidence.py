"""What a report is made of, from the folders of one or several runs: panels, the best model, costs, curves."""

from functools import partial

import pytest
from helpers.episodes import CARD, by_back, by_next
from helpers.stage_folders import ELSEWHERE, TASKS, Folders

from eefcore.errors import CardMismatch, StoreError
from eefcore.evaluation.navigation import skill_from_pattern
from eefcore.rendering.renderer import make_renderer
from eefcore.reports import report
from eefcore.reports.document import blocks
from eefcore.reports.document.cells import numbers
from eefcore.reports.evidence import best_on_dev, compared
from eefcore.search import deciding
from eefcore.search.settings import Signal
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.training.rows import row, show_mask
from eefcore.types import Example

gathered = partial(compared, card=CARD, format="compact", command="eef run params/x.yaml")


@pytest.fixture
def run(tmp_path):
    def make(name="run"):
        return Folders(tmp_path / name)

    return make


# The best model on the dev panel ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "rates, best",
    [
        ([0.5], 1),
        ([0.1, 0.3, 0.2], 2),
        ([0.3, 0.3, 0.1], 1),  # the earliest of equals
        ([0.1, 0.3, 0.3], 2),
        ([0.0, 0.0], 1),
        ([0.1] * 9 + [0.2, 0.15], 10),  # by number, not by name
        ([None, 0.0], 2),  # nothing was judged: no reason to choose it
        ([0.2, None], 1),
        ([None, None], 1),
    ],
)
def test_the_best_on_the_dev_panel(run, rates, best):
    made = run()
    for i, rate in enumerate(rates, 1):
        made.stage(f"model{i}")
        made.stage(f"dev{i}", metrics={"eval/win_rate": rate})
    assert best_on_dev(made.stages) == made.stages[f"model{best}"]


def test_the_only_model_needs_no_panel(run):
    made = run()
    assert best_on_dev({"model": made.stage("model")}) == made.stages["model"]


def test_no_model_is_told():
    with pytest.raises(StoreError, match="reads a model, or model1, dev1"):
        best_on_dev({})


# A report's evidence ------------------------------------------------------------------------------------


@pytest.fixture
def three(run):
    made = run()
    made.method("SFT POS", "ab")
    made.method("RFT×6", "abc", iterations=2)
    made.method("EEF", "abcd", iterations=3)
    return made.stages


def test_every_method_and_the_experts_are_evaluated_on_the_test_panel(three):
    found = gathered([three])
    assert [e.method for e in found.evaluations] == ["expert: strong", "SFT POS", "RFT×6", "EEF"]
    assert all(e.card == CARD and len(e.runs) == 1 for e in found.evaluations)
    assert [sum(t.win for t in e.runs[0]) for e in found.evaluations] == [2, 2, 3, 4]
    assert [t.task_id for t in found.experts] == list(TASKS)
    assert (found.command, found.versions) == ("eef run params/x.yaml", {"eefcore": "0.1"})


@pytest.mark.parametrize(
    "wins, baseline",
    [
        ({"SFT": "a", "RFT": "abc", "EEF": "abcdef"}, "RFT"),
        ({"SFT": "abc", "RFT": "a", "EEF": ""}, "SFT"),
        ({"SFT": "ab", "RFT": "bc", "EEF": "a"}, "SFT"),  # the first of equals
        ({"EEF": "ab"}, None),
    ],
)
def test_the_baseline_is_the_best_of_the_others(run, wins, baseline):
    made = run()
    for name, won in wins.items():
        made.method(name, won)
    assert gathered([made.stages]).baseline == baseline


def test_costs_are_of_what_leads_to_the_last_model(three):
    """Expert data, selections, simulations and training, each once; evaluations are nobody's."""
    costs = gathered([three]).costs
    assert costs == {
        "SFT POS": Cost(tokens_trained=1000, seconds=1 + 0.5 + 4, money=10.0),
        "RFT×6": Cost(100, 700, tokens_trained=2000, seconds=1 + 1 + 8 + 8, money=10.0),
        "EEF": Cost(200, 1400, tokens_trained=3000, seconds=1 + 1.5 + 16 + 12, money=10.0),
    }


def test_curves_are_over_iterations_on_the_dev_panel(three):
    curves = gathered([three]).curves
    assert {m: list(c) for m, c in curves.items()} == {"SFT POS": [0], "RFT×6": [0, 1], "EEF": [0, 1, 2]}
    assert [(e.value, e.n) for e in curves["EEF"].values()] == [(1.0, 2), (1.0, 4), (4 / 6, 6)]


def test_iterations_are_in_order_beyond_nine(run):
    made = run()
    made.method("EEF", "a", iterations=11)
    assert list(gathered([made.stages]).curves["EEF"]) == list(range(11))


def test_runs_of_other_seeds_are_seeds_of_each_method(run):
    one, other = run("one"), run("other")
    for made, wins in ((one, "abcd"), (other, "ab")):
        made.method("SFT", "a")
        made.method("EEF", wins)
    found = gathered([one.stages, other.stages])
    eef = found.evaluations[-1]
    assert [sum(t.win for t in panel) for panel in eef.runs] == [4, 2]
    assert found.costs["EEF"] == Cost(tokens_trained=2000, seconds=11.0, money=20.0)
    assert found.curves["EEF"][0].seeds == 2


@pytest.mark.parametrize("which", ["card", "expert_card"])
def test_stages_of_another_environment_are_refused(run, which):
    made = run()
    made.method("EEF", "ab", **{which: ELSEWHERE})
    with pytest.raises(CardMismatch, match="products: expected 600, got 601"):
        gathered([made.stages])


# The dialogue to read -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "examples, shown",
    [
        ([Example(by_next("a")), Example(by_back("b", n_expert=3), 2)], 1),  # a recovery
        ([Example(by_next("a", n_expert=1)), Example(by_next("b", n_expert=4))], 1),  # most of the expert's
        ([Example(by_back("a", n_expert=2)), Example(by_next("b", n_expert=2))], 1),  # the shorter
        ([Example(by_next("a")), Example(by_next("b"))], 0),
    ],
)
def test_the_dialogue_is_one_that_was_trained(run, examples, shown):
    made = run()
    made.method("EEF", "a")
    folder = made.stages["EEF/select1"]
    stages.write_records(folder / "examples.jsonl", examples, kind="examples", card=CARD)
    dialogue = gathered([made.stages]).dialogue
    expected = row(examples[shown], make_renderer(made.tokenizer, "compact"))
    told = "".join(f"«{s.text}»" if s.trained else s.text for s in dialogue)
    assert told == show_mask(expected.tokens, expected.labels, made.tokenizer.decode)


def test_a_report_can_be_made_of_it(three):
    found = gathered([three])
    told = report.from_results("a run", **found._asdict(), skills={"Next": skill_from_pattern("Next")})
    assert "EEF" in told.headline and "RFT×6" in told.headline


def test_searches_at_test_time_show_their_costs_and_who_saw_the_reward_has_a_table_alone(run):
    made, search = run(), {"how": "mcts", "simulations": 1}
    seen = deciding.seen(CARD, Signal.REWARD)
    made.method("oracle", "abc", acts={**search, "signal": "reward"}, card=seen)
    made.method("base", "a")
    made.method("searched", "ab", acts={**search, "signal": "critic"})
    content = report.from_results("a run", **gathered([made.stages])._asdict(), skills={})
    told = report.document(content)
    first, second, *_ = blocks.tables(told)
    assert [row[0].text for row in first.rows] == ["expert: strong", "base", "searched"]
    assert [row[0].text for row in second.rows] == ["oracle"]
    columns, lines = numbers(first)
    (line,) = [dict(zip(columns, row, strict=True)) for row in lines if row[0] == "searched"]
    assert (line["acts"], line["search knew"]) == ("MCTS × 1", "the critic’s opinion")
    assert line["episode simulations"] == (40 - 8) / 8
    (results,) = [s for s in told.sections if s.id == "results"]
    assert "Hatched" in results.blocks[-1].caption and "whose search saw the reward" in results.blocks[0].text
