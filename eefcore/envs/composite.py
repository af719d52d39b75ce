"""Any benchmark for an agent of composite actions (Agent Q Appendix A): `webshop_mini+composite` in a params file.

The environment reads the command alone; whatever else an action says is the agent's own. States are those of whole
actions, so that a tree, a repository and a replay tell apart what the agent will remember.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from eefcore.actions import command, commands
from eefcore.protocols import Benchmark, Environment, Irreversible, Skill
from eefcore.types import Card, History, State, Transition

SUFFIX = "+composite"
"""Of a benchmark's name, in params files and on cards."""


class CompositeBenchmark:
    """`inner`, whose agents write composite actions.

    Attributes:
        inner: the benchmark as it is.
        skills: its own, told by the commands.
        max_turns: its own; a composite action is one turn, where its interface may count a thought as another.
    """

    def __init__(self, inner: Benchmark) -> None:
        self.inner, self.max_turns = inner, inner.max_turns
        self.skills: Mapping[str, Skill] = {name: _told_by_commands(s) for name, s in inner.skills.items()}

    @property
    def card(self) -> Card:
        """The inner card under another name: numbers of the two are not compared."""
        card = self.inner.card
        return msgspec.structs.replace(card, name=card.name + SUFFIX)

    def make(self) -> Composite:
        """An environment for one episode at a time."""
        return Composite(self.inner.make())

    def irreversible(self, action: str) -> bool:
        """Whether the command of `action` can't be undone outside a simulation."""
        return isinstance(self.inner, Irreversible) and self.inner.irreversible(command(action))

    def tasks(self, split: str) -> tuple[str, ...]:
        """The inner ones."""
        return self.inner.tasks(split)

    def instruction(self, task_id: str) -> str:
        """What the user asks for."""
        return self.inner.instruction(task_id)


class Composite:
    """`env`, told the commands of composite actions."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._actions: tuple[str, ...] = ()

    def reset(self, task_id: str) -> str:
        """Start the task."""
        self._actions = ()
        return self._env.reset(task_id)

    def step(self, action: str) -> Transition:
        """Do what the action commands."""
        seen = self._env.step(command(action))
        self._actions = (*self._actions, action)
        return seen

    def snapshot(self) -> State:
        """s_t, of whole actions."""
        return State(self._env.snapshot().task_id, self._actions)

    def restore(self, state: State) -> str:
        """Be where the commands of `state` lead."""
        seen = self._env.restore(State(state.task_id, tuple(map(command, state.actions))))
        self._actions = state.actions
        return seen


def _told_by_commands(skill: Skill) -> Skill:
    def uses(history: History) -> list[int]:
        return [*skill(commands(history))]

    return uses
