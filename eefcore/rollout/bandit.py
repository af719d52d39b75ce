"""A finder that learns where wins are: Thompson sampling over all inner states of the experts' trajectories."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

import msgspec

from eefcore.rollout.finder import Probe, fewest
from eefcore.selection.algorithm import explored_steps
from eefcore.types import State, Trajectory

ROUNDS = 20
"""Of a bandit: enough to learn from, and few enough to keep a batch full."""


class Bandit:
    """Thompson sampling over all inner states s_1, …, s_{T-1}, a twentieth of the budget a round.

    A win from s_i is worth 1 - ½ i/|τ_e| where nobody has solved the task, ½ the share of expert actions it
    saves where every solution has some, and nothing where π_θ won from s_0: that is settled. How likely it
    is is drawn from a Beta posterior, flat at first, that all states share which lie in the same one of M + 1
    parts of a trajectory, of an expert that won alike, and were simulated as often before (never, once, more).

    A round takes the best draws, as few of each task as fill it. Only states of unsolved tasks are simulated
    again, M times in all; a state that two experts share is one. Falls are found by the way, not looked for.
    Draws depend on the seed, on how much was seen and on the trajectory, never on its place.
    """

    def __init__(self, experts: Sequence[Trajectory], M: int, seed: int) -> None:
        self.experts, self.M, self.seed = experts, M, seed
        self.budget = sum(len(explored_steps(len(e), M)) for e in experts)
        self.round = math.ceil(self.budget / ROUNDS)
        self._place: dict[State, tuple[int, int]] = {}  # of two experts in one state the shorter counts
        for e, k in sorted(((e, k) for k, e in enumerate(experts)), key=_shortest_first):
            for i in range(1, len(e)):
                self._place.setdefault(e.state(i), (k, i))

    def ask(self, seen: Sequence[Trajectory]) -> list[Probe]:
        """The states that promise most; none before s_0 was simulated."""
        least, times = fewest(self.experts, seen), Counter(t.state(t.n_expert) for t in seen)
        wins, losses = self._seen_of_kind(seen)
        draws = [self._random(e, len(seen)) for e in self.experts]
        offers: dict[str, list[_Offer]] = defaultdict(list)
        for state, (k, i) in self._place.items():
            task, n = state.task_id, times[state]
            gain = _gain(i, len(self.experts[k]), least.get(task))
            if gain > 0.0 and n < (1 if task in least else self.M) and times[State(task)]:
                kind = self._kind(k, i, n)
                likely = draws[k].betavariate(1 + wins[kind], 1 + losses[kind])
                offers[task].append(_Offer(-likely * gain, task, Probe(k, i, n)))
        each = math.ceil(self.round / max(1, len(offers)))
        best = sorted(o for of_task in offers.values() for o in sorted(of_task)[:each])
        return [o.probe for o in best[: self.round]]

    def _seen_of_kind(self, seen: Sequence[Trajectory]) -> tuple[Counter[_Kind], Counter[_Kind]]:
        """Wins and losses from states of each kind."""
        told: dict[bool, Counter[_Kind]] = {True: Counter(), False: Counter()}
        for t in seen:
            if t.n_expert and not t.stop.infrastructure:
                told[t.win][self._kind(*self._place[t.state(t.n_expert)], t.sample)] += 1
        return told[True], told[False]

    def _kind(self, k: int, step: int, sample: int) -> _Kind:
        part = step * (self.M + 1) // len(self.experts[k])
        return part, self.experts[k].win, min(sample, 2)

    def _random(self, expert: Trajectory, n: int) -> Random:
        key = [self.seed, n, expert.task_id, expert.source, expert.actions]
        return Random(msgspec.json.encode(key))


def _shortest_first(entry: tuple[Trajectory, int]) -> tuple[int, str, tuple[str, ...]]:
    expert, _ = entry
    return len(expert), expert.source, expert.actions


_Kind = tuple[int, bool, int]  # part of the trajectory, whether the expert won, how often simulated before


class _Offer(NamedTuple):
    """Offers sort by what they promise, the most first."""

    cost: float
    task_id: str
    probe: Probe


def _gain(step: int, length: int, fewest: int | None) -> float:
    """What a win from s_step is worth, if the best solution so far has `fewest` expert actions (None: there is none)."""
    if fewest is None:
        return 1.0 - step / (2 * length)
    return (fewest - step) / (2 * fewest) if fewest else 0.0
