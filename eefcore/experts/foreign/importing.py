"""Read other projects' trajectories as τ, with the name of the expert and the cost.

`eefcore.rollout.exploration` says from which of them one can explore.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from eefcore.errors import DataError
from eefcore.experts.foreign.formats import (
    ETO_PREAMBLES,
    Episode,
    RefusedRecord,
    decode_json,
    parse_file,
    read_text,
    require_some,
)
from eefcore.types import History, Step, Trajectory

Rewards = Callable[[str], float]
"""Return R(τ) of the record with that id, where a file does not say how its episodes ended."""


class Imported(NamedTuple):
    """The trajectories of a file, and what of it is otherwise than it says.

    Attributes:
        negative: how many rewards were below 0 and are read as 0, a loss.
        refused: the records that can't be read, which are left out.
    """

    trajectories: list[Trajectory]
    negative: int
    refused: list[RefusedRecord]


def read_foreign(path: Path, format: str = "auto", **options: Any) -> list[Trajectory]:
    """Return the trajectories of a file, or of the JSON files in a folder, in their order.

    `import_foreign` says which records of the file are left out, because they can't be read.
    """
    return import_foreign(path, format, **options).trajectories


def import_foreign(
    path: Path,
    format: str = "auto",
    *,
    rewards: Rewards | None = None,
    win: float | None = None,
    source: str = "",
    money: float = 0.0,
    preamble: int | None = None,
    environment: str = "",
    task_id: Callable[[Episode], str] = lambda episode: episode.id,
) -> Imported:
    """Read the trajectories of a file, or of the JSON files in a folder, in their order.

    ScienceWorld scores a wrong choice with -100: a reward below 0 is a loss of reward 0, and is counted. A record that
    can't be read, or whose reward nobody says, is left out with the reason. A reward above 1 refuses the whole file: it
    says that its rewards have another scale, and those of the other records would be read wrongly.

    Args:
        format: one of FORMATS; auto finds it by content.
        rewards: R(τ) of a record, in [0, 1], instead of the file's own; needed where the file has none, as an absent
            reward is not 0. `read_rewards` reads them from a file.
        win: the file's reward of a win, by which its rewards are divided; None is 1, or 100 of AgentGym's ScienceWorld.
        source: the expert's name; otherwise the file's own, or the format's name.
        money: dollars that an episode cost, if known.
        preamble: leading messages of a conversation that belong to the prompt. None stands for system messages, and
            an instruction answered by OK.
        environment: where it was recorded, `webshop`, `sciworld` or `alfworld`: gives `preamble` of ETO's explored
            episodes, and `win`.
        task_id: our task for a foreign record, where it is known; otherwise the record's own id.

    Raises:
        DataError: the file can't be read, or no record of it; the record and field that is not as expected, and what was
            expected.
    """
    if environment not in ("", *ETO_PREAMBLES):
        raise DataError(f"no environment {environment!r}; choose one of {', '.join(ETO_PREAMBLES)}")
    parsed = parse_file(path, format, preamble, environment)
    if win is None:
        win = 100.0 if (parsed.format, environment) == ("agentgym", "sciworld") else 1.0
    out, samples, negative, refused = [], Counter[str](), 0, parsed.refused
    for episode in parsed.episodes:
        try:
            reward = rewards(episode.id) if rewards else _own_reward(episode) / win
        except DataError as error:
            refused.append(episode.place.refuse(error))
            continue
        if reward < 0.0:
            reward, negative = 0.0, negative + 1
        if not 0.0 <= reward <= 1.0:
            raise DataError(
                f"{path}: record {episode.id!r} has reward {reward}, expected one in [0, 1]; say what the "
                "file calls a win, as --win 100 (in Python, win=100), or give a file of --rewards"
            )
        task = task_id(episode)
        out.append(
            Trajectory(
                history=_history(task, episode),
                reward=reward,
                n_expert=len(episode.actions),
                source=source or episode.source or parsed.format,
                stop=episode.stop,
                sample=samples[task],
                money=money,
            )
        )
        samples[task] += 1
    require_some(path, out, refused)
    return Imported(out, negative, refused)


def _own_reward(episode: Episode) -> float:
    """Return the reward that a record says; raise DataError if it says none."""
    if episode.reward is None:
        raise DataError(
            f"{episode.place}: record {episode.id!r} does not say its reward, and an absent reward is not 0; give the "
            "rewards of its records in a file, as `eef data import … --rewards FILE` (a JSON object of ids and numbers); "
            "in Python, rewards=read_rewards(file)"
        )
    return episode.reward


def read_rewards(path: Path) -> Rewards:
    """Read rewards by record id from a JSON object, or from AgentLite's log of `index TAB task … TAB reward`.

    Raises:
        DataError: when the file can't be read, and when a record is asked for that it does not hold.
    """
    text = read_text(path)
    if text.lstrip().startswith("{"):
        by_record = decode_json(text, dict[str, float], str(path))
    else:
        by_record = {}
        for number, line in enumerate(text.split("\n"), 1):
            *keys, reward = line.split("\t")
            try:
                by_record.update(dict.fromkeys((k.strip() for k in keys[:2]), float(reward)))
            except ValueError as error:
                raise DataError(
                    f"{path}:{number}: expected index, task, …, reward between tabs, got {line!r}"
                ) from error

    def rewards(record: str) -> float:
        if record not in by_record:
            raise DataError(
                f"{path}: no reward of record {record!r}; it holds {len(by_record)}, such as {[*by_record][:3]}"
            )
        return by_record[record]

    return rewards


def _history(task: str, episode: Episode) -> History:
    steps = tuple(
        Step(observation, action, trained=trained)
        for observation, action, trained in zip(
            episode.observations, episode.actions, episode.trained, strict=False
        )
    )
    n = len(steps)
    return History(task, episode.observations[n] if len(episode.observations) > n else "", steps)
