"""Define the nouns of both papers, as immutable records; this module imports nothing from the package."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection
from enum import StrEnum
from html import escape
from typing import NamedTuple

import msgspec

Value = int | float | str | bool | None
"""The value of a parameter or of a fact."""


class StopReason(StrEnum):
    """Why an episode ended."""

    DONE = "done"  # the environment said so
    TURN_LIMIT = "turn_limit"
    CONTEXT_LIMIT = "context_limit"
    MALFORMED = "malformed"  # the policy's text held no action
    ENVIRONMENT_FAILURE = "environment_failure"
    MODEL_FAILURE = "model_failure"
    BUDGET = "budget"  # the money for it was spent before it began

    @property
    def infrastructure(self) -> bool:
        """Return whether what is not the agent's ended the episode, which then is counted and in no denominator."""
        return self in (StopReason.ENVIRONMENT_FAILURE, StopReason.MODEL_FAILURE, StopReason.BUDGET)


class Transition(NamedTuple):
    """The answer of an environment to an action. `reward` is R(τ) in [0, 1], and 0 until done."""

    observation: str
    reward: float = 0.0
    done: bool = False


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """A step (o_t, a_t): an observation and the action that answered it."""

    observation: str
    action: str  # as the environment reads it, thoughts included
    tokens: tuple[int, ...] = ()  # the sampled ids, the end mark included; empty if a_t was not sampled
    logps: tuple[float, ...] = ()  # log π(token) of each, at temperature 1
    tokenizer: str = (
        ""  # whose ids an expert's tokens are (`Renderer.fingerprint`); empty if they are the policy's
    )
    trained: bool = True  # False: read and never trained, as the flag of a record from elsewhere says


class State(msgspec.Struct, frozen=True):
    """A state s_t: a task and the actions taken since s_0.

    Environments are deterministic, so the pair fixes what is hidden as well as what is seen. It is hashable and
    serves as a key in a repository, in a tree and on disk.
    """

    task_id: str
    actions: tuple[str, ...] = ()


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """A history h_t: the steps so far and the observation to answer."""

    task_id: str
    observation: str
    steps: tuple[Step, ...] = ()

    def __len__(self) -> int:
        """Return t, the number of actions taken."""
        return len(self.steps)

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions a_0, …, a_{t-1}."""
        return tuple(s.action for s in self.steps)

    @property
    def observations(self) -> tuple[str, ...]:
        """The observations o_0, …, o_t."""
        return (*(s.observation for s in self.steps), self.observation)

    @property
    def state(self) -> State:
        """The state s_t of the history."""
        return State(self.task_id, self.actions)

    def then(
        self,
        action: str,
        observation: str,
        tokens: tuple[int, ...] = (),
        logps: tuple[float, ...] = (),
        *,
        trained: bool = True,
    ) -> History:
        """Return h_{t+1}: h_t, the action that answers it, and the observation that follows."""
        step = Step(self.observation, action, tokens, logps, trained=trained)
        return History(self.task_id, observation, (*self.steps, step))

    def at(self, i: int) -> History:
        """Return h_i, the history before a_i."""
        if not 0 <= i <= len(self):
            raise IndexError(f"{self.task_id}: no h_{i} in a history of {len(self)} actions")
        return self if i == len(self) else History(self.task_id, self.steps[i].observation, self.steps[:i])


class Mistake(msgspec.Struct, frozen=True):
    """A mistake that an imperfect expert made on purpose, for analysis; no method may see it."""

    step: int
    kind: str


class Trajectory(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A trajectory τ: a finished episode, its reward, and the agents that acted in it."""

    history: History  # the whole episode; `history.observation` is the last observation
    reward: float  # R(τ) in [0, 1], the final one; 1 is a win
    n_expert: int = 0  # a_0 … a_{n_expert-1} are an expert's, the rest the policy's
    source: str = ""  # the name of the agent that acted last, an expert or a policy
    stop: StopReason = StopReason.DONE
    reason: str = ""  # why the model gave no action, in words, if an endpoint says so
    # the last answer, as it was written, if it held no action: no part of the history, and never trained
    refused_answer: str = ""
    sample: int = 0  # the number of this sample among several from the same state
    temperature: float = 0.0  # at which the policy's actions were sampled
    money: float = 0.0  # dollars paid for it, to an expert or an endpoint
    tokens_read: int = 0  # as an endpoint counts them; 0 where the ids of the actions count
    tokens_written: int = 0  # likewise
    marks: tuple[Mistake, ...] = ()  # the mistakes of an imperfect expert, for analysis only

    def __post_init__(self) -> None:
        if not 0.0 <= self.reward <= 1.0:
            raise ValueError(
                f"{self.task_id}: reward {self.reward} is outside [0, 1]; "
                "an environment rescales its score in step()"
            )
        if not 0 <= self.n_expert <= len(self):
            raise ValueError(f"{self.task_id}: n_expert {self.n_expert} of {len(self)} actions")

    def __len__(self) -> int:
        """Return |τ|, the number of actions."""
        return len(self.history)

    @property
    def task_id(self) -> str:
        """The task that s_0 stands for."""
        return self.history.task_id

    @property
    def actions(self) -> tuple[str, ...]:
        """The actions a_0, …, a_{T-1}."""
        return self.history.actions

    @property
    def win(self) -> bool:
        """Return whether R(τ) = 1 and the environment ended the episode."""
        return self.reward == 1.0 and self.stop is StopReason.DONE

    @property
    def outcome(self) -> str:
        """Return `win`, `loss`, or the reason why the episode was cut short."""
        return ("win" if self.win else "loss") if self.stop is StopReason.DONE else self.stop.value

    def state(self, i: int) -> State:
        """Return s_i, the state before a_i."""
        return self.history.at(i).state

    def trains_from(self, i: int) -> bool:
        """Return whether any of a_i, a_{i+1}, … may be trained."""
        return any(step.trained for step in self.history.steps[i:])

    def contains(self, state: State) -> bool:
        """Return whether τ passes through `state`."""
        return state.task_id == self.task_id and state.actions == self.actions[: len(state.actions)]

    def _repr_html_(self) -> str:
        """Return the dialogue as a notebook shows it."""
        return _dialogue_html(self)


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """A solution τ of the important state s_first; its actions a_first, a_{first+1}, … are trained, and none before.

    An action that is not `Step.trained` is left out wherever it stands.
    """

    trajectory: Trajectory
    first: int = 0
    until: int | None = None  # train on a_first … a_{until-1} only, and read nothing after
    phrase: str = ""  # words that the prompt says of this dialogue (NAT), by `formats.dialogue`

    def __post_init__(self) -> None:
        task, length = self.trajectory.task_id, len(self.trajectory)
        if not 0 <= self.first < length:
            raise ValueError(f"{task}: no action {self.first} to train on in a trajectory of {length}")
        if self.until is not None and not self.first < self.until <= length:
            raise ValueError(
                f"{task}: nothing to train on from a_{self.first} until a_{self.until} of {length} actions; "
                f"until lies in {self.first + 1} … {length}"
            )
        if not self.trained_indices:
            raise ValueError(f"{task}: no action from a_{self.first} on may be trained, as its flags say")

    @property
    def trained_indices(self) -> tuple[int, ...]:
        """Return the indices i of the actions a_i that are trained."""
        steps = self.trajectory.history.steps[: self.until]
        return tuple(i for i in range(self.first, len(steps)) if steps[i].trained)

    @property
    def end(self) -> int:
        """Return the number of actions up to the last trained one: no loss looks at what follows."""
        return self.trained_indices[-1] + 1

    def _repr_html_(self) -> str:
        """Return the dialogue as a notebook shows it, with the trained actions marked."""
        return _dialogue_html(self.trajectory, self.trained_indices)


