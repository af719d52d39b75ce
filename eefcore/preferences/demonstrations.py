"""Make preference pairs from demonstrations: the expert's actions against the policy's, compared by how the episodes ended.

    trajectory_pairs    whole trajectories of a task, the expert's against the policy's own    (ETO; Agent Q eq. 5)
    beneficial_pairs    in a state from which the policy lost: the expert's action that led    (EEF Fig. 1, green
                        to a state from which it won, against the policy's own action          arrows; Agent Q eq. 4)

These are pure functions of trajectories. They compare only rewards and wins; an expert's marked mistakes decide nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from eefcore.actions import is_thought
from eefcore.errors import ParamsError
from eefcore.selection.algorithm import count_mistakes, outcomes
from eefcore.types import Example, Preference, State, Trajectory


def demonstration_pairs(
    experts: Sequence[Trajectory],
    simulations: Sequence[Trajectory],
    *,
    kind: str,
    demonstrations: str,
    by: str,
) -> list[Preference]:
    """Return the pairs of `kind`: `trajectory` or `beneficial`.

    Args:
        demonstrations: the expert trajectories that whole trajectories are compared with: `positive`, the wins, as
            the paper runs ETO (Table 2, Use Neg); or `all`, so that the policy may be preferred to a failed expert.
            Beneficial actions are looked for in all of them.
        by: how whole trajectories are compared.

    Raises:
        ParamsError: one of the three has an unknown value.
    """
    if kind not in ("trajectory", "beneficial"):
        raise ParamsError(f"08_preferences: pairs {kind!r}; choose trajectory or beneficial")
    if demonstrations not in ("positive", "all"):
        raise ParamsError(f"08_preferences: demonstrations {demonstrations!r}; choose positive or all")
    if kind == "beneficial":
        return beneficial_pairs(experts, simulations)
    return trajectory_pairs([e for e in experts if e.win or demonstrations == "all"], simulations, by)


def trajectory_pairs(
    experts: Sequence[Trajectory], simulations: Iterable[Trajectory], by: str
) -> list[Preference]:
    """Return (τ^w, τ^l) of each task: the better and the worse of the expert's trajectory and the policy's own from s_0.

    Ties give no pair. ETO has one trajectory of each. Of several experts' trajectories the best is compared, the first
    of equals; of the policy's own all are, equal ones once. Simulations from expert states are not the policy's own,
    and those that the infrastructure spoilt have no outcome.
    `by` is `reward`, the final one; or `win`, so that two losses tie whatever their rewards.

    Raises:
        ParamsError: `by` is neither.
    """
    if by not in ("reward", "win"):
        raise ParamsError(f"08_preferences: by {by!r}; choose reward or win")

    def score(t: Trajectory) -> float:
        return t.reward if by == "reward" else float(t.win)

    best: dict[str, Trajectory] = {}
    for e in experts:
        if e.trains_from(0) and (e.task_id not in best or score(e) > score(best[e.task_id])):
            best[e.task_id] = e
    own = {t.state(len(t)): t for t in simulations if _has_outcome(t) and not t.n_expert}
    pairs = []
    for mine in own.values():
        expert = best.get(mine.task_id)
        # Equal actions end equally, unless a limit cut one of the two.
        if expert is None or score(expert) == score(mine) or expert.actions == mine.actions:
            continue
        worse, better = sorted((expert, mine), key=score)
        reason = ", ".join(f"{t.source}: {t.outcome} {t.reward:.2f}" for t in (better, worse))
        margin = score(better) - score(worse)
        pairs.append(
            Preference(chosen=Example(better), rejected=Example(worse), margin=margin, reason=reason)
        )
    return pairs


def beneficial_pairs(experts: Iterable[Trajectory], simulations: Sequence[Trajectory]) -> list[Preference]:
    """Return (a^w, a^l) in states of expert trajectories: the expert's action that helped, and the policy's that failed.

    If the policy lost from an explored state s_i and won from the next explored state s_j, something among
    a_i … a_{j-1} helped. The pair is at the first action in which the expert differs from a simulation that failed from
    s_i, while both are still in one state. Only that action is trained or, if it is a thought, all actions up to the
    first that is no thought; nothing after it, because nobody knows whether it helped.

    This is ours, and so are its limits: two that think in different words and then act alike give no pair, because
    their states differ by the time their acts do. And the helpful action need not be the first different one.
    """
    outcome = outcomes(simulations)
    failed, won = _by_start(simulations, win=False), _by_start(simulations, win=True)
    found: dict[tuple[State, ...], Preference] = {}  # each difference once, whichever simulation showed it
    for expert in experts:
        explored = [i for i in range(len(expert)) if expert.state(i) in outcome]
        for i, j in pairwise(explored):
            before, after = expert.state(i), expert.state(j)
            if outcome[before] is not False or not outcome[after]:
                continue
            for failure in failed[before]:
                if pair := _first_difference(won[after][0], failure, i, j):
                    ends = (e.trajectory.state(e.end) for e in (pair.chosen, pair.rejected))
                    found.setdefault(tuple(ends), pair)
    return list(found.values())


class PairCounts(NamedTuple):
    """The number and quality of pairs; the names are those of the logged keys."""

    n: int  # pairs
    tasks: int  # tasks of these pairs
    from_expert: float  # share of the pairs whose chosen side starts with an expert's action
    margin: float  # mean
    chosen_actions: int  # trained actions of the chosen sides
    rejected_actions: int  # trained actions of the rejected sides
    mistakes: float  # share of the chosen actions that are an expert's marked mistakes


def count_pairs(preferences: Sequence[Preference]) -> PairCounts:
    """Count finished pairs, and the chosen actions that are marked mistakes."""
    chosen = [p.chosen for p in preferences]
    actions = sum(len(e.trained_indices) for e in chosen)
    return PairCounts(
        n=len(chosen),
        tasks=len({e.trajectory.task_id for e in chosen}),
        from_expert=_share(sum(e.first < e.trajectory.n_expert for e in chosen), len(chosen)),
        margin=_share(sum(p.margin for p in preferences), len(chosen)),
        chosen_actions=actions,
        rejected_actions=sum(len(p.rejected.trained_indices) for p in preferences),
        mistakes=_share(count_mistakes(chosen), actions),
    )


def show_pair(preference: Preference) -> str:
    """Return one pair as text to read: its state, and the actions of either side."""
    start = preference.chosen.trajectory.history.at(preference.chosen.first)
    lines = [
        f"task {start.task_id}: {start.at(0).observation}",
        f"after {len(start)} actions: {start.observation}",
        f"({preference.reason})",
    ]
    for name, example in (("chosen", preference.chosen), ("rejected", preference.rejected)):
        t = example.trajectory
        lines += ["", f"{name} ({t.outcome}, reward {t.reward:.2f})"]
        lines += [f"  > {t.actions[i]}" for i in example.trained_indices]
    return "\n".join(lines)


def _first_difference(winner: Trajectory, failure: Trajectory, i: int, j: int) -> Preference | None:
    """Return the pair at the first k of i … j-1 at which the two trajectories differ; None if there is none."""
    steps = range(i, min(j, len(failure)))
    k = next((k for k in steps if winner.actions[k] != failure.actions[k]), None)
    if k is None:
        return None
    until, failed_until = _end_of_act(winner.actions, k, j), _end_of_act(failure.actions, k, len(failure))
    if winner.actions[until - 1] == failure.actions[failed_until - 1]:
        return None
    if not any(step.trained for step in winner.history.steps[k:until]):
        return None
    chosen, rejected = Example(winner, k, until), Example(failure, k, failed_until)
    return Preference(chosen=chosen, rejected=rejected, margin=1.0, reason=f"lost from s_{i}, won from s_{j}")


def _end_of_act(actions: Sequence[str], k: int, end: int) -> int:
    """Return one past the first action from a_k on that is no thought, or `end` if it comes before."""
    return next((n + 1 for n in range(k, end) if not is_thought(actions[n])), end)


def _by_start(simulations: Iterable[Trajectory], *, win: bool) -> Mapping[State, list[Trajectory]]:
    """Return the simulations that were won (or lost), by the state they started from."""
    out: dict[State, list[Trajectory]] = defaultdict(list)
    for t in simulations:
        if _has_outcome(t) and t.win is win:
            out[t.state(t.n_expert)].append(t)
    return out


def _has_outcome(t: Trajectory) -> bool:
    """Return whether an episode has an outcome and at least one action."""
    return len(t) > 0 and not t.stop.infrastructure


def _share(part: float, whole: int) -> float:
    return part / whole if whole else 0.0
