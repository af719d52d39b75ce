"""The nouns of both papers. Immutable; this module imports nothing from the package.

Transition   what an environment answers to an action
Step         (o_t, a_t)
State        s_t, as a key: a task and the actions since s_0
History      h_t, what a policy sees when it must act
Trajectory   τ and R(τ)
Example      τ and the actions of it to train on
Preference   two examples from one state, the one to be preferred first
Card         which environment a number was measured in
"""

from __future__ import annotations

import hashlib
import math
from enum import StrEnum
from typing import NamedTuple

import msgspec


class StopReason(StrEnum):
    """Why an episode ended."""

    DONE = "done"  # the environment said so
    TURN_LIMIT = "turn_limit"
    CONTEXT_LIMIT = "context_limit"
    MALFORMED = "malformed"  # the policy's text held no action
    ENVIRONMENT_FAILURE = "environment_failure"
    MODEL_FAILURE = "model_failure"

    @property
    def infrastructure(self) -> bool:
        """Nobody's fault who is being measured: left out of every denominator, and counted."""
        return self in (StopReason.ENVIRONMENT_FAILURE, StopReason.MODEL_FAILURE)


class Transition(NamedTuple):
    """What an environment answers to an action. `reward` is R(τ) in [0, 1], and 0 until done."""

    observation: str
    reward: float = 0.0
    done: bool = False


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """(o_t, a_t): what was seen and what was done about it.

    Attributes:
        observation: o_t.
        action: a_t as the environment reads it, thoughts included.
        tokens: the ids the policy sampled for a_t, its end mark included; empty if a_t was not sampled.
        logps: log π(token) of each, at temperature 1.
    """

    observation: str
    action: str
    tokens: tuple[int, ...] = ()
    logps: tuple[float, ...] = ()


class State(msgspec.Struct, frozen=True):
    """s_t: a task and the actions taken since s_0.

    Environments here are deterministic, so the pair fixes what is hidden as well as what is
    seen. It is hashable and is its own key: in a repository, in a tree, on disk.
    """

    task_id: str
    actions: tuple[str, ...] = ()


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """h_t: the steps so far and the observation to answer."""

    task_id: str
    observation: str
    steps: tuple[Step, ...] = ()

    def __len__(self) -> int:
        """t, the number of actions taken."""
        return len(self.steps)

    @property
    def actions(self) -> tuple[str, ...]:
        """(a_0, …, a_{t-1})."""
        return tuple(s.action for s in self.steps)

    @property
    def state(self) -> State:
        """s_t."""
        return State(self.task_id, self.actions)

    def then(
        self, action: str, observation: str, tokens: tuple[int, ...] = (), logps: tuple[float, ...] = ()
    ) -> History:
        """h_{t+1}, having answered h_t with `action` and seen `observation`."""
        step = Step(self.observation, action, tokens, logps)
        return History(self.task_id, observation, (*self.steps, step))

    def at(self, i: int) -> History:
        """h_i, as it was before a_i."""
        if not 0 <= i <= len(self):
            raise IndexError(f"{self.task_id}: no h_{i} in a history of {len(self)} actions")
        return self if i == len(self) else History(self.task_id, self.steps[i].observation, self.steps[:i])


class Mistake(msgspec.Struct, frozen=True):
    """A mistake an imperfect expert made on purpose. For analysis; no method may see it."""

    step: int
    kind: str


