"""Draw sessions and goals as the official environments do (utils.py, envs/web_agent_text_env.py:228-262).

The package does not: its tasks are named by their content. The official order of goals, on which these draws stand,
is checked by them, and others' "second reset" can be found again.
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
    """What one `reset()` of the official text environment draws."""

    session: str
    goal_index: int


def random_idx(cum_weights: Sequence[float], rng: random.Random) -> int:
    """An index drawn by cumulative weights that start with 0; off by one, as officially: 0 is never drawn."""
    return min(bisect.bisect(cum_weights, rng.uniform(0, cum_weights[-1])), len(cum_weights) - 2)


def cumulated(weights: Sequence[float]) -> list[float]:
    """0, w_0, w_0 + w_1, …: what `random_idx` draws from."""
    return [0, *itertools.accumulate(weights)]


def resets(goals: Sequence[Goal]) -> Iterator[Reset]:
    """What each reset of the official text environment draws, the one in its constructor first, without end.

    `goals` in the official order. The stream is the one that shuffled them, read on.
    """
    rng = random.Random(_SEED)
    rng.shuffle(list(goals))
    weights = cumulated([goal.weight for goal in goals])
    while True:
        session = "".join(rng.choices(string.ascii_lowercase, k=10))
        yield Reset(session, random_idx(weights, rng))


def generate_mturk_code(session_id: str) -> str:
    """The ten characters that official workers pasted to be paid."""
    return hashlib.sha1(session_id.encode()).hexdigest()[:10].upper()
