"""Read and write composite actions (Agent Q, Appendix A), of which only the command reaches the environment.

    PLAN: search, judge, open, choose, buy.             a^plan, at the first step
    THOUGHT: The second is a cotton towel.              a^tht
    COMMAND: click[{"button": "B000000002"}]            a^env
    EXPLANATION: Opened.                                a^expl
    STATUS: CONTINUE                                    of Fig. 4; no part of a tiny base's actions

An action is the whole text: the policy samples it, eq. 10 scores it, the history keeps it, and training learns it. A text
without a COMMAND line (or COMMANDS, as in Fig. 4), as other policies write, is a command itself.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from eefcore.types import History

PLAN, THOUGHT, COMMAND, EXPLANATION, STATUS = LABELS = (
    "PLAN: ",
    "THOUGHT: ",
    "COMMAND: ",
    "EXPLANATION: ",
    "STATUS: ",
)
CONTINUE, DONE = "CONTINUE", "DONE"

_COMMAND = re.compile(r"^COMMANDS?:[ \t]*(.*)$", re.MULTILINE)
_THOUGHT = re.compile(rf"^{THOUGHT.strip()}[ \t]*(.*)$", re.MULTILINE)
_EXPLANATION = re.compile(rf"^{EXPLANATION.strip()}[ \t]*(.*)$", re.MULTILINE)


class ActionParts(NamedTuple):
    """The parts of a composite action; `plan` is empty after the first step, `status` for agents that write none."""

    thought: str
    command: str
    explanation: str
    plan: str = ""
    status: str = ""


def format_action(parts: ActionParts) -> str:
    """Return the action with one line for each part that is not empty."""
    lines = zip(LABELS, (parts.plan, *parts[:3], parts.status), strict=True)
    return "\n".join(label + text for label, text in lines if text)


def command(action: str) -> str:
    """Return what the environment reads of an action: its first command, or the whole text if it has none."""
    match = _COMMAND.search(action)
    return match[1].strip() if match else action


def thought(action: str) -> str:
    """Return the thought of an action, or an empty text."""
    match = _THOUGHT.search(action)
    return match[1].strip() if match else ""


def explanation(action: str) -> str:
    """Return the explanation of an action, or an empty text."""
    match = _EXPLANATION.search(action)
    return match[1].strip() if match else ""


def commands_only(history: History) -> History:
    """Return the history with each action cut to its command, as the environment reads it."""
    steps = tuple(msgspec.structs.replace(s, action=command(s.action)) for s in history.steps)
    return msgspec.structs.replace(history, steps=steps)


_THINKING = re.compile(r"\s*think\b", re.IGNORECASE)  # `Think[…]` of AgentLite, `think[…]` of ReAct


def is_thought(action: str) -> bool:
    """Return whether an action is only a thought, which changes nothing in the environment."""
    return _THINKING.match(action) is not None
