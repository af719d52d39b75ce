"""Find beneficial segments: choose the expert states to simulate next from the simulations so far.

    Fixed     s_l, s_2l, …, s_Ml of every trajectory, in one round               EEF Algorithm 1, lines 8, 9
    Binary    of the same states those that can still teach, by halving          EEF §6, "a binary search strategy"
    Bandit    any inner state, again and again, where a win promises most        ours

A finder is asked round by round until it asks for nothing more or its budget is spent. The budget of each is the
number of simulations that the paper would make. A finder keeps no state between rounds: its requests follow from the
simulations alone, so an exploration that was killed continues as if nothing had happened.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from itertools import groupby
from random import Random
from typing import NamedTuple, Protocol

import msgspec

from eefcore.errors import ParamsError, suggest
from eefcore.plugins import load_plugin
from eefcore.selection.algorithm import explored_steps, outcomes
from eefcore.types import State, Trajectory


class Probe(NamedTuple):
    """A request for one simulation: the `sample`-th from s_step of an expert trajectory."""

    expert: int  # its index among the finder's experts
    step: int
    sample: int = 0


class Finder(Protocol):
    """A strategy that chooses the expert states to simulate, with at most `budget` simulations."""

    experts: Sequence[Trajectory]
    budget: int

    def ask(self, simulations: Sequence[Trajectory]) -> list[Probe]:
        """Return the next simulations to make, given those so far: none before the first round, then also those of s_0."""
        raise NotImplementedError


def load_finder(name: str, experts: Sequence[Trajectory], M: int, *, repeats: int = 1, seed: int) -> Finder:
    """Return the finder called `name`, or what the user's own `my_module:function` makes of `experts`, `M` and `seed`.

    Args:
        M: simulations per expert trajectory that the paper would make.
        repeats: simulations of each state by the fixed finder.
        seed: of a bandit's draws.

    Raises:
        ParamsError: there is no finder of that name, or it does not repeat.
    """
    make = check_finder(name, repeats=repeats)
    return make(experts=experts, M=M, seed=seed) if make else Fixed(experts, M, repeats)


def check_finder(name: str, *, repeats: int) -> Callable[..., Finder] | None:
    """Refuse a finder that `load_finder` would refuse; return what makes it, None for the fixed one.

    Raises:
        ParamsError: there is no finder of that name, or it does not repeat.
    """
    if name == "fixed":
        return None
    if repeats != 1:
        raise ParamsError(
            f"05_explore: repeats {repeats} is for the fixed finder, not for {name}; set it to 1"
        )
    if name == "binary":
        return lambda experts, M, seed: Binary(experts, M)
    if name == "bandit":
        return Bandit
    if ":" in name:
        return load_plugin(name, "05_explore: finder", takes=("experts", "M", "seed"))
    names = ("fixed", "binary", "bandit")
    raise ParamsError(
        f"05_explore: finder {name!r}{suggest(name, names) or ';'} choose {', '.join(names)} or one of your own, "
        "my_module:function"
    )


def fewest_expert_actions(experts: Iterable[Trajectory], simulations: Iterable[Trajectory]) -> dict[str, int]:
    """Return the expert actions of each solved task's best solution so far, as get_traj chooses it."""
    wins = [t for t in (*experts, *simulations) if t.win]
    return {t.task_id: t.n_expert for t in sorted(wins, key=lambda t: -t.n_expert)}  # the fewest come last


class _Grid:
    """The paper's states of each trajectory, each to be simulated `repeats` times, in the paper once."""

    def __init__(self, experts: Sequence[Trajectory], M: int, repeats: int = 1) -> None:
        self.experts, self.repeats = experts, repeats
        self.steps = [explored_steps(len(e), M) for e in experts]
        self.budget = repeats * sum(map(len, self.steps))


class Fixed(_Grid):
    """The paper's finder: simulate all states of the grid at once; a state of two experts is simulated for each of them, as in the algorithm."""

    def ask(self, simulations: Sequence[Trajectory]) -> list[Probe]:
        """Return all probes in the first round, and none afterwards."""
        grid = [(k, i) for k, steps in enumerate(self.steps) for i in steps]
        return [] if simulations else [Probe(k, i, n) for n in range(self.repeats) for k, i in grid]


