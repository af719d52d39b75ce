"""Run π_θ from any history, many episodes at once (EEF Algorithm 1, lines 6–9)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from eefcore.errors import ReplayMismatch
from eefcore.protocols import Environment, Policy, Sampling
from eefcore.types import History, Mistake, StopReason, Trajectory, Transition


class Start(NamedTuple):
    """Where an episode begins, how its actions are drawn, and which of several samples it is.

    `marks` are the mistakes in what came before, passed on for analysis.
    """

    history: History
    sampling: Sampling = Sampling()
    sample: int = 0
    marks: tuple[Mistake, ...] = ()


def rollout(
    policy: Policy,
    make_env: Callable[[], Environment],
    starts: Sequence[Start],
    *,
    max_turns: int,
    finished: Callable[[Trajectory], None] = lambda _: None,
) -> list[Trajectory]:
    """τ ~ π_θ(· | h) for each start h, in the same order.

    What is already in h stays at the head of τ and is counted in `n_expert`. `max_turns` counts
    all of τ, the head included, as the environments of the papers do. `finished` hears of each
    episode as it ends, for progress.

    Raises:
        ReplayMismatch: an environment restored to a start does not show what the start saw.
    """
    envs = [restored(make_env(), start.history) for start in starts]
    histories = [start.history for start in starts]
    ended: list[Trajectory | None] = [None] * len(starts)

    def end(i: int, reward: float, stop: StopReason) -> None:
        start = starts[i]
        policy.close(i)
        ended[i] = Trajectory(
            history=histories[i],
            reward=reward,
            n_expert=len(start.history),
            source=policy.name,
            stop=stop,
            sample=start.sample,
            temperature=start.sampling.temperature,
            marks=start.marks,
        )
        finished(ended[i])

    def ask(i: int) -> None:
        if len(histories[i]) >= max_turns:
            end(i, 0.0, StopReason.TURN_LIMIT)
        else:
            policy.ask(i, histories[i], starts[i].sampling)

    for i in range(len(starts)):
        ask(i)
    while answers := policy.answers():
        for i, answer in answers:
            reply = answer.clean()
            if reply.stop is not None:
                end(i, 0.0, reply.stop)
                continue
            seen: Transition = envs[i].step(reply.action)
            histories[i] = histories[i].then(reply.action, seen.observation, reply.tokens, reply.logps)
            if seen.done:
                end(i, seen.reward, StopReason.DONE)
            else:
                ask(i)
    return [t for t in ended if t is not None]


def restored(env: Environment, start: History) -> Environment:
    """`env`, being where `start` was recorded, and having shown what it saw."""
    seen = env.restore(start.state)
    if seen != start.observation:
        raise ReplayMismatch(
            f"{start.task_id}: after {len(start)} actions the environment shows {seen!r}, "
            f"the history {start.observation!r}; was it recorded in another version?"
        )
    return env


def replayed(env: Environment, trajectory: Trajectory) -> Trajectory:
    """`trajectory` itself, every observation and the reward compared with what `env` shows now.

    Files of others often end with the last action. An answer to it that was not recorded is filled in.

    Leaves a snapshot of each s_i, so that exploring from them is quick.

    Raises:
        ReplayMismatch: at the first step that differs; the trajectory can't be explored from.
    """
    seen, reward = env.reset(trajectory.task_id), 0.0
    for i, step in enumerate(trajectory.history.steps):
        _same(trajectory, i, step.observation, seen)
        env.snapshot()
        seen, reward, _ = env.step(step.action)
    if not trajectory.history.observation and seen and trajectory.history.steps:
        history = msgspec.structs.replace(trajectory.history, observation=seen)
        trajectory = msgspec.structs.replace(trajectory, history=history)
    _same(trajectory, len(trajectory), trajectory.history.observation, seen)
    if reward != trajectory.reward:
        raise ReplayMismatch(
            f"{trajectory.task_id}: replayed to reward {reward}, recorded {trajectory.reward}; "
            "was it scored with other goals or another noun tagger?"
        )
    return trajectory


def _same(trajectory: Trajectory, i: int, recorded: str, seen: str) -> None:
    if recorded != seen:
        raise ReplayMismatch(
            f"{trajectory.task_id}: o_{i} is now {seen!r}, recorded {recorded!r}; "
            "the catalogue, the goals or the interface changed since"
        )
