"""Read a judge's answer as a verdict; an answer that holds none, or two that differ, is no verdict.

    The agent chose May 22 at 7:00 PM for four people …
    {"date_time": true, "party_size": true, "user_information": true, "completed": false, "complete": false}

Whoever writes on a page may hope that the judge repeats it. So a verdict has to be the only one of its answer, with exactly the
asked-for names, each true or false.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

COMPLETE = "complete"
"""The name under which a verdict says whether the task as a whole is done."""


class Verdict(msgspec.Struct, frozen=True):
    """A judge's verdict on an episode: its reasoning, whether each criterion is met, and whether the task is done."""

    reasoning: str
    criteria: dict[str, bool]
    complete: bool

    @property
    def success(self) -> bool:
        """Return whether the task is done and every criterion is met: Agent Q asks for all four."""
        return self.complete and all(self.criteria.values())


class Judgement(msgspec.Struct, frozen=True, omit_defaults=True):
    """The record of asking a judge about one episode: a verdict or why there is none, what was shown, and what it cost."""

    task_id: str
    verdict: Verdict | None
    reason: str = ""  # why there is no verdict, in words
    picture: str = ""  # SHA-256 of the PNG that was shown; empty where the last page was shown as text
    prompt: str = ""  # the version of the prompt, with a hash of its words
    model: str = ""
    tokens_read: int = 0  # as the endpoint counts them
    tokens_written: int = 0  # likewise
    money: float = 0.0  # dollars


def read_verdict(answer: str, names: Sequence[str]) -> Verdict:
    """Return the verdict in an answer; `names` are those of the criteria.

    Raises:
        ValueError: the answer holds no verdict, or several that differ.
    """
    found = [(start, values) for start, values in _objects(answer) if set(values) == {*names, COMPLETE}]
    if not found:
        raise ValueError(f"no verdict in the answer {answer[:200]!r}")
    if any(values != found[0][1] for _, values in found):
        raise ValueError(f"{len(found)} verdicts that differ in the answer {answer[:200]!r}")
    start, values = found[-1]
    return Verdict(answer[:start].strip(), {name: values[name] for name in names}, values[COMPLETE])


def _objects(text: str) -> Iterator[tuple[int, dict[str, bool]]]:
    """Yield the JSON objects in a text whose values are all true or false, with the places where they begin."""
    decoder = json.JSONDecoder(object_pairs_hook=_flags)
    start = text.find("{")
    while start >= 0:
        try:
            value, length = decoder.raw_decode(text[start:])
        except (ValueError, RecursionError):
            length = 1
        else:
            if value is not None:
                yield start, value
        start = text.find("{", start + length)


def _flags(pairs: list[tuple[str, Any]]) -> dict[str, bool] | None:
    """Return the pairs of an object if each is true or false and none is named twice; None otherwise."""
    flags = {name: value for name, value in pairs if isinstance(value, bool)}
    return flags if len(flags) == len(pairs) else None
