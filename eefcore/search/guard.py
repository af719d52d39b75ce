"""What can't be undone is done only where it can be: in a snapshot, or with a human's consent.

A shop's purchase and a booking are irreversible outside. In a simulator that was put to where it stands by `restore`
they are not: whatever happens there, `restore` leads back. So a search may rehearse them, and only there. Who acts for
good passes a `human` to be asked. Anything else is a violation: refused, and counted.
"""

from __future__ import annotations

from collections.abc import Callable

from eefcore import protocols
from eefcore.protocols import Benchmark, Environment
from eefcore.types import State, Transition

REFUSED = "This can't be undone, and the user did not agree to it. Nothing was done."

Irreversible = Callable[[str], bool]
"""Whether an action, as the environment reads it, can't be undone outside a snapshot (`classed`)."""

Human = Callable[[State, str], bool]
"""Whether the user agrees to an action in a state."""


def nothing(action: str) -> bool:
    """Of a world in which everything can be undone."""
    del action
    return False


def classed(benchmark: Benchmark) -> Irreversible:
    """Which actions the environment says can't be undone; none, if it says nothing of them."""
    return benchmark.irreversible if isinstance(benchmark, protocols.Irreversible) else nothing


class Guard:
    """`env`, guarded. With a `human` it is live: every irreversible action is asked about, snapshots or not.

    Attributes:
        rehearsed: irreversible actions done in a snapshot.
        consented: those the human agreed to.
        refused: those the human did not agree to.
        violations: those nobody could agree to, outside of a snapshot; refused.
    """

    def __init__(
        self, env: Environment, irreversible: Irreversible = nothing, human: Human | None = None
    ) -> None:
        self._env, self._irreversible, self._human = env, irreversible, human
        self._in_snapshot = False
        self.rehearsed = self.consented = self.refused = self.violations = 0

    def reset(self, task_id: str) -> str:
        """Start the task; no snapshot is known of it yet."""
        self._in_snapshot = False
        return self._env.reset(task_id)

    def snapshot(self) -> State:
        """s_t, which can be gone back to from here on."""
        state = self._env.snapshot()
        self._in_snapshot = True
        return state

    def restore(self, state: State) -> str:
        """Be in a snapshot."""
        seen = self._env.restore(state)
        self._in_snapshot = True
        return seen

    def step(self, action: str) -> Transition:
        """Act, if that can be undone or is agreed to; the refusal is what is seen otherwise."""
        if not self._irreversible(action):
            return self._env.step(action)
        if self._human is not None:
            agreed = self._human(self._env.snapshot(), action)
            self.consented, self.refused = self.consented + agreed, self.refused + (not agreed)
        else:
            agreed = self._in_snapshot
            self.rehearsed, self.violations = self.rehearsed + agreed, self.violations + (not agreed)
        return self._env.step(action) if agreed else Transition(REFUSED)
