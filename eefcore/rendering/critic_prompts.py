"""What a critic is asked about a history, and what its answer names (Agent Q §5.1.1).

The question is the last observation's continuation, and the answer an action like any other; of a composite one the
command is read, so that a critic may think before it names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from eefcore.actions import command
from eefcore.protocols import Reply
from eefcore.types import History

BEST_ACTION = (
    "Do not act yet. These are the actions that may be taken now:\n{options}\n"
    "Which one helps the user's task most? Answer with its number, or with its very words."
)
TASK_SOLVED = (
    "The episode is over. Which is true?\n{options}\nAnswer with its number alone."  # asked with VERDICTS
)
VERDICTS = ("The user's task is done, and every requirement is met.", "It is not.")

EPISODE_OVER = "The episode is over."
"""What is seen of an end whose last page may tell the score."""

_DIGITS = 18  # Python refuses to read numbers of thousands
_NUMBER = re.compile(r"(?<![\w.$])\d+(?!\w|\.\d)")


def critic_question(history: History, options: Sequence[str], prompt: str) -> History:
    """h_t, the last page followed by what the critic is asked about it."""
    numbered = "\n".join(f"{i}. {' '.join(option.split())}" for i, option in enumerate(options, start=1))
    asked = f"{history.observation}\n{prompt.format(options=numbered)}"
    return msgspec.structs.replace(history, observation=asked)


def parse_choice(reply: Reply, options: Sequence[str]) -> int | None:
    """Which of `options` an answer names: it begins with its number, or quotes it, or holds no other number."""
    said = " ".join(command(reply.action).split())
    if reply.stop is not None or not said:
        return None
    if first := re.match(r"\W*(\d+)(?!\w|\.\d)", said):
        number = _number(first[1])
        return number - 1 if 1 <= number <= len(options) else None
    quoted = [i for i, option in enumerate(options) if " ".join(option.split()).lower() in said.lower()]
    if len(quoted) == 1:
        return quoted[0]
    numbers = {_number(n) for n in _NUMBER.findall(said)}
    named = [n - 1 for n in numbers if 1 <= n <= len(options)]
    return named[0] if len(numbers) == len(named) == 1 else None


def _number(digits: str) -> int:
    """The number that `digits` spell; one with more of them than any list has options is 0, which names none."""
    return int(digits) if len(digits) <= _DIGITS else 0
