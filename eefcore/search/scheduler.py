"""Run many simulations side by side on one policy: each continues as soon as its own requests are answered.

A simulation is a generator of `Requests`: it yields requests to the policy, receives the replies, and returns its
result. It asks for K proposals, then asks the critic, then asks turn after turn of its rollout. Written as the few lines
of one simulation, it runs with hundreds of others in one batch.

Generators belong to groups, here trees. A group asks through `sessions` episodes of the policy, and a request takes the
free session that last read most of the same history. A policy that keeps an episode's keys and values then reads only
what is new: the K proposals at a node read its page once, and a rollout continues from the page on which its action was
proposed. One session a group reads least and leaves most places of a batch to other groups; more sessions let few groups
fill a batch.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Generator, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec

from eefcore.protocols import Policy, Reply, Sampling
from eefcore.types import History

R = TypeVar("R")


class Request(NamedTuple):
    """A history to answer, by π_θ or by the critic's model."""

    history: History
    sampling: Sampling
    to_critic: bool = False


Requests = Generator[Sequence[Request], Sequence[Reply], R]
"""Yields at least one request at a time; `yield from` makes one generator a part of another."""


class Scheduler:
    """Runs generators of requests on `policy`, and on `critic` if it is another model.

    The sessions of a group are closed when the group leaves, so that the policy's slots go to groups still at work.
    """

    def __init__(self, policy: Policy | None, critic: Policy | None = None, *, sessions: int = 1) -> None:
        self._models = [m for m in (policy, None if critic is policy else critic) if m is not None]
        self._sessions = sessions
        self._groups: dict[Hashable, list[_Queue]] = {}
        self._open: dict[Hashable, tuple[_Session, _Pending]] = {}
        self._ready: deque[tuple[_Job, list[Reply] | None]] = deque()
        self._n_sessions = 0

    def start(self, group: Hashable, requests: Requests[R], on_result: Callable[[R], None]) -> None:
        """Run `requests`; `on_result` is called with its result, and may start others."""
        self._groups.setdefault(group, [_Queue() for _ in self._models])
        self._ready.append((_Job(group, requests, on_result), None))

    def run(self) -> None:
        """Work until every generator has ended."""
        while True:
            while self._ready:
                self._advance(*self._ready.popleft())
            answers = [(key, reply) for model in self._models for key, reply in model.answers()]
            if not answers:
                return
            for key, reply in answers:
                self._receive(key, reply)

    def leave(self, group: Hashable) -> None:
        """Close the sessions of a group that has no more requests."""
        for model, queue in zip(self._models, self._groups.pop(group), strict=True):
            for session in queue.sessions:
                model.close(session.key)

    def _advance(self, job: _Job, replies: list[Reply] | None) -> None:
        try:
            requests = next(job.requests) if replies is None else job.requests.send(replies)
        except StopIteration as end:
            job.on_result(end.value)
            return
        job.replies = [None] * len(requests)
        for i, request in enumerate(requests):
            model = min(request.to_critic, len(self._models) - 1)
            self._groups[job.group][model].waiting.append(_Pending(job, i, request))
        for model in range(len(self._models)):
            self._ask(job.group, model)

    def _receive(self, key: Hashable, reply: Reply) -> None:
        session, pending = self._open.pop(key)
        session.busy = False
        job = pending.job
        job.replies[pending.index] = reply.clean()
        if None not in job.replies:
            self._ready.append((job, job.replies))
        self._ask(job.group, session.model)

    def _ask(self, group: Hashable, model: int) -> None:
        """Send waiting requests of the group to free sessions."""
        queue = self._groups[group][model]
        while queue.waiting:
            free = [session for session in queue.sessions if not session.busy]
            if not free and len(queue.sessions) < self._sessions:
                self._n_sessions += 1
                free = [_Session(model, ("session", self._n_sessions))]
                queue.sessions += free
            if not free:
                return
            pending, session = _best_match(queue.waiting, free)
            queue.waiting.remove(pending)
            session.busy, session.last = True, pending.request.history
            self._open[session.key] = session, pending
            self._models[model].ask(session.key, pending.request.history, pending.request.sampling)


def run_requests(
    generators: Sequence[Requests[R]],
    policy: Policy | None,
) -> list[R]:
    """Run all generators side by side, each a group of its own; return their results in the same order."""
    scheduler = Scheduler(policy)
    results: dict[int, R] = {}

    def on_result(i: int, result: R) -> None:
        results[i] = result
        scheduler.leave(i)

    for i, requests in enumerate(generators):
        scheduler.start(i, requests, partial(on_result, i))
    scheduler.run()
    return [results[i] for i in range(len(generators))]


def draw_seed(seed: int, history: History, what: str, n: int) -> int:
    """Return the seed of one request: the same in every run, whatever else is asked."""
    key = msgspec.json.encode([seed, history.task_id, history.actions, history.observation, what, n])
    return int.from_bytes(hashlib.sha256(key).digest()[:6])


@dataclass(eq=False)
class _Job:
    """A generator at work, and the replies that have come to its present requests."""

    group: Hashable
    requests: Requests[Any]
    on_result: Callable[[Any], None]
    replies: list[Any] = field(default_factory=list)


class _Pending(NamedTuple):
    """A request that was not answered yet."""

    job: _Job
    index: int  # among the requests that were yielded together
    request: Request


@dataclass(eq=False)
class _Session:
    """An episode of a policy through which one history after the other is asked about."""

    model: int
    key: Hashable
    busy: bool = False
    last: History | None = None


@dataclass(eq=False)
class _Queue:
    """The requests of a group to one model that wait, and the group's sessions with that model."""

    waiting: list[_Pending] = field(default_factory=list)
    sessions: list[_Session] = field(default_factory=list)


def _best_match(waiting: Sequence[_Pending], free: Sequence[_Session]) -> tuple[_Pending, _Session]:
    """Return the request and the session that share most steps; of equals the first request, then the first session."""
    if len(waiting) == len(free) == 1:
        return waiting[0], free[0]
    pairs = [(pending, session) for pending in waiting for session in free]
    return max(pairs, key=lambda pair: _shared_steps(pair[0].request.history, pair[1].last))


def _shared_steps(history: History, last: History | None) -> int:
    """Count the leading steps that two histories share; -1 for a session that has read nothing."""
    if last is None:
        return -1
    pairs = enumerate(zip(history.steps, last.steps, strict=False))
    shorter = min(len(history), len(last))
    return next((n for n, (mine, theirs) in pairs if mine is not theirs and mine != theirs), shorter)
