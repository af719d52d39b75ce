"""Wrap any benchmark for an agent that writes composite actions (Agent Q Appendix A): `webshop_mini+composite` in a params file.

With `+composite_status` its scripted experts end each action with a STATUS line, as in Fig. 4 and as the prompts of models
ask for. The tiny composite base was trained without.

The environment gets only the command of an action; the rest of its text (plan, thought, explanation) is for the agent.
States hold whole actions, so that a tree, a repository and a replay distinguish what the agent will remember.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from eefcore.actions import command, commands_only
from eefcore.protocols import Benchmark, Environment, Irreversible, Skill, Variants
from eefcore.types import Card, State, Transition

SUFFIX = "+composite"
STATUS_SUFFIX = "+composite_status"
"""What follows a benchmark's name, in params files and on cards."""


def split_suffix(name: str) -> tuple[str, str]:
    """Return the name of the inner benchmark, and the suffix that follows it or an empty text."""
    suffix = next((s for s in (SUFFIX, STATUS_SUFFIX) if name.endswith(s)), "")
    return name.removesuffix(suffix), suffix


class CompositeBenchmark:
    """The benchmark `inner` for agents that write composite actions; its skills are counted in the commands.

    A composite action is one of `max_turns`, also where an interface counts a thought as another.
    """

    def __init__(self, inner: Benchmark, suffix: str = SUFFIX) -> None:
        self.inner, self.max_turns, self.suffix = inner, inner.max_turns, suffix
        self.skills: Mapping[str, Skill] = {name: _in_commands(s) for name, s in inner.skills.items()}

    @property
    def card(self) -> Card:
        """The inner card under another name, so that numbers of the two are not compared."""
        card = self.inner.card
        return msgspec.structs.replace(card, name=card.name + self.suffix)

    def make(self) -> CompositeEnvironment:
        """Make an environment for one episode at a time."""
        return CompositeEnvironment(self.inner.make())

    def tasks(self, split: str) -> tuple[str, ...]:
        """Return the inner task ids of a split."""
        return self.inner.tasks(split)

    def instruction(self, task_id: str) -> str:
        """Return what the user asks for."""
        return self.inner.instruction(task_id)

    def variant(self, task_id: str, recorded: str) -> str:
        """Return the id of the inner task as a recorded o_0 words it."""
        return self.inner.variant(task_id, recorded) if isinstance(self.inner, Variants) else task_id

    def original(self, task_id: str) -> str:
        """Return the id of the inner task of which `task_id` is a variant."""
        return self.inner.original(task_id) if isinstance(self.inner, Variants) else task_id


class CompositeEnvironment:
    """An environment that gets the commands of composite actions."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._actions: tuple[str, ...] = ()

    def reset(self, task_id: str) -> str:
        """Start the task; return o_0."""
        self._actions = ()
        return self._env.reset(task_id)

    def step(self, action: str) -> Transition:
        """Take the command of a composite action in the environment."""
        transition = self._env.step(command(action))
        self._actions = (*self._actions, action)
        return transition

    def irreversible(self, action: str) -> bool:
        """Return whether the command of `action` can't be undone outside a simulation."""
        return isinstance(self._env, Irreversible) and self._env.irreversible(command(action))

    def snapshot(self) -> State:
        """Return s_t, with whole actions."""
        return State(self._env.snapshot().task_id, self._actions)

    def restore(self, state: State) -> str:
        """Restore the environment to `state` by its commands, and return the observation there."""
        observation = self._env.restore(State(state.task_id, tuple(map(command, state.actions))))
        self._actions = state.actions
        return observation


def _in_commands(skill: Skill) -> Skill:
    """Return the skill that finds in the commands of a history what `skill` finds in its actions."""
    return lambda history: skill(commands_only(history))
