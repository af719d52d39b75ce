"""Where an iteration of EEF explores from (Algorithm 1, lines 6–9).

Algorithm 1          here
line 6               initial_starts    s_0 of every task, once or several times
line 7–9             expert_starts     s_l, s_2l, …, s_Ml of every expert trajectory
                     explore           both, or what a finder asks for in place of the latter
"setting the state"  verified          which expert trajectories can be explored from at all
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from eefcore.errors import EefError, ReplayMismatch
from eefcore.protocols import Benchmark, Sampling
from eefcore.rollout.finder import Finder, Probe
from eefcore.rollout.finders import Fixed
from eefcore.rollout.rollout import Start, replayed
from eefcore.types import History, Trajectory


class Refused(NamedTuple):
    """A trajectory that can't be explored from, and why."""

    trajectory: Trajectory
    reason: str


class Verified(NamedTuple):
    """Trajectories that replay to the letter, and those that do not."""

    kept: list[Trajectory]
    refused: list[Refused]


def temperatures(samples: int, low: float, high: float) -> tuple[float, ...]:
    """`samples` temperatures from `low` to `high` at equal steps, as RFT×6 explores; one sample takes `high`."""
    if samples == 1:
        return (high,)
    return tuple(low + (high - low) * i / (samples - 1) for i in range(samples))


def initial_starts(
    benchmark: Benchmark, tasks: Sequence[str], drawn_at: Sequence[float], *, seed: int
) -> list[Start]:
    """s_0 of every task, once per temperature in `drawn_at` (line 6)."""
    env = benchmark.make()
    at = {task: History(task, env.reset(task)) for task in tasks}
    return [
        Start(at[task], Sampling(t, _seed(seed, at[task], "", sample)), sample)
        for sample, t in enumerate(drawn_at)
        for task in tasks
    ]


def expert_starts(experts: Sequence[Trajectory], M: int, temperature: float, *, seed: int) -> list[Start]:
    """s_l, s_2l, …, s_Ml of every expert trajectory (lines 7–9).

    Two experts that came to the same state by the same actions are two starts, as in the algorithm.
    """
    return [_probed(experts, probe, temperature, seed) for probe in Fixed(experts, M).ask(())]


def explore(
    initial: Sequence[Start],
    finder: Finder,
    play: Callable[[int, list[Start]], list[Trajectory]],
    *,
    temperature: float,
    seed: int,
    coming: Callable[[int], None] = lambda _: None,
) -> list[list[Trajectory]]:
    """D_i, round by round: first `initial` and what `finder` asks for unseen, then what it asks for having seen that.

    A finder that asks for nothing unseen has s_0's outcomes before it chooses; the paper's fixed interval
    needs none, and is one round. It ends when nothing is asked for, or the finder's budget is spent: of what
    is asked for beyond it, the first is played.

    Args:
        play: the simulations of a round from its starts, in the same order. What it gave before it must give
            again (a journal a round): then an exploration that was killed goes on to the same end.
        coming: hears of the number of episodes in each round before it is played.
    """
    rounds: list[list[Trajectory]] = []
    left = finder.budget
    while True:
        asked = finder.ask([*chain.from_iterable(rounds)])[:left]
        starts = [
            *(() if rounds else initial),
            *(_probed(finder.experts, p, temperature, seed) for p in asked),
        ]
        if not starts:
            return rounds
        coming(len(starts))
        rounds.append(play(len(rounds), starts))
        left -= len(asked)


def verified(benchmark: Benchmark, experts: Iterable[Trajectory]) -> Verified:
    """Which trajectories show again, observation by observation, what they recorded (DESIGN: restore is verified)."""
    env, out = benchmark.make(), Verified([], [])
    for trajectory in experts:
        try:
            out.kept.append(replayed(env, trajectory))
        except ReplayMismatch as mismatch:
            out.refused.append(Refused(trajectory, str(mismatch)))
        except EefError as error:  # a task this benchmark does not hold, an action after its end
            out.refused.append(Refused(trajectory, f"{type(error).__name__}: {error}"))
    return out


def _probed(experts: Sequence[Trajectory], probe: Probe, temperature: float, seed: int) -> Start:
    expert = experts[probe.expert]
    history = expert.history.at(probe.step)
    return Start(
        _as_read(history),
        Sampling(temperature, _seed(seed, history, expert.source, probe.sample)),
        probe.sample,
        tuple(m for m in expert.marks if m.step < probe.step),
    )


def _as_read(history: History) -> History:
    """h_t as a policy reads another's: text alone, not the ids that an expert of another vocabulary sampled."""
    steps = tuple(msgspec.structs.replace(s, tokens=(), logps=()) for s in history.steps)
    return msgspec.structs.replace(history, steps=steps)


def _seed(seed: int, history: History, source: str, sample: int) -> int:
    """A seed of this episode's own: equal in every run, whatever else is explored."""
    key = msgspec.json.encode([seed, history.task_id, history.actions, source, sample])
    return int.from_bytes(hashlib.sha256(key).digest()[:6])


class Explored(NamedTuple):
    """What an exploration found; the names are those of the logged keys."""

    n: int  # simulations
    rounds: int  # that they took
    n_expert_states: int  # of them from expert states
    win_rate: float  # from s_0
    win_rate_expert_states: float  # from the states of experts
    newly_solved: float  # share of the tasks that no expert won and a simulation did
    by_expert_states: float  # share of the tasks that only a simulation from an expert's state won
    per_newly_solved: float  # simulations from expert states for each of those; NaN if there is none
    kept_length: float  # mean expert actions of their best solutions; NaN if there is none
    unjudged: int  # simulations the infrastructure spoilt
    refused: int  # expert trajectories that can't be explored from


def explored(
    tasks: Sequence[str],
    experts: Sequence[Trajectory],
    rounds: Sequence[Sequence[Trajectory]],
    refused: Sequence[Refused],
) -> Explored:
    """Counts of D_i over C_train. Simulations that the infrastructure spoilt are counted, and in no denominator."""
    simulations = [*chain.from_iterable(rounds)]
    judged = [t for t in simulations if not t.stop.infrastructure]
    initial = [t for t in judged if not t.n_expert]
    later = [t for t in judged if t.n_expert]
    known = {t.task_id for t in experts if t.win}
    alone = {t.task_id for t in initial if t.win}
    helped = {t.task_id for t in later if t.win}
    only = helped - alone - known
    kept = [min(t.n_expert for t in later if t.win and t.task_id == task) for task in only]
    n_later = sum(t.n_expert > 0 for t in simulations)
    return Explored(
        n=len(simulations),
        rounds=len(rounds),
        n_expert_states=n_later,
        win_rate=_share(sum(t.win for t in initial), len(initial)),
        win_rate_expert_states=_share(sum(t.win for t in later), len(later)),
        newly_solved=_share(len((alone | helped) - known), len(tasks)),
        by_expert_states=_share(len(only), len(tasks)),
        per_newly_solved=n_later / len(only) if only else math.nan,
        kept_length=sum(kept) / len(only) if only else math.nan,
        unjudged=len(simulations) - len(judged),
        refused=len(refused),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