class Preference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Two examples from one state, `chosen` to become more likely: (h, a^w, a^l) of Agent Q eq. 4, τ^w, τ^l of eq. 5."""

    chosen: Example
    rejected: Example
    margin: float  # how much better the chosen one is (a difference of rewards, or of Q), above 0
    reason: str = ""  # why it is better, in a few words
    chosen_logps: tuple[
        float, ...
    ] = ()  # log π_ref of each trained token, at temperature 1; empty until computed
    rejected_logps: tuple[float, ...] = ()
    age: int = 0  # rounds since π_ref was the model that learns; 0 if learning starts from π_ref

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
            # An action has at least one token, and no likelihood is 0 or above 1.
            if logps and (
                len(logps) < len(example.trained_indices) or not all(-math.inf < x <= 0.0 for x in logps)
            ):
                raise ValueError(
                    f"{where}: {len(logps)} log-likelihoods in [{min(logps)}, {max(logps)}] "
                    f"for {len(example.trained_indices)} actions; expected a finite one, at most 0, for each token"
                )

    def _repr_html_(self) -> str:
        """Return both dialogues as a notebook shows them, the preferred one on the left."""
        sides = (("chosen", self.chosen), ("rejected", self.rejected))
        cells = (f'<div style="flex:1"><b>{name}</b>{side._repr_html_()}</div>' for name, side in sides)
        why = f"margin {self.margin:.2f}" + (f": {escape(self.reason)}" if self.reason else "")
        return f'<p>{why}</p><div style="display:flex;gap:1em">{"".join(cells)}</div>'


def _dialogue_html(trajectory: Trajectory, trained: Collection[int] = ()) -> str:
    """Return a trajectory as HTML: who did what, the answers, and the ending; no text of it is markup."""
    lines = [escape(trajectory.history.at(0).observation)]
    for i, step in enumerate(trajectory.history.steps):
        who = "expert" if i < trajectory.n_expert else "policy"
        action = f"<b>{escape(step.action)}</b>"
        lines.append(f"{who} {i:>2} &gt; {f'<mark>{action}</mark>' if i in trained else action}")
        lines.append(escape(trajectory.history.observations[i + 1]))
    if trajectory.refused_answer:
        lines += ["no action in the last answer:", escape(trajectory.refused_answer)]
    ending = f"{escape(trajectory.outcome)}, reward {trajectory.reward:.2f}, by {escape(trajectory.source) or 'nobody named'}"
    text = "\n".join(lines)
    return f'<pre style="white-space:pre-wrap">{text}\n<i>{ending}</i></pre>'


def _trained(example: Example) -> tuple[str, ...]:
    return tuple(example.trajectory.actions[i] for i in example.trained_indices)


class Card(msgspec.Struct, frozen=True):
    """An environment card: the facts that must be equal for two results to be compared."""

    name: str  # of the benchmark
    facts: dict[
        str, str | int | float | bool
    ]  # catalogue size and hash, goal hash, tagger, package versions …

    @property
    def key(self) -> str:
        """Return eight hex digits of the hash of the card; rows with different keys never share a table."""
        content = msgspec.json.encode([self.name, sorted(self.facts.items())])
        return hashlib.sha256(content).hexdigest()[:8]

    def differences(self, other: Card) -> dict[str, tuple[Value, Value]]:
        """Return the facts that differ, the name first, each as (this card's, the other's); None where there is none."""
        names = [("name", (self.name, other.name))] if self.name != other.name else []
        both = {k: (self.facts.get(k), other.facts.get(k)) for k in sorted({*self.facts, *other.facts})}
        return dict(names) | {k: (mine, theirs) for k, (mine, theirs) in both.items() if mine != theirs}