class Trajectory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """τ: a finished episode and who acted in it.

    Attributes:
        history: all of it; `history.observation` is the last thing seen.
        reward: R(τ) in [0, 1], the final one; 1 is a win.
        n_expert: a_0 … a_{n_expert-1} are an expert's, the rest the policy's.
        source: who acted last, an expert's name or a policy's.
        stop: why it ended.
        sample: which of several samples from the same state this is.
        temperature: what the policy's actions were sampled at.
        money: what the expert's part cost, in dollars.
        marks: an imperfect expert's mistakes, for analysis only.
    """

    history: History
    reward: float
    n_expert: int = 0
    source: str = ""
    stop: StopReason = StopReason.DONE
    sample: int = 0
    temperature: float = 0.0
    money: float = 0.0
    marks: tuple[Mistake, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 <= self.reward <= 1.0:
            raise ValueError(
                f"{self.task_id}: reward {self.reward} is outside [0, 1]; "
                "an environment rescales its score in step()"
            )
        if not 0 <= self.n_expert <= len(self):
            raise ValueError(f"{self.task_id}: n_expert {self.n_expert} of {len(self)} actions")

    def __len__(self) -> int:
        """|τ|, the number of actions."""
        return len(self.history)

    @property
    def task_id(self) -> str:
        """The task that s_0 stands for."""
        return self.history.task_id

    @property
    def actions(self) -> tuple[str, ...]:
        """(a_0, …, a_{T-1})."""
        return self.history.actions

    @property
    def win(self) -> bool:
        """R(τ) = 1, and the environment said so."""
        return self.reward == 1.0 and self.stop is StopReason.DONE

    @property
    def outcome(self) -> str:
        """`win`, `loss`, or why the episode was cut short."""
        return ("win" if self.win else "loss") if self.stop is StopReason.DONE else self.stop.value

    def state(self, i: int) -> State:
        """s_i, the state before a_i."""
        return self.history.at(i).state

    def contains(self, state: State) -> bool:
        """Whether τ passes through `state`."""
        return state.task_id == self.task_id and state.actions == self.actions[: len(state.actions)]


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """Train on a_first, a_{first+1}, … of the trajectory, and on nothing before.

    Both are needed to say what is learnt: `trajectory` solves the important state s_first.

    Attributes:
        until: train on a_first … a_{until-1} only, and read nothing after; None is to the end.
        phrase: words that the prompt says of this dialogue (NAT); written by `formats.dialogue`.
    """

    trajectory: Trajectory
    first: int = 0
    until: int | None = None
    phrase: str = ""

    def __post_init__(self) -> None:
        task, length = self.trajectory.task_id, len(self.trajectory)
        if not 0 <= self.first < length:
            raise ValueError(f"{task}: no action {self.first} to train on in a trajectory of {length}")
        if self.until is not None and not self.first < self.until <= length:
            raise ValueError(
                f"{task}: nothing to train on from a_{self.first} until a_{self.until} of {length} actions; "
                f"until lies in {self.first + 1} … {length}"
            )

    @property
    def trained_indices(self) -> range:
        """The i of the trained a_i."""
        return range(self.first, len(self.trajectory) if self.until is None else self.until)


class Preference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """In s_first, `chosen` is to become more likely than `rejected`: (h, a^w, a^l) of Agent Q eq. 4, τ^w, τ^l of eq. 5.

    Attributes:
        margin: by how much the chosen one is better (a difference of rewards, or of Q), above 0.
        reason: why it is, in a few words, to read.
        chosen_logps: log π_ref of each trained token of `chosen`, at temperature 1; empty until computed.
        rejected_logps: the same of `rejected`.
        age: rounds since π_ref was the model that learns; 0, it is what learning starts from.
    """

    chosen: Example
    rejected: Example
    margin: float
    reason: str = ""
    chosen_logps: tuple[float, ...] = ()
    rejected_logps: tuple[float, ...] = ()
    age: int = 0

    def __post_init__(self) -> None:
        states = [e.trajectory.state(e.first) for e in (self.chosen, self.rejected)]
        if states[0] != states[1]:
            raise ValueError(
                f"{states[0].task_id}: a preference is between actions from one state, got {states}"
            )
        where = f"{states[0].task_id}: preference at s_{self.chosen.first}"
        if _trained(self.chosen) == _trained(self.rejected):
            raise ValueError(f"{where}: chosen and rejected do the same, {_trained(self.chosen)}")
        if self.chosen.phrase != self.rejected.phrase:
            raise ValueError(f"{where}: two prompts, {self.chosen.phrase!r} and {self.rejected.phrase!r}")
        if not self.margin > 0.0:
            raise ValueError(f"{where}: the chosen one must be better, got a margin of {self.margin}")
        if bool(self.chosen_logps) != bool(self.rejected_logps):
            raise ValueError(f"{where}: log-likelihoods are needed of both sides or of none")
        for example, logps in ((self.chosen, self.chosen_logps), (self.rejected, self.rejected_logps)):
            # An action is a token at least; a likelihood above 1, or none, is nobody's.
            if logps and (
                len(logps) < len(example.trained_indices) or not all(-math.inf < x <= 0.0 for x in logps)
            ):
                raise ValueError(
                    f"{where}: {len(logps)} log-likelihoods in [{min(logps)}, {max(logps)}] "
                    f"for {len(example.trained_indices)} actions; expected a finite one, at most 0, for each token"
                )


def _trained(example: Example) -> tuple[str, ...]:
    return tuple(example.trajectory.actions[i] for i in example.trained_indices)


class Card(msgspec.Struct, frozen=True):
    """An environment card: what must be equal for two numbers to be compared.

    Attributes:
        name: the benchmark.
        facts: catalogue size and hash, goal hash, price seed, tagger, interface, package versions …
    """

    name: str
    facts: dict[str, str | int | float | bool]

    @property
    def key(self) -> str:
        """Eight hex digits of the card's content; rows with different keys never share a table."""
        content = msgspec.json.encode([self.name, sorted(self.facts.items())])
        return hashlib.sha256(content).hexdigest()[:8]


Value = int | float | str | bool | None
