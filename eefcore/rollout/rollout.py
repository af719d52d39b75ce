"""Play a policy from any history, many episodes at once (EEF Algorithm 1, lines 6 and 9: τ ~ π_θ(· | s))."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from eefcore.errors import ReplayMismatch, SimulatorError
from eefcore.protocols import Environment, Policy, Sampling, Usage
from eefcore.types import History, Mistake, StopReason, Trajectory


class Start(NamedTuple):
    """The start of an episode: its history, how its actions are sampled, and its number among several samples.

    `marks` are the mistakes in the actions before the start, kept for analysis.
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
    on_end: Callable[[Trajectory], None] = lambda _: None,
) -> list[Trajectory]:
    """Sample τ ~ π_θ(· | h) for each start h; return the trajectories in the order of the starts.

    The actions of h stay at the head of τ and are counted in `n_expert`. `max_turns` counts all actions of τ,
    the head included, as the environments of the papers do. `on_end` is called with each episode as it ends. One whose
    environment fails on the way ends as an environment failure: it is counted, and in no denominator.

    Raises:
        ReplayMismatch: an environment that was restored to a start shows another observation than the start recorded.
    """
    episodes: dict[Hashable, _Episode] = {
        i: _Episode(start, restore(make_env(), start.history), start.history)
        for i, start in enumerate(starts)
    }
    ended: dict[Hashable, Trajectory] = {}

    def ask(key: Hashable) -> None:
        episode = episodes[key]
        if len(episode.history) >= max_turns:
            end(key, 0.0, StopReason.TURN_LIMIT)
        else:
            policy.ask(key, episode.history, episode.start.sampling)

    def end(key: Hashable, reward: float, stop: StopReason, reason: str = "", refused: str = "") -> None:
        policy.close(key)
        episode = episodes[key]
        ended[key] = trajectory = Trajectory(
            history=episode.history,
            reward=reward,
            n_expert=len(episode.start.history),
            source=policy.name,
            stop=stop,
            reason=reason,
            refused_answer=refused,
            sample=episode.start.sample,
            temperature=episode.start.sampling.temperature,
            marks=episode.start.marks,
            money=episode.usage.money,
            tokens_read=episode.usage.tokens_read,
            tokens_written=episode.usage.tokens_written,
        )
        on_end(trajectory)

    for key in episodes:
        ask(key)
    while answers := policy.answers():
        for key, answer in answers:
            reply, episode = answer.clean(), episodes[key]
            episode.usage = episode.usage.plus(reply.usage)
            if reply.stop is not None:
                end(key, 0.0, reply.stop, reply.reason, reply.refused_answer)
                continue
            try:
                result = episode.env.step(reply.action)
            except SimulatorError as error:
                end(key, 0.0, StopReason.ENVIRONMENT_FAILURE, str(error))
                continue
            episode.history = episode.history.then(
                reply.action, result.observation, reply.tokens, reply.logps
            )
            if result.done:
                end(key, result.reward, StopReason.DONE)
            else:
                ask(key)
    return [ended[key] for key in episodes if key in ended]


@dataclass
class _Episode:
    """An episode in play, with its history so far."""

    start: Start
    env: Environment
    history: History
    usage: Usage = field(default_factory=Usage)


def restore(env: Environment, history: History) -> Environment:
    """Restore `env` to the state of `history`, and return it; raise ReplayMismatch if it shows another observation."""
    _check_observation(history, env.restore(history.state))
    return env


def replay(env: Environment, trajectory: Trajectory) -> Trajectory:
    """Replay `trajectory` in `env`, compare every observation and the reward with the record, and return it.

    Trajectories from elsewhere often end with the last action; if no answer to it was recorded, the returned
    trajectory has the one that `env` gives. The replay leaves a snapshot of each s_i, so that exploring from there
    is quick.

    Raises:
        ReplayMismatch: at the first difference; nothing can be explored from such a trajectory.
    """
    history = trajectory.history
    observation, reward = env.reset(history.task_id), 0.0
    for i, step in enumerate(history.steps):
        _check_observation(history.at(i), observation)
        env.snapshot()
        observation, reward, _ = env.step(step.action)
    if not history.observation and observation and history.steps:
        history = msgspec.structs.replace(history, observation=observation)
        trajectory = msgspec.structs.replace(trajectory, history=history)
    _check_observation(history, observation)
    if reward != trajectory.reward:
        raise ReplayMismatch(
            f"{trajectory.task_id}: replayed to reward {reward}, recorded {trajectory.reward}; "
            "was it scored with other goals or another noun tagger?"
        )
    return trajectory


def _check_observation(history: History, observation: str) -> None:
    if history.observation != observation:
        raise ReplayMismatch(
            f"{history.task_id}: o_{len(history)} is now {observation!r}, recorded {history.observation!r}; was it "
            "recorded in another version, or did the catalogue, the goals or the interface change since?"
        )
