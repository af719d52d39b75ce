"""Trees of the toy world."""

from __future__ import annotations

from types import SimpleNamespace

from eefcore.types import Card, History, Trajectory
from helpers.toy_shop import TASKS, ToyShop

CARD = Card("toys", {"seed": 0})


TOYS = SimpleNamespace(
    make=ToyShop, tasks=lambda split: TASKS, max_turns=8, card=CARD, skills={}, instruction=str
)


def played(task: str, *actions: str) -> Trajectory:
    env, reward = ToyShop(), 0.0
    h = History(task, env.reset(task))
    for action in actions:
        seen, reward, _ = env.step(action)
        h = h.then(action, seen)
    return Trajectory(history=h, reward=reward, n_expert=len(h), source="expert")
