"""What a set of evaluated trajectories says of a method (EEF Tables 3 and 4, Figure 2), with intervals.

    win_rate, mean_reward          Table 3
    navigation                     Figure 2 (success), Table 4 (success and attempts)
    outcomes                       why episodes ended
    win_rate_by                    win rate by difficulty
    compare                        two methods on the same tasks

Functions take one sequence of trajectories a seed, `win_rate(seed_0, seed_1, …)`, all over one panel of tasks, one
trajectory a task. An episode lost to the infrastructure leaves the denominator; `outcomes` counts it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from eefcore.errors import CardMismatch
from eefcore.evaluation import stats
from eefcore.evaluation.stats import Array, Difference, Estimate
from eefcore.protocols import Skill
from eefcore.types import Card, Trajectory

Run = Sequence[Trajectory]  # of one seed
K = TypeVar("K", bound=Hashable)


class Evaluation(NamedTuple):
    """A method's trajectories on a panel, a run a seed, and the card of where they were measured."""

    method: str
    card: Card
    runs: tuple[Run, ...]
    seeds: tuple[int, ...] = ()  # which they are, where methods may have different ones


class SkillRates(NamedTuple):
    """How a navigation skill fares: tasks won by a trajectory that uses it, and tasks where it was used."""

    success: Estimate
    attempt: Estimate


class Comparison(NamedTuple):
    """a against b on the same tasks; `needed_n` is the panel that would tell a win gap of this size (None: no gap)."""

    wins: Difference
    reward: Difference
    needed_n: int | None


def win_rate(*runs: Run) -> Estimate:
    """Share of tasks with R(τ) = 1, in [0, 1]."""
    return stats.rate(scores(runs, _won))


def mean_reward(*runs: Run) -> Estimate:
    """Mean of R(τ), in [0, 1]; cut-short episodes have 0."""
    return stats.mean(scores(runs, _reward))


def navigation_rates(skills: Mapping[str, Skill], *runs: Run) -> dict[str, SkillRates]:
    """Success and attempt rate of each skill, named by the environment (`protocols.Benchmark.skills`).

    Only what the method itself did counts (`uses`).
    """
    return {
        name: SkillRates(
            stats.rate(scores(runs, lambda t, skill=skill: float(t.win and uses_skill(t, skill)))),
            stats.rate(scores(runs, lambda t, skill=skill: float(uses_skill(t, skill)))),
        )
        for name, skill in skills.items()
    }


def uses_skill(trajectory: Trajectory, skill: Skill) -> bool:
    """Whether who is measured uses `skill`: the policy, in a_{n_expert} on; an expert that acted to the end, anywhere."""
    own = 0 if trajectory.n_expert == len(trajectory) else trajectory.n_expert
    return any(i >= own for i in skill(trajectory.history))


def outcomes(*runs: Run) -> Counter[str]:
    """How often each outcome came about, over all seeds: `win`, `loss`, `turn_limit`, …, `model_failure`."""
    return Counter(t.outcome for run in runs for t in run)


def win_rate_by(group: Mapping[str, K], *runs: Run) -> dict[K, Estimate]:
    """Win rate within each group of tasks, groups in order: `group` is a task id's difficulty.

    Raises:
        ValueError: a task has no group.
    """
    if missing := {t.task_id for run in runs for t in run} - set(group):
        raise ValueError(
            f"{len(missing)} tasks have no group, {min(missing)} is one; give each task its difficulty"
        )
    return {
        key: win_rate(*([t for t in run if group[t.task_id] == key] for run in runs))
        for key in sorted({group[t.task_id] for run in runs for t in run})
    }


def win_rate_by_step(simulations: Run) -> dict[int, Estimate]:
    """Win rate of τ_{s_i} by i, the step of the expert that a simulation started from; several may start alike."""
    judged = [t for t in simulations if not t.stop.infrastructure]
    return {
        step: stats.rate(np.array([[_won(t) for t in judged if t.n_expert == step]]))
        for step in sorted({t.n_expert for t in judged})
    }


def summary(run: Run, skills: Mapping[str, Skill]) -> dict[str, float | int]:
    """A panel in the keys that evaluations log (results/README.md): Tables 3 and 4."""
    wins, reward = win_rate(run), mean_reward(run)
    told = {
        "eval/win_rate": wins.value,
        "eval/win_rate_low": wins.low,
        "eval/win_rate_high": wins.high,
        "eval/reward": reward.value,
        "eval/n": wins.n,
        "eval/n_unjudged": sum(t.stop.infrastructure for t in run),
        "eval/steps": sum(map(len, run)) / len(run),
    }
    for name, skill in navigation_rates(skills, run).items():
        key = "_".join(name.lower().split())
        told[f"nav/{key}_success"] = skill.success.value
        told[f"nav/{key}_attempt"] = skill.attempt.value
    return told


