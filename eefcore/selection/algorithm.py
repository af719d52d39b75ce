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

from eefcore.errors import DataError, ParamsError
from eefcore.selection.orders import Order, fewest_expert
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


def outcomes(simulations: Iterable[Trajectory]) -> dict[State, bool | None]:
    """Whether π_θ succeeded from each state explored: R(τ_s) = 1 for any τ_s that starts in s.

    The paper runs one simulation a state. With several (RFT×6 at s_0, a bandit anywhere) any win counts.
    Episodes the infrastructure spoilt say nothing about a state; one that has no other is None.
    """
    out: dict[State, bool | None] = {}
    for t in simulations:
        start = t.state(t.n_expert)
        before = out.get(start)
        out[start] = before if t.stop.infrastructure else bool(before) or t.win
    return out


def solved(simulations: Iterable[Trajectory]) -> dict[State, bool]:
    """The `outcomes` that are known."""
    return {state: won for state, won in outcomes(simulations).items() if won is not None}


def recovery_state(expert: Trajectory, outcomes: Mapping[State, bool | None]) -> State | None:
    """s_{i*}: the first explored s_i with R(τ_{s_i}) = 0 though R = 1 from the explored state before it (line 12).

    The paper explores s_0, s_l, …, s_Ml and compares s_i with s_{i-l}. Here whatever was explored of τ_e is
    compared, in order, so that any finder may choose it; for the paper's grid that is the same, unless two
    experts begin alike: what was explored for one of them is then known of the other as well.

    Args:
        outcomes: of each state explored, s_0 among them. One that the infrastructure spoilt (None) is
            neither a success nor a failure, and what lies on its two sides is not compared.
    """
    explored = [s for s in map(expert.state, range(len(expert))) if s in outcomes]
    for before, state in pairwise(explored):
        if outcomes[before] is True and outcomes[state] is False:
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


def solutions(state: State, repository: Repository) -> list[Trajectory]:
    """The successes through `state`; one that ends there teaches nothing there, and is none of its solutions."""
    return [t for t in repository.through(state) if len(t) > len(state.actions)]


def solution(state: State, repository: Repository, order: Order = fewest_expert) -> Trajectory | None:
    """get_traj(s, D⁺): of the solutions of `state` the first in `order`, in the paper the fewest expert actions."""
    return min(solutions(state, repository), key=lambda t: order(t, state), default=None)


class TrainingSet(NamedTuple):
    """D_{s_0} and D_r; line 14 trains on both."""

    initial: list[Example]
    recovery: list[Example]

    @property
    def examples(self) -> list[Example]:
        """D_{s_0} ∪ D_r."""
        return [*self.initial, *self.recovery]


def cloning_set(experts: Iterable[Trajectory], which: str, *, win: str = "", loss: str = "") -> list[Example]:
    """Behaviour cloning: D⁺ = {τ_e ∈ D_e : R(τ_e) = 1} (lines 3, 4), or `all` of D_e (SFT ALL).

    `conditioned` is NAT: all of D_e, and the prompt says by the phrase `win` or `loss` how each ended. NAT's
    own phrases tell of correct and incorrect answers to questions; which suit an agent is left open.

    Raises:
        ParamsError: `which` is none of these, or the phrases do not tell wins from losses.
        DataError: there is nothing to clone.
    """
    if which not in ("positive", "all", "conditioned"):
        raise ParamsError(f"03_select: cloning {which!r}; choose positive, all or conditioned")
    if which == "conditioned" and win == loss:
        raise ParamsError(
            f"03_select: phrase_win and phrase_loss are both {win!r}; they must tell wins from losses"
        )
    tried = [t for t in experts if len(t)]
    cloned = [t for t in tried if t.win] if which == "positive" else tried
    if not cloned:
        raise DataError(
            f"03_select: {len(tried)} expert trajectories, and none to clone ({which}); get more of them, or clone all"
        )
    phrases = {True: win, False: loss} if which == "conditioned" else {True: "", False: ""}
    return [Example(t, phrase=phrases[t.win]) for t in cloned]


def training_set(
    tasks: Sequence[str],
    experts: Sequence[Trajectory],
    simulations: Sequence[Trajectory],
    repository: Repository,
    order: Order = fewest_expert,
    phrase: str = "",
) -> TrainingSet:
    """D_{s_0} ∪ D_r: at most one solution an important state, trained from that state on (lines 11–14).

    Args:
        tasks: C_train.
        experts: D_e; empty for RFT, where no state needs recovery.
        simulations: D_i, what this iteration explored.
        repository: D⁺, grown over all iterations.
        order: which of several solutions of a state is trained (`orders`).
        phrase: what the prompt says of a success, where cloning told it from a failure (NAT).
    """

    def chosen(states: Iterable[State]) -> list[Example]:
        found = ((s, solution(s, repository, order)) for s in states)
        return [Example(t, len(s.actions), phrase=phrase) for s, t in found if t is not None]

    important = important_states(tasks, experts, simulations)
    return TrainingSet(chosen(important.initial), chosen(important.recovery))


class Important(NamedTuple):
    """The important states, each once."""

    initial: list[State]  # s_0 of every task
    recovery: list[State]  # S_r


def important_states(
    tasks: Iterable[str], experts: Iterable[Trajectory], simulations: Iterable[Trajectory]
) -> Important:
    """Which states a solution is looked for: s_0 of each task, and where π_θ must recover (lines 11, 12)."""
    outcome = outcomes(simulations)
    fallen = (recovery_state(e, outcome) for e in experts)
    return Important(
        [State(task) for task in dict.fromkeys(tasks)],
        list(dict.fromkeys(s for s in fallen if s is not None)),
    )


def rivals(important: Important, repository: Repository) -> list[Trajectory]:
    """The solutions of which a choice is to be made, each once: those of states that have several."""
    each = [solutions(s, repository) for s in (*important.initial, *important.recovery)]
    return list({id(t): t for several in each if len(several) > 1 for t in several}.values())


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
    trained = sum(len(e.trained_indices) for e in chosen.examples)
    wrong = sum(len({m.step for m in e.trajectory.marks} & {*e.trained_indices}) for e in chosen.examples)
    return Counts(
        n_initial=len(chosen.initial),
        n_recovery=len(chosen.recovery),
        solved=len({e.trajectory.task_id for e in chosen.initial}) / len(tasks) if tasks else 0.0,
        repository=len(repository),
        expert_actions=sum(i < e.trajectory.n_expert for e in chosen.examples for i in e.trained_indices),
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
