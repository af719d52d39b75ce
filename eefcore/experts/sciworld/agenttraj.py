"""AgentTraj-L's ScienceWorld trajectories, the demonstrations of EEF §4.1, played again in today's simulator.

The file (`sciworld_train.json`: 2,120 conversations with `item_id: sciworld_<data_idx>`, no reward) was recorded with a
simulator older than any that is published: a third of it does not run as it is written. Three repairs of spelling are
known (OSU-NLP-Group/EarlyExperience, envs/scienceworld), and are made where the simulator does not take an action:

    room       `green house` is `greenhouse`
    terminal   `connect X terminal 1 to …` of what is no wire is `connect X to …`
    typo       `cachew`, `sandwhich`

An episode is won if it wins when played: as it is written, or else repaired. Both are counted, for a finding to be
checked when the file is at hand: Table 1's 1,489 positive trajectories of 2,120 are about as many as run as written
(1,494), and 2,038 win when repaired, so that the paper's "expert failures" here may be names that have changed, and
no mistakes of GPT-4's. On the 22 kinds of `sciworld` the counts also fit the simulator's own gold paths.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from eefcore.envs.sciworld import SciWorldBenchmark
from eefcore.envs.sciworld.env import simulator_command
from eefcore.envs.sciworld.tasks import agentgym_task
from eefcore.errors import DataError, UnknownTask
from eefcore.experts.foreign.formats import Episode, episodes
from eefcore.experts.sciworld.scene import after, opening
from eefcore.types import History, StopReason, Trajectory


def _terminal(action: str) -> str:
    said, mark, told = action.rpartition("Action:")
    joined = re.match(r"(\s*connect )(?!.*\bwire\b.* terminal 1 to )(.+?) terminal 1 to ", told, re.S)
    return f"{said}{mark}{joined[1]}{joined[2]} to {told[joined.end() :]}" if joined else action


REPAIRS: dict[str, Callable[[str], str]] = {
    "room": lambda text: text.replace("green house", "greenhouse"),
    "terminal": _terminal,
    "typo": lambda text: text.replace("cachew", "cashew").replace("sandwhich", "sandwich"),
}
"""Each takes what was said, thought and action, and returns it as it is spelt today."""


class Read(NamedTuple):
    """What a file became, and what had to be done for it.

    Attributes:
        trajectories: of tasks of the benchmark, with what is seen today.
        won_as_written: of them, how many win without repairs.
        repaired: actions that were repaired, by repair.
        diverged: of the trajectories, how many show anything else today than was recorded, spelling aside.
        refused: of the trajectories, how many hold an action that today's simulator does not take.
        after_end: actions left out because the episode had ended.
        elsewhere: records of tasks that the benchmark does not hold.
        misnumbered: records that ask for something else than the task of their number, and do not win it: left out,
            as a file may count the kinds of task otherwise than the server does.
    """

    trajectories: list[Trajectory]
    won_as_written: int
    repaired: Counter[str]
    diverged: int
    refused: int
    after_end: int
    elsewhere: int
    misnumbered: int

    def table(self) -> dict[str, int]:
        """The counts, in words."""
        return {
            "trajectories": len(self.trajectories),
            "won": sum(t.win for t in self.trajectories),
            "won as written": self.won_as_written,
            **{f"actions repaired: {name}": self.repaired[name] for name in REPAIRS},
            "trajectories that show something else today": self.diverged,
            "trajectories with an action that is not taken today": self.refused,
            "actions after the end": self.after_end,
            "records of other tasks": self.elsewhere,
            "records whose number names a task that they do not ask for": self.misnumbered,
        }


class _Played(NamedTuple):
    trajectory: Trajectory
    repaired: Counter[str]
    diverged: bool
    refused: bool
    after_end: int


def read(path: Path, benchmark: SciWorldBenchmark, *, repair: bool = True) -> Read:
    """The trajectories of a file in AgentGym's format, played again.

    Args:
        repair: whether what does not win as written is repaired.

    Raises:
        DataError: the file is not of that format, or an id is no `sciworld_<data_idx>`.
    """
    out, sums, won, elsewhere = [], Counter[str](), 0, 0
    repaired: Counter[str] = Counter()
    for episode in episodes(path, "agentgym").episodes:
        try:
            task = benchmark.task_id_of(agentgym_task(_number(episode.id, path)))
        except UnknownTask:
            elsewhere += 1
            continue
        played = _played(benchmark, task, episode, {})
        as_written = played.trajectory.win
        if repair and not as_written:
            played = _played(benchmark, task, episode, REPAIRS)
        if not (played.trajectory.win or _asks(episode.observations[0], benchmark.instruction(task))):
            sums.update(misnumbered=1)
            continue
        won += as_written
        out.append(played.trajectory)
        repaired += played.repaired
        sums += Counter(
            diverged=int(played.diverged), refused=int(played.refused), after_end=played.after_end
        )
    return Read(
        out,
        won,
        repaired,
        sums["diverged"],
        sums["refused"],
        sums["after_end"],
        elsewhere,
        sums["misnumbered"],
    )


def _asks(recorded: str, instruction: str) -> bool:
    """Whether a first observation asks for what the task does; one that says no task in words is believed."""
    asked = [_spelt(line) for line in recorded.splitlines() if line.startswith("Your task is to")]
    return not asked or _spelt(instruction) in asked


def _number(record: str, path: Path) -> int:
    found = re.fullmatch(r"(?:sciworld_)?(\d+)", record)
    if not found:
        raise DataError(f"{path}: record {record!r}: expected an item_id such as sciworld_606")
    return int(found[1])


def _played(
    benchmark: SciWorldBenchmark, task: str, episode: Episode, repairs: dict[str, Callable[[str], str]]
) -> _Played:
    env = benchmark.make()
    history, reward, done = History(task, env.reset(task)), 0.0, False
    now = opening(history.observation)
    repaired: Counter[str] = Counter()
    diverged, refused = _spelt(episode.observations[0]) != _spelt(history.observation), False
    for action, recorded in zip(episode.actions, [*episode.observations[1:], None], strict=False):
        if done:
            break
        before = env.snapshot()
        seen = env.step(action)
        there = after(now, simulator_command(action), seen.observation)
        if there.refused and (mended := _mended(action, repairs)).names:
            env.restore(before)
            action, seen = mended.action, env.step(mended.action)
            there = after(now, simulator_command(action), seen.observation)
            repaired.update(mended.names)
        now, reward, done = there, seen.reward, seen.done
        refused |= now.refused
        diverged |= recorded is not None and _spelt(recorded) != _spelt(seen.observation)
        history = history.then(action, seen.observation)
    trajectory = Trajectory(
        history=history,
        reward=reward,  # 0 of what does not end, as of an episode that ran out of turns
        n_expert=len(history),
        source="agenttraj",
        stop=StopReason.DONE if done else StopReason.TURN_LIMIT,
    )
    return _Played(trajectory, repaired, diverged, refused, len(episode.actions) - len(history))


class _Mended(NamedTuple):
    action: str
    names: list[str]


def _mended(action: str, repairs: dict[str, Callable[[str], str]]) -> _Mended:
    names = []
    for name, repair in repairs.items():
        if (better := repair(action)) != action:
            action = better
            names.append(name)
    return _Mended(action, names)


def _spelt(observation: str) -> str:
    """An observation as both simulators would write it."""
    for name in ("room", "typo"):
        observation = REPAIRS[name](observation)
    return " ".join(observation.split())
