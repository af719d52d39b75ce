"""Show how far every stage of a run is: a live table in a terminal, a line a change anywhere else.

Of a suite the table has a row for each seed, for each params file of the seeds at work, and for the stages at work.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from enum import StrEnum
from statistics import fmean
from time import monotonic
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from eefcore.runs.losses import losses
from eefcore.runs.plan import Node, list_methods, methods_by_stage
from eefcore.storage import stages
from eefcore.tracking import wandb_run


class State(StrEnum):
    """The state of a stage: waiting, at work, finished or failed."""

    FINISHED = "finished"  # already, by an earlier run: skipped
    WAITING = "waiting"
    RUNNING = "running"
    ELSEWHERE = "elsewhere"  # another `eef run` executes it: waited for
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"  # something that it reads has failed


STYLES = {
    State.FINISHED: "dim",
    State.WAITING: "",
    State.RUNNING: "bold cyan",
    State.ELSEWHERE: "cyan",
    State.DONE: "green",
    State.FAILED: "bold red",
    State.BLOCKED: "red",
}
COMPLETE = (State.FINISHED, State.DONE)


class Board:
    """The table of the stages of `nodes` and their states. `set` what changes; `refresh` now and then."""

    def __init__(self, nodes: Sequence[Node], jobs: int, console: Console | None = None) -> None:
        self._nodes, self._jobs, self._serves = nodes, jobs, methods_by_stage(n.inputs for n in nodes)
        self._states: dict[Node, State] = dict.fromkeys(nodes, State.WAITING)
        self._began: dict[Node, float] = {}
        self._seconds: dict[Node, float] = {}
        self._lost: dict[Node, str] = {}
        self._seconds_of: dict[str, list[float]] = defaultdict(list)  # of each kind, of earlier runs too
        self._runs = list(dict.fromkeys(n.run for n in nodes))
        self._console = console or Console(markup=False, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.refresh(last=True)
        if self._live:
            self._live.stop()
        else:
            self._console.print(self._counts(), soft_wrap=True)

    def set(self, node: Node, state: State) -> None:
        """Show that `node` is now `state`; a state that it has already is not shown again."""
        if self._states[node] is state:
            return
        self._states[node] = state
        if state is State.FINISHED and node.finished:
            self._seconds_of[node.notebook.name].append(stages.read_record(node.folder).seconds)
        elif state is State.RUNNING:
            self._began[node] = monotonic()
        elif node in self._began:
            self._seconds[node] = monotonic() - self._began[node]
            if state is State.DONE:
                self._seconds_of[node.notebook.name].append(self._seconds[node])
                self._lost[node] = ", ".join(_lost(node))
        if not self._live and state not in (State.FINISHED, State.WAITING):
            seconds = self._seconds.get(node)
            took = "" if seconds is None else f" after {clock(seconds)}"
            suite_done = len(self._runs) > 1 and state is State.DONE
            parts = [self._count(self._nodes), self._left()] if suite_done else []
            count = "".join(f" · {part}" for part in [*parts, self._lost.get(node)] if part)
            self._console.print(f"{state.value:>8}  {self._name(node)}{took}{count}", soft_wrap=True)

    def refresh(self, *, last: bool = False) -> None:
        """Draw the table again."""
        if self._live:
            room = self._console.height - 5
            if len(self._runs) > 1:
                lively = [n for n in self._nodes if self._states[n] in (State.RUNNING, State.FAILED)]
                parts = [self._totals(room - len(lively) - 2), self._table(lively[: max(1, room // 2)])]
            else:
                parts = [self._table(self._nodes if last else self._visible(room))]
            self._live.update(Group(*parts, self._counts()), refresh=True)

    def _visible(self, rows: int) -> Sequence[Node]:
        """Return all stages if they fit on the screen; else those at work and around them."""
        if len(self._nodes) <= rows:
            return self._nodes
        dull = (*COMPLETE, State.WAITING, State.BLOCKED)
        lively = [i for i, n in enumerate(self._nodes) if self._states[n] not in dull]
        first = max(0, min((lively or [len(self._nodes)])[0], len(self._nodes) - rows))
        window = set(range(first, first + max(1, rows - len(lively))))
        return [self._nodes[i] for i in sorted(window | set(lively))][: max(1, rows)]

    def _totals(self, rows: int) -> Table:
        """Return a row for each run, and if there is room one for each params file of the runs at work."""
        table = Table(box=None, pad_edge=False)
        for heading in ("run", "", "stages", "failed"):
            table.add_column(heading, no_wrap=True)
        groups: list[tuple[str, list[Node]]] = []
        for run in self._runs:
            nodes = [n for n in self._nodes if n.run == run]
            groups.append((run, nodes))
            if any(self._states[n] is State.RUNNING for n in nodes):
                files: dict[str, list[Node]] = defaultdict(list)
                for node in nodes:
                    for file in {f"  {name.split('/')[1]}" for name in self._serves[node]}:
                        files[file].append(node)
                groups += files.items()
        for name, nodes in groups if len(groups) <= rows else [g for g in groups if g[0] in self._runs]:
            complete = sum(self._states[n] in COMPLETE for n in nodes)
            failed = sum(self._states[n] in (State.FAILED, State.BLOCKED) for n in nodes)
            bar = ProgressBar(len(nodes), complete, width=24)
            table.add_row(name, bar, self._count(nodes), Text(str(failed or ""), STYLES[State.FAILED]))
        return table

    def _count(self, nodes: Sequence[Node]) -> str:
        return f"{sum(self._states[n] in COMPLETE for n in nodes)}/{len(nodes)}"

    def _table(self, nodes: Sequence[Node]) -> Table:
        table = Table(box=None, pad_edge=False)
        for heading in ("stage", "for", "", "", "time", "left"):
            side = "right" if heading in ("time", "left") else "left"
            table.add_column(heading, justify=side, no_wrap=True)
        for node in nodes:
            state = self._states[node]
            name, serves = Text(self._name(node), STYLES[state]), list_methods(self._serves[node])
            table.add_row(name, serves, Text(state.value, STYLES[state]), *self._cells(node))
        return table

    def _cells(self, node: Node) -> tuple[RenderableType, str, str]:
        """Return the cells of a stage: bar, or what it lost; time; time left."""
        if self._states[node] is not State.RUNNING:
            seconds = self._seconds.get(node)
            return self._lost.get(node, ""), "" if seconds is None else clock(seconds), ""
        seconds, at = monotonic() - self._began[node], stages.read_progress(node.folder)
        if at is None or not at.total:
            return "", clock(seconds), ""
        left = clock(at.seconds / at.done * (at.total - at.done)) if at.done else ""
        bar = Table.grid(padding=(0, 1))
        bar.add_row(ProgressBar(at.total, at.done, width=24), f"{at.what} {at.done}/{at.total}")
        return bar, clock(seconds), left

    def _left(self) -> str:
        """Estimate the time left without the report, once a stage of each remaining kind has finished."""
        took = self._seconds_of
        left = [n for n in self._nodes[:-1] if self._states[n] in (State.WAITING, State.RUNNING)]
        if not left or not all(took[n.notebook.name] for n in left):
            return ""
        elapsed = {n: monotonic() - self._began[n] for n in left if self._states[n] is State.RUNNING}
        guesses = (max(0.0, fmean(took[n.notebook.name]) - elapsed.get(n, 0.0)) for n in left)
        return f"about {clock(sum(guesses) / self._jobs)} left"

    def _counts(self) -> Text:
        counts = Counter(self._states.values())
        parts = [(f"{counts[state]} {state.value}", STYLES[state]) for state in State if counts[state]]
        if left := self._left():
            parts.append((left, ""))
        return Text(" · ").join([Text(f"{len(self._nodes)} stages"), *(Text(t, style) for t, style in parts)])

    def _name(self, node: Node) -> str:
        return f"{node.run}/{node.folder.name}" if len(self._runs) > 1 else node.folder.name


def _lost(node: Node) -> list[str]:
    """Return what a stage that is done lost, W&B's copy of it among that."""
    if not node.finished:
        return []
    untracked = wandb_run.mode() != "disabled" and wandb_run.untracked(node.run, [node.folder.name])
    return [*losses(node).values(), *(["no complete copy at W&B"] if untracked else [])]


def clock(seconds: float) -> str:
    """Return a duration as `4 s`, `3:05` or `2:03:05`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}:{minutes:02}:{rest:02}"
    return f"{minutes}:{rest:02}" if minutes else f"{rest} s"