class Binary(_Grid):
    """A finder by binary search: one state of a trajectory a round, on the paper's grid l, 2l, …, Ml, each at most once.

    The outcomes of π_θ and of the expert on a task tell what a trajectory can still teach:

    π_θ lost from s_0, nobody won    hunt: the middle first, then the middle of the longest untried stretch, until a
                                     state of any trajectory of the task wins
    π_θ lost from s_0, a state won   bisect between the last loss and that win for the fewest expert actions; an
                                     expert's own win counts as a win at its end
    π_θ won from s_0, expert lost    the last state first. If it fails, bisect between the last win and the first
                                     failure for s_{i*}, then hunt behind it for a win, without which s_{i*} has no
                                     solution. If it wins, hunt for a failure before it
    π_θ won from s_0, expert won     nothing: the solution needs no expert, and the expert no recovery
    solved by another's trajectory   nothing: one solution a task is trained

    A hunt tries every state before it gives up, so where outcomes repeat it solves every task that `Fixed` solves.
    Bisecting assumes that wins follow losses once (or losses follow wins, behind a mistake): where they alternate, a
    shorter segment or an earlier failure can be missed. Of two states in the middle the later is tried, where more of
    the work is done.
    """

    def ask(self, simulations: Sequence[Trajectory]) -> list[Probe]:
        """Return at most one state of each trajectory; a state that two experts share is returned once."""
        outcome, fewest = outcomes(simulations), fewest_expert_actions(self.experts, simulations)
        probes: dict[State, Probe] = {}
        for k, (expert, steps) in enumerate(zip(self.experts, self.steps, strict=True)):
            start = State(expert.task_id)
            states = {i: expert.state(i) for i in steps}
            tried = {i: outcome[s] for i, s in states.items() if s in outcome}
            step = None
            if outcome.get(start) and not expert.win:
                step = _step_for_recovery(steps, tried)
            elif start in outcome and not outcome[start]:
                step = _step_for_solution(expert, steps, tried, fewest.get(expert.task_id))
            if step is not None:
                probes.setdefault(states[step], Probe(k, step))
        return list(probes.values())


def _step_for_solution(
    expert: Trajectory, steps: Sequence[int], tried: Mapping[int, bool | None], fewest: int | None
) -> int | None:
    """Return the next step from which to seek a solution of s_0, or one with fewer expert actions than `fewest`, the best so far."""
    if fewest is None:
        return _hunt(steps, tried)
    first_win = min((i for i in tried if tried[i]), default=len(expert) if expert.win else 0)
    last_loss = max((i for i in tried if tried[i] is False and i < first_win), default=0)
    return _middle([i for i in steps if last_loss < i < min(first_win, fewest) and i not in tried])


def _step_for_recovery(steps: Sequence[int], tried: Mapping[int, bool | None]) -> int | None:
    """Return the next step at which to seek the recovery state s_{i*}, and a solution from it."""
    if steps and steps[-1] not in tried:
        return steps[-1]
    first_loss = min((i for i in tried if tried[i] is False), default=None)
    if first_loss is None:
        return _hunt(steps, tried)
    wins = [i for i in tried if tried[i]]
    last_win = max((i for i in wins if i < first_loss), default=0)
    between = _middle([i for i in steps if last_win < i < first_loss and i not in tried])
    if between is not None or any(i > first_loss for i in wins):
        return between
    return _hunt([i for i in steps if i > first_loss], tried)


def _hunt(steps: Sequence[int], tried: Container[int]) -> int | None:
    """Return the middle of the longest stretch of `steps` that were not tried; of equal stretches the later."""
    stretches = [[*stretch] for again, stretch in groupby(steps, lambda i: i in tried) if not again]
    return _middle(max(reversed(stretches), key=len, default=()))


