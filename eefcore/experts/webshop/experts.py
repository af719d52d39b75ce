"""The scripted experts of WebShop as a run and its reports use them, for plain and for composite actions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec

from eefcore.actions import commands_only
from eefcore.envs.composite import STATUS_SUFFIX, CompositeBenchmark
from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.experts import demonstrate
from eefcore.experts.base_skills import SkillExample
from eefcore.experts.demonstrate import Demonstrator, find_strength
from eefcore.experts.registry import Measure, ScriptedExperts
from eefcore.experts.webshop import base_skills, composite_base_skills
from eefcore.experts.webshop.composite import CompositeShopper
from eefcore.experts.webshop.shopper import STRENGTHS, MistakeRates, make_shopper
from eefcore.experts.webshop.view import BACK, NEXT, PHRASES, read_call
from eefcore.types import Trajectory


def task_kinds(benchmark: WebShopBenchmark) -> dict[str, str]:
    """Return the kind of each task: in a generated shop what its page or options demand, else `any`."""
    file = benchmark.folder / "tasks.json"
    if not file.exists():
        return dict.fromkeys(benchmark.goals, "any")
    by_product = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    return {task: by_product[goal.asin] for task, goal in benchmark.goals.items()}


def solution_page(solution: Trajectory) -> int:
    """Return the page that the right product is on, from 1: 1 + the clicks on Next since the last Back to Search."""
    page = 1
    for button in (argument for name, argument in map(read_call, solution.actions) if name == "click"):
        page = 1 if button == BACK else page + (button in NEXT)
    return page


def demonstrator(benchmark: WebShopBenchmark, strength: str, *, seed: int = 0) -> Demonstrator:
    """Return the expert of that strength with its price."""
    expert = make_shopper(benchmark, strength, seed=seed)
    return demonstrate.demonstrator(benchmark, expert, price=find_strength(strength, STRENGTHS).price)


EXPERTS = ScriptedExperts(
    strengths=tuple(STRENGTHS),
    demonstrator=demonstrator,
    kinds=task_kinds,
    measures=(
        Measure(
            name="page",
            title="page of the right product",
            phrase="the page that the right product is on",
            demand="the right product’s page",
            value=solution_page,
        ),
    ),
    base_skills=base_skills.base_skill_examples,
    phrases=PHRASES,
    rates=MistakeRates._fields,
    settings=lambda name: find_strength(name, STRENGTHS).settings(),
)
"""The scripted experts of a shop."""


# Composite actions -------------------------------------------------------------------------------------------


def _shop(benchmark: CompositeBenchmark) -> WebShopBenchmark:
    """Return the shop that a composite benchmark wraps; `envs.registry` gives these experts to shops alone."""
    assert isinstance(benchmark.inner, WebShopBenchmark)
    return benchmark.inner


def _composite_demonstrator(benchmark: CompositeBenchmark, strength: str, *, seed: int = 0) -> Demonstrator:
    shopper = make_shopper(_shop(benchmark), strength, seed=seed)
    expert = CompositeShopper(shopper, status=benchmark.suffix == STATUS_SUFFIX)
    return demonstrate.demonstrator(benchmark, expert, price=find_strength(strength, STRENGTHS).price)


def _composite_base_skills(
    benchmark: CompositeBenchmark, tasks: Iterable[str], *, n: int, seed: int
) -> Iterator[SkillExample]:
    return composite_base_skills.base_skill_examples(_shop(benchmark), tasks, n=n, seed=seed)


def _of_commands(value: Callable[[Trajectory], int]) -> Callable[[Trajectory], int]:
    """Return the measure of a solution in composite actions: `value` of the commands in them."""
    return lambda solution: value(msgspec.structs.replace(solution, history=commands_only(solution.history)))


COMPOSITE_EXPERTS = ScriptedExperts(
    strengths=EXPERTS.strengths,
    demonstrator=_composite_demonstrator,
    kinds=lambda benchmark: task_kinds(_shop(benchmark)),
    measures=tuple(m._replace(value=_of_commands(m.value)) for m in EXPERTS.measures),
    base_skills=_composite_base_skills,
    phrases=(*composite_base_skills.PHRASES, *PHRASES),
    rates=EXPERTS.rates,
    settings=EXPERTS.settings,
)
"""The scripted experts of a shop whose agents write composite actions, and a base that is its own critic."""
