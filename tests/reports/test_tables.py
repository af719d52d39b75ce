"""The table of demonstrations that nothing is explored from, as 02_expert wrote it."""

from types import SimpleNamespace

import pytest

from eefcore.reports import tables
from eefcore.reports.document import cells
from eefcore.reports.evidence import Method
from eefcore.rollout.exploration import USES
from eefcore.tracking.stage import Stage


@pytest.fixture
def method(tmp_path, monkeypatch):
    """Return a function that makes a method whose expert stage wrote these rows."""
    monkeypatch.setenv("EEF_RESULTS", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "disabled")

    def make(rows, name="a"):
        stage = Stage.open(run="r", label="expert", notebook="02_expert", params={"file": name}, inputs={})
        stage.table("refused", USES, rows)
        stage.finish()
        read = SimpleNamespace(stages=[{"experts": stage.folder}])
        return SimpleNamespace(unexplored=lambda: Method.unexplored(read))

    return make


EXPLORED = ["t0", "gpt-4", 0, 5, "win", "explore", ""]
CLONED = ["t1", "gpt-4", 0, 5, "win", "only clone", "t1: o_2 is now 'a, \"b\"',\nrecorded 'c'"]
HELD_OUT = ["t2", "gpt-3", 0, 7, "loss", "held out", "a task of the dev or test panel"]


def test_the_table_gives_the_reason_why_a_trajectory_is_not_explored_from(method):
    one = method([EXPLORED, CLONED, HELD_OUT])
    (table,) = tables.unexplored([one, one])
    columns, rows = cells.csv_rows(table)
    assert [*columns] == ["task", "source", "outcome", "use", "why not explored"]
    assert [[*row] for row in rows] == [
        [CLONED[0], *CLONED[1:2], *CLONED[4:]],
        [HELD_OUT[0], *HELD_OUT[1:2], *HELD_OUT[4:]],
    ]


def test_there_is_no_table_if_all_are_explored_from_or_the_stage_wrote_none(method, tmp_path):
    assert tables.unexplored([method([EXPLORED])]) == []
    older = SimpleNamespace(stages=[{"experts": tmp_path / "none"}])
    assert Method.unexplored(older) == []


def test_a_long_table_is_cut_and_says_so(method):
    many = [[f"t{i}", *CLONED[1:]] for i in range(250)]
    (table,) = tables.unexplored([method(many)])
    assert len(table.rows) == tables.MOST_UNEXPLORED and table.note.startswith("100 of 250, ")
