"""A user who answers the agent's questions from the facts of the task, by rules and without a language model.

`ASK USER HELP` is an action of Agent Q (Appendix B), whose answers the paper leaves open. Here a question is about every topic
of which it holds a word, and the answer says the user's wish for each. A question about nothing known gets an answer that
says so. Equal questions get equal answers, so that an episode can be replayed.
"""

from __future__ import annotations

import re

from eefcore.envs.booking.clock import say_day, say_time
from eefcore.envs.booking.tasks import Task

_TOPICS = {
    "seating": r"\b(seat\w*|sit|sitting|indoors?|outdoors?|inside|outside|bar|terrace|patio)\b",
    "nearest": r"\b(taken|sold out|not available|unavailable|nearest|closest|another time|other times?|instead|alternative\w*)\b",
    "phone": r"\b(phone|telephone|mobile|tel)\b",
    "email": r"\be-?mail\b",
    "name": r"\bnames?\b",
    "party": r"\b(party|people|persons?|guests|how many|how large)\b",
    "day": r"\b(date|day|when)\b",
    "time": r"\b(time|hour|o'clock|when)\b",
}
_PATTERNS = {topic: re.compile(pattern, re.IGNORECASE) for topic, pattern in _TOPICS.items()}

NOTHING_TO_ADD = "Please do as I asked; I have nothing to add."


def answer(task: Task, question: str) -> str:
    """Return what the user of a task says to a question."""
    facts = _facts(task)
    topics = [topic for topic, pattern in _PATTERNS.items() if pattern.search(question)]
    return " ".join(facts[topic] for topic in topics if topic in facts) or NOTHING_TO_ADD


def _facts(task: Task) -> dict[str, str]:
    """Return the user's wish by topic; of a cancellation there is nothing to tell."""
    target = task.goal.target
    if target is None or task.asked is None:
        return {}
    return {
        "seating": f"{target.seating}, please." if target.seating else "Any kind of seating is fine.",
        "nearest": "Take the nearest time on that day, and of two as near the earlier.",
        "phone": f"My phone number is {target.guest.phone}.",
        "email": f"My e-mail is {target.guest.email}.",
        "name": f"My name is {target.guest.name}.",
        "party": f"Party size: {target.party}.",
        "day": f"{say_day(target.day)}.",
        "time": f"{say_time(task.asked)}.",
    }
