"""Which states of an expert's trajectory to simulate next, given what was seen: the search for its beneficial segments.

    fixed     s_l, s_2l, …, s_Ml of every trajectory, in one round     EEF Algorithm 1, lines 8, 9
    binary    of the same states those that can still teach, halving   EEF §6, "a binary search strategy"
    bandit    any inner state, again and again, where a win promises most (`eefcore.rollout.bandit`)       ours

A finder is asked round by round until it asks for nothing more or the budget is spent, which for each is
what the paper would simulate. It keeps nothing between rounds: what it asks for follows from what was
seen, so that an exploration that was killed goes on as if it never had been.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from eefcore.errors import ParamsError
from eefcore.plugins import load_plugin
from eefcore.rollout.bandit import Bandit
from eefcore.rollout.finder import Finder, Probe, fewest
from eefcore.selection.algorithm import explored_steps, outcomes
from eefcore.types import State, Trajectory


def load(name: str, experts: Sequence[Trajectory], M: int, *, repeats: int = 1, seed: int) -> Finder:
    """The finder of that name; of one of your own, `my_module:function`, what it makes of `experts`, `M` and `seed`.

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
    if ":" in name:
        return load_plugin(name, "05_explore: finder", takes=("experts", "M", "seed"))(
            experts=experts, M=M, seed=seed
        )
    raise ParamsError(
        f"05_explore: finder {name!r}; choose fixed, binary, bandit or one of your own, my_module:function"
    )


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
        outcome, least = outcomes(seen), fewest(self.experts, seen)
        asked: dict[State, Probe] = {}
        for k, (expert, steps) in enumerate(zip(self.experts, self.steps, strict=True)):
            start = State(expert.task_id)
            states = {i: expert.state(i) for i in steps}
            tried = {i: outcome[s] for i, s in states.items() if s in outcome}
            step = None
            if outcome.get(start) and not expert.win:
                step = _recovery(steps, tried)
            elif start in outcome and not outcome[start]:
                step = _solution(expert, steps, tried, least.get(expert.task_id))
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
