"""Define what environments, benchmarks, policies and skills have to offer: any object with these methods is one."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from eefcore.types import Card, History, State, StopReason, Transition
from eefcore.unicode import well_formed

Skill = Callable[[History], Sequence[int]]
"""A navigation skill: returns the indices i of a history whose actions a_i use it, in order; it may read observations."""


class Environment(Protocol):
    """A deterministic text environment that can be restored to any earlier state.

    `eefcore.testing.EnvironmentContract` tests all that this protocol asks for.
    """

    def reset(self, task_id: str) -> str:
        """Start the task; return o_0."""

    def step(self, action: str) -> Transition:
        """Take an action, any text, and return o_{t+1} with reward and end; raise EpisodeOver after `done`."""

    def snapshot(self) -> State:
        """Return s_t, the present state; from now on `restore` to it is quick in this process."""

    def restore(self, state: State) -> str:
        """Go to `state` from anywhere; return the observation that is seen there."""


class Benchmark(Protocol):
    """A set of tasks, their splits, and the environments in which they are played.

    `eefcore.testing.BenchmarkContract` tests all that this protocol asks for.
    """

    skills: Mapping[str, Skill]
    """Navigation skills to count, by name: in a shop `Next` and `Back`; `eefcore.evaluation.navigation.skill_from_pattern` makes simple ones."""

    max_turns: int
    """The number of actions, thoughts included, after which an episode is cut short."""

    @property
    def card(self) -> Card:
        """Return the environment card: facts that must be equal for two results to be compared."""

    def make(self) -> Environment:
        """Return an environment for one episode at a time; it is cheap, as environments share what is large."""

    def tasks(self, split: str) -> tuple[str, ...]:
        """Return the task ids of `train`, `dev` or `test`, in a fixed order; an id is a hash of its task."""

    def instruction(self, task_id: str) -> str:
        """Return what the user asks for, in words."""


@runtime_checkable
class Variants(Protocol):
    """A benchmark whose tasks other projects recorded with another detail, as WebShop's price caps."""

    def variant(self, task_id: str, recorded: str) -> str:
        """Return the id of the variant of a task that a recorded o_0 describes."""

    def original(self, task_id: str) -> str:
        """Return the id of the task of which `task_id` is a variant, or `task_id`."""


@runtime_checkable
class Pictured(Protocol):
    """An environment whose page can be seen as a picture, as a browser shows it."""

    def screenshot(self) -> bytes | None:
        """Return the present page as a PNG file, after the end of an episode the last page; None without a screen."""


@runtime_checkable
class Criteria(Protocol):
    """A benchmark that says what a judge has to check of an episode (`eefcore.evaluation.criteria`)."""

    criteria: Mapping[str, str]
    """What has to be true, in words, by the name that it has in a verdict."""


@runtime_checkable
class Irreversible(Protocol):
    """An environment with actions that can't be undone outside a simulation, as a purchase or a booking.

    The environment is asked, since the text alone does not say it: `CLICK [9]` books on one page and opens a calendar on another.
    """

    def irreversible(self, action: str) -> bool:
        """Return whether `action`, any text, can't be undone if it is taken in the present state; change nothing."""


class Sampling(NamedTuple):
    """How to draw one action. Equal seeds draw equal actions from equal histories."""

    temperature: float = 0.0  # 0 is greedy
    seed: int = 0  # the seed of this episode alone
    choices: tuple[
        str, ...
    ] = ()  # the only actions that may be drawn, by a policy that `chooses`; empty is any


class Usage(NamedTuple):
    """The tokens and dollars that an endpoint counted and billed: prompt tokens, each turn's anew, completion tokens, and dollars.

    A policy that knows its own ids leaves the tokens at 0: the ids and `Policy.length` count them.
    """

    tokens_read: int = 0
    tokens_written: int = 0
    money: float = 0.0

    def plus(self, other: Usage) -> Usage:
        """Return the sum of two."""
        return Usage(*(a + b for a, b in zip(self, other, strict=True)))


class Reply(NamedTuple):
    """The answer of a policy: one action a_t ~ π(·|h_t).

    `action` is what the environment reads. `tokens` and `logps` are the sampled ids, end mark
    included, and log π of each at temperature 1; empty for policies without tokens. `stop` is set
    if there is no action: the context was full, the text held none, or the model failed. `usage` is
    what the answer cost at an endpoint, and `reason` why it gave none, in words. `refused_answer` is what the model
    wrote where that holds no action. `logps` are empty as well where a server gives none at temperature 1.
    """

    action: str
    tokens: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()
    stop: StopReason | None = None
    usage: Usage = Usage()
    reason: str = ""
    refused_answer: str = ""

    def clean(self) -> Reply:
        """Return this reply with well-formed text, and with stop MALFORMED if the text holds no action."""
        action = well_formed(self.action)
        stop = self.stop if self.stop is not None or action.strip() else StopReason.MALFORMED
        refused = self.refused_answer or action * (stop is StopReason.MALFORMED)
        return self._replace(
            action=action, stop=stop, reason=well_formed(self.reason), refused_answer=well_formed(refused)
        )


class Policy(Protocol):
    """A policy π(a | h) that is asked for the next actions of many episodes at once.

    A rollout asks for all its episodes and steps each one as its answer comes. So a policy with a key-value cache can
    keep an episode's cache between turns, and give a free slot to an episode that waits.
    `eefcore.testing.PolicyContract` tests all that this protocol asks for. Policies of this machine also have a
    `renderer` and a `context`, their maximum number of tokens (`eefcore.policies.hf_engine`, `eefcore.policies.vllm`),
    and a true `chooses`: they draw one of `Sampling.choices`. Others ignore these.
    """

    name: str

    def ask(self, episode: Hashable, history: History, sampling: Sampling) -> None:
        """Queue h_t of `episode` for an answer; an episode has at most one open question."""

    def answers(self) -> Sequence[tuple[Hashable, Reply]]:
        """Work until at least one question is answered, and return the answers; empty only if no question is open."""

    def close(self, episode: Hashable) -> None:
        """Forget what was kept for `episode`, which is over."""

    def length(self, history: History) -> int:
        """Return how many tokens of h_t this policy reads and has written; 0 for a policy without tokens."""
