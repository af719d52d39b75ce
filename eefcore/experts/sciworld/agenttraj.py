"""Replay AgentTraj-L's ScienceWorld trajectories, the demonstrations of EEF §4.1, in today's simulator.

The file (`sciworld_train.json`: 2,120 conversations with `item_id: sciworld_<data_idx>`, no reward) was recorded with a
simulator older than any that is published: a third of it does not run as it is format_action. Three repairs of spelling are
known (OSU-NLP-Group/EarlyExperience, envs/scienceworld), and are made where the simulator does not take an action:

    room       `green house` is `greenhouse`
    terminal   `connect X terminal 1 to …` of what is no wire is `connect X to …`
    typo       `cachew`, `sandwhich`

An episode is won if it wins when it is replayed: as it is format_action, or else repaired. Both are counted, for a finding to
be checked when the file is at hand: Table 1's 1,489 positive trajectories of 2,120 are about as many as run as format_action
(1,494), and 2,038 win when repaired, so that the paper's "expert failures" here may be names that have changed, and
no mistakes of GPT-4's. On the 22 kinds of `sciworld` the counts also fit the simulator's own gold paths.
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
from eefcore.experts.foreign.formats import Episode, parse_file
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


class AgentTraj(NamedTuple):
    """The trajectories of a file as they play today, and counts of what had to be done for it.

    Attributes:
        trajectories: of tasks of the benchmark, with the observations of today.
        won_as_written: of them, how many win without repairs.
        repaired: actions that were repaired, by repair.
        diverged: of the trajectories, how many show anything else today than was recorded, spelling aside.
        refused: of the trajectories, how many hold an action that today's simulator does not take.
        after_end: actions left out because the episode had ended.
        other_tasks: records of tasks that the benchmark does not hold.
        misnumbered: records that ask for something else than the task of their number, and do not win it: left out,
            as a file may count the kinds of task otherwise than the server does.
    """

    trajectories: list[Trajectory]
    won_as_written: int
    repaired: Counter[str]
    diverged: int
    refused: int
    after_end: int
    other_tasks: int
    misnumbered: int

    def table(self) -> dict[str, int]:
        """Return the counts by what they count, in words."""
        return {
            "trajectories": len(self.trajectories),
            "won": sum(t.win for t in self.trajectories),
            "won as written": self.won_as_written,
            **{f"actions repaired: {name}": self.repaired[name] for name in REPAIRS},
            "trajectories that show something else today": self.diverged,
            "trajectories with an action that is not taken today": self.refused,
            "actions after the end": self.after_end,
            "records of other tasks": self.other_tasks,
            "records whose number names a task that they do not ask for": self.misnumbered,
        }


class _Replay(NamedTuple):
    trajectory: Trajectory
    repaired: Counter[str]
    diverged: bool
    refused: bool
    after_end: int


def read_agenttraj(path: Path, benchmark: SciWorldBenchmark, *, repair: bool = True) -> AgentTraj:
    """Read a file in AgentGym's format, and replay its trajectories.

    Args:
        repair: whether to repair what does not win as format_action.

    Raises:
        DataError: the file is not of that format, or an id is no `sciworld_<data_idx>`.
    """
    replays: list[_Replay] = []
    won_as_written = other_tasks = misnumbered = 0
    for episode in parse_file(path, "agentgym").episodes:
        try:
            task = benchmark.task_id_of(agentgym_task(_task_number(episode.id, path)))
        except UnknownTask:
            other_tasks += 1
            continue
        replay = _replay(benchmark, task, episode, {})
        wins_as_written = replay.trajectory.win
        if repair and not wins_as_written:
            replay = _replay(benchmark, task, episode, REPAIRS)
        if not (replay.trajectory.win or _asks_for(episode.observations[0], benchmark.instruction(task))):
            misnumbered += 1
            continue
        won_as_written += wins_as_written
        replays.append(replay)
    return AgentTraj(
        [r.trajectory for r in replays],
        won_as_written,
        sum((r.repaired for r in replays), Counter[str]()),
        sum(r.diverged for r in replays),
        sum(r.refused for r in replays),
        sum(r.after_end for r in replays),
        other_tasks,
        misnumbered,
    )


def _asks_for(recorded: str, instruction: str) -> bool:
    """Return whether a first observation asks for what the task does; one that says no task in words is believed."""
    asked = [_respell(line) for line in recorded.splitlines() if line.startswith("Your task is to")]
    return not asked or _respell(instruction) in asked


def _task_number(record_id: str, path: Path) -> int:
    found = re.fullmatch(r"(?:sciworld_)?(\d+)", record_id)
    if not found:
        raise DataError(f"{path}: record {record_id!r}: expected an item_id such as sciworld_606")
    return int(found[1])


def _replay(
    benchmark: SciWorldBenchmark, task: str, episode: Episode, repairs: Mapping[str, Repair]
) -> _Replay:
    env = benchmark.make()
    history, reward, done = History(task, env.reset(task)), 0.0, False
    scene = first_scene(history.observation)
    repaired: Counter[str] = Counter()
    diverged, refused = _respell(episode.observations[0]) != _respell(history.observation), False
    for action, recorded in zip(episode.actions, [*episode.observations[1:], None], strict=False):
        if done:
            break
        before = env.snapshot()
        answer = env.step(action)
        after = next_scene(scene, simulator_command(action), answer.observation)
        if after.refused and (better := _repair_action(action, repairs)).repairs:
            env.restore(before)
            action, answer = better.action, env.step(better.action)
            after = next_scene(scene, simulator_command(action), answer.observation)
            repaired.update(better.repairs)
        scene, reward, done = after, answer.reward, answer.done
        refused |= scene.refused
        diverged |= recorded is not None and _respell(recorded) != _respell(answer.observation)
        history = history.then(action, answer.observation)
    trajectory = Trajectory(
        history=history,
        reward=reward,  # 0 for an episode that does not end, as for one that ran out of turns
        n_expert=len(history),
        source="agenttraj",
        stop=StopReason.DONE if done else StopReason.TURN_LIMIT,
    )
    return _Replay(trajectory, repaired, diverged, refused, len(episode.actions) - len(history))


class _RepairedAction(NamedTuple):
    action: str
    repairs: list[str]


def _repair_action(action: str, repairs: Mapping[str, Repair]) -> _RepairedAction:
    names = []
    for name, repair in repairs.items():
        if (better := repair(action)) != action:
            action = better
            names.append(name)
    return _RepairedAction(action, names)


def _respell(observation: str) -> str:
    """Return an observation as both simulators would write it."""
    for name in ("room", "typo"):
        observation = REPAIRS[name](observation)
    return " ".join(observation.split())
