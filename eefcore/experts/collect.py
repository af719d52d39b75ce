"""Expert data D_e for a benchmark: who demonstrates what, and what it amounts to.

A scripted expert is known by its strength and belongs to its environment (`experts.shop` for WebShop).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from eefcore.envs.webshop import WebShopBenchmark
from eefcore.errors import ParamsError
from eefcore.experts import shop
from eefcore.experts.foreign import Episode
from eefcore.experts.importers import read_foreign
from eefcore.leakage import asked_for
from eefcore.ledger import Cost
from eefcore.protocols import Benchmark
from eefcore.records import read_records
from eefcore.types import History, Trajectory

SPLITS = ("train", "dev", "test")


def demonstrations(benchmark: Benchmark, names: Sequence[str], split: str, *, seed: int) -> list[Trajectory]:
    """τ_e of each expert in `names` on each task of `split`, expert by expert.

    Raises:
        ParamsError: nobody scripted an expert for this benchmark.
    """
    if not isinstance(benchmark, WebShopBenchmark):
        raise ParamsError(
            f"no scripted expert for {benchmark.card.name}; give 02_expert a `file` of trajectories instead"
        )
    return [
        t
        for name in names
        for t in shop.demonstrate(
            benchmark,
            shop.shopper(benchmark, name, seed=seed),
            benchmark.tasks(split),
            dollars=shop.STRENGTHS[name].dollars,
        )
    ]


def sources(experts: Iterable[Trajectory]) -> list[str]:
    """The experts' names, in order of appearance."""
    return list(dict.fromkeys(t.source for t in experts))


def by(experts: Iterable[Trajectory], source: str) -> list[Trajectory]:
    """What one of them did."""
    return [t for t in experts if t.source == source]


def expert_cost(experts: Iterable[Trajectory]) -> Cost:
    """What the demonstrations were paid."""
    return Cost(money=sum(t.money for t in experts))


def table(experts: Sequence[Trajectory], skills: Mapping[str, str]) -> list[dict[str, object]]:
    """Table 1 and Table 4 of each expert: how many, how many won, how long, which skills it used and won by."""
    return [
        {
            "expert": name,
            "trajectories": len(own),
            "positive": sum(t.win for t in own),
            "mean length": round(sum(map(len, own)) / len(own), 2),
            "money": round(sum(t.money for t in own), 2),
            **{
                f"{skill} {what}": sum(uses(t, pattern) for t in rows)
                for skill, pattern in skills.items()
                for what, rows in (("used", own), ("won by", [t for t in own if t.win]))
            },
        }
        for name in sources(experts)
        for own in [by(experts, name)]
    ]


def uses(trajectory: Trajectory, pattern: str) -> bool:
    """Whether an action of the trajectory is one of the skill's."""
    return any(re.search(pattern, action) for action in trajectory.actions)


def imported(file: str, benchmark: Benchmark) -> list[Trajectory]:
    """The trajectories of `file`: our own JSONL, or any foreign format that `importers` knows.

    A foreign record is a task of the benchmark's when it asks for the same in words, the price clause aside,
    which the official engine draws anew each time. What is none keeps its own id: it can be cloned, and is
    refused for exploration.

    Raises:
        DataError: the file is neither.
    """
    path = Path(file)
    if path.is_file():
        with path.open("rb") as start:
            ours = start.readline().startswith(b'{"eefcore":')
        if ours:
            return read_records(path, Trajectory).list
    asked = {asked_for(benchmark.instruction(t)): t for split in SPLITS for t in benchmark.tasks(split)}

    def task(episode: Episode) -> str:
        lines = episode.observations[0].splitlines()
        return next((asked[w] for w in map(asked_for, lines) if w in asked), episode.id)

    return read_foreign(path, task_id=task)


def for_training(experts: Iterable[Trajectory], benchmark: Benchmark) -> list[Trajectory]:
    """What of `experts` is about no dev or test task."""
    kept_out = {t for split in SPLITS[1:] for t in benchmark.tasks(split)}
    return [t for t in experts if t.task_id not in kept_out]


def held_out(benchmark: Benchmark) -> list[History]:
    """s_0 of every dev and test task, for the check that nothing of them is trained on."""
    return [History(t, benchmark.instruction(t)) for split in SPLITS[1:] for t in benchmark.tasks(split)]
