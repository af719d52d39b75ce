"""Guard irreversible actions: take them only in a snapshot, or with a human's consent.

A purchase or a booking can't be undone outside. In a simulator that `restore` has set to its state it can: whatever
happens there, `restore` leads back. So a search may rehearse such actions there, and only there. An agent that acts for
good passes a `human` to be asked. Any other irreversible action is a violation: it is refused, and counted.
"""

from __future__ import annotations

from collections.abc import Callable

from eefcore import protocols
from eefcore.protocols import Benchmark, Environment
from eefcore.types import State, Transition

REFUSED = "This can't be undone, and the user did not agree to it. Nothing was done."

Irreversible = Callable[[str], bool]
"""Whether an action, as the environment reads it, can't be undone outside a snapshot (`irreversible_actions`)."""

Human = Callable[[State, str], bool]
"""Whether the user agrees to an action in a state."""


def never_irreversible(action: str) -> bool:
    """Return False: every action of this environment can be undone."""
    del action
    return False


def irreversible_actions(benchmark: Benchmark) -> Irreversible:
    """Return the benchmark's own test for irreversible actions, or one that finds none if it has no such test."""
    return benchmark.irreversible if isinstance(benchmark, protocols.Irreversible) else never_irreversible


class Guard:
    """`env`, guarded. With a `human` it is live: the human is asked about every irreversible action, snapshots or not.

    Attributes:
        rehearsed: irreversible actions done in a snapshot.
        consented: those that the human agreed to.
        refused: those that the human did not agree to.
        violations: those outside of a snapshot without a human to ask; they were refused.
    """

    def __init__(
        self, env: Environment, irreversible: Irreversible = never_irreversible, human: Human | None = None
    ) -> None:
        self._env, self._irreversible, self._human = env, irreversible, human
        self._in_snapshot = False
        self.rehearsed = self.consented = self.refused = self.violations = 0

    def reset(self, task_id: str) -> str:
        """Start the task; it has no snapshot yet."""
        self._in_snapshot = False
        return self._env.reset(task_id)

    def snapshot(self) -> State:
        """Return s_t, which can be restored from here on."""
        state = self._env.snapshot()
        self._in_snapshot = True
        return state

    def restore(self, state: State) -> str:
        """Restore a snapshot, and return its observation."""
        observation = self._env.restore(state)
        self._in_snapshot = True
        return observation

    def step(self, action: str) -> Transition:
        """Take the action if it can be undone or is agreed to; otherwise return the refusal as the observation."""
        if not self._irreversible(action):
            return self._env.step(action)
        if self._human is not None:
            agreed = self._human(self._env.snapshot(), action)
            self.consented, self.refused = self.consented + agreed, self.refused + (not agreed)
        else:
            agreed = self._in_snapshot
            self.rehearsed, self.violations = self.rehearsed + agreed, self.violations + (not agreed)
        return self._env.step(action) if agreed else Transition(REFUSED)
