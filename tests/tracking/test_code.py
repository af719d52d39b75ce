"""The identity of a stage covers the code that its results follow from."""

import textwrap

import pytest
from helpers.workspaces import write_notebook

from eefcore.tracking import code
from eefcore.tracking.code import code_of

CELLS = """
from eefcore.selection.algorithm import training_set
from eefcore.runs.opening import open_stage
from eefcore.figures.plots import Plot
"""


@pytest.fixture
def notebook(demo):
    """A function that writes notebook 03_select with one cell, and says what its code is."""

    def written(cell=CELLS, name="03_select", **params):
        write_notebook(demo.parents[1], name, cell, parameters="M: int = 1  # states")
        return code_of(name, params)

    return written


def test_imports_are_followed_from_module_to_module(notebook):
    found = notebook()
    assert {"03_select", "eefcore.selection.algorithm", "eefcore.types"} <= set(found)
    assert "eefcore.search.mcts" not in found


def test_what_runs_a_stage_and_what_draws_its_figures_is_not_part_of_its_results(notebook):
    assert not [
        m for m in notebook() if m.startswith(("eefcore.runs", "eefcore.tracking", "eefcore.figures"))
    ]
    assert "eefcore.figures.plots" in notebook(name="07_report")


def test_a_name_that_a_package_exports_leads_to_the_module_that_defines_it(notebook):
    found = notebook("from eefcore.figures import Plot", name="07_report")
    assert "eefcore.figures.plots" in found and "eefcore.figures.tree" not in found


def test_an_import_inside_a_function_counts(notebook):
    assert "eefcore.policies.vllm" in notebook("from eefcore.policies import load_policy")


def test_the_benchmark_brings_its_own_modules(notebook):
    shop = notebook("from eefcore import envs", benchmark="webshop_mini")
    house = notebook("from eefcore import envs", benchmark="sciworld_mini+composite")
    assert [m for m in shop if m.startswith("eefcore.envs.webshop.")] and not [
        m for m in shop if "sciworld." in m
    ]
    assert [m for m in house if m.startswith("eefcore.envs.sciworld.")] and not [
        m for m in house if "webshop." in m
    ]


def test_a_function_of_the_users_own_counts_with_what_it_imports(notebook, demo):
    module = demo.parents[1] / "notebooks" / "mine.py"
    module.write_text("from eefcore.search.mcts import ucb\n\ndef order():\n    return 1\n")
    before = notebook(choose="mine:order")
    assert "eefcore.search.mcts" in before
    module.write_text(module.read_text().replace("return 1", "return 2"))
    after = code_of("03_select", {"choose": "mine:order"})
    assert {m for m in before if before[m] != after[m]} == {"mine"}


SOURCE = '''
"""A module."""

LIMIT = 3
"""The limit."""


def doubled(x: int) -> int:
    """Return twice x."""
    return 2 * x  # twice
'''


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("A module", "One module", True),
        ("The limit", "At most so many", True),
        ("Return twice x.", "Return x, twice.", True),
        ("  # twice", "", True),
        ("\n\n\n", "\n\n\n\n\n", True),
        ("2 * x", "x * 2", False),
        ("LIMIT = 3", "LIMIT = 4", False),
        ("x: int", "x: float", False),
    ],
)
def test_words_are_no_change_and_code_is_one(tmp_path, before, after, same):
    path = tmp_path / "module.py"
    assert before in SOURCE
    first, second = (
        code._source(path, textwrap.dedent(text).encode(), "")
        for text in (SOURCE, SOURCE.replace(before, after))
    )
    assert (first.code == second.code) is same


def test_what_was_parsed_is_not_parsed_again(notebook, monkeypatch):
    before = notebook()
    monkeypatch.setattr(code, "_source", None)  # would raise
    assert code_of("03_select", {}) == before
    code._Sources.at.cache_clear()  # another process reads the cache of this one
    assert code_of("03_select", {}) == before


def test_a_notebook_that_is_not_there_has_no_code(demo):
    assert code_of("99_nothing", {}) == {}
