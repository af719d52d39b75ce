"""Find tasks that one method wins and another loses, and show both trajectories side by side (EEF A.2, A.3).

`select_case_studies` finds the strongest cases over seeds, as a report shows them. A thought worded differently is no
difference as long as the same is done: `align` puts rows together by what is done, and a thought without a counterpart
stands alone in its row. `transcript` is one trajectory as text; `explored_outcomes` and `trained_segments` are for EEF Figure 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from eefcore.actions import is_thought
from eefcore.evaluation.navigation import skills_by_action, uses_skill
from eefcore.evaluation.panel import Run
from eefcore.protocols import Skill
from eefcore.reports.document.blocks import CaseRow, CaseStudy, Side, Turn
from eefcore.reports.document.markdown import refused_lines
from eefcore.types import Example, State, Trajectory


class Alignment(NamedTuple):
    """Two trajectories aligned; `rows[parting]` is the first row in which they do something different."""

    rows: list[CaseRow]
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


def align(a: Trajectory, b: Trajectory, skills: Mapping[str, Skill] = MappingProxyType({})) -> Alignment:
    """Align the turns of two trajectories, thoughts beside thoughts and other actions beside other actions.

    Raises:
        ValueError: they are of different tasks.
    """
    if a.task_id != b.task_id:
        raise ValueError(
            f"expected two trajectories of one task, got tasks {a.task_id} and {b.task_id}; pick both from one task"
        )
    left, right = deque(turns(a, skills)), deque(turns(b, skills))
    rows: list[CaseRow] = []
    parting: int | None = None
    while left or right:
        x, y = left[0] if left else None, right[0] if right else None
        if x is not None and y is not None and x.thought != y.thought:
            x, y = (x, None) if x.thought else (None, y)
        both = x is not None and y is not None
        if (
            parting is None
            and not (both and x.action == y.action)
            and not all(t.thought for t in (x, y) if t)
        ):
            parting = len(rows)
        rows.append(CaseRow(x, y, both and (x.action, x.answer) == (y.action, y.answer)))
        if x is not None:
            left.popleft()
        if y is not None:
            right.popleft()
    return Alignment(rows, parting)


def turns(trajectory: Trajectory, skills: Mapping[str, Skill] = MappingProxyType({})) -> tuple[Turn, ...]:
    """Return each action a_i with the observation that followed it and the skills that it uses."""
    history = trajectory.history
    answers = [*(step.observation for step in history.steps), history.observation][1:]
    found = zip(trajectory.actions, answers, skills_by_action(history, skills), strict=True)
    return tuple(
        Turn(i, action, answer, is_thought(action), used) for i, (action, answer, used) in enumerate(found)
    )


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
    rows, parting = align(case.better, case.worse, skills)
    expert = case.expert
    return CaseStudy(
        task=case.better.task_id,
        title=_first_line(case.better),
        rule=f"{better} {case.rule}{f' ({seed})' if seed else ''}.",
        left=_side(better, case.better),
        right=_side(worse, case.worse),
        rows=tuple(rows),
        parting=parting,
        expert=None if expert is None else _side(expert.source, expert),
        expert_turns=() if expert is None else turns(expert, skills),
    )


def _side(name: str, trajectory: Trajectory) -> Side:
    return Side(name, trajectory.outcome, trajectory.reward, trajectory.refused_answer)


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
    """Return the trajectory as text: each action with its author, the observations, and how the episode ended.

    An answer that held no action is shown as it was written.
    """
    lines = [f"task {trajectory.task_id}: {trajectory.history.at(0).observation}", ""]
    for turn in turns(trajectory):
        author = "expert" if turn.index < trajectory.n_expert else "policy"
        answer = [f"            {line}" for line in turn.answer.splitlines()]
        lines += [f"{author} {turn.index:>2} > {turn.action}", *answer]
    lines += refused_lines(trajectory.refused_answer)
    lines.append(f"{trajectory.outcome}, reward {trajectory.reward:.2f}, by {trajectory.source}")
    return "\n".join(lines)
