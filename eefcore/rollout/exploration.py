"""Explore in one iteration of EEF: make the starts of Algorithm 1, lines 6-9, play them, and count what they found."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from eefcore.errors import EefError, ReplayMismatch, UnknownTask
from eefcore.protocols import Benchmark, Sampling
from eefcore.rollout.finders import Finder, Fixed, Probe
from eefcore.rollout.rollout import Start, replay
from eefcore.types import History, Trajectory, Value


class RefusedTrajectory(NamedTuple):
    """A trajectory that nothing can be explored from, and why."""

    trajectory: Trajectory
    reason: str


class ReplayCheck(NamedTuple):
    """The trajectories that replay exactly, and those that nothing can be explored from."""

    replayable: list[Trajectory]
    refused: list[RefusedTrajectory]


def temperatures(samples: int, low: float, high: float) -> tuple[float, ...]:
    """Return `samples` temperatures from `low` to `high` at equal steps, as RFT×6 explores; one sample takes `high`."""
    if samples == 1:
        return (high,)
    return tuple(low + (high - low) * i / (samples - 1) for i in range(samples))


def initial_starts(
    benchmark: Benchmark, tasks: Sequence[str], at_temperatures: Sequence[float], *, seed: int
) -> list[Start]:
    """Return s_0 of every task as a start, once for each of `at_temperatures` (line 6)."""
    env = benchmark.make()
    histories = {task: History(task, env.reset(task)) for task in tasks}
    return [
        Start(histories[task], Sampling(t, _episode_seed(seed, histories[task], "", sample)), sample)
        for sample, t in enumerate(at_temperatures)
        for task in tasks
    ]


def expert_starts(experts: Sequence[Trajectory], M: int, temperature: float, *, seed: int) -> list[Start]:
    """Return s_l, s_2l, …, s_Ml of every expert trajectory as starts (lines 7-9).

    Two experts that came to one state by the same actions give two starts, as in the algorithm.
    """
    return [_probe_start(experts, probe, temperature, seed) for probe in Fixed(experts, M).ask(())]


def explore(
    initial: Sequence[Start],
    finder: Finder,
    play: Callable[[int, list[Start]], list[Trajectory]],
    *,
    temperature: float,
    seed: int,
    on_round: Callable[[int], None] = lambda _: None,
) -> list[list[Trajectory]]:
    """Return D_i round by round: `initial` and the finder's first probes, then its probes after each round (lines 6-9).

    A finder that asks for nothing in the first round knows the outcomes at s_0 before it chooses; the paper's fixed
    interval needs none, and takes one round. Exploration ends when the finder asks for nothing, or its budget is
    spent; of a request beyond the budget, the first probes are played.

    Args:
        play: plays a round from its number and its starts, and returns the simulations in the same order. It must
            return the same simulations when called again (a journal a round); then an exploration that was killed
            continues to the same end.
        on_round: called with the number of episodes of each round before it is played.
    """
    rounds: list[list[Trajectory]] = []
    budget = finder.budget
    while True:
        probes = finder.ask([*chain.from_iterable(rounds)])[:budget]
        starts = [
            *(() if rounds else initial),
            *(_probe_start(finder.experts, p, temperature, seed) for p in probes),
        ]
        if not starts:
            return rounds
        on_round(len(starts))
        rounds.append(play(len(rounds), starts))
        budget -= len(probes)


def check_replays(benchmark: Benchmark, experts: Iterable[Trajectory]) -> ReplayCheck:
    """Replay each trajectory, and return those that show every recorded observation and those that do not."""
    env, check = benchmark.make(), ReplayCheck([], [])
    for trajectory in experts:
        try:
            check.replayable.append(replay(env, trajectory))
        except ReplayMismatch as mismatch:
            check.refused.append(RefusedTrajectory(trajectory, str(mismatch)))
        except UnknownTask as error:
            reason = f"asks for no task of this benchmark: {error}"
            check.refused.append(RefusedTrajectory(trajectory, reason))
        except EefError as error:  # an action after the end
            check.refused.append(RefusedTrajectory(trajectory, f"{type(error).__name__}: {error}"))
    return check


USES = ("task", "source", "sample", "actions", "outcome", "use", "why not explored")
"""The columns of `list_uses`."""


def list_uses(
    trajectories: Iterable[Trajectory],
    kept: Iterable[Trajectory],
    check: ReplayCheck,
    unread: Iterable[tuple[str, str]] = (),
) -> list[list[Value]]:
    """Return a row for each expert trajectory: `explore`, `only clone` or `held out`, and why nothing is explored from it.

    `kept` are those of `trajectories` that are of no dev or test task, of which `check` says what replays. `unread` are the
    places of records that can't be read, with the reasons: `left out`.
    """
    reasons = {id(t): reason for t, reason in check.refused}
    cloned = {id(t) for t in kept}
    return [
        [t.task_id, t.source, t.sample, len(t), t.outcome, *_use(id(t), cloned, reasons)]
        for t in trajectories
    ] + [[place, "", 0, 0, "unread", "left out", reason] for place, reason in unread]


def _use(trajectory: int, cloned: Collection[int], reasons: Mapping[int, str]) -> tuple[str, str]:
    if trajectory not in cloned:
        return "held out", "a task of the dev or test panel: nothing is trained on it"
    if trajectory in reasons:
        return "only clone", reasons[trajectory]
    return "explore", ""


def _probe_start(experts: Sequence[Trajectory], probe: Probe, temperature: float, seed: int) -> Start:
    expert = experts[probe.expert]
    history = expert.history.at(probe.step)
    # Without token ids: those that an expert sampled belong to another vocabulary.
    steps = tuple(msgspec.structs.replace(s, tokens=(), logps=()) for s in history.steps)
    return Start(
        msgspec.structs.replace(history, steps=steps),
        Sampling(temperature, _episode_seed(seed, history, expert.source, probe.sample)),
        probe.sample,
        tuple(m for m in expert.marks if m.step < probe.step),
    )


def _episode_seed(seed: int, history: History, source: str, sample: int) -> int:
    """Return the seed of one episode: the same in every run, whatever else is explored."""
    key = msgspec.json.encode([seed, history.task_id, history.actions, source, sample])
    return int.from_bytes(hashlib.sha256(key).digest()[:6])


class ExplorationCounts(NamedTuple):
    """Counts of what an exploration found; the names are those of the logged keys."""

    n: int  # simulations
    rounds: int  # rounds that they took
    n_expert_states: int  # simulations from expert states
    win_rate: float  # from s_0
    win_rate_expert_states: float  # from the states of experts
    newly_solved: float  # share of the tasks that no expert won and a simulation did
    by_expert_states: float  # share of the tasks that only a simulation from an expert's state won
    per_newly_solved: float  # simulations from expert states for each of those; NaN if there is none
    kept_length: float  # mean expert actions of their best solutions; NaN if there is none
    unjudged: int  # simulations that the infrastructure spoilt
    refused: int  # expert trajectories that nothing can be explored from


def count_exploration(
    tasks: Sequence[str],
    experts: Sequence[Trajectory],
    rounds: Sequence[Sequence[Trajectory]],
    refused: Sequence[RefusedTrajectory],
) -> ExplorationCounts:
    """Count D_i over C_train. Simulations that the infrastructure spoilt are counted, and in no denominator."""
    simulations = [*chain.from_iterable(rounds)]
    judged = [t for t in simulations if not t.stop.infrastructure]
    from_start = [t for t in judged if not t.n_expert]
    from_expert = [t for t in judged if t.n_expert]
    by_experts = {t.task_id for t in experts if t.win}
    by_policy = {t.task_id for t in from_start if t.win}
    with_expert = {t.task_id for t in from_expert if t.win}
    only_with_expert = with_expert - by_policy - by_experts
    lengths = [
        min(t.n_expert for t in from_expert if t.win and t.task_id == task) for task in only_with_expert
    ]
    n_expert_states = sum(t.n_expert > 0 for t in simulations)
    return ExplorationCounts(
        n=len(simulations),
        rounds=len(rounds),
        n_expert_states=n_expert_states,
        win_rate=_share(sum(t.win for t in from_start), len(from_start)),
        win_rate_expert_states=_share(sum(t.win for t in from_expert), len(from_expert)),
        newly_solved=_share(len((by_policy | with_expert) - by_experts), len(tasks)),
        by_expert_states=_share(len(only_with_expert), len(tasks)),
        per_newly_solved=n_expert_states / len(only_with_expert) if only_with_expert else math.nan,
        kept_length=sum(lengths) / len(only_with_expert) if only_with_expert else math.nan,
        unjudged=len(simulations) - len(judged),
        refused=len(refused),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
