"""Replay AgentTraj-L's ScienceWorld trajectories, the demonstrations of EEF §4.1, in today's simulator.

The file (`sciworld_train.json`: 2,120 conversations with `item_id: sciworld_<data_idx>`, no reward) was recorded with a
simulator older than any that is published: a third of it does not run as it is written. Three spellings are repaired
where the simulator does not take an action (OSU-NLP-Group/EarlyExperience, envs/scienceworld):

    room       `green house` is `greenhouse`
    terminal   `connect X terminal 1 to …` of what is no wire is `connect X to …`
    typo       `cachew`, `sandwhich`

An episode is won if it wins when it is replayed, as it is written or else repaired. Both are counted: Table 1's 1,489
positive trajectories of 2,120 are about as many as win as written (1,494), and 2,038 win when repaired, so the paper's
"expert failures" here may be names that have changed, and no mistakes of GPT-4's.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from eefcore.envs.sciworld import SciWorldBenchmark
from eefcore.envs.sciworld.env import simulator_command
from eefcore.envs.sciworld.tasks import agentgym_task
from eefcore.errors import DataError, UnknownTask
from eefcore.experts.foreign.formats import Episode, RefusedRecord, parse_file, require_some
from eefcore.experts.sciworld.scene import first_scene, next_scene
from eefcore.types import History, StopReason, Trajectory

Repair = Callable[[str], str]


def _repair_terminal(action: str) -> str:
    thought, mark, command = action.rpartition("Action:")
    connect = re.match(r"(\s*connect )(?!.*\bwire\b.* terminal 1 to )(.+?) terminal 1 to ", command, re.S)
    return f"{thought}{mark}{connect[1]}{connect[2]} to {command[connect.end() :]}" if connect else action


REPAIRS: dict[str, Repair] = {
    "room": lambda text: text.replace("green house", "greenhouse"),
    "terminal": _repair_terminal,
    "typo": lambda text: text.replace("cachew", "cashew").replace("sandwhich", "sandwich"),
}
"""Each takes an action's text, thought included, and returns it as it is spelt today."""


_WON_AS_WRITTEN = "won as written"
_CHANGED = "trajectories that show something else today"  # spelling aside
_REFUSED = "trajectories with an action that is not taken today"
_AFTER_END = "actions after the end"
_OTHER_TASK = "records of other tasks"
_MISNUMBERED = "records whose number names a task that they do not ask for"
_UNREADABLE = "records that can't be read"
_COUNTS = (
    "won",
    _WON_AS_WRITTEN,
    *(f"actions repaired: {name}" for name in REPAIRS),
    _CHANGED,
    _REFUSED,
    _AFTER_END,
    _OTHER_TASK,
    _MISNUMBERED,
    _UNREADABLE,
)


class AgentTraj(NamedTuple):
    """The trajectories of a file, of tasks of the benchmark and as they play today.

    Attributes:
        counts: by what is counted.
        refused: the records that are left out, each with its place in the file and the reason.
    """

    trajectories: list[Trajectory]
    counts: dict[str, int]
    refused: list[RefusedRecord]


