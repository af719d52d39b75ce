"""Case studies as a report shows them: two trajectories of one task side by side (EEF A.2, A.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eefcore.evaluation.metrics import Run
from eefcore.evaluation.navigation import skills_by_action
from eefcore.protocols import Skill
from eefcore.reports.cases import Case, Move, find_cases, moves, side_by_side
from eefcore.reports.document.blocks import Abreast, Side, Story, Turn
from eefcore.types import Trajectory


class Seed(NamedTuple):
    """One seed's panels: the method that should win, the one that should lose, and the experts."""

    name: str  # as in `seed 3`; empty if there is but one
    better: Run
    worse: Run
    experts: Run


def studied(
    seeds: Sequence[Seed], better: str, worse: str, skills: Mapping[str, Skill], *, each: int = 1
) -> tuple[Story, ...]:
    """For each skill `each` cases of the strongest rule that any seed's panels satisfy (`cases.find_cases`).

    Of equally strong ones the first seed's; a task is told once.
    """
    found = [
        (case.strength, i, case)
        for i, seed in enumerate(seeds)
        for case in find_cases(seed.better, seed.worse, seed.experts, skills, each=each)
    ]
    out, told = [], set()
    for skill in [*skills, None]:
        of_skill = sorted((f for f in found if f[2].skill == skill), key=lambda f: f[:2])
        # Cases that no skill tells apart are read only where there are no others.
        kept = [f for f in of_skill if f[2].better.task_id not in told] if skill or not out else []
        for _, i, case in kept[:each]:
            told.add(case.better.task_id)
            out.append(story(case, better, worse, skills, seed=seeds[i].name))
    return tuple(out)


def story(case: Case, better: str, worse: str, skills: Mapping[str, Skill], *, seed: str = "") -> Story:
    """The case with its trajectories aligned."""
    aligned = side_by_side(case.better, case.worse)
    left, right = (skills_by_action(t.history, skills) for t in (case.better, case.worse))
    rows = (
        Abreast(row.left and _turn(row.left, left), row.right and _turn(row.right, right), row.same)
        for row in aligned.rows
    )
    expert = case.expert
    return Story(
        task=case.better.task_id,
        title=_first_line(case.better),
        rule=f"{better} {case.rule}{f' ({seed})' if seed else ''}.",
        left=Side(better, case.better.outcome, case.better.reward),
        right=Side(worse, case.worse.outcome, case.worse.reward),
        rows=tuple(rows),
        parts=aligned.parts,
        expert=expert and Side(expert.source, expert.outcome, expert.reward),
        expert_turns=_turns(expert, skills) if expert else (),
    )


def _turns(trajectory: Trajectory, skills: Mapping[str, Skill]) -> tuple[Turn, ...]:
    by_action = skills_by_action(trajectory.history, skills)
    return tuple(_turn(m, by_action) for m in moves(trajectory))


def _turn(move: Move, by_action: Sequence[tuple[str, ...]]) -> Turn:
    return Turn(move.index, move.action, move.answer, move.thought, by_action[move.index])


def _first_line(trajectory: Trajectory) -> str:
    return trajectory.history.at(0).observation.strip().removeprefix("Task:").split("\n", 1)[0]