def compare(a: Evaluation, b: Evaluation) -> Comparison:
    """a - b: win rate (McNemar's exact p for one seed, paired bootstrap for more) and reward (paired bootstrap).

    Where both say which seeds they have, those are compared that both have.

    Raises:
        CardMismatch: they were measured in different environments.
        ValueError: they played different tasks, or numbers of seeds that can't be paired.
    """
    if a.card.key != b.card.key:
        raise CardMismatch(
            f"{a.method} was measured under the card {a.card.key}, {b.method} under {b.card.key}: "
            f"{', '.join(_differences(a.card, b.card))} differ; evaluate both in one environment"
        )
    a, b = _common(a, b)
    panel = _panel(a.runs)
    if set(panel) != set(_panel(b.runs)):
        raise ValueError(
            f"{a.method} played {len(panel)} tasks, {b.method} {len(_panel(b.runs))}, "
            f"{len(set(panel) & set(_panel(b.runs)))} in common; evaluate both on one panel"
        )
    won_a, won_b = scores(a.runs, _won, panel), scores(b.runs, _won, panel)
    wins = stats.difference(won_a, won_b)
    apart = won_a - won_b
    discordant = float(np.nanmean(np.abs(apart))) if wins.n else 0.0
    return Comparison(
        wins,
        stats.difference(scores(a.runs, _reward, panel), scores(b.runs, _reward, panel)),
        stats.needed_n(wins.value, discordant) if wins.n else None,
    )


def skill_win_ratio(a: Evaluation, b: Evaluation, skill: Skill) -> Estimate:
    """How many times as many tasks a wins by using `skill` as b does; as `compare` pairs them."""
    a, b = _common(a, b)
    panel = _panel(a.runs)

    def won(runs: Sequence[Run]) -> Array:
        return scores(runs, lambda t: float(t.win and uses_skill(t, skill)), panel)

    return stats.ratio(won(a.runs), won(b.runs))


def scores(
    runs: Sequence[Run], score: Callable[[Trajectory], float], panel: Sequence[str] | None = None
) -> Array:
    """Values [R, T] of `score`, tasks in the order of `panel` (or of the first run), NaN for infrastructure failures.

    Raises:
        ValueError: the runs played different tasks, or one of them a task twice.
    """
    tasks = _panel(runs) if panel is None else panel
    out = np.full((len(runs), len(tasks)), np.nan)
    place = {task: i for i, task in enumerate(tasks)}
    for values, run in zip(out, runs, strict=True):
        for t in run:
            if not t.stop.infrastructure:
                values[place[t.task_id]] = score(t)
    return out


def _common(a: Evaluation, b: Evaluation) -> tuple[Evaluation, Evaluation]:
    if not a.seeds or not b.seeds:
        return a, b
    seeds = tuple(seed for seed in a.seeds if seed in b.seeds)
    if not seeds:
        raise ValueError(
            f"{a.method} has the seeds {a.seeds}, {b.method} {b.seeds}, none in common; run one more of either"
        )
    of_a, of_b = (dict(zip(e.seeds, e.runs, strict=True)) for e in (a, b))
    return (
        a._replace(runs=tuple(of_a[s] for s in seeds), seeds=seeds),
        b._replace(runs=tuple(of_b[s] for s in seeds), seeds=seeds),
    )


def _panel(runs: Sequence[Run]) -> tuple[str, ...]:
    if not runs:
        raise ValueError("no run was given; a seed that judged nothing is an empty list")
    panels = [tuple(t.task_id for t in run) for run in runs]
    for seed, panel in enumerate(panels):
        if len(set(panel)) < len(panel):
            twice, _ = Counter(panel).most_common(1)[0]
            raise ValueError(
                f"seed {seed} holds {twice} more than once; evaluate one episode a task, or give samples as runs"
            )
        if set(panel) != set(panels[0]):
            odd = min(set(panel) ^ set(panels[0]))
            raise ValueError(
                f"seeds 0 and {seed} played different tasks, {odd} is one; evaluate all on one panel"
            )
    return panels[0]


def _won(t: Trajectory) -> float:
    return float(t.win)


def _reward(t: Trajectory) -> float:
    return t.reward


def _differences(a: Card, b: Card) -> list[str]:
    facts = sorted(k for k in {*a.facts, *b.facts} if a.facts.get(k) != b.facts.get(k))
    return (["name"] if a.name != b.name else []) + facts
