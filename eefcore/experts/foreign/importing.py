"""Read other projects' trajectories as τ, with the name of the expert and the cost.

`eefcore.rollout.exploration` says from which of them one can explore.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from eefcore.errors import DataError
from eefcore.experts.foreign.formats import Episode, decode_json, parse_file, read_text
from eefcore.types import History, Step, Trajectory

Rewards = Callable[[str], float]
"""Return R(τ) of the record with that id, where a file does not say how its episodes ended."""


def read_foreign(
    path: Path,
    format: str = "auto",
    *,
    rewards: Rewards | None = None,
    win: float = 1.0,
    source: str = "",
    money: float = 0.0,
    preamble: int | None = None,
    task_id: Callable[[Episode], str] = lambda episode: episode.id,
) -> list[Trajectory]:
    """Read the trajectories of a file, or of the JSON files in a folder, in their order.

    Args:
        format: one of FORMATS; auto finds it by content.
        rewards: R(τ) of a record, in [0, 1], instead of the file's own; needed where the file has none, as an absent
            reward is not 0. `read_rewards` reads them from a file.
        win: the file's reward of a win, by which its rewards are divided (AgentGym's ScienceWorld: 100).
        source: the expert's name; otherwise the file's own, or the format's name.
        money: dollars that an episode cost, if known.
        preamble: leading messages of a conversation that belong to the prompt. None stands for system messages, and
            an instruction answered by OK.
        task_id: our task for a foreign record, where it is known; otherwise the record's own id.

    Raises:
        DataError: the file, record and field that is not as expected, and what was expected.
    """
    parsed, out, samples = parse_file(path, format, preamble), [], Counter[str]()
    for episode in parsed.episodes:
        reward = rewards(episode.id) if rewards else episode.reward
        if reward is None:
            raise DataError(
                f"{path}: record {episode.id!r} does not say its reward, and an absent reward is not 0; pass "
                "rewards=read_rewards(file), or a function of the record's id"
            )
        reward = reward if rewards else reward / win
        if not 0.0 <= reward <= 1.0:
            raise DataError(
                f"{path}: record {episode.id!r} has reward {reward}, expected one in [0, 1]; pass win=100 if "
                "the file counts to 100, or rewards"
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
    return out


def first_trained_actions(path: Path, format: str = "auto", *, preamble: int | None = None) -> list[int]:
    """Return, for each trajectory of `read_foreign`, the first action that the file's own flags train on.

    The flags are AgentGym's `loss` and OpenAI's `weight`, which trainers often drop; without flags it is 0. With the
    trajectory this makes an Example.

    Raises:
        DataError: the flags leave out an action after one that is trained, which no Example can say.
    """
    firsts = []
    for episode in parse_file(path, format, preamble).episodes:
        first = episode.trained.index(True) if True in episode.trained else len(episode.trained)
        if False in episode.trained[first:] or first == len(episode.trained):
            raise DataError(
                f"{path}: record {episode.id!r} trains {episode.trained}, expected False … True …: an example "
                "is trained from one action on; drop the record, or its flags"
            )
        firsts.append(first)
    return firsts


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
    steps = tuple(map(Step, episode.observations, episode.actions))
    n = len(steps)
    return History(task, episode.observations[n] if len(episode.observations) > n else "", steps)
