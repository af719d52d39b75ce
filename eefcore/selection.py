"""EEF §3.2: where to explore, and which solutions to train on.

    Algorithm 1      here
    line 8, 9        explored_steps     l, 2l, …, Ml
    line 12  S_r     recovery_state     s_{i*}
    line 11, 13      solution           get_traj(s, D⁺)
    line 14          training_set       D_{s_0} ∪ D_r

Pure functions over trajectories; nothing here touches an environment, a model or a random number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from eefcore.errors import ParamsError
from eefcore.types import Example, State, Trajectory


def explored_steps(length: int, M: int) -> tuple[int, ...]:
    """(l, 2l, …, Ml) with l = ⌊|τ_e| / (M + 1)⌋ (lines 8, 9). M = 0 is RFT: none.

    An expert shorter than M + 1 gives l = 0, which the paper leaves open. Every step
    between its first and its last is then explored once.
    """
    if M < 0:
        raise ValueError(f"M is a number of simulations and must be at least 0, got {M}")
    l = length // (M + 1)
    if not l:
        return tuple(range(1, length)) if M else ()
    return tuple(m * l for m in range(1, M + 1))


def solved(simulations: Iterable[Trajectory]) -> dict[State, bool]:
    """Whether π_θ succeeded from each state explored: R(τ_s) = 1 for any τ_s that starts in s.

    The paper runs one simulation a state. With several at s_0 (RFT×6 beside EEF) any win counts.
    Episodes the infrastructure spoilt say nothing about a state.
    """
    out: dict[State, bool] = {}
    for t in simulations:
        if not t.stop.infrastructure:
            start = t.state(t.n_expert)
            out[start] = out.get(start, False) or t.win
    return out


def recovery_state(expert: Trajectory, M: int, solved: Mapping[State, bool]) -> State | None:
    """s_{i*}: the first s_i with R(τ_{s_i}) = 0 though R(τ_{s_{i-l}}) = 1 (line 12).

    Args:
        solved: whether the policy succeeded from each state explored, s_0 among them. A state that is
            missing was spoilt by the infrastructure, and is neither.
    """
    states = [expert.state(i) for i in (0, *explored_steps(len(expert), M))]
    for before, state in pairwise(states):
        if solved.get(before) is True and solved.get(state) is False:
            return state
    return None


class Repository:
    """D⁺: the successes found so far, looked up by the states they pass through.

    An own rollout that happens to pass through an expert's state is a solution for it as well.
    """

    def __init__(self, trajectories: Iterable[Trajectory] = ()) -> None:
        self._by_task: dict[str, list[Trajectory]] = defaultdict(list)
        for t in trajectories:
            if t.win:
                self._by_task[t.task_id].append(t)

    def through(self, state: State) -> list[Trajectory]:
        """The successes that contain `state`, in the order they were found."""
        return [t for t in self._by_task.get(state.task_id, ()) if t.contains(state)]

    def __len__(self) -> int:
        """|D⁺|."""
        return sum(map(len, self._by_task.values()))


def solution(state: State, repository: Repository) -> Trajectory | None:
    """get_traj(s, D⁺): of the successes through `state`, one with the fewest expert actions.

    Ties go to the shorter, then to the first found, so that a run repeats. A success that ends in
    `state` teaches nothing there, and is no solution.
    """
    through = (t for t in repository.through(state) if len(t) > len(state.actions))
    return min(through, key=lambda t: (t.n_expert, len(t)), default=None)


class TrainingSet(NamedTuple):
    """D_{s_0} and D_r; line 14 trains on both."""

    initial: list[Example]
    recovery: list[Example]

    @property
    def examples(self) -> list[Example]:
        """D_{s_0} ∪ D_r."""
        return [*self.initial, *self.recovery]


def cloning_set(experts: Iterable[Trajectory], which: str) -> list[Example]:
    """Behaviour cloning: D⁺ = {τ_e ∈ D_e : R(τ_e) = 1} (lines 3, 4), or `all` of D_e (SFT ALL).

    Raises:
        ParamsError: `which` is neither `positive` nor `all`.
    """
    if which not in ("positive", "all"):
        raise ParamsError(f"03_select: cloning {which!r}; choose positive or all")
    return [Example(t) for t in experts if len(t) and (which == "all" or t.win)]


def training_set(
    tasks: Sequence[str],
    experts: Sequence[Trajectory],
    simulations: Sequence[Trajectory],
    repository: Repository,
    M: int,
) -> TrainingSet:
    """D_{s_0} ∪ D_r: at most one solution an important state, trained from that state on (lines 11–14).

    Args:
        tasks: C_train.
        experts: D_e; empty for RFT, where no state needs recovery.
        simulations: D_i, what this iteration explored.
        repository: D⁺, grown over all iterations.
        M: simulations per expert trajectory.
    """
    outcome = solved(simulations)
    fallen = (recovery_state(e, M, outcome) for e in experts)
    return TrainingSet(
        _solutions((State(task) for task in tasks), repository),
        _solutions((s for s in fallen if s is not None), repository),
    )


def _solutions(states: Iterable[State], repository: Repository) -> list[Example]:
    found = ((s, solution(s, repository)) for s in dict.fromkeys(states))
    return [Example(t, len(s.actions)) for s, t in found if t is not None]


class Counts(NamedTuple):
    """What a selection amounts to; the names are those of the logged keys."""

    n_initial: int  # |D_{s_0}|
    n_recovery: int  # |D_r|
    solved: float  # share of the tasks with a solution
    repository: int  # |D⁺|
    expert_actions: int  # trained actions that are an expert's
    trained_actions: int  # trained actions in all
    mistakes: float  # share of the trained actions that are an expert's marked mistakes


def counts(chosen: TrainingSet, repository: Repository, tasks: Sequence[str]) -> Counts:
    """What was chosen, and how much of it a method that knew the experts' mistakes would not have trained on.

    The marks are read here alone, after the choice is made.
    """
    trained = sum(len(e.trajectory) - e.first for e in chosen.examples)
    wrong = sum(m.step >= e.first for e in chosen.examples for m in e.trajectory.marks)
    return Counts(
        n_initial=len(chosen.initial),
        n_recovery=len(chosen.recovery),
        solved=len({e.trajectory.task_id for e in chosen.initial}) / len(tasks) if tasks else 0.0,
        repository=len(repository),
        expert_actions=sum(max(0, e.trajectory.n_expert - e.first) for e in chosen.examples),
        trained_actions=trained,
        mistakes=wrong / trained if trained else 0.0,
    )


def telling(experts: Sequence[Trajectory], chosen: TrainingSet, outcomes: Mapping[State, bool]) -> Trajectory:
    """The expert trajectory that shows most of the method: a failure with outcomes of both kinds and kept segments."""
    solutions = [e.trajectory for e in chosen.examples]

    def tells(expert: Trajectory) -> tuple[bool, int, int]:
        seen = {outcomes.get(expert.state(i)) for i in range(len(expert))}
        used = max((t.n_expert for t in solutions if expert.contains(t.state(t.n_expert))), default=0)
        return not expert.win, len(seen - {None}), used

    return max(experts, key=tells)
