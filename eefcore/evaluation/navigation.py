"""Count navigation skills (EEF Table 4, Figure 2): the actions that use one, and how often tasks are won with it.

An environment names its skills (`eefcore.protocols.Benchmark.skills`), as `Next` and `Back` in a shop.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from eefcore.evaluation import stats
from eefcore.evaluation.panel import Evaluation, Run, on_common_seeds, panel_tasks, score_matrix
from eefcore.evaluation.stats import Estimate
from eefcore.protocols import Skill
from eefcore.types import History, Trajectory


class SkillRates(NamedTuple):
    """The shares of tasks that were won by a trajectory that uses a skill, and in which the skill was used."""

    success: Estimate
    attempt: Estimate


def skill_from_pattern(pattern: str) -> Skill:
    """Return the skill whose actions match the regular expression `pattern` (with `re.search`)."""
    search = re.compile(pattern).search

    def skill(history: History) -> list[int]:
        return [i for i, action in enumerate(history.actions) if search(action)]

    skill.__doc__ = f"Actions that match {pattern}"  # what a report says of it
    return skill


def skills_by_action(history: History, skills: Mapping[str, Skill]) -> list[tuple[str, ...]]:
    """Return for each action the names of the skills that it uses, in the order of `skills`."""
    uses = {name: frozenset(skill(history)) for name, skill in skills.items()}
    return [tuple(name for name, indices in uses.items() if i in indices) for i in range(len(history))]


def uses_skill(trajectory: Trajectory, skill: Skill) -> bool:
    """Return whether the agent that is measured uses `skill`: the policy, or an expert that acted to the end."""
    first = 0 if trajectory.n_expert == len(trajectory) else trajectory.n_expert
    return any(i >= first for i in skill(trajectory.history))


def navigation_rates(skills: Mapping[str, Skill], *runs: Run) -> dict[str, SkillRates]:
    """Return the success rate and the attempt rate of each skill; only the measured agent's actions count."""

    def rates(skill: Skill) -> SkillRates:
        return SkillRates(
            stats.rate(score_matrix(runs, lambda t: float(t.win and uses_skill(t, skill)))),
            stats.rate(score_matrix(runs, lambda t: float(uses_skill(t, skill)))),
        )

    return {name: rates(skill) for name, skill in skills.items()}


def skill_win_ratio(a: Evaluation, b: Evaluation, skill: Skill) -> Estimate:
    """Return how many times as many tasks a wins by using `skill` as b does, paired as in `metrics.compare`."""
    a, b = on_common_seeds(a, b)
    panel = panel_tasks(a.runs)
    wins_a, wins_b = (
        score_matrix(e.runs, lambda t: float(t.win and uses_skill(t, skill)), panel) for e in (a, b)
    )
    return stats.ratio(wins_a, wins_b)
