"""Play a policy from any history, many episodes at once (EEF Algorithm 1, lines 6 and 9: τ ~ π_θ(· | s))."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import msgspec

from eefcore.errors import ReplayMismatch
from eefcore.protocols import Environment, Policy, Sampling
from eefcore.types import History, Mistake, StopReason, Trajectory


class Start(NamedTuple):
    """Where an episode begins, how its actions are sampled, and which of several samples it is.

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
    the head included, as the environments of the papers do. `on_end` is called with each episode as it ends.

    Raises:
        ReplayMismatch: an environment that was restored to a start shows another observation than the start recorded.
    """
    episodes: dict[Hashable, _Episode] = {
        i: _Episode(start, restore(make_env(), start.history)) for i, start in enumerate(starts)
    }
    ended: dict[Hashable, Trajectory] = {}

    def ask(key: Hashable) -> None:
        episode = episodes[key]
        if len(episode.history) >= max_turns:
            end(key, 0.0, StopReason.TURN_LIMIT)
        else:
            policy.ask(key, episode.history, episode.start.sampling)

    def end(key: Hashable, reward: float, stop: StopReason) -> None:
        policy.close(key)
        ended[key] = trajectory = episodes[key].trajectory(policy.name, reward, stop)
        on_end(trajectory)

    for key in episodes:
        ask(key)
    while answers := policy.answers():
        for key, answer in answers:
            reply = answer.clean()
            if reply.stop is not None:
                end(key, 0.0, reply.stop)
                continue
            episode = episodes[key]
            result = episode.env.step(reply.action)
            episode.history = episode.history.then(
                reply.action, result.observation, reply.tokens, reply.logps
            )
            if result.done:
                end(key, result.reward, StopReason.DONE)
            else:
                ask(key)
    return [ended[key] for key in episodes if key in ended]


class _Episode:
    """An episode in play: its start, its environment, and the history so far."""

    def __init__(self, start: Start, env: Environment) -> None:
        self.start, self.env, self.history = start, env, start.history

    def trajectory(self, source: str, reward: float, stop: StopReason) -> Trajectory:
        """Return τ once the episode has ended."""
        return Trajectory(
            history=self.history,
            reward=reward,
            n_expert=len(self.start.history),
            source=source,
            stop=stop,
            sample=self.start.sample,
            temperature=self.start.sampling.temperature,
            marks=self.start.marks,
        )


def restore(env: Environment, history: History) -> Environment:
    """Restore `env` to the state of `history`, compare its observation with the recorded one, and return it.

    Raises:
        ReplayMismatch: the two observations differ.
    """
    observation = env.restore(history.state)
    if observation != history.observation:
        raise ReplayMismatch(
            f"{history.task_id}: after {len(history)} actions the environment shows {observation!r}, "
            f"the history {history.observation!r}; was it recorded in another version?"
        )
    return env


def replay(env: Environment, trajectory: Trajectory) -> Trajectory:
    """Replay `trajectory` in `env`, compare every observation and the reward with the record, and return it.

    Trajectories from elsewhere often end with the last action; if no answer to it was recorded, the returned
    trajectory has the one that `env` gives. The replay leaves a snapshot of each s_i, so that exploring from there
    is quick.

    Raises:
        ReplayMismatch: at the first difference; nothing can be explored from such a trajectory.
    """
    observation, reward = env.reset(trajectory.task_id), 0.0
    for i, step in enumerate(trajectory.history.steps):
        _check_observation(trajectory, i, step.observation, observation)
        env.snapshot()
        observation, reward, _ = env.step(step.action)
    if not trajectory.history.observation and observation and trajectory.history.steps:
        history = msgspec.structs.replace(trajectory.history, observation=observation)
        trajectory = msgspec.structs.replace(trajectory, history=history)
    _check_observation(trajectory, len(trajectory), trajectory.history.observation, observation)
    if reward != trajectory.reward:
        raise ReplayMismatch(
            f"{trajectory.task_id}: replayed to reward {reward}, recorded {trajectory.reward}; "
            "was it scored with other goals or another noun tagger?"
        )
    return trajectory


def _check_observation(trajectory: Trajectory, i: int, recorded: str, observation: str) -> None:
    if recorded != observation:
        raise ReplayMismatch(
            f"{trajectory.task_id}: o_{i} is now {observation!r}, recorded {recorded!r}; "
            "the catalogue, the goals or the interface changed since"
        )
