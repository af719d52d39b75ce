"""Add up what results cost, in the same units for every method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add

import msgspec
from msgspec.structs import asdict

from eefcore.types import History, Trajectory


class Cost(msgspec.Struct, frozen=True, omit_defaults=True):
    """The cost of a stage or a result; `a + b` is the sum of two."""

    episodes: int = 0  # simulations played by a policy
    env_steps: int = 0  # actions that the environment answered, without those of an expert
    tokens_written: int = 0  # tokens sampled by a policy
    tokens_read: int = 0  # tokens that a policy read and had not written, each counted once an episode
    tokens_trained: int = 0  # tokens that carry a loss, times epochs
    seconds: float = 0.0  # wall time of the stages
    money: float = 0.0  # dollars paid to experts and endpoints

    def __add__(self, other: Cost) -> Cost:
        return Cost(**{name: value + getattr(other, name) for name, value in asdict(self).items()})


def total_cost(costs: Iterable[Cost]) -> Cost:
    """Return the sum of `costs`; zero if there are none."""
    return reduce(add, costs, Cost())


def mean_cost(costs: Sequence[Cost]) -> Cost:
    """Return the mean of `costs`; counts are rounded to whole numbers."""
    totals = asdict(total_cost(costs)).items()
    return Cost(**{k: round(v / len(costs)) if isinstance(v, int) else v / len(costs) for k, v in totals})


def rollout_cost(trajectories: Iterable[Trajectory], length: Callable[[History], int]) -> Cost:
    """Return the cost of the policy's actions in `trajectories`; a resumed run counts as one that was never killed.

    Args:
        length: the number of tokens of a history as the policy reads it (`Policy.length`); 0 for a policy at an
            endpoint, whose counts stand in the trajectories.
    """
    played = list(trajectories)
    written = [sum(len(s.tokens) for s in t.history.steps[t.n_expert :]) for t in played]
    return Cost(
        episodes=len(played),
        env_steps=sum(len(t) - t.n_expert for t in played),
        tokens_written=sum(written) + sum(t.tokens_written for t in played),
        tokens_read=sum(
            t.tokens_read + max(0, length(t.history) - w) for t, w in zip(played, written, strict=True)
        ),
        money=sum(t.money for t in played),
    )
