"""A scripted solver of some MiniWoB++ pages, which reads the goal and the observation alone and writes the actions of an agent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from eefcore.types import State


def id_of(page: str, what: str) -> int:
    """Return the id of the control whose line begins in `what` (`button Submit`)."""
    return int(re.search(rf"^\[(\d+)\] {re.escape(what)}(?![\w-])", page, re.MULTILINE)[1])


def fields(page: str) -> list[int]:
    """Return the ids of the fields, in order."""
    found = re.findall(r"^\[(\d+)\] (?:field|password|date)\b", page, re.MULTILINE)
    return [int(id) for id in found]


def quoted(goal: str) -> list[str]:
    """Return the words in quotation marks."""
    return re.findall(r'"([^"]*)"', goal)


def press(page: str, *labels: str) -> list[str]:
    return [f"CLICK [{id_of(page, label)}]" for label in labels]


def type_and_press(page: str, texts: list[str], button: str) -> list[str]:
    typed = [f"TYPE [{id}] [{text}]" for id, text in zip(fields(page), texts, strict=False)]
    return [*typed, *press(page, button)]


def arithmetic(goal: str, page: str) -> list[str]:
    a, sign, b = re.search(r"^(-?\d+) ([-+x]) (-?\d+) =", page, re.MULTILINE).groups()
    answer = {"+": int(a) + int(b), "-": int(a) - int(b), "x": int(a) * int(b)}[sign]
    return type_and_press(page, [str(answer)], "button Submit")


def boxes(goal: str, page: str) -> list[str]:
    wanted = re.fullmatch(r"Select (.*) and click Submit\.", goal)[1]
    names = [] if wanted == "nothing" else wanted.split(", ")
    return press(page, *(f"checkbox {name}" for name in names), "button Submit")


SOLVERS: Mapping[str, Callable[[str, str], list[str]]] = {
    "click-test-2": lambda goal, page: press(page, "button ONE"),
    "click-button": lambda goal, page: press(page, f"button {quoted(goal)[0]}"),
    "click-link": lambda goal, page: press(page, f"button {quoted(goal)[0]}"),
    "click-dialog": lambda goal, page: press(page, "button Close"),
    "click-checkboxes": boxes,
    "click-option": lambda goal, page: press(
        page, f"radio {re.fullmatch(r'Select (.*) and click Submit.', goal)[1]}", "button Submit"
    ),
    "choose-list": lambda goal, page: [
        f"TYPE [{id_of(page, 'select')}] [{re.fullmatch(r'Select (.*) from the list and click Submit.', goal)[1]}]",
        *press(page, "button Submit"),
    ],
    "enter-text": lambda goal, page: type_and_press(page, quoted(goal), "button Submit"),
    "enter-password": lambda goal, page: type_and_press(page, 2 * quoted(goal), "button Submit"),
    "enter-date": lambda goal, page: type_and_press(
        page, re.findall(r"\d\d/\d\d/\d{4}", goal), "button Submit"
    ),
    "focus-text": lambda goal, page: [f"TYPE [{fields(page)[0]}] [x]"],
    "login-user": lambda goal, page: type_and_press(page, quoted(goal), "button Login"),
    "simple-arithmetic": arithmetic,
}


def solution(page: str, observation: str) -> tuple[str, ...]:
    """Return the actions that solve a task of a page, from o_0."""
    goal = observation.removeprefix("USER ").partition("\n")[0]
    return tuple(SOLVERS[page](goal, observation))


def play(env, task_id: str, page: str):
    """Play a solution; return its actions and the answers to them."""
    actions = solution(page, env.reset(task_id))
    assert env.snapshot() == State(task_id)
    return actions, [env.step(action) for action in actions]
