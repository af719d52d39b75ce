"""Foreign trajectories as τ, with who acted and what it cost.

Which of them can be explored from is `eefcore.rollout.exploration.verified`'s to say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from eefcore.errors import DataError
from eefcore.experts.foreign.formats import Episode, decoded, episodes, text_of
from eefcore.types import History, Step, Trajectory

Rewards = Callable[[str], float]
"""R(τ) of the record with that id: where a file does not say how its episodes ended."""


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
    """The trajectories of a file, or of the JSON files in a folder, in their order.

    Args:
        format: one of FORMATS; auto tells by content.
        rewards: R(τ) of a record, in [0, 1], instead of what the file says; needed where it says nothing,
            as a reward that is absent is not 0. `rewards_from` reads them from a file.
        win: what the file calls a win; its rewards are divided by it (AgentGym's ScienceWorld: 100).
        source: who acted; otherwise what the file says, or the format's name.
        money: dollars an episode cost, if known.
        preamble: leading messages of a conversation that belong to the prompt. None is system messages,
            and an instruction answered by OK.
        task_id: our task for a foreign record, for those who know it; otherwise the record's own id.

    Raises:
        DataError: the file, record and field that is not as expected, and what was.
    """
    read, out, seen = episodes(path, format, preamble), [], Counter[str]()
    for episode in read.episodes:
        reward = rewards(episode.id) if rewards else episode.reward
        if reward is None:
            raise DataError(
                f"{path}: record {episode.id!r} does not say its reward, and an absent reward is not 0; pass "
                "rewards=rewards_from(file), or a function of the record's id"
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
                source=source or episode.source or read.format,
                stop=episode.stop,
                sample=seen[task],
                money=money,
            )
        )
        seen[task] += 1
    return out


def first_trained(path: Path, format: str = "auto", *, preamble: int | None = None) -> list[int]:
    """For each trajectory of `read_foreign`, the first action that the file's own flags train on.

    AgentGym's `loss` and OpenAI's `weight`, which trainers often drop; without flags it is 0. With the
    trajectory this makes an Example.

    Raises:
        DataError: the flags skip an action after one that is trained, which no Example can say.
    """
    firsts = []
    for episode in episodes(path, format, preamble).episodes:
        first = episode.trained.index(True) if True in episode.trained else len(episode.trained)
        if False in episode.trained[first:] or first == len(episode.trained):
            raise DataError(
                f"{path}: record {episode.id!r} trains {episode.trained}, expected False … True …: an example "
                "is trained from one action on; drop the record, or its flags"
            )
        firsts.append(first)
    return firsts


def rewards_from(path: Path) -> Rewards:
    """Rewards by record id from a JSON object, or from AgentLite's log of `index TAB task … TAB reward`.

    Raises:
        DataError: on reading, and on asking for a record that the file does not hold.
    """
    text = text_of(path)
    if text.lstrip().startswith("{"):
        known = decoded(text, dict[str, float], str(path))
    else:
        known = {}
        for number, line in enumerate(text.split("\n"), 1):
            *keys, reward = line.split("\t")
            try:
                known.update(dict.fromkeys((k.strip() for k in keys[:2]), float(reward)))
            except ValueError as error:
                raise DataError(
                    f"{path}:{number}: expected index, task, …, reward between tabs, got {line!r}"
                ) from error

    def rewards(record: str) -> float:
        if record not in known:
            raise DataError(
                f"{path}: no reward of record {record!r}; it holds {len(known)}, such as {[*known][:3]}"
            )
        return known[record]

    return rewards


def _history(task: str, episode: Episode) -> History:
    steps = tuple(map(Step, episode.observations, episode.actions))
    n = len(steps)
    return History(task, episode.observations[n] if len(episode.observations) > n else "", steps)
