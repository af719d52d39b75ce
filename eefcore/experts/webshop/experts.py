"""The scripted experts of WebShop by strength, for plain and for composite actions, and what reports need of tasks.

strong    stands where GPT-4 stands in EEF (about 35 % wins)
weak      stands where GPT-3.5 stands (about 23 %), thirty times cheaper
perfect   makes no mistakes, and shows that the tasks can be solved
naive     buys the first product that fits on page one; what the tiny base knows
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from eefcore.actions import commands_only
from eefcore.envs.composite import CompositeBenchmark
from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.envs.webshop.reward import get_attribute_reward, get_type_reward
from eefcore.envs.webshop.words import OPTION_VALUES
from eefcore.errors import DataError
from eefcore.experts import demonstrate
from eefcore.experts.demonstrate import Demonstrator
from eefcore.experts.registry import Measure, ScriptedExperts, SkillExample
from eefcore.experts.webshop import base_skills, composite_base_skills
from eefcore.experts.webshop.composite import CompositeShopper
from eefcore.experts.webshop.shopper import (
    EXPERT_HABITS,
    NAIVE_HABITS,
    NO_MISTAKES,
    FindFault,
    Habits,
    MistakeRates,
    Request,
    Shopper,
)
from eefcore.experts.webshop.view import BACK, NEXT, PHRASES, read_call
from eefcore.types import Trajectory


class Strength(NamedTuple):
    """An expert's habits, the rates of its mistakes, and the dollars an action of it costs (a nominal price)."""

    habits: Habits
    rates: MistakeRates
    price: float


STRENGTHS = {
    "strong": Strength(
        EXPERT_HABITS,
        MistakeRates(
            pick_wrong=0.07,
            misread_price=0.07,
            overlook=0.04,
            give_up=0.4,
            forget_option=0.08,
            buy_anyway=0.7,
            growth_per_detour=10.0,
        ),
        0.03,
    ),
    "weak": Strength(
        EXPERT_HABITS,
        MistakeRates(
            pick_wrong=0.16,
            misread_price=0.16,
            overlook=0.14,
            give_up=0.3,
            forget_option=0.2,
            buy_anyway=0.6,
            growth_per_detour=10.0,
        ),
        0.001,
    ),
    "perfect": Strength(EXPERT_HABITS, NO_MISTAKES, 0.0),
    "naive": Strength(NAIVE_HABITS, NO_MISTAKES, 0.0),
}


def make_shopper(benchmark: WebShopBenchmark, strength: str, *, seed: int = 0) -> Shopper:
    """Return the scripted shopper of that strength for this benchmark's tasks.

    Raises:
        DataError: there is no such strength.
    """
    if strength not in STRENGTHS:
        raise DataError(f"no shop expert {strength!r}; choose one of {', '.join(STRENGTHS)}")
    habits, rates, _ = STRENGTHS[strength]
    requests, find_fault = _Requests(benchmark), fault_finder(benchmark)
    return Shopper(requests, find_fault, name=strength, habits=habits, rates=rates, seed=seed)


class _Requests(dict[str, Request]):
    """Task id to what the task asks for, worked out when it is first needed."""

    def __init__(self, benchmark: WebShopBenchmark) -> None:
        super().__init__()
        self._benchmark = benchmark

    def __missing__(self, task_id: str) -> Request:
        goal = self._benchmark.goal(task_id)
        words = [*goal.attributes, goal.query]
        self[task_id] = Request(" ".join(words), goal.options)
        return self[task_id]


def fault_finder(benchmark: WebShopBenchmark) -> FindFault:
    """Return a function that says why a product does not fit a task, by the official reward; None if it fits.

    Options can be seen only once a product is open; but a title that says `red` is a fault when `navy` is asked for.
    """

    @lru_cache(maxsize=1 << 16)
    def fault(task_id: str, asin: str, /) -> str | None:
        goal, product = benchmark.goal(task_id), benchmark.shop.catalogue[asin]
        if get_type_reward(product, goal, benchmark.shop.nouns).r_type < 1:
            return f"not a {goal.query}"
        for attribute in goal.attributes:
            if not get_attribute_reward(product, (attribute,)).matches:
                return f"not {attribute}"
        offered = {value for values in product.options.values() for value in values}
        for value in goal.options:
            if value not in offered and _names_another(product.title, value):
                return f"not {value}"
        return "too expensive" if product.price > goal.price_upper else None

    return fault


def _names_another(title: str, value: str) -> bool:
    """Return whether a title names another value of the group that `value` belongs to, and not `value`."""
    words = set(title.lower().split())
    return value not in words and any(
        value in group and words & set(group) for group in OPTION_VALUES.values()
    )


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
    return demonstrate.demonstrator(benchmark, expert, price=STRENGTHS[strength].price)


def base_skill_examples(
    benchmark: WebShopBenchmark, tasks: Iterable[str], *, n: int, seed: int
) -> Iterable[SkillExample]:
    """Return `n` examples of base skills on random ones of `tasks`, by the naive shopper."""
    naive = make_shopper(benchmark, "naive")
    return base_skills.base_skill_examples(benchmark, naive, [*tasks], n=n, seed=seed)


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
    base_skills=base_skill_examples,
    phrases=PHRASES,
)
"""The scripted experts of a shop."""


# Composite actions -------------------------------------------------------------------------------------------


def _shop(benchmark: CompositeBenchmark) -> WebShopBenchmark:
    """Return the shop that a composite benchmark wraps."""
    if not isinstance(benchmark.inner, WebShopBenchmark):
        raise DataError(
            f"{benchmark.card.name}: expected a shop under composite actions, got {type(benchmark.inner).__name__}; "
            "name a webshop benchmark before +composite"
        )
    return benchmark.inner


def _composite_demonstrator(benchmark: CompositeBenchmark, strength: str, *, seed: int = 0) -> Demonstrator:
    expert = CompositeShopper(make_shopper(_shop(benchmark), strength, seed=seed))
    return demonstrate.demonstrator(benchmark, expert, price=STRENGTHS[strength].price)


def _composite_base_skill_examples(
    benchmark: CompositeBenchmark, tasks: Iterable[str], *, n: int, seed: int
) -> Iterable[SkillExample]:
    shop = _shop(benchmark)
    naive, perfect = make_shopper(shop, "naive"), make_shopper(shop, "perfect")
    return composite_base_skills.base_skill_examples(shop, naive, perfect, [*tasks], n=n, seed=seed)


def _of_commands(value: Callable[[Trajectory], int]) -> Callable[[Trajectory], int]:
    """Return the measure of a solution in composite actions: `value` of the commands in them."""
    return lambda solution: value(msgspec.structs.replace(solution, history=commands_only(solution.history)))


COMPOSITE_EXPERTS = ScriptedExperts(
    strengths=EXPERTS.strengths,
    demonstrator=_composite_demonstrator,
    kinds=lambda benchmark: task_kinds(_shop(benchmark)),
    measures=tuple(m._replace(value=_of_commands(m.value)) for m in EXPERTS.measures),
    base_skills=_composite_base_skill_examples,
    phrases=(*composite_base_skills.PHRASES, *PHRASES),
)
"""The scripted experts of a shop whose agents write composite actions, and a base that is its own critic."""
