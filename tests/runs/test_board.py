"""What is seen of a run while it runs."""

from __future__ import annotations

import io
from unittest.mock import Mock

import pytest
from helpers.workspaces import write_params
from rich.console import Console

from eefcore.runs import board
from eefcore.runs.board import Board, State, clock
from eefcore.runs.planning import plan_run
from eefcore.storage import stages


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    time = [0.0]
    monkeypatch.setattr(board, "monotonic", lambda: time[0])
    return time


def screen(height: int) -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, height=height, color_system=None)


def last_frame(console: Console) -> list[str]:
    frame = console.file.getvalue().rpartition("stage ")[2]
    return [line.rstrip() for line in frame.replace("\x1b[2K", "").splitlines()[1:] if "\x1b" not in line]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1:00"), (185, "3:05"), (7385, "2:03:05")]
)
def test_the_clock_writes_seconds_as_minutes_and_hours(seconds, text):
    assert clock(seconds) == text


def test_a_terminal_shows_bars_and_time_left(demo, now):
    expert, select, *_ = nodes = plan_run(
        write_params(demo.parents[1], "run: a\nmethods: {EEF: {iterations: 1}}")
    )
    console = screen(40)
    with Board(nodes, 2, console) as shown:
        shown.set(expert, State.FINISHED)
        shown.set(select, State.RUNNING)
        folder = stages.partial_folder(select.folder)
        folder.mkdir(parents=True)
        (folder / "progress.json").write_text(
            '{"what": "episodes", "done": 20, "total": 80, "seconds": 10.0}'
        )
        now[0] = 12.0
        shown.refresh()
        rows = last_frame(console)
        assert len(rows) == len(nodes) + 1
        assert rows[0].split() == [expert.folder.name, "EEF", "finished"]
        assert rows[1].startswith(select.folder.name) and "running" in rows[1]
        assert rows[1].endswith("episodes 20/80  12 s  30 s")
        assert rows[-1] == "6 stages · 1 finished · 4 waiting · 1 running"


def test_the_time_to_the_end_is_guessed_once_every_kind_of_stage_was_seen(demo, now):
    nodes = plan_run(
        write_params(demo.parents[1], "run: a\nmethods: {x: {iterations: 1}, y: {iterations: 2}}")
    )
    console = screen(60)
    with Board(nodes, 2, console) as shown:
        seen: set[str] = set()
        for node in nodes:
            if node.notebook.name not in seen:
                seen.add(node.notebook.name)
                shown.set(node, State.RUNNING)
                now[0] += 10.0
                shown.set(node, State.DONE)
        shown.refresh()
        left = len(nodes) - len(seen)
        assert last_frame(console)[-1].endswith(f"about {clock(10 * left / 2)} left")


def test_earlier_runs_and_the_report_do_not_hold_the_guess_back(demo, now, monkeypatch):
    *planned, report = nodes = plan_run(
        write_params(demo.parents[1], "run: a\nmethods: {x: {iterations: 1}}")
    )
    monkeypatch.setattr(board.Node, "finished", property(lambda node: node is not report))
    monkeypatch.setattr(stages, "read_record", lambda folder: Mock(seconds=30.0))
    console = screen(60)
    with Board(nodes, 1, console) as shown:
        for node in planned[:-1]:
            shown.set(node, State.FINISHED)
        shown.refresh()
        assert last_frame(console)[-1].endswith("about 30 s left")


def test_a_low_terminal_shows_what_is_at_work(demo, now):
    nodes = plan_run(demo)
    console = screen(12)
    with Board(nodes, 2, console) as shown:
        for node in nodes[:10]:
            shown.set(node, State.DONE)
        shown.set(nodes[3], State.FAILED)
        shown.set(nodes[10], State.RUNNING)
        shown.set(nodes[17], State.RUNNING)
        shown.refresh()
        rows = last_frame(console)
        assert len(rows) <= 8
        for node in (nodes[3], nodes[10], nodes[17]):
            assert any(row.startswith(node.folder.name) for row in rows)
    assert len(last_frame(console)) == len(nodes) + 1


def test_without_a_terminal_a_change_is_a_line(demo, now):
    expert, select, *_ = nodes = plan_run(demo)
    console = Console(file=io.StringIO(), width=40, highlight=False)
    with Board(nodes, 2, console) as shown:
        shown.set(expert, State.FINISHED)
        shown.set(select, State.RUNNING)
        now[0] = 185.0
        shown.set(select, State.FAILED)
        shown.refresh()
    name = select.folder.name
    assert console.file.getvalue().splitlines() == [
        f" running  {name}",
        f"  failed  {name} after 3:05",
        "20 stages · 1 finished · 18 waiting · 1 failed",
    ]
