"""Tasks of the booking site for tests, and visits that a concierge plays, rightly or on a wrong errand."""

from __future__ import annotations

import random
from functools import cache

from msgspec.structs import replace

from eefcore.envs.booking.benchmark import SIZES, BookingBenchmark
from eefcore.envs.booking.env import BookingSite
from eefcore.envs.booking.records import Booking
from eefcore.envs.booking.tasks import Task
from eefcore.envs.panels import PanelSizes
from eefcore.experts.booking import Concierge
from eefcore.types import History

SITE = BookingBenchmark(SIZES["booking"], PanelSizes(150, 30, 100), max_turns=45)


def task_with(*factors: str, none_of: tuple[str, ...] = (), split: str = "train") -> Task:
    """Return the first task with all of some factors and none of others."""
    tasks = (SITE.goal(id) for id in SITE.tasks(split))
    return next(t for t in tasks if {*factors} <= {*t.factors} and not {*none_of} & {*t.factors})


STRANGE = (
    "Zoë 🛒",
    "<b>",
    "' OR 1=1",
    "a\nb",
    "\ud800",
    "\x00",
    " x ",
    "7:00 PM",
    "4",
    "tomorrow",
    "%2e",
    "日本",
)
"""Texts that a policy may type."""


@cache
def play(task: Task) -> History:
    """Return a whole visit of the concierge, who is told what `task` says."""
    env = SITE.make()
    history, done = History(task.id, env.reset(task.id)), False
    while not done:
        history, done = step(env, history, task)
    return history


def step(env: BookingSite, history: History, errand: Task) -> tuple[History, bool]:
    """Let the concierge do one thing for `errand`, in a visit of any task."""
    action = Concierge({history.task_id: errand}, SITE.worlds).act(history)
    answer = env.step(action)
    return history.then(action, answer.observation), answer.done


def wrong_errand(task: Task, target: Booking) -> Task:
    """Return the task as a concierge understands it who makes `target` of it."""
    return replace(task, goal=replace(task.goal, target=target), asked=target.time, guest=target.guest)


def random_action(rng: random.Random, observation: str) -> str:
    """Draw an action for a page: mostly one that can be done there, sometimes one with strange text or nonsense."""
    ids = [part.partition("]")[0] for part in observation.split("\n[")[1:]] or ["1"]
    id, text = rng.choice([*ids, "99"]), rng.choice(STRANGE)
    return rng.choice(
        (f"CLICK [{id}]",) * 5 + (f"TYPE [{id}] [{text}]", f"TYPE [{id}] [2]", f"SUBMIT [{id}]", f"CLEAR [{id}]")
        + ("SCROLL [DOWN]", "SCROLL [UP]", f"GOTO [/{text}]", "GOTO [/search?q=thai]", "ASK USER HELP [Where?]", text)
    )  # fmt: skip
