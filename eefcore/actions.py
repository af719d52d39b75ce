"""Composite actions, as Agent Q's agent writes them (Appendix A): of their parts only the command reaches the environment.

    PLAN: search, judge, open, choose, buy.             a^plan, at the first step
    THOUGHT: The second is a cotton towel.              a^tht
    COMMAND: click[{"button": "B000000002"}]            a^env
    EXPLANATION: Opened.                                a^expl

An action is the whole text: it is what is sampled, scored (eq. 10), kept in the history and trained. A text without
a command, as any other policy writes, is a command itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from eefcore.types import History

PLAN, THOUGHT, COMMAND, EXPLANATION = LABELS = ("PLAN: ", "THOUGHT: ", "COMMAND: ", "EXPLANATION: ")

_COMMAND = re.compile(rf"^{COMMAND.strip()}[ \t]*(.*)$", re.MULTILINE)
_THOUGHT = re.compile(rf"^{THOUGHT.strip()}[ \t]*(.*)$", re.MULTILINE)


class ActionParts(NamedTuple):
    """What a composite action is made of; `plan` is empty after the first step."""

    thought: str
    command: str
    explanation: str
    plan: str = ""


def format_action(parts: ActionParts) -> str:
    """The action, a line a part; a part that says nothing has none."""
    said = zip(LABELS, (parts.plan, parts.thought, parts.command, parts.explanation), strict=True)
    return "\n".join(label + text for label, text in said if text)


def command(action: str) -> str:
    """What the environment is to read of an action: its first command, or all of it where it has none."""
    found = _COMMAND.search(action)
    return found[1].strip() if found else action


def thought(action: str) -> str:
    """What an action says of the page, or nothing."""
    found = _THOUGHT.search(action)
    return found[1].strip() if found else ""


def commands_only(history: History) -> History:
    """The same history as the environment knows it."""
    steps = tuple(msgspec.structs.replace(s, action=command(s.action)) for s in history.steps)
    return msgspec.structs.replace(history, steps=steps)


_THINKING = re.compile(r"\s*think\b", re.IGNORECASE)  # `Think[…]` of AgentLite, `think[…]` of ReAct


def is_thought(action: str) -> bool:
    """Whether an action is only words to oneself, and changes nothing in the environment."""
    return _THINKING.match(action) is not None
