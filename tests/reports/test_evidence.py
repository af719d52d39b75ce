"""What a report is made of, read from the folders of one or several runs: methods, costs, curves, the best model."""

import pytest
from helpers.episodes import CARD, by_back, by_next
from helpers.stage_folders import ELSEWHERE, TASKS, Folders

from eefcore.errors import CardMismatch, StoreError
from eefcore.rendering.renderer import make_renderer
from eefcore.reports.document import blocks
from eefcore.reports.document.cells import csv_rows
from eefcore.reports.evidence import expert_evaluations, read_run, read_suite
from eefcore.reports.report import BenchmarkFacts, build_report
from eefcore.search import test_time
from eefcore.search.settings import Signal
from eefcore.storage.cost import Cost
from eefcore.storage.records import write_records
from eefcore.training.rows import make_row, show_mask
from eefcore.types import Example


def methods(stages, run="mini"):
    """The methods of a single run by name."""
    return {m.name: m for m in read_run(stages, run, CARD)["methods"][run]}


def report(stages):
    return build_report("a run", read_run(stages, "mini", CARD), BenchmarkFacts({}), command="eef run x.yaml")


@pytest.fixture
def run(tmp_path):
    def make(name="run"):
        return Folders(tmp_path / name)

    return make


# Methods ------------------------------------------------------------------------------------------------


@pytest.fixture
def three(run):
    made = run()
    made.method("SFT POS", "ab")
    made.method("RFT×6", "abc", iterations=2)
    made.method("EEF", "abcd", iterations=3)
    return made.stages


def test_every_method_and_the_experts_are_evaluated_on_the_test_set(three):
    found = methods(three)
    (expert,) = expert_evaluations(list(found.values()))
    evaluations = [expert, *(m.evaluation for m in found.values())]
    assert [e.method for e in evaluations] == ["expert: strong", "SFT POS", "RFT×6", "EEF"]
    assert all(e.card == CARD and len(e.runs) == 1 for e in evaluations)
    assert [sum(t.win for t in e.runs[0]) for e in evaluations] == [2, 2, 3, 4]
    assert [t.task_id for t in found["EEF"].expert_panels()[0]] == list(TASKS)
    assert found["EEF"].versions == {"eefcore": "0.1"}


def test_a_run_is_a_suite_of_one_seed(three):
    suite = {f"seed0/mini/{name}": folder for name, folder in three.items()}
    (of_suite,) = read_suite(suite, '{"mini": "methods"}', CARD).values()
    (of_run,) = read_run(three, "mini", CARD).values()
    described = [
        [(m.run, m.name, m.seeds, m.stages, m.evaluation, m.cost, m.curve, m.recipe) for m in found["mini"]]
        for found in (of_suite, of_run)
    ]
    assert described[0] == described[1] and len(described[0]) == 3


def test_a_run_without_a_method_is_refused():
    with pytest.raises(StoreError, match="07_report: expected inputs <method>/experts"):
        read_run({"model": None}, "mini", CARD)


@pytest.mark.parametrize(
    "wins, baseline",
    [
        ({"SFT": "a", "RFT": "abc", "EEF": "abcdef"}, "RFT"),
        ({"SFT": "abc", "RFT": "a", "EEF": ""}, "SFT"),
        ({"SFT": "ab", "RFT": "bc", "EEF": "a"}, "SFT"),  # the first of equals
        ({"SFT": "", "EEF": "a"}, "SFT"),  # a method, though the expert wins more
        ({"EEF": "ab"}, "expert: strong"),  # there is no other method
    ],
)
def test_the_baseline_is_the_best_of_the_other_methods(run, wins, baseline):
    made = run()
    for name, won in wins.items():
        made.method(name, won)
    made = report(made.stages)
    assert (made.result.baseline, made.ours) == (baseline, "EEF")


def test_costs_are_of_what_leads_to_the_last_model(three):
    """Expert data, selections, simulations and training, each once; evaluations are left out."""
    assert {name: m.cost for name, m in methods(three).items()} == {
        "SFT POS": Cost(tokens_trained=1000, seconds=1 + 0.5 + 4, money=10.0),
        "RFT×6": Cost(100, 700, tokens_trained=2000, seconds=1 + 1 + 8 + 8, money=10.0),
        "EEF": Cost(200, 1400, tokens_trained=3000, seconds=1 + 1.5 + 16 + 12, money=10.0),
    }


