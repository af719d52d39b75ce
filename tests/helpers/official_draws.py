"""Draw sessions and goals as the official environments do (utils.py, envs/web_agent_text_env.py:228-262).

The package names tasks by their content and does not draw. These draws check the official order of goals, and find the
goal of a "second reset" in other repositories.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import random
import string
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from eefcore.envs.webshop.goals import Goal

_SEED = 233


class Reset(NamedTuple):
    """The draws of one `reset()` of the official text environment."""

    session: str
    goal_index: int


def random_idx(cum_weights: Sequence[float], rng: random.Random) -> int:
    """Draw an index by cumulative weights that start with 0; off by one, as officially: 0 is never drawn."""
    return min(bisect.bisect(cum_weights, rng.uniform(0, cum_weights[-1])), len(cum_weights) - 2)


def cumulated(weights: Sequence[float]) -> list[float]:
    """Return the cumulative weights 0, w_0, w_0 + w_1, … for `random_idx`."""
    return [0, *itertools.accumulate(weights)]


def resets(goals: Sequence[Goal]) -> Iterator[Reset]:
    """Yield the draws of each reset of the official text environment, the one in its constructor first, without end.

    `goals` in the official order. The stream is the one that shuffled them, read on.
    """
    rng = random.Random(_SEED)
    rng.shuffle(list(goals))
    weights = cumulated([goal.weight for goal in goals])
    while True:
        session = "".join(rng.choices(string.ascii_lowercase, k=10))
        yield Reset(session, random_idx(weights, rng))


def generate_mturk_code(session_id: str) -> str:
    """Return the ten characters that official workers pasted to be paid."""
    return hashlib.sha1(session_id.encode()).hexdigest()[:10].upper()
