"""Write examples and trajectories for other projects, with the flags that say which actions are trained.

`export_foreign` writes one of the formats that `read_foreign` reads back to the same training rows; tables for Hugging
Face's `datasets` are in `eefcore.sharing.tables`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from eefcore.errors import DataError
from eefcore.experts.foreign.formats import FORMATS, parse_file
from eefcore.rendering.formats import dialogue
from eefcore.storage.disk import write_atomically
from eefcore.types import Example, History, StopReason, Trajectory


class _Record(NamedTuple):
    """The part of an example that is written, up to its last trained action, or a whole trajectory."""

    trajectory: Trajectory
    history: History
    trained: list[bool]


def _record(source: Example | Trajectory, prompt: str) -> _Record:
    if isinstance(source, Example):
        trajectory, history, indices = source.trajectory, dialogue(source), source.trained_indices
        last, flags = "", [i in indices for i in range(len(history))]
    else:
        trajectory, history, last = source, source.history, source.history.observation
        flags = [step.trained for step in history.steps]
    steps = [
        msgspec.structs.replace(step, observation=prompt * (not i) + step.observation)
        for i, step in enumerate(history.steps)
    ]
    return _Record(trajectory, History(trajectory.task_id, last, tuple(steps)), flags)


def chat_messages(source: Example | Trajectory, *, prompt: str = "") -> list[dict[str, Any]]:
    """Return o_t as the user's turns and a_t as the assistant's, with weight 0 on what is not trained; `prompt` opens o_0."""
    return _turns(_record(source, prompt), ("role", "content"), ("user", "assistant"), ("weight", int))


def export_foreign(
    sources: Sequence[Example | Trajectory], path: Path, format: str = "openai", *, prompt: str = ""
) -> Path | None:
    """Write examples or trajectories to `path` in a foreign format, and return the file of their rewards, if there is one.

    The formats of OpenAI and AgentLite have no place for a reward: it goes to a file beside, which `read_rewards` reads.
    Who acted is kept by ETO's format alone. `prompt` opens o_0.

    Raises:
        DataError: there is no such format, or it can't hold a record; AgentLite's text has no flags, and knows an
            episode by what it asks for, in one line.
    """
    if format not in _WRITERS:
        raise DataError(f"no format {format!r}; choose one of {', '.join(_WRITERS)}")
    records = [_record(source, prompt) for source in sources]
    write_atomically(path, _WRITERS[format](records).encode())
    if format == "agentlite":
        _check_agentlite(records, path)
    if format not in ("openai", "agentlite"):
        return None
    ids = [_first(r) if format == "agentlite" else str(i) for i, r in enumerate(records)]
    rewards = dict(zip(ids, (r.trajectory.reward for r in records), strict=True))
    beside = path.with_name(f"{path.stem}.rewards.json")
    write_atomically(beside, msgspec.json.encode(rewards))
    return beside


def _lines(records: Sequence[dict[str, Any]]) -> str:
    return "".join(msgspec.json.encode(record).decode() + "\n" for record in records)


def _openai(records: Sequence[_Record]) -> str:
    turns = (("role", "content"), ("user", "assistant"), ("weight", int))
    return _lines([{"messages": _turns(r, *turns)} for r in records])


def _agentgym(records: Sequence[_Record]) -> str:
    return _lines([{"item_id": r.trajectory.task_id, **_sharegpt(r)} for r in records])


def _eto(records: Sequence[_Record]) -> str:
    return _lines(
        [{"id": r.trajectory.task_id, "source": r.trajectory.source, **_sharegpt(r)} for r in records]
    )


def _sharegpt(record: _Record) -> dict[str, Any]:
    turns = _turns(record, ("from", "value"), ("human", "gpt"), ("loss", bool))
    return {"reward": record.trajectory.reward, "conversations": turns}


def _turns(
    record: _Record, keys: tuple[str, str], names: tuple[str, str], flag: tuple[str, type]
) -> list[dict[str, Any]]:
    """Return the turns in a format's own words: its keys, its names of the two speakers, and its flag of what is trained."""
    speaker, text = keys
    user, agent = names
    out: list[dict[str, Any]] = []
    for step, trained in zip(record.history.steps, record.trained, strict=True):
        out.append({speaker: user, text: step.observation})
        out.append({speaker: agent, text: step.action, flag[0]: flag[1](trained)})
    last = record.history.observation
    return [*out, {speaker: user, text: last}] if last else out


def _react(records: Sequence[_Record]) -> str:
    out = []
    for r in records:
        steps: list[dict[str, Any]] = [{"action": "reset", "obs": _first(r)}]
        for step, observation, trained in zip(r.history.steps, _answers(r), r.trained, strict=True):
            steps.append({"action": step.action, "obs": observation} | ({} if trained else {"loss": False}))
        out.append(
            {
                "idx": r.trajectory.task_id,
                "instruction": _first(r),
                "reward": r.trajectory.reward,
                "bought": r.trajectory.stop is StopReason.DONE,
                "steps": steps,
            }
        )
    return _lines(out)


def _agentlite(records: Sequence[_Record]) -> str:
    text = ""
    for r in records:
        turns = zip(r.history.steps, _answers(r), strict=True)
        text += f"Task:{_first(r)}\n"
        text += "".join(f"Action:{step.action}\nObservation: {answer}\n" for step, answer in turns) + "\n"
    return text


def _check_agentlite(records: Sequence[_Record], path: Path) -> None:
    """Read a text back and compare: anything may stand in a page, also what begins a turn."""
    if any(False in r.trained for r in records):
        raise DataError(
            f"{path}: AgentLite's text has no flag for what is not trained; choose another format"
        )
    try:
        back = [(e.observations[:-1], e.actions) for e in parse_file(path, "agentlite").episodes]
    except DataError:
        back = []
    given = [([s.observation for s in r.history.steps], [*r.history.actions]) for r in records]
    if back != given or len({_first(r) for r in records}) < len(records):
        raise DataError(
            f"{path}: AgentLite's text can't hold these episodes: each is known by what it asks for, once in a file, "
            "in one line, and no page may hold a line that begins like a turn; choose another format"
        )


def _first(record: _Record) -> str:
    return record.history.steps[0].observation


def _answers(record: _Record) -> list[str]:
    """Return the observation that follows each action."""
    return [*(step.observation for step in record.history.steps[1:]), record.history.observation]


_WRITERS: dict[str, Callable[[Sequence[_Record]], str]] = {
    "react": _react,
    "agentgym": _agentgym,
    "eto": _eto,
    "sharegpt": _eto,
    "openai": _openai,
    "agentlite": _agentlite,
}
assert _WRITERS.keys() == FORMATS.keys(), "each format that is read can be written"
