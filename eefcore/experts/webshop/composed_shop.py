"""What is scripted for a shop whose agents write composite actions: a shop's experts, and a base that is its own critic."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from eefcore.actions import commands_only
from eefcore.envs.composite import CompositeBenchmark
from eefcore.experts.allocation import Offer
from eefcore.experts.players import hired
from eefcore.experts.registry import Scripts, Shown
from eefcore.experts.webshop import composed_skills, shop
from eefcore.experts.webshop.composed import Composed
from eefcore.experts.webshop.view import PHRASES
from eefcore.types import Trajectory


def offer(benchmark: CompositeBenchmark, strength: str, *, seed: int = 0) -> Offer:
    """The expert of that strength for hire, at its price an action."""
    expert = Composed(shop.shopper(benchmark.inner, strength, seed=seed))
    return hired(benchmark, expert, dollars=shop.STRENGTHS[strength].dollars)


def kinds(benchmark: CompositeBenchmark) -> dict[str, str]:
    """Task id to the kind of task it is."""
    return shop.kinds(benchmark.inner)


def show(benchmark: CompositeBenchmark, tasks: Iterable[str], *, n: int, seed: int) -> Iterable[Shown]:
    """`n` skills of one action each: acting as the naive shopper does, and answering a critic's questions."""
    return composed_skills.show(benchmark, [*tasks], n=n, seed=seed)


def _by_commands(of: Callable[[Trajectory], int]) -> Callable[[Trajectory], int]:
    def measured(solution: Trajectory) -> int:
        return of(msgspec.structs.replace(solution, history=commands_only(solution.history)))

    return measured


SCRIPTS = Scripts(
    strengths=shop.SCRIPTS.strengths,
    offer=offer,
    kinds=kinds,
    measures=tuple(m._replace(of=_by_commands(m.of)) for m in shop.SCRIPTS.measures),
    show=show,
    phrases=(*composed_skills.PHRASES, *PHRASES),
)
