"""Find tasks that one method wins and another loses, and show both trajectories side by side (EEF A.2, A.3).

    align                                    two trajectories of a task, row by row, and where they part
    find_cases                               one wins by a skill, the other loses without it, the expert tried it and lost
    select_case_studies                      the strongest cases over seeds, as a report shows them
    transcript                               one trajectory as text
    explored_outcomes, trained_segments      one expert trajectory, for EEF Figure 1

A thought worded differently is no difference as long as the same is done: rows are aligned by what is done, and a thought
without a counterpart stands alone in its row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from eefcore.actions import is_thought
from eefcore.evaluation.navigation import skills_by_action, uses_skill
from eefcore.evaluation.panel import Run
from eefcore.protocols import Skill
from eefcore.reports.document.blocks import CaseRow, CaseStudy, Side, Turn
from eefcore.types import Example, State, Trajectory


class Move(NamedTuple):
    """One action a_i and the environment's answer."""

    index: int
    action: str
    answer: str

    @property
    def thought(self) -> bool:
        """Whether the action is a thought."""
        return is_thought(self.action)


class Row(NamedTuple):
    """Two moves beside each other; None where one side has no move."""

    left: Move | None
    right: Move | None

    @property
    def same(self) -> bool:
        """Whether both sides do the same and get the same answer."""
        return self.left is not None and self.right is not None and self.left[1:] == self.right[1:]


class Alignment(NamedTuple):
    """Two trajectories aligned; `rows[parting]` is the first row in which they do something different."""

    rows: list[Row]
    parting: int | None


class Case(NamedTuple):
    """One task, with the trajectories that show why one method is better than another."""

    skill: str | None  # None if no skill explains the difference
    better: Trajectory
    worse: Trajectory
    expert: Trajectory | None  # an expert's that tried the skill and lost
    rule: str  # the rule that the case satisfies, in words, and why no stronger one holds
    strength: int  # the number of that rule in `find_cases`: 1 is the strongest


class SeedPanels(NamedTuple):
    """The test panels of one seed: of the better method, of the worse one, and of the experts."""

    name: str  # such as `seed 3`; empty if there is only one seed
    better: Run
    worse: Run
    experts: Run


def align(a: Trajectory, b: Trajectory) -> Alignment:
    """Align the moves of two trajectories, thoughts beside thoughts and other actions beside other actions.

    Raises:
        ValueError: they are of different tasks.
    """
    if a.task_id != b.task_id:
        raise ValueError(
            f"expected two trajectories of one task, got tasks {a.task_id} and {b.task_id}; pick both from one task"
        )
    left, right = moves(a), moves(b)
    rows: list[Row] = []
    parting: int | None = None
    i = j = 0
    while i < len(left) or j < len(right):
        x = left[i] if i < len(left) else None
        y = right[j] if j < len(right) else None
        if x is not None and y is not None and x.thought != y.thought:
            x, y = (x, None) if x.thought else (None, y)
        rows.append(Row(x, y))
        i, j = i + (x is not None), j + (y is not None)
        only_thoughts = all(move is None or move.thought for move in (x, y))
        if parting is None and not only_thoughts and (x is None or y is None or x.action != y.action):
            parting = len(rows) - 1
    return Alignment(rows, parting)


def moves(trajectory: Trajectory) -> list[Move]:
    """Return each action a_i with the observation that followed it."""
    history = trajectory.history
    observations = [*(s.observation for s in history.steps), history.observation]
    return [Move(i, s.action, observations[i + 1]) for i, s in enumerate(history.steps)]


def find_cases(
    better: Iterable[Trajectory],
    worse: Iterable[Trajectory],
    experts: Iterable[Trajectory],
    skills: Mapping[str, Skill],
    *,
    each: int = 1,
) -> list[Case]:
    """Return for each skill `each` cases by the strongest rule that any task satisfies, the first by task id (EEF §4.3).

    1. `better` wins using the skill, `worse` loses without it, an expert tried it and lost.
    2. The same without the expert.  3. `better` wins using it, `worse` loses in any way.
    4. `better` wins, `worse` loses; no skill explains the difference.

    A task makes at most one case. If no task satisfies rule 4, there is no case: `better` wins no task that `worse` loses.
    """
    losers = {t.task_id: t for t in worse if not t.win and not t.stop.infrastructure}
    pairs = sorted(
        ((t, losers[t.task_id]) for t in better if t.win and t.task_id in losers),
        key=lambda pair: pair[0].task_id,
    )
    failures = [t for t in experts if not t.win and not t.stop.infrastructure]
    used_tasks: set[str] = set()
    out: list[Case] = []
    for name, skill in skills.items():
        unused = [p for p in pairs if p[0].task_id not in used_tasks]
        cases = _strongest(unused, failures, name, skill)[:each]
        used_tasks |= {case.better.task_id for case in cases}
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