def test_curves_are_over_iterations_on_the_dev_set(three):
    curves = {name: m.curve for name, m in methods(three).items()}
    assert {m: list(c) for m, c in curves.items()} == {"SFT POS": [0], "RFT×6": [0, 1], "EEF": [0, 1, 2]}
    assert [(e.value, e.n) for e in curves["EEF"].values()] == [(1.0, 2), (1.0, 4), (4 / 6, 6)]


def test_iterations_are_in_order_beyond_nine(run):
    made = run()
    made.method("EEF", "a", iterations=11)
    assert list(methods(made.stages)["EEF"].curve) == list(range(11))


def test_seeds_are_runs_of_each_method_and_costs_are_of_one(run):
    inputs = {}
    for seed, wins in enumerate(("abcd", "ab")):
        made = run(f"seed{seed}")
        made.method("SFT", "a")
        made.method("EEF", wins)
        inputs |= {f"seed{seed}/mini/{name}": folder for name, folder in made.stages.items()}
    _, eef = read_suite(inputs, '{"mini": "methods"}', CARD)["methods"]["mini"]
    assert [sum(t.win for t in panel) for panel in eef.evaluation.runs] == [4, 2]
    assert eef.cost == Cost(tokens_trained=1000, seconds=5.5, money=10.0)
    assert (eef.seeds, eef.curve[0].seeds) == ((0, 1), 2)


@pytest.mark.parametrize("which", ["card", "expert_card"])
def test_stages_of_another_environment_are_refused(run, which):
    made = run()
    made.method("EEF", "ab", **{which: ELSEWHERE})
    with pytest.raises(CardMismatch, match="products: expected 600, got 601"):
        report(made.stages)


# The training row to read -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "examples, shown",
    [
        ([Example(by_next("a")), Example(by_back("b", n_expert=3), 2)], 1),  # a recovery
        ([Example(by_next("a", n_expert=1)), Example(by_next("b", n_expert=4))], 1),  # most of the expert's
        ([Example(by_back("a", n_expert=2)), Example(by_next("b", n_expert=2))], 1),  # the shorter
        ([Example(by_next("a")), Example(by_next("b"))], 0),
    ],
)
def test_the_training_row_is_one_that_was_trained(run, examples, shown):
    made = run()
    made.method("EEF", "a")
    folder = made.stages["EEF/select1"]
    write_records(folder / "examples.jsonl", examples, kind="examples", card=CARD)
    found = methods(made.stages)["EEF"].training_row("compact")
    expected = make_row(examples[shown], make_renderer(made.tokenizer, "compact"))
    text = "".join(f"«{s.text}»" if s.trained else s.text for s in found)
    assert text == show_mask(expected.tokens, expected.labels, made.tokenizer.decode)


def test_searches_at_test_time_show_their_costs_and_one_that_saw_the_reward_has_a_table_alone(run):
    made, search = run(), {"how": "mcts", "simulations": 1}
    seen = test_time.search_card(CARD, Signal.REWARD)
    made.method("oracle", "abc", acts={**search, "signal": "reward"}, card=seen)
    made.method("base", "a")
    made.method("searched", "ab", acts={**search, "signal": "critic"})
    of_run = report(made.stages)
    tables = {t.name: t for t in of_run.tables}
    assert [r[0].text for r in tables["methods"].rows] == ["expert: strong", "base", "searched"]
    assert [r[0].text for r in tables["oracle_mini"].rows] == ["oracle"]
    columns, lines = csv_rows(tables["methods"])
    (line,) = [dict(zip(columns, row, strict=True)) for row in lines if row[0] == "searched"]
    assert (line["acts"], line["search knew"]) == ("MCTS × 1", "the critic’s opinion")
    assert line["episode simulations"] == (40 - 8) / 8
    by_id = {s.id: s for s in of_run.document.sections}
    (figure,) = [b for b in by_id["results"].blocks if isinstance(b, blocks.Picture)]
    assert "Hatched" in figure.caption and "saw the reward" in by_id["oracle"].blocks[0].text
