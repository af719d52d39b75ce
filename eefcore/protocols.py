"""What the core asks of the outside world. Anything with these methods will do."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from eefcore.types import Card, History, State, StopReason, Transition
from eefcore.unicode import well_formed

Skill = Callable[[History], Sequence[int]]
"""A navigation skill: of a history those i whose action a_i uses it, in order. It may look at what was seen, too."""


class Environment(Protocol):
    """A deterministic text environment that can go back to where it has been.

    `tests/env_contract.py` is the other half of this definition.
    """

    def reset(self, task_id: str) -> str:
        """Start the task; return o_0."""

    def step(self, action: str) -> Transition:
        """Act; return o_{t+1}. Raises EpisodeOver after `done`. Any text is answered, none crashes."""

    def snapshot(self) -> State:
        """s_t, where we are now; `restore` to it is quick from here on, in this process."""

    def restore(self, state: State) -> str:
        """Be there again, from anywhere; return the observation seen there."""


class Benchmark(Protocol):
    """A set of tasks, their splits, and the environments that play them: a world as a stage sees it."""

    skills: Mapping[str, Skill]
    """Navigation skills to count, by name: in a shop `Next` and `Back`; `eefcore.evaluation.navigation.skill_from_pattern` makes simple ones."""

    max_turns: int
    """Actions after which an episode is cut short, thoughts included."""

    @property
    def card(self) -> Card:
        """What must be equal for two numbers to be compared."""

    def make(self) -> Environment:
        """An environment for one episode at a time; cheap, what is large is shared."""

    def tasks(self, split: str) -> tuple[str, ...]:
        """Task ids of `train`, `dev` or `test`, in a fixed order. Ids are hashes of their content."""

    def instruction(self, task_id: str) -> str:
        """What the user asks for, in words."""


@runtime_checkable
class Irreversible(Protocol):
    """A benchmark some of whose actions can't be undone outside a simulation, as a purchase or a booking."""

    def irreversible(self, action: str) -> bool:
        """Whether `action` is one of them."""


class Sampling(NamedTuple):
    """How to draw one action. Equal seeds draw equal actions from equal histories."""

    temperature: float = 0.0  # 0 is greedy
    seed: int = 0  # of this episode; never shared between episodes


class Reply(NamedTuple):
    """One action a_t ~ π(·|h_t).

    `action` is what the environment reads. `tokens` and `logps` are the sampled ids, end mark
    included, and log π of each at temperature 1; empty for policies without tokens. `stop` is set
    when no action came: the context was full, the text held none, the model failed.
    """

    action: str
    tokens: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()
    stop: StopReason | None = None

    def clean(self) -> Reply:
        """Return this reply as all that play read it: its text well formed, and malformed if it holds no action."""
        action = well_formed(self.action)
        stop = self.stop if self.stop is not None or action.strip() else StopReason.MALFORMED
        return self._replace(action=action, stop=stop)


class Policy(Protocol):
    """π(a | h), asked for many episodes at once.

    A rollout asks for every episode it wants played and steps each as its answer comes, so that a
    policy with a key-value cache can keep an episode's cache between its turns and fill a place
    that falls free with an episode that waits.
    """

    name: str

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue the question h_t of `episode`; at most one is open per episode."""

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Work until at least one question is answered; empty only when none is open."""

    def close(self, episode: Hashable) -> None:
        """Forget what was kept for `episode`, which is over."""

    def length(self, history: History) -> int:
        """Return how many tokens of h_t this policy reads and has written; 0 for a policy without tokens."""
