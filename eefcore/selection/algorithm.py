"""EEF Algorithm 1: choose the states to explore from, the important states, and the solutions to train on (§3.2).

    line    Algorithm 1                                             here
    3, 4    D⁺ ← {τ_e ∈ D_e : R(τ_e) = 1}, behaviour cloning        cloning_set
    8, 9    l = ⌊|τ_e| / (M + 1)⌋; the states s_l, s_2l, …, s_Ml     explored_steps
    10      D⁺ ← D⁺ ∪ {τ ∈ D_i : R(τ) = 1}                          Repository
    11      D_{s_0} ← {get_traj(s_0, D⁺) : s_0 ∈ C_train}            solution, of important_states(…).initial
    12      S_r ← need_recover_states(D_i)                          recovery_state, s_{i*} of one τ_e
    13      D_r ← {get_traj(s, D⁺) : s ∈ S_r}                        solution, of important_states(…).recovery
    14      D_{s_0} ∪ D_r                                           training_set

RFT (§2) is the same with M = 0, but keeps every success on a task where Algorithm 1 keeps one: `keep_of`.

Lines 6, 7 and 9 play episodes; they are in `eefcore.rollout.exploration`. The functions here are pure: they read
trajectories, and use no environment, no model and no random number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from eefcore.errors import DataError, ParamsError
from eefcore.selection.orders import Order, fewest_expert
from eefcore.types import Example, State, Trajectory


def cloning_set(experts: Iterable[Trajectory], which: str, *, win: str = "", loss: str = "") -> list[Example]:
    """Return the examples of behaviour cloning (lines 3, 4).

    `positive` is the paper's D⁺ = {τ_e ∈ D_e : R(τ_e) = 1}; `all` is D_e (SFT ALL). `conditioned` is NAT: all of
    D_e, where the phrase `win` or `loss` in the prompt says how a trajectory ended. NAT leaves phrases for agents open.

    Raises:
        ParamsError: `which` is none of these, or the two phrases are equal.
        DataError: there is nothing to clone.
    """
    if which not in ("positive", "all", "conditioned"):
        raise ParamsError(f"03_select: cloning {which!r}; choose positive, all or conditioned")
    if which == "conditioned" and win == loss:
        raise ParamsError(
            f"03_select: phrase_win and phrase_loss are both {win!r}; choose two phrases that tell wins from losses"
        )
    candidates = [t for t in experts if t.trains_from(0)]
    cloned = [t for t in candidates if t.win] if which == "positive" else candidates
    if not cloned:
        raise DataError(
            f"03_select: {len(candidates)} expert trajectories, and none to clone ({which}); get more of them, "
            "or clone all"
        )
    phrases = (loss, win) if which == "conditioned" else ("", "")
    return [Example(t, phrase=phrases[t.win]) for t in cloned]


def explored_steps(length: int, M: int) -> tuple[int, ...]:
    """Return (l, 2l, …, Ml) with l = ⌊|τ_e| / (M + 1)⌋ (lines 8, 9). M = 0 is RFT and explores no expert state.

    The paper leaves |τ_e| < M + 1 open, where l = 0. Every state between the first and the last is then explored once.
    """
    if M < 0:
        raise ValueError(f"M is a number of simulations and must be at least 0, got {M}")
    l = length // (M + 1)
    if not l:
        return tuple(range(1, length)) if M else ()
    return tuple(m * l for m in range(1, M + 1))


class Repository:
    """The repository D⁺ of successes found so far, looked up by the states they pass through (line 10).

    A rollout of the policy that happens to pass through an expert's state is a solution for that state as well.
    """

    def __init__(self, trajectories: Iterable[Trajectory] = ()) -> None:
        self._by_task: dict[str, list[Trajectory]] = defaultdict(list)
        for t in trajectories:
            if t.win:
                self._by_task[t.task_id].append(t)

    def through(self, state: State) -> list[Trajectory]:
        """Return the successes that contain `state`, in the order they were found."""
        return [t for t in self._by_task.get(state.task_id, ()) if t.contains(state)]

    def __len__(self) -> int:
        """Return |D⁺|."""
        return sum(map(len, self._by_task.values()))


def outcomes(simulations: Iterable[Trajectory]) -> dict[State, bool | None]:
    """Return for each explored state whether π_θ succeeded from it: R(τ_s) = 1 for any τ_s that starts in s.

    The paper runs one simulation a state. With several (RFT×6 at s_0, a bandit anywhere) any win counts.
    Episodes that the infrastructure spoilt say nothing about a state; a state that has no other is None.
    """
    found: dict[State, bool | None] = {}
    for t in simulations:
        start = t.state(t.n_expert)
        before = found.get(start)
        found[start] = before if t.stop.infrastructure else bool(before) or t.win
    return found


def known_outcomes(simulations: Iterable[Trajectory]) -> dict[State, bool]:
    """Return `outcomes` without the states of which only spoilt episodes exist."""
    return {state: won for state, won in outcomes(simulations).items() if won is not None}


def recovery_state(expert: Trajectory, outcomes: Mapping[State, bool | None]) -> State | None:
    """Return s_{i*}: the first explored s_i with R(τ_{s_i}) = 0 after R = 1 from the explored state before it (line 12).

    The paper explores s_0, s_l, …, s_Ml and compares s_i with s_{i-l}. Here all explored states of τ_e are compared
    in order, so that any finder may choose them. For the paper's grid this is the same, unless two experts begin
    alike: then the outcomes explored for one of them hold for the other as well. A state that the infrastructure
    spoilt (None) is neither a success nor a failure, and the states on its two sides are not compared.
    """
    explored = [s for s in map(expert.state, range(len(expert))) if s in outcomes]
    for before, state in pairwise(explored):
        if outcomes[before] is True and outcomes[state] is False:
            return state
    return None


class ImportantStates(NamedTuple):
    """The important states, s_0 of tasks and recovery states, each once."""

    initial: list[State]  # s_0 of every task
    recovery: list[State]  # S_r


def important_states(
    tasks: Iterable[str], experts: Iterable[Trajectory], simulations: Iterable[Trajectory]
) -> ImportantStates:
    """Return the states that need a solution: s_0 of each task, and S_r, where π_θ must recover (lines 11, 12)."""
    outcome = outcomes(simulations)
    recovery = dict.fromkeys(s for e in experts if (s := recovery_state(e, outcome)) is not None)
    return ImportantStates([State(task) for task in dict.fromkeys(tasks)], [*recovery])


def solutions(state: State, repository: Repository) -> list[Trajectory]:
    """Return the successes through `state` with an action to train after it; one that ends there has none."""
    return [t for t in repository.through(state) if t.trains_from(len(state.actions))]


def solution(state: State, repository: Repository, order: Order = fewest_expert) -> Trajectory | None:
    """Return get_traj(s, D⁺): the first solution of `state` in `order`, which in the paper is by fewest expert actions."""
    return min(solutions(state, repository), key=lambda t: order(t, state), default=None)


def competing_solutions(important: ImportantStates, repository: Repository) -> list[Trajectory]:
    """Return, each once, the solutions of the states that have several: those among which an order has to choose."""
    each = [solutions(s, repository) for s in (*important.initial, *important.recovery)]
    return list({id(t): t for several in each if len(several) > 1 for t in several}.values())


def keep_of(keep: str, simulations: Iterable[Trajectory]) -> str:
    """Return how many solutions of a state are trained, `all` or `one`; `auto` follows the method that explored.

    RFT adds every positive trajectory to its training set (§2); Algorithm 1 takes at most one for each important state
    (lines 11 and 13). `auto` is `one` if any of the `simulations` so far began in an expert's state, otherwise `all`.

    Raises:
        ParamsError: `keep` is none of these.
    """
    if keep not in ("auto", "all", "one"):
        raise ParamsError(f"03_select: keep {keep!r}; choose auto, all or one")
    if keep == "auto":
        return "one" if any(t.n_expert for t in simulations) else "all"
    return keep


class TrainingSet(NamedTuple):
    """The training set of an iteration: D_{s_0} and D_r; line 14 trains on both."""

    initial: list[Example]
    recovery: list[Example]

    @property
    def examples(self) -> list[Example]:
        """Return D_{s_0} ∪ D_r."""
        return [*self.initial, *self.recovery]


def training_set(
    tasks: Sequence[str],
    experts: Sequence[Trajectory],
    simulations: Sequence[Trajectory],
    repository: Repository,
    order: Order = fewest_expert,
    phrase: str = "",
    keep: str = "one",
) -> TrainingSet:
    """Return D_{s_0} ∪ D_r: the solutions of the important states, each trained from its state on (lines 11-14).

    `tasks` is C_train; `experts` is D_e, empty for RFT, where no state needs recovery; `simulations` is D_i, of this
    iteration; `repository` is D⁺, of all iterations. `keep` is `one`, the solution of a state that is first in `order`,
    or `all` of them. `phrase` stands for a success in the prompt, if cloning had one for successes and one for failures
    (NAT).
    """

    def kept(state: State) -> list[Trajectory]:
        if keep == "all":
            return solutions(state, repository)
        first = solution(state, repository, order)
        return [first] if first is not None else []

    def examples(states: Iterable[State]) -> list[Example]:
        return [Example(t, len(s.actions), phrase=phrase) for s in states for t in kept(s)]

    return TrainingSet(*map(examples, important_states(tasks, experts, simulations)))


class SelectionCounts(NamedTuple):
    """The size and quality of a selection; the names are those of the logged keys."""

    n_initial: int  # |D_{s_0}|
    n_recovery: int  # |D_r|
    solved: float  # share of the tasks with a solution
    repository: int  # |D⁺|
    expert_actions: int  # trained actions that are an expert's
    trained_actions: int  # trained actions in all
    mistakes: float  # share of the trained actions that are an expert's marked mistakes


def count_selection(selected: TrainingSet, repository: Repository, tasks: Sequence[str]) -> SelectionCounts:
    """Count the selected examples, and the trained actions that are marked mistakes of an expert."""
    examples = selected.examples
    n_trained = sum(len(e.trained_indices) for e in examples)
    return SelectionCounts(
        n_initial=len(selected.initial),
        n_recovery=len(selected.recovery),
        solved=len({e.trajectory.task_id for e in selected.initial}) / len(tasks) if tasks else 0.0,
        repository=len(repository),
        expert_actions=sum(i < e.trajectory.n_expert for e in examples for i in e.trained_indices),
        trained_actions=n_trained,
        mistakes=count_mistakes(examples) / n_trained if n_trained else 0.0,
    )


def count_mistakes(examples: Iterable[Example]) -> int:
    """Count the trained actions that are an expert's marked mistakes; marks are read here alone, after the selection."""
    return sum(len({m.step for m in e.trajectory.marks} & {*e.trained_indices}) for e in examples)


def illustrative_expert(
    experts: Sequence[Trajectory], selected: TrainingSet, outcomes: Mapping[State, bool]
) -> Trajectory:
    """Return the expert trajectory that illustrates the method best: a failure, outcomes of both kinds, a long segment that is trained."""
    trained = [e.trajectory for e in selected.examples]

    def rank(expert: Trajectory) -> tuple[bool, int, int]:
        kinds = {outcomes.get(expert.state(i)) for i in range(len(expert))} - {None}
        segment = max((t.n_expert for t in trained if expert.contains(t.state(t.n_expert))), default=0)
        return not expert.win, len(kinds), segment

    return max(experts, key=rank)
