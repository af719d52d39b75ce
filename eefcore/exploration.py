"""Where an iteration of EEF explores from (Algorithm 1, lines 6–9).

Algorithm 1          here
line 6               initial_starts    s_0 of every task, once or several times
line 7–9             expert_starts     s_l, s_2l, …, s_Ml of every expert trajectory
"setting the state"  verified          which expert trajectories can be explored from at all
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from eefcore.errors import EefError, ReplayMismatch
from eefcore.protocols import Benchmark, Sampling
from eefcore.rollout import Start, replayed
from eefcore.selection import explored_steps
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
    return [
        Start(
            _as_read(e.history.at(i)),
            Sampling(temperature, _seed(seed, e.history.at(i), e.source, 0)),
            marks=tuple(m for m in e.marks if m.step < i),
        )
        for e in experts
        for i in explored_steps(len(e), M)
    ]


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
    win_rate: float  # from s_0
    win_rate_expert_states: float  # from s_l … s_Ml
    newly_solved: float  # share of the tasks that no expert won and a simulation did
    by_expert_states: float  # share of the tasks that only a simulation from an expert's state won
    unjudged: int  # simulations the infrastructure spoilt
    refused: int  # expert trajectories that can't be explored from


def explored(
    experts: Sequence[Trajectory], simulations: Sequence[Trajectory], refused: Sequence[Refused]
) -> Explored:
    """Counts of D_i. Simulations that the infrastructure spoilt are counted, and in no denominator."""
    judged = [t for t in simulations if not t.stop.infrastructure]
    initial = [t for t in judged if not t.n_expert]
    later = [t for t in judged if t.n_expert]
    tasks = {t.task_id for t in experts}
    known = {t.task_id for t in experts if t.win}
    alone = {t.task_id for t in initial if t.win}
    helped = {t.task_id for t in later if t.win}
    return Explored(
        n=len(simulations),
        win_rate=_share(sum(t.win for t in initial), len(initial)),
        win_rate_expert_states=_share(sum(t.win for t in later), len(later)),
        newly_solved=_share(len((alone | helped) - known), len(tasks)),
        by_expert_states=_share(len(helped - alone - known), len(tasks)),
        unjudged=len(simulations) - len(judged),
        refused=len(refused),
    )


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
