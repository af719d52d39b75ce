"""Which of several solutions of a state is trained: orders, the best first (EEF §3.2, §6 "select the best solution").

    fewest_expert   the paper's: fewer expert actions ask for smaller changes of π_θ
    shortest        fewer actions in all
    repeated        from where π_θ won most often, over all simulations so far
    likeliest       what π_θ would most likely have done itself

Each takes a success and the state it is to solve, and says how it ranks: the least is chosen. Ties go by the
paper's order, then to the shorter, then to the first found, so that a run repeats.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from eefcore.types import State, Trajectory

Order = Callable[[Trajectory, State], tuple[float, ...]]


def fewest_expert(success: Trajectory, state: State) -> tuple[float, ...]:
    """(n_expert, |τ|): the paper's rule; the paper leaves its ties open."""
    del state
    return (success.n_expert, len(success))


def shortest(success: Trajectory, state: State) -> tuple[float, ...]:
    """(|τ|, n_expert)."""
    del state
    return (len(success), success.n_expert)


def repeated(simulations: Iterable[Trajectory]) -> Order:
    """By the share of simulations won from s_{n_expert}, where π_θ took over: what is reached often, not by luck.

    A success from a state that nobody explored, as an expert's own, comes after those that are known. The share is
    the observed one: one win of one try ranks with nine of nine.
    """
    won: dict[State, int] = {}
    tried: dict[State, int] = {}
    for t in simulations:
        if not t.stop.infrastructure:
            start = t.state(t.n_expert)
            tried[start] = tried.get(start, 0) + 1
            won[start] = won.get(start, 0) + t.win

    def order(success: Trajectory, state: State) -> tuple[float, ...]:
        start = success.state(success.n_expert)
        share = won[start] / tried[start] if start in tried else 0.0
        return (-share, *fewest_expert(success, state))

    return order


def likeliest(logps: Mapping[State, Sequence[Sequence[float]]]) -> Order:
    """By the mean log π_θ of a token of a_i, a_{i+1}, …, the actions that would be trained for s_i.

    Args:
        logps: of each success, known by its last state: log π of each token of each of its actions. One that is
            missing (longer than the context) comes last.
    """

    def order(success: Trajectory, state: State) -> tuple[float, ...]:
        trained = [x for action in logps.get(success.history.state, ())[len(state.actions) :] for x in action]
        mean = sum(trained) / len(trained) if trained else -math.inf
        return (-mean, *fewest_expert(success, state))

    return order
