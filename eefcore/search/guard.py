"""Guard irreversible actions, and show a search its environment, with rewards or without.

A purchase or a booking can't be undone outside. In a simulator that `restore` has set to its state it can: whatever
happens there, `restore` leads back. So a search may rehearse such actions there, and only there. An agent that acts for
good passes a `human` to be asked. Any other irreversible action is a violation: it is refused, and counted.

The environment says which of its actions can't be undone in its present state (`eefcore.protocols.Irreversible`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from eefcore import protocols
from eefcore.protocols import Environment
from eefcore.rendering.critic_prompts import EPISODE_OVER
from eefcore.rollout.rollout import restore
from eefcore.search.mcts import StepResult
from eefcore.search.settings import Signal
from eefcore.search.tree import Tally
from eefcore.types import History, State, Trajectory, Transition

REFUSED = "This can't be undone, and the user did not agree to it. Nothing was done."


class Request(NamedTuple):
    """What a human is asked to agree to: an action that can't be undone, and the page on which it is to be taken."""

    state: State
    page: str
    action: str


Human = Callable[[Request], bool]
"""Whether the user agrees to an action (`eefcore.search.human`)."""


class Guard:
    """An environment that guards irreversible actions. With a `human` it is live: the human is asked about each of them.

    Attributes:
        rehearsed: irreversible actions done in a snapshot.
        consented: those that the human agreed to.
        refused: those that the human did not agree to.
        violations: those outside of a snapshot without a human to ask; they were refused.
    """

    def __init__(self, env: Environment, human: Human | None = None) -> None:
        self._env, self._human = env, human
        self._page, self._in_snapshot = "", False
        self.rehearsed = self.consented = self.refused = self.violations = 0

    def reset(self, task_id: str) -> str:
        """Start the task; it has no snapshot yet."""
        self._in_snapshot = False
        self._page = self._env.reset(task_id)
        return self._page

    def snapshot(self) -> State:
        """Return s_t, which can be restored from here on."""
        state = self._env.snapshot()
        self._in_snapshot = True
        return state

    def restore(self, state: State) -> str:
        """Restore a snapshot, and return its observation."""
        self._page = self._env.restore(state)
        self._in_snapshot = True
        return self._page

    def step(self, action: str) -> Transition:
        """Take the action if it can be undone or is agreed to; otherwise return the refusal as the observation."""
        if self.irreversible(action) and not self._agreed(action):
            return Transition(REFUSED)
        transition = self._env.step(action)
        self._page = transition.observation
        return transition

    def irreversible(self, action: str) -> bool:
        """Return whether the environment says that `action` can't be undone in its present state."""
        return isinstance(self._env, protocols.Irreversible) and self._env.irreversible(action)

    def _agreed(self, action: str) -> bool:
        """Return whether an irreversible action may be taken, and count it."""
        if self._human is not None:
            agreed = self._human(Request(self._env.snapshot(), self._page, action))
            self.consented, self.refused = self.consented + agreed, self.refused + (not agreed)
        else:
            agreed = self._in_snapshot
            self.rehearsed, self.violations = self.rehearsed + agreed, self.violations + (not agreed)
        return agreed


def live(make: Callable[[], Environment], human: Human | None) -> Callable[[], Environment]:
    """Return what makes environments to act in for good, which ask `human`; without a human it is `make` itself."""
    return make if human is None else lambda: Guard(make(), human)


def count_refused(trajectories: Iterable[Trajectory]) -> int:
    """Count the actions of trajectories that were refused: those to which the user did not agree, and violations."""
    return sum(page == REFUSED for t in trajectories for page in t.history.observations)


class EnvView:
    """The view that one simulation has of a guarded environment, with or without rewards.

    With `Signal.CRITIC` the view does not read rewards, and hides the last page, on which some shops print the score; so
    a tree that the critic alone grows can't contain a reward.
    """

    def __init__(self, env: Environment, signal: Signal) -> None:
        self._guard, self._signal, self._steps = Guard(env), signal, 0

    def go_to(self, history: History) -> None:
        """Restore the state of `history`, in O(1) where the environment has snapshots.

        Raises:
            ReplayMismatch: the environment shows another observation than the history recorded.
        """
        restore(self._guard, history)

    def step(self, action: str) -> StepResult:
        """Take an action; the reward, if the search may see it, comes with the end of the episode."""
        self._steps += 1
        transition = self._guard.step(action)
        if not transition.done:
            return StepResult(transition.observation)
        if self._signal is Signal.CRITIC:
            return StepResult(EPISODE_OVER, done=True)
        return StepResult(transition.observation, done=True, reward=transition.reward)

    def snapshot(self) -> None:
        """Keep the present state, because the search will come back to it."""
        self._guard.snapshot()

    @property
    def tally(self) -> Tally:
        """Return the counts of actions, and of those that can't be undone outside."""
        guard = self._guard
        return Tally(env_steps=self._steps, irreversible=guard.rehearsed, violations=guard.violations)
