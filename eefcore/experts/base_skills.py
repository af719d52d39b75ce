"""Base skills: pieces of episodes on which a tiny base is pretrained, so that it knows the words and not the strategy.

SkillExample                          an example of one skill on one task
SkillEpisode                          an episode that shows a skill, played partly at random and partly by an expert
rewrite_trajectory, permute_names     a trajectory in other words, so that nothing in it is learnt by heart
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from eefcore.experts.demonstrate import ScriptedExpert
from eefcore.protocols import Environment
from eefcore.types import Example, History, StopReason, Trajectory

E = TypeVar("E", bound=ScriptedExpert)


class SkillExample(NamedTuple):
    """An example of a base skill on one task."""

    name: str
    example: Example


class SkillEpisode(Generic[E]):
    """An episode that is played to show a base skill, from the start of its task.

    Attributes:
        history: h_t, so far.
        naive: the expert that plays what is not played at random.
        rng: of everything that is done at random.
    """

    def __init__(self, env: Environment, task: str, naive: E, rng: Random) -> None:
        self.naive, self.rng, self._env = naive, rng, env
        self.restart(task)

    def restart(self, task: str) -> None:
        """Start the task, whatever was done before."""
        self.history = History(task, self._env.reset(task))
        self.reward, self.done = 0.0, False

    def act(self, action: str) -> None:
        """Take an action; do nothing once the episode is over."""
        if not self.done:
            observation, self.reward, self.done = self._env.step(action)
            self.history = self.history.then(action, observation)

    def act_naively(self) -> None:
        """Take the expert's action."""
        self.act(self.naive.act(self.history))

    def example(self, first: int) -> Example:
        """Return the episode as an example that trains from a_first on."""
        trajectory = Trajectory(
            history=self.history,
            reward=self.reward,
            n_expert=first,
            source=self.naive.name,
            stop=StopReason.DONE if self.done else StopReason.TURN_LIMIT,
        )
        return Example(trajectory, first)


def draw_skill(shares: Mapping[str, float], rng: Random) -> str:
    """Return the name of a random skill, by the share of each."""
    return rng.choices(list(shares), list(shares.values()))[0]


def rewrite_trajectory(trajectory: Trajectory, rewrite: Callable[[str], str]) -> Trajectory:
    """Return the trajectory with `rewrite` applied to every observation and action."""
    history = trajectory.history
    steps = tuple(
        replace(s, observation=rewrite(s.observation), action=rewrite(s.action)) for s in history.steps
    )
    return replace(
        trajectory, history=replace(history, steps=steps, observation=rewrite(history.observation))
    )


def permute_names(names: Sequence[str], rng: Random) -> dict[str, str]:
    """Return a random permutation of the names, as a map from each to its new name."""
    return dict(zip(names, rng.sample(names, len(names)), strict=True))
