"""Navigation skills as environments name them (EEF Table 4): which actions of a history use one.

matching    a skill that is told by the words of an action alone
used        the skills that each action uses
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from eefcore.protocols import Skill
from eefcore.types import History


def skill_from_pattern(pattern: str) -> Skill:
    """The skill of actions that `re.search` finds `pattern` in."""
    found = re.compile(pattern).search

    def uses(history: History) -> list[int]:
        return [i for i, action in enumerate(history.actions) if found(action)]

    return uses


def skills_by_action(history: History, skills: Mapping[str, Skill]) -> list[tuple[str, ...]]:
    """Of each action the names of the skills that it uses, in the order of `skills`."""
    found = {name: frozenset(skill(history)) for name, skill in skills.items()}
    return [tuple(name for name, uses in found.items() if i in uses) for i in range(len(history))]
