"""What a result cost, in the same units for every method."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add

import msgspec

from eefcore.types import History, Trajectory


class Cost(msgspec.Struct, frozen=True, omit_defaults=True):
    """A sum of costs; `a + b` adds them up.

    Attributes:
        episodes: simulations played by a policy.
        env_steps: actions the environment answered, those of an expert left out.
        tokens_written: tokens sampled by a policy.
        tokens_read: tokens a policy read that it had not written, each counted once an episode.
        tokens_trained: tokens with a loss, times epochs.
        seconds: wall time of the stages.
        money: dollars paid to experts.
    """

    episodes: int = 0
    env_steps: int = 0
    tokens_written: int = 0
    tokens_read: int = 0
    tokens_trained: int = 0
    seconds: float = 0.0
    money: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(*(a + b for a, b in zip(_values(self), _values(other), strict=True)))


def total_cost(costs: Iterable[Cost]) -> Cost:
    """The sum of `costs`; of none, nothing."""
    return reduce(add, costs, Cost())


def mean_cost(costs: Sequence[Cost]) -> Cost:
    """What one of `costs` is on average; numbers of things stay whole."""
    shares = ((value, value / len(costs)) for value in _values(total_cost(costs)))
    return Cost(*(round(share) if isinstance(value, int) else share for value, share in shares))


def rollout_cost(trajectories: Iterable[Trajectory], length: Callable[[History], int]) -> Cost:
    """What the policy's part of `trajectories` took of the environment, read and wrote.

    Computed from the records, so that a run that was killed and continued costs what it would have.

    Args:
        length: tokens of a history as the policy reads it; 0 for a policy without tokens.
    """
    rolled = list(trajectories)
    written = [sum(len(s.tokens) for s in t.history.steps[t.n_expert :]) for t in rolled]
    return Cost(
        episodes=len(rolled),
        env_steps=sum(len(t) - t.n_expert for t in rolled),
        tokens_written=sum(written),
        tokens_read=sum(max(0, length(t.history) - w) for t, w in zip(rolled, written, strict=True)),
    )


def _values(cost: Cost) -> tuple[float, ...]:
    return tuple(getattr(cost, name) for name in cost.__struct_fields__)