def read_agenttraj(path: Path, benchmark: SciWorldBenchmark, *, repair: bool = True) -> AgentTraj:
    """Read a file in AgentGym's format, and replay its trajectories.

    A record that asks for something else than the task of its number, and does not win it, is left out with that reason: a
    file may count the kinds of task otherwise than the server does. Its words can't say which task it is instead, since
    many variations ask for the same. So are records of other tasks, and those that can't be read.

    Args:
        repair: whether to repair what does not win as it is written.

    Raises:
        DataError: the file is not of that format, or no id in it is a `sciworld_<data_idx>`.
    """
    parsed = parse_file(path, "agentgym")
    trajectories: list[Trajectory] = []
    refused = parsed.refused
    counts = Counter({_UNREADABLE: len(refused)})
    for episode in parsed.episodes:
        try:
            task = benchmark.task_id_of(agentgym_task(_task_number(episode)))
        except (UnknownTask, DataError) as error:
            counts[_OTHER_TASK if isinstance(error, UnknownTask) else _UNREADABLE] += 1
            refused.append(episode.place.refuse(error))
            continue
        trajectory, found = _replay(benchmark, task, episode, {})
        wins_as_written = trajectory.win
        if repair and not wins_as_written:
            trajectory, found = _replay(benchmark, task, episode, REPAIRS)
        if not (trajectory.win or _asks_for(episode.observations[0], benchmark.instruction(task))):
            counts[_MISNUMBERED] += 1
            refused.append(episode.place.refuse(_misnumbered(episode, benchmark.instruction(task))))
            continue
        counts += found + Counter({"won": trajectory.win, _WON_AS_WRITTEN: wins_as_written})
        trajectories.append(trajectory)
    if counts[_UNREADABLE] == len(refused):
        require_some(path, trajectories, refused)
    table = {name: counts[name] for name in _COUNTS}
    return AgentTraj(trajectories, {"trajectories": len(trajectories), **table}, refused)


def _asks_for(recorded: str, instruction: str) -> bool:
    """Return whether a first observation asks for what the task does; one that says no task in words is believed."""
    requests = [_respell(line) for line in recorded.splitlines() if line.startswith("Your task is to")]
    return not requests or _respell(instruction) in requests


def _misnumbered(episode: Episode, instruction: str) -> DataError:
    requests = [line for line in episode.observations[0].splitlines() if line.startswith("Your task is to")]
    return DataError(
        f"{episode.place}: {episode.id} is the number of a task that asks {instruction!r}, and the record asks "
        f"{requests[0]!r} and does not win that task; mend its number"
    )


def _task_number(episode: Episode) -> int:
    found = re.fullmatch(r"(?:sciworld_)?(\d+)", episode.id)
    if not found:
        raise DataError(f"{episode.place}: record {episode.id!r}: expected an item_id such as sciworld_606")
    return int(found[1])


def _replay(
    benchmark: SciWorldBenchmark, task: str, episode: Episode, repairs: Mapping[str, Repair]
) -> tuple[Trajectory, Counter[str]]:
    """Return the trajectory as it plays today, and counts of what had to be done for it."""
    env, counts = benchmark.make(), Counter[str]()
    history, reward, done = History(task, env.reset(task)), 0.0, False
    scene = first_scene(history.observation)
    changed, refused = _respell(episode.observations[0]) != _respell(history.observation), False
    answers = [*episode.observations[1:], None]
    for action, trained, recorded in zip(episode.actions, episode.trained, answers, strict=False):
        if done:
            break
        before = env.snapshot()
        answer = env.step(action)
        after = next_scene(scene, simulator_command(action), answer.observation)
        if after.refused and (
            useful := [name for name, repair in repairs.items() if repair(action) != action]
        ):
            env.restore(before)
            for name in useful:
                action = repairs[name](action)
                counts[f"actions repaired: {name}"] += 1
            answer = env.step(action)
            after = next_scene(scene, simulator_command(action), answer.observation)
        scene, reward, done = after, answer.reward, answer.done
        refused |= scene.refused
        changed |= recorded is not None and _respell(recorded) != _respell(answer.observation)
        history = history.then(action, answer.observation, trained=trained)
    counts += Counter({_CHANGED: changed, _REFUSED: refused, _AFTER_END: len(episode.actions) - len(history)})
    trajectory = Trajectory(
        history=history,
        reward=reward,  # 0 for an episode that does not end, as for one that ran out of turns
        n_expert=len(history),
        source="agenttraj",
        stop=StopReason.DONE if done else StopReason.TURN_LIMIT,
    )
    return trajectory, counts


def _respell(observation: str) -> str:
    """Return an observation as both simulators would write it."""
    for name in ("room", "typo"):
        observation = REPAIRS[name](observation)
    return " ".join(observation.split())
