"""Write the questions to a critic, and read its answers (Agent Q §5.1.1).

The question follows the last observation, and the answer is an action like any other. Of a composite answer the command
is read, so that a critic may think before it answers.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from eefcore.actions import ActionParts, command, format_action
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
"""The text that stands for the last page of an episode, which may show the score."""

_DIGITS = 18  # Python refuses to read numbers of thousands
_NUMBER = re.compile(r"(?<![\w.$])\d+(?!\w|\.\d)")


def critic_question(history: History, options: Sequence[str], prompt: str) -> History:
    """Return h_t with the question to the critic after its last page."""
    numbered = "\n".join(f"{i}. {' '.join(option.split())}" for i, option in enumerate(options, start=1))
    observation = f"{history.observation}\n{prompt.format(options=numbered)}"
    return msgspec.structs.replace(history, observation=observation)


def possible_answers(options: Sequence[str], *, composite: bool) -> tuple[str, ...]:
    """Return every answer that names one of the options: its number, or its very words; a command if `composite`."""
    words = [*(str(i) for i, _ in enumerate(options, start=1)), *(" ".join(o.split()) for o in options)]
    answers = [format_action(ActionParts("", w, "")) for w in words] if composite else words
    return tuple(dict.fromkeys(answers))


def parse_choice(reply: Reply, options: Sequence[str]) -> int | None:
    """Return the index of the option that an answer names: by its number, by a quote, or by its only number."""
    answer = " ".join(command(reply.action).split())
    if reply.stop is not None or not answer:
        return None
    if first := re.match(r"\W*(\d+)(?!\w|\.\d)", answer):
        number = _number(first[1])
        return number - 1 if 1 <= number <= len(options) else None
    quoted = [i for i, option in enumerate(options) if " ".join(option.split()).lower() in answer.lower()]
    if len(quoted) == 1:
        return quoted[0]
    numbers = {_number(n) for n in _NUMBER.findall(answer)}
    named = [n - 1 for n in numbers if 1 <= n <= len(options)]
    return named[0] if len(numbers) == len(named) == 1 else None


def _number(digits: str) -> int:
    """Return the number that `digits` spell; 0, which names no option, if there are more digits than any list needs."""
    return int(digits) if len(digits) <= _DIGITS else 0
