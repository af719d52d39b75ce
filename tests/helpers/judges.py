"""A toy shop whose page can be seen, and a local judge that replays recorded answers.

with judging_endpoint({"red hat": YES, "blue sock": "I can't tell."}) as endpoint:
    judge = Judge(f"openai:{endpoint.url}#recorded?cache=false", RESERVATION)
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from eefcore.errors import UnknownTask
from eefcore.evaluation.criteria import RESERVATION
from eefcore.types import Card
from helpers.recorded_endpoint import Answer, Endpoint, Received, completion, prompt_text
from helpers.toy_shop import TASKS, ToyShop


def verdict(**flags: bool) -> str:
    """Return a judge's answer: all criteria met and the task done, but for `flags`."""
    values = dict.fromkeys((*RESERVATION, "complete"), True) | flags
    return f"The agent did what it did.\n{json.dumps(values)}"


YES, NO = verdict(), verdict(completed=False, complete=False)


class SeenShop(ToyShop):
    """The toy shop with pictures of its pages, and without a task that is not on its shelves."""

    def reset(self, task_id: str) -> str:
        if task_id not in TASKS:
            raise UnknownTask(f"no task {task_id}")
        return super().reset(task_id)

    def screenshot(self) -> bytes:
        shown = "bye" if self._over else self._shelf()
        return b"\x89PNG" + shown.encode()


class ToyShops:
    """A benchmark of the toy shop; `make` makes its environments."""

    skills: Mapping[str, object] = {}
    max_turns = 8
    criteria = RESERVATION
    card = Card("toy", {})

    def __init__(self, make: Callable[[], ToyShop] = SeenShop) -> None:
        self.make = make

    def tasks(self, split: str) -> tuple[str, ...]:
        return TASKS

    def instruction(self, task_id: str) -> str:
        return f"Buy a {task_id}."


def data_lines(received: Received) -> list[dict[str, object]]:
    """Return the lines of data in a question, which stand between two marks that nothing in them can spell."""
    text = prompt_text(received.body)
    (mark,) = set(re.findall(r"^<data-([0-9a-f]{16})>$", text, re.MULTILINE))
    (inside,) = re.findall(rf"^<data-{mark}>\n(.*)\n</data-{mark}>$", text, re.MULTILINE | re.DOTALL)
    return [json.loads(line) for line in inside.splitlines()]


def judging_endpoint(answers: Mapping[str, str | Answer] | str) -> Endpoint:
    """Return a judge that answers each task as recorded, or every task alike; a goal names its task."""

    def answer(received: Received) -> Answer:
        goal = str(data_lines(received)[0]["goal"])
        said = answers if isinstance(answers, str) else next(a for t, a in answers.items() if t in goal)
        return said if isinstance(said, Answer) else completion(received, said)

    return Endpoint(answer)
