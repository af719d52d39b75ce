"""Scripted experts at work: whoever answers a history can demonstrate, and be hired.

Player         h_t -> a_t, and what was wrong with it
demonstrate    τ_e of each task
hired          the player for hire, at a price an action
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from eefcore.experts.allocation import Offer
from eefcore.protocols import Benchmark
from eefcore.types import History, Mistake, StopReason, Trajectory


class Player(Protocol):
    """A scripted expert: a function of the history alone, so that it can start anywhere."""

    name: str

    def act(self, history: History) -> str:
        """a_t."""

    def marks(self, history: History) -> tuple[Mistake, ...]:
        """The mistakes that a_t makes on purpose; none of one who makes none. No method sees them."""


GivesUp = Callable[[History], bool]
"""Whether a player leaves an episode at h_t, unfinished."""


def demonstrate(
    benchmark: Benchmark,
    player: Player,
    tasks: Iterable[str],
    *,
    dollars: float = 0.0,
    gives_up: GivesUp = lambda _: False,
) -> Iterator[Trajectory]:
    """τ_e of each task, its mistakes marked, at `dollars` an action.

    An episode that the player leaves is one that ran out of turns, and its reward 0. To go on until the environment's
    limit would only put useless actions between EEF's equally spaced states.
    """
    env = benchmark.make()
    for task in tasks:
        history, reward, done = History(task, env.reset(task)), 0.0, False
        marks: tuple[Mistake, ...] = ()
        while not done and len(history) < benchmark.max_turns and not gives_up(history):
            action = player.act(history)
            marks += player.marks(history)
            seen, reward, done = env.step(action)
            history = history.then(action, seen)
        yield Trajectory(
            history=history,
            reward=reward,
            n_expert=len(history),
            source=player.name,
            stop=StopReason.DONE if done else StopReason.TURN_LIMIT,
            money=dollars * len(history),
            marks=marks,
        )


def hired(
    benchmark: Benchmark, player: Player, *, dollars: float = 0.0, gives_up: GivesUp = lambda _: False
) -> Offer:
    """The player for hire, task by task, at `dollars` an action."""
    return Offer(
        player.name,
        dollars * benchmark.max_turns,
        lambda task: next(demonstrate(benchmark, player, [task], dollars=dollars, gives_up=gives_up)),
    )
