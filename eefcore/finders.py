"""Which states of an expert's trajectory to simulate next, given what was seen: the search for its beneficial segments.

    fixed     s_l, s_2l, …, s_Ml of every trajectory, in one round     EEF Algorithm 1, lines 8, 9
    binary    of the same states those that can still teach, halving   EEF §6, "a binary search strategy"
    bandit    any inner state, again and again, where a win promises most                          ours

A finder is asked round by round until it asks for nothing more or the budget is spent, which for each is
what the paper would simulate. It keeps nothing between rounds: what it asks for follows from what was
seen, so that an exploration that was killed goes on as if it never had been.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import NamedTuple, Protocol

import msgspec

from eefcore.errors import ParamsError
from eefcore.selection import explored_steps, outcomes
from eefcore.types import State, Trajectory

ROUNDS = 20
"""Of a bandit: enough to learn from, and few enough to keep a batch full."""


class Probe(NamedTuple):
    """A simulation to make: from s_step of one of the expert trajectories, the `sample`-th from there."""

    expert: int  # its place among the finder's experts
    step: int
    sample: int = 0


class Finder(Protocol):
    """Searches `experts` with at most `budget` simulations."""

    experts: Sequence[Trajectory]
    budget: int

    def ask(self, seen: Sequence[Trajectory]) -> list[Probe]:
        """What to simulate next. `seen` are the simulations so far, s_0's among them: none before the first round."""


def load(name: str, experts: Sequence[Trajectory], M: int, *, repeats: int = 1, seed: int) -> Finder:
    """The finder of that name.

    Args:
        M: simulations per expert trajectory that the paper would make.
        repeats: of each of them, with the fixed finder.
        seed: of a bandit's draws.

    Raises:
        ParamsError: there is none of that name, or it does not repeat.
    """
    if name == "fixed":
        return Fixed(experts, M, repeats)
    if repeats != 1:
        raise ParamsError(
            f"05_explore: repeats {repeats} is for the fixed finder, not for {name}; set it to 1"
        )
    if name == "binary":
        return Binary(experts, M)
    if name == "bandit":
        return Bandit(experts, M, seed)
    raise ParamsError(f"05_explore: finder {name!r}; choose fixed, binary or bandit")


class _Grid:
    """The paper's states of each trajectory, each to be simulated `repeats` times, in the paper once."""

    def __init__(self, experts: Sequence[Trajectory], M: int, repeats: int = 1) -> None:
        self.experts, self.repeats = experts, repeats
        self.steps = [explored_steps(len(e), M) for e in experts]
        self.budget = repeats * sum(map(len, self.steps))


class Fixed(_Grid):
    """All at once and whatever was seen; a state of two experts is simulated for each, as in the algorithm."""

    def ask(self, seen: Sequence[Trajectory]) -> list[Probe]:
        """Everything in the first round, and nothing after."""
        grid = [(k, i) for k, steps in enumerate(self.steps) for i in steps]
        return [] if seen else [Probe(k, i, n) for n in range(self.repeats) for k, i in grid]


class Binary(_Grid):
    """One state of a trajectory a round, on the paper's grid l, 2l, …, Ml, each at most once.

    What π_θ and the expert made of the task says what a trajectory can still teach:

    π_θ lost from s_0, nobody won    hunt: middle first, then the middle of the longest stretch not yet tried,
                                     until a state of any trajectory of the task wins
    π_θ lost from s_0, a state won   bisect between the last loss and that win for the fewest expert actions;
                                     an expert's own win counts as one at its end
    π_θ won from s_0, expert lost    the last state first. Where it fails, bisect between the last win and the
                                     first failure for s_{i*}, then hunt behind it for a win, without which
                                     s_{i*} has no solution. Where it wins, hunt for a failure before it
    π_θ won from s_0, expert won     nothing: the solution needs no expert, and the expert no recovery
    solved by another's trajectory   nothing: one solution a task is trained

    A hunt tries everything before it gives up, so where outcomes repeat it solves every task that `Fixed`
    solves. Bisecting supposes that wins follow losses (or losses wins, behind a mistake) once: where they
    alternate, a shorter segment or an earlier fall can be missed. Of two states in the middle the later is
    tried, where more of the work is done.
    """

    def ask(self, seen: Sequence[Trajectory]) -> list[Probe]:
        """At most one state of each trajectory; a state that two experts share once."""
        outcome, fewest = outcomes(seen), _fewest(self.experts, seen)
        asked: dict[State, Probe] = {}
        for k, (expert, steps) in enumerate(zip(self.experts, self.steps, strict=True)):
            start = State(expert.task_id)
            states = {i: expert.state(i) for i in steps}
            tried = {i: outcome[s] for i, s in states.items() if s in outcome}
            step = None
            if outcome.get(start) and not expert.win:
                step = _recovery(steps, tried)
            elif start in outcome and not outcome[start]:
                step = _solution(expert, steps, tried, fewest.get(expert.task_id))
            if step is not None:
                asked.setdefault(states[step], Probe(k, step))
        return list(asked.values())


def _solution(
    expert: Trajectory, steps: Sequence[int], tried: Mapping[int, bool | None], fewest: int | None
) -> int | None:
    """Where to look for a solution of s_0, or for one with less of the expert; `fewest` is the best so far."""
    if fewest is None:
        return _hunt(steps, tried)
    won = min((i for i in tried if tried[i]), default=len(expert) if expert.win else 0)
    lost = max((i for i in tried if tried[i] is False and i < won), default=0)
    return _middle([i for i in steps if lost < i < min(won, fewest) and i not in tried])


def _recovery(steps: Sequence[int], tried: Mapping[int, bool | None]) -> int | None:
    """Where to look for s_{i*}, and for what recovers from it."""
    if steps and steps[-1] not in tried:
        return steps[-1]
    fallen = min((i for i in tried if tried[i] is False), default=None)
    if fallen is None:
        return _hunt(steps, tried)
    won = [i for i in tried if tried[i]]
    before = max((i for i in won if i < fallen), default=0)
    between = _middle([i for i in steps if before < i < fallen and i not in tried])
    if between is not None or any(i > fallen for i in won):
        return between
    return _hunt([i for i in steps if i > fallen], tried)


def _hunt(steps: Sequence[int], tried: Iterable[int]) -> int | None:
    """The middle of the longest stretch of `steps` that were not tried; of equals the later."""
    known, stretches = set(tried), [[]]
    for i in steps:
        if i in known:
            stretches.append([])
        else:
            stretches[-1].append(i)
    longest = max(reversed(stretches), key=len)
    return _middle(longest)


def _middle(steps: Sequence[int]) -> int | None:
    """The middle one; of two the later."""
    return steps[len(steps) // 2] if steps else None


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
        fewest, times = _fewest(self.experts, seen), Counter(t.state(t.n_expert) for t in seen)
        wins, losses = self._seen_of_kind(seen)
        draws = [self._random(e, len(seen)) for e in self.experts]
        offers: dict[str, list[_Offer]] = defaultdict(list)
        for state, (k, i) in self._place.items():
            task, n = state.task_id, times[state]
            gain = _gain(i, len(self.experts[k]), fewest.get(task))
            if gain > 0.0 and n < (1 if task in fewest else self.M) and times[State(task)]:
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


def _fewest(experts: Iterable[Trajectory], seen: Iterable[Trajectory]) -> dict[str, int]:
    """The expert actions of each task's best solution so far, as get_traj chooses; a task without one is missing."""
    out: dict[str, int] = {}
    for t in (*experts, *seen):
        if t.win:
            out[t.task_id] = min(t.n_expert, out.get(t.task_id, t.n_expert))
    return out
