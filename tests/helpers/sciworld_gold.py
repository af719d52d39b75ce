"""Episodes of the simulator's own rule-based agent, as JSON lines: fixed actions and the simulator's answers.

    python tests/helpers/sciworld_gold.py > tests/golden/sciworld_gold.jsonl

Each line has `task`, `variation`, `actions`, and the `observations` and `scores` that the actions led to; where there
is one more of them than actions, the first is that of s_0. Files of others are read as well: `EEF_SCIWORLD_GOLD`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from eefcore.envs.sciworld.simulator import Simulator
from eefcore.envs.sciworld.tasks import SCIWORLD, Task
from helpers.paths import GOLDEN

GOLDEN_FILE = GOLDEN / "sciworld_gold.jsonl"


class Gold(NamedTuple):
    """An episode: after `actions[i]` come `observations[i]` and `scores[i]`; `first` is o_0, where the file has it."""

    task: Task
    actions: list[str]
    observations: list[str]
    scores: list[int]
    first: str | None


def read(path: Path) -> Iterator[Gold]:
    for line in path.read_text(encoding="utf-8").splitlines():
        it = json.loads(line)
        actions, seen, scores = it["actions"], it["observations"], it["scores"]
        n = len(actions)
        assert n and {len(seen), len(scores)} <= {n, n + 1}, f"{path}: {it['task']} {it['variation']}"
        first = seen[0] if len(seen) > n else None
        yield Gold(Task(it["task"], it["variation"]), actions, seen[-n:], scores[-n:], first)


def played(simulator: Simulator, task: Task, actions: list[str]) -> Gold:
    """Return the episode of `actions` in a new world."""
    world = simulator.load(*task)
    first = world.response.observation
    seen = [simulator.step(world, action) for action in actions]
    simulator.forget(world)
    return Gold(task, actions, [s.observation for s in seen], [s.score for s in seen], first)


def main() -> None:
    """Print the shortest episode among the first three of each kind."""
    simulator = Simulator()
    for kind in SCIWORLD:
        paths = {Task(kind, v): list(simulator.gold(kind, v)) for v in range(3)}
        task = min(paths, key=lambda t: len(paths[t]))
        gold = played(simulator, task, paths[task])
        seen = {"observations": [gold.first, *gold.observations], "scores": gold.scores}
        print(json.dumps({"task": kind, "variation": task.variation, "actions": gold.actions} | seen))


if __name__ == "__main__":
    main()
