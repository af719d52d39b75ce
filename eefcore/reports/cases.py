"""Case studies: where two trajectories of one task part, and which tasks are worth reading (EEF A.2, A.3).

    side_by_side                two trajectories of a task, aligned
    find_cases                  one wins by a skill, the other loses without it, the expert tried it and lost
    outcomes_along, kept        one expert trajectory, as Fig. 1 draws it

A thought worded differently is no divergence as long as the same is done: rows are aligned by what is done, and
a thought the other side does not have stands alone in its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from eefcore.actions import is_thought
from eefcore.evaluation.metrics import uses_skill
from eefcore.protocols import Skill
from eefcore.types import Example, State, Trajectory


class Move(NamedTuple):
    """a_i and what the environment answered."""

    index: int
    action: str
    answer: str

    @property
    def thought(self) -> bool:
        """Whether it is a thought."""
        return is_thought(self.action)


class Row(NamedTuple):
    """Moves beside each other; None where that side has none."""

    left: Move | None
    right: Move | None

    @property
    def same(self) -> bool:
        """Whether both sides act, and are answered, alike."""
        return self.left is not None and self.right is not None and self.left[1:] == self.right[1:]


class SideBySide(NamedTuple):
    """Two trajectories aligned; `rows[parts]` is the first row in which something different is done."""

    rows: list[Row]
    parts: int | None


class Case(NamedTuple):
    """One task, told by the trajectories that show why one method is better."""

    skill: str | None  # None where no skill told them apart
    better: Trajectory
    worse: Trajectory
    expert: Trajectory | None  # tried the skill, and lost
    rule: str  # what the case satisfies, in words, and why no stronger rule was met
    strength: int  # of the rule, by its number in `find_cases`: 1 is the strongest


def side_by_side(a: Trajectory, b: Trajectory) -> SideBySide:
    """Moves of both, row by row: thought beside thought, deed beside deed.

    Raises:
        ValueError: they are of different tasks.
    """
    if a.task_id != b.task_id:
        raise ValueError(
            f"{a.task_id} and {b.task_id} are different tasks; compare two trajectories of one task"
        )
    left, right = moves(a), moves(b)
    rows: list[Row] = []
    parts: int | None = None
    i = j = 0
    while i < len(left) or j < len(right):
        x = left[i] if i < len(left) else None
        y = right[j] if j < len(right) else None
        if x is not None and y is not None and x.thought != y.thought:
            x, y = (x, None) if x.thought else (None, y)
        rows.append(Row(x, y))
        i, j = i + (x is not None), j + (y is not None)
        thinks = all(move is None or move.thought for move in (x, y))
        if parts is None and not thinks and (x is None or y is None or x.action != y.action):
            parts = len(rows) - 1
    return SideBySide(rows, parts)


def moves(trajectory: Trajectory) -> list[Move]:
    """Each a_i with the observation that followed it."""
    history = trajectory.history
    seen = [*(s.observation for s in history.steps), history.observation]
    return [Move(i, s.action, seen[i + 1]) for i, s in enumerate(history.steps)]


def find_cases(
    better: Iterable[Trajectory],
    worse: Iterable[Trajectory],
    experts: Iterable[Trajectory],
    skills: Mapping[str, Skill],
    *,
    each: int = 1,
) -> list[Case]:
    """For each skill `each` cases by the strongest rule that holds anywhere, first by task id (EEF §4.3).

    1. `better` wins using the skill, `worse` loses without it, an expert tried it and lost.
    2. The same without the expert.  3. `better` wins using it, `worse` loses somehow.
    4. `better` wins, `worse` loses; no skill told them apart.

    A task is told once. When rule 4 finds nothing there is no case: `better` wins nowhere alone.
    """
    losers = {t.task_id: t for t in worse if not t.win and not t.stop.infrastructure}
    pairs = sorted(
        ((t, losers[t.task_id]) for t in better if t.win and t.task_id in losers),
        key=lambda pair: pair[0].task_id,
    )
    failures = [t for t in experts if not t.win and not t.stop.infrastructure]
    told: set[str] = set()
    out: list[Case] = []
    for name, skill in skills.items():
        cases = _strongest([p for p in pairs if p[0].task_id not in told], failures, name, skill)[:each]
        told |= {case.better.task_id for case in cases}
        out += cases
    return out


def _strongest(
    pairs: Sequence[tuple[Trajectory, Trajectory]], failures: Sequence[Trajectory], name: str, skill: Skill
) -> list[Case]:
    tried: dict[str, Trajectory] = {}
    for t in failures:
        if uses_skill(t, skill):
            tried.setdefault(t.task_id, t)
    by_skill = [(b, w) for b, w in pairs if uses_skill(b, skill)]
    without = [(b, w) for b, w in by_skill if not uses_skill(w, skill)]
    with_expert = [(b, w) for b, w in without if b.task_id in tried]
    lost = f"the other loses without {name}"
    if with_expert:
        rule = f"wins using {name}; {lost}; the expert tried it and lost"
        return [Case(name, b, w, tried[b.task_id], rule, 1) for b, w in with_expert]
    if without:
        rule = f"wins using {name}; {lost} (on none of these tasks did an expert try it and lose)"
        return [Case(name, b, w, None, rule, 2) for b, w in without]
    if by_skill:
        rule = f"wins using {name}; the other loses though it used it too (no task where {lost})"
        return [Case(name, b, w, None, rule, 3) for b, w in by_skill]
    rule = f"wins where the other loses (no such task was won using {name})"
    return [Case(None, b, w, None, rule, 4) for b, w in pairs]


def outcomes_along(expert: Trajectory, solved: Mapping[State, bool]) -> dict[int, bool]:
    """For each s_i of τ_e that was explored, whether π_θ won from it; `solved` is `selection.solved`'s."""
    states = {i: expert.state(i) for i in range(len(expert))}
    return {i: solved[state] for i, state in states.items() if state in solved}


def kept(expert: Trajectory, examples: Iterable[Example]) -> list[tuple[int, int]]:
    """The stretches a_i … a_{j-1} of τ_e that are trained on, as (i, j) in order: Fig. 1's green arrows."""
    heads = {
        (e.first, e.trajectory.n_expert)
        for e in examples
        if e.first < e.trajectory.n_expert and expert.contains(e.trajectory.state(e.trajectory.n_expert))
    }
    return sorted(heads)


def told(trajectory: Trajectory) -> str:
    """The trajectory as a text to read: who acted, what was seen, how it ended."""
    lines = [f"task {trajectory.task_id}: {trajectory.history.at(0).observation}", ""]
    for move in moves(trajectory):
        who = "expert" if move.index < trajectory.n_expert else "policy"
        lines += [f"{who} {move.index:>2} > {move.action}", *_indented(move.answer)]
    lines.append(f"{trajectory.outcome}, reward {trajectory.reward:.2f}, by {trajectory.source}")
    return "\n".join(lines)


def _indented(observation: str) -> list[str]:
    return [f"            {line}" for line in observation.splitlines()]
