"""Many conversations with a policy side by side: each goes on as soon as it is answered, none waits for another.

A talk is a generator that yields questions, gets their replies, and returns what it was held for. A simulation is
one: it asks for K proposals, then the critic, then turn after turn of its rollout. Whatever reads well as a few
lines of one simulation thereby runs with hundreds of others in one batch.

Talks belong to groups, here trees. A group speaks through `lanes` episodes of the policy, and a question takes
the free lane that last read the most of what it is about. A policy that keeps an episode's keys and values reads
then only what is new: the K proposals at a node read its page once, and a rollout goes on from the page its action
was proposed on. One lane a group reads least and leaves the most places of a batch to other groups; more let
few groups fill it.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Hashable, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from eefcore.protocols import Policy, Reply, Sampling
from eefcore.types import History

R = TypeVar("R")


class Question(NamedTuple):
    """A history to answer, by π_θ or by the critic's model."""

    history: History
    sampling: Sampling
    to_critic: bool = False


Talk = Generator[Sequence[Question], Sequence[Reply], R]
"""Yields at least one question at a time; `yield from` makes one talk a part of another."""


class Talks:
    """Conversations with `policy`, and with `critic` where it is another one.

    A lane is closed when its group leaves, so a policy's places go to groups that still talk.
    """

    def __init__(self, policy: Policy | None, critic: Policy | None = None, *, lanes: int = 1) -> None:
        self._models: list[Policy] = []
        for model in (policy, critic):
            if model is not None and model not in self._models:
                self._models.append(model)
        self._lanes = lanes
        self._groups: dict[Hashable, list[_Desk]] = {}
        self._at: dict[Hashable, tuple[_Lane, _Open]] = {}
        self._ready: deque[tuple[_Conversation, list[Reply] | None]] = deque()
        self._names = 0

    def start(self, group: Hashable, talk: Talk[R], done: Callable[[R], None]) -> None:
        """Hold `talk`; `done` hears what it was held for, and may start others."""
        self._groups.setdefault(group, [_Desk() for _ in self._models])
        self._ready.append((_Conversation(group, talk, done), None))

    def run(self) -> None:
        """Until every talk has ended."""
        while True:
            while self._ready:
                self._go_on(*self._ready.popleft())
            heard = [(key, reply) for model in self._models for key, reply in model.answers()]
            if not heard:
                return
            for key, reply in heard:
                self._heard(key, reply)

    def leave(self, group: Hashable) -> None:
        """The group has no more to say: its lanes are closed."""
        for model, desk in zip(self._models, self._groups.pop(group), strict=True):
            for lane in desk.lanes:
                model.close(lane.key)

    def _go_on(self, conversation: _Conversation, replies: list[Reply] | None) -> None:
        try:
            questions = conversation.talk.send(replies)  # None starts it
        except StopIteration as end:
            conversation.done(end.value)
            return
        conversation.replies = [None] * len(questions)
        for i, question in enumerate(questions):
            model = min(question.to_critic, len(self._models) - 1)
            self._groups[conversation.group][model].queue.append(_Open(conversation, i, question))
        for model in range(len(self._models)):
            self._ask(conversation.group, model)

    def _heard(self, key: Hashable, reply: Reply) -> None:
        lane, asked = self._at.pop(key)
        lane.busy = False
        conversation = asked.conversation
        conversation.replies[asked.place] = reply.clean()
        if None not in conversation.replies:
            self._ready.append((conversation, conversation.replies))
        self._ask(conversation.group, lane.model)

    def _ask(self, group: Hashable, model: int) -> None:
        """Questions of the group that wait go to lanes that are free."""
        desk = self._groups[group][model]
        while desk.queue:
            free = [lane for lane in desk.lanes if not lane.busy]
            if not free and len(desk.lanes) < self._lanes:
                self._names += 1
                free = [_Lane(model, ("lane", self._names))]
                desk.lanes += free
            if not free:
                return
            asked, lane = _nearest(desk.queue, free)
            desk.queue.remove(asked)
            lane.busy, lane.last = True, asked.question.history
            self._at[lane.key] = lane, asked
            self._models[model].ask(lane.key, asked.question.history, asked.question.sampling)


def side_by_side(
    talks: Sequence[Talk[R]], policy: Policy | None, critic: Policy | None = None, *, lanes: int = 1
) -> list[R]:
    """What each talk was held for, in the same order; each is a group of its own."""
    room, out = Talks(policy, critic, lanes=lanes), {}

    def ended(i: int, result: R) -> None:
        out[i] = result
        room.leave(i)

    for i, talk in enumerate(talks):
        room.start(i, talk, lambda result, i=i: ended(i, result))
    room.run()
    return [out[i] for i in range(len(talks))]


def draw_seed(seed: int, history: History, what: str, n: int) -> int:
    """A seed of this question's own: equal in every run, whatever else is asked."""
    key = msgspec.json.encode([seed, history.task_id, history.actions, history.observation, what, n])
    return int.from_bytes(hashlib.sha256(key).digest()[:6])


class _Conversation:
    def __init__(self, group: Hashable, talk: Talk[Any], done: Callable[[Any], None]) -> None:
        self.group, self.talk, self.done = group, talk, done
        self.replies: list[Any] = []


class _Open(NamedTuple):
    conversation: _Conversation
    place: int  # among the questions that were yielded together
    question: Question


class _Lane:
    """An episode of a policy that is asked about one history after the other."""

    def __init__(self, model: int, key: Hashable) -> None:
        self.model, self.key, self.busy = model, key, False
        self.last: History | None = None


class _Desk:
    """What a group asks one model."""

    def __init__(self) -> None:
        self.queue: list[_Open] = []
        self.lanes: list[_Lane] = []


def _nearest(queue: Sequence[_Open], free: Sequence[_Lane]) -> tuple[_Open, _Lane]:
    """The question and the lane that have the most in common; of equals the first asked, then the first lane."""
    if len(queue) == len(free) == 1:
        return queue[0], free[0]
    pairs = [(asked, lane) for asked in queue for lane in free]
    return max(pairs, key=lambda pair: _common(pair[0].question.history, pair[1].last))


def _common(history: History, last: History | None) -> int:
    """Leading steps that two histories share."""
    if last is None:
        return -1
    n = 0
    for mine, theirs in zip(history.steps, last.steps, strict=False):
        if mine is not theirs and mine != theirs:
            break
        n += 1
    return n