def _middle(steps: Sequence[int]) -> int | None:
    """Return the middle step; of two the later."""
    return steps[len(steps) // 2] if steps else None


ROUNDS = 20
"""Rounds of a bandit: enough to learn from, and few enough to keep a batch full."""


class Bandit:
    """A finder by Thompson sampling over all inner states s_1, …, s_{T-1}, with a twentieth of the budget a round.

    The gain of a win from s_i is 1 - ½ i/|τ_e| if the task is unsolved, ½ the share of expert actions it saves if
    every solution has some, and 0 if π_θ won from s_0: such a task is settled. The probability of a win is drawn from
    a Beta posterior, flat at first, shared by all states that lie in the same of M + 1 parts of a trajectory, of an
    expert with the same outcome, and were simulated as often before (never, once, more).

    A round takes the best draws, from each task as few as fill it. Only states of unsolved tasks are simulated
    again, M times in all; a state that two experts share counts once. Recovery states are found by the way, not
    looked for. Draws depend on the seed, on the number of simulations so far and on the trajectory, never on its index.
    """

    def __init__(self, experts: Sequence[Trajectory], M: int, seed: int) -> None:
        self.experts, self.M, self.seed = experts, M, seed
        self.budget = sum(len(explored_steps(len(e), M)) for e in experts)
        self.round = math.ceil(self.budget / ROUNDS)
        self._expert_step: dict[State, tuple[int, int]] = {}  # of two experts in one state the shorter counts
        for k, e in sorted(enumerate(experts), key=lambda ke: (len(ke[1]), ke[1].source, ke[1].actions)):
            for i in range(1, len(e)):
                self._expert_step.setdefault(e.state(i), (k, i))

    def ask(self, simulations: Sequence[Trajectory]) -> list[Probe]:
        """Return the most promising states; none before s_0 was simulated."""
        fewest = fewest_expert_actions(self.experts, simulations)
        times = Counter(t.state(t.n_expert) for t in simulations)
        wins, losses = self._outcomes_by_arm(simulations)
        n_simulations = len(simulations)
        draws = [
            Random(msgspec.json.encode([self.seed, n_simulations, e.task_id, e.source, e.actions]))
            for e in self.experts
        ]
        offers: dict[str, list[_Offer]] = defaultdict(list)
        for state, (k, i) in self._expert_step.items():
            task, n = state.task_id, times[state]
            gain = _gain(i, len(self.experts[k]), fewest.get(task))
            if gain > 0.0 and n < (1 if task in fewest else self.M) and times[State(task)]:
                arm = self._arm(k, i, n)
                probability = draws[k].betavariate(1 + wins[arm], 1 + losses[arm])
                offers[task].append(_Offer(-probability * gain, task, Probe(k, i, n)))
        each = math.ceil(self.round / max(1, len(offers)))
        best = sorted(o for of_task in offers.values() for o in sorted(of_task)[:each])
        return [o.probe for o in best[: self.round]]

    def _outcomes_by_arm(self, simulations: Sequence[Trajectory]) -> tuple[Counter[_Arm], Counter[_Arm]]:
        """Return the wins and the losses of each arm."""
        counts: dict[bool, Counter[_Arm]] = {True: Counter(), False: Counter()}
        for t in simulations:
            if t.n_expert and not t.stop.infrastructure:
                counts[t.win][self._arm(*self._expert_step[t.state(t.n_expert)], t.sample)] += 1
        return counts[True], counts[False]

    def _arm(self, k: int, step: int, sample: int) -> _Arm:
        part = step * (self.M + 1) // len(self.experts[k])
        return part, self.experts[k].win, min(sample, 2)


_Arm = tuple[int, bool, int]  # part of the trajectory, whether the expert won, how often simulated before


class _Offer(NamedTuple):
    """A probe with the expected gain of its simulation; offers are sorted by it, the greatest first."""

    cost: float
    task_id: str
    probe: Probe


def _gain(step: int, length: int, fewest: int | None) -> float:
    """Return the gain of a win from s_step; `fewest` are the best solution's expert actions, None if unsolved."""
    if fewest is None:
        return 1.0 - step / (2 * length)
    return (fewest - step) / (2 * fewest) if fewest else 0.0