# ------------------------------------------------------------------------------ as a report shows them


def select_case_studies(
    seeds: Sequence[SeedPanels], better: str, worse: str, skills: Mapping[str, Skill], *, each: int = 1
) -> tuple[CaseStudy, ...]:
    """Return for each skill `each` case studies by the strongest rule that any seed satisfies (`find_cases`).

    Among equally strong cases the first seed's comes first; a task appears once.
    """
    found = [
        (case.strength, i, case)
        for i, seed in enumerate(seeds)
        for case in find_cases(seed.better, seed.worse, seed.experts, skills, each=each)
    ]
    out: list[CaseStudy] = []
    used_tasks: set[str] = set()
    for skill in [*skills, None]:
        of_skill = sorted((f for f in found if f[2].skill == skill), key=lambda f: f[:2])
        # Cases that no skill explains are shown only where there are no others.
        unused = [f for f in of_skill if f[2].better.task_id not in used_tasks] if skill or not out else []
        for _, i, case in unused[:each]:
            used_tasks.add(case.better.task_id)
            out.append(case_study(case, better, worse, skills, seed=seeds[i].name))
    return tuple(out)


def case_study(
    case: Case, better: str, worse: str, skills: Mapping[str, Skill], *, seed: str = ""
) -> CaseStudy:
    """Return the case as a report shows it, with its two trajectories aligned."""
    rows, parting = align(case.better, case.worse)
    left, right = (skills_by_action(t.history, skills) for t in (case.better, case.worse))
    expert = case.expert
    return CaseStudy(
        task=case.better.task_id,
        title=_first_line(case.better),
        rule=f"{better} {case.rule}{f' ({seed})' if seed else ''}.",
        left=Side(better, case.better.outcome, case.better.reward),
        right=Side(worse, case.worse.outcome, case.worse.reward),
        rows=tuple(
            CaseRow(row.left and _turn(row.left, left), row.right and _turn(row.right, right), row.same)
            for row in rows
        ),
        parting=parting,
        expert=None if expert is None else Side(expert.source, expert.outcome, expert.reward),
        expert_turns=() if expert is None else _turns(expert, skills),
    )


def _turns(trajectory: Trajectory, skills: Mapping[str, Skill]) -> tuple[Turn, ...]:
    by_action = skills_by_action(trajectory.history, skills)
    return tuple(_turn(m, by_action) for m in moves(trajectory))


def _turn(move: Move, by_action: Sequence[tuple[str, ...]]) -> Turn:
    return Turn(move.index, move.action, move.answer, move.thought, by_action[move.index])


def _first_line(trajectory: Trajectory) -> str:
    return trajectory.history.at(0).observation.strip().removeprefix("Task:").split("\n", 1)[0]


# ------------------------------------------------------------------------------ one trajectory


def explored_outcomes(expert: Trajectory, solved: Mapping[State, bool]) -> dict[int, bool]:
    """Return for each explored state s_i of τ_e, by i, whether π_θ won from it; `solved` is that of `selection.solved`."""
    states = {i: expert.state(i) for i in range(len(expert))}
    return {i: solved[state] for i, state in states.items() if state in solved}


def trained_segments(expert: Trajectory, examples: Iterable[Example]) -> list[tuple[int, int]]:
    """Return the segments a_i … a_{j-1} of τ_e that are trained on, as (i, j) in order: the green arrows of EEF Figure 1."""
    heads = {
        (e.first, e.trajectory.n_expert)
        for e in examples
        if e.first < e.trajectory.n_expert and expert.contains(e.trajectory.state(e.trajectory.n_expert))
    }
    return sorted(heads)


def transcript(trajectory: Trajectory) -> str:
    """Return the trajectory as text: each action with its author, the observations, and how the episode ended."""
    lines = [f"task {trajectory.task_id}: {trajectory.history.at(0).observation}", ""]
    for move in moves(trajectory):
        author = "expert" if move.index < trajectory.n_expert else "policy"
        answer = [f"            {line}" for line in move.answer.splitlines()]
        lines += [f"{author} {move.index:>2} > {move.action}", *answer]
    lines.append(f"{trajectory.outcome}, reward {trajectory.reward:.2f}, by {trajectory.source}")
    return "\n".join(lines)
