"""What is scripted for WebShop: experts by strength, kinds of tasks, the page of the right product.

strong    stands where GPT-4 stands in EEF (about 35 % wins)
weak      stands where GPT-3.5 stands (about 23 %), thirty times cheaper
perfect   makes no mistakes, and shows that the tasks can be solved
naive     buys the first thing that fits page one; what the tiny base knows
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import NamedTuple

import msgspec

from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.envs.webshop.reward import get_attribute_reward, get_type_reward
from eefcore.envs.webshop.words import OPTION_VALUES
from eefcore.errors import DataError
from eefcore.experts.allocation import Offer
from eefcore.experts.players import hired
from eefcore.experts.registry import Measure, Scripts, Shown
from eefcore.experts.webshop import skills
from eefcore.experts.webshop.shopper import EXPERT, NAIVE, NONE, Habits, Mistakes, Shopper, Wish
from eefcore.experts.webshop.view import BACK, NEXT, PHRASES, called
from eefcore.types import Trajectory


class Strength(NamedTuple):
    """An expert's habits, its mistakes, and the dollars an action of it costs (a nominal price)."""

    habits: Habits
    mistakes: Mistakes
    dollars: float


STRENGTHS = {
    "strong": Strength(
        EXPERT,
        Mistakes(
            pick_wrong=0.07,
            misread_price=0.07,
            overlook=0.04,
            give_up=0.4,
            forget_option=0.08,
            buy_anyway=0.7,
            stray=10.0,
        ),
        0.03,
    ),
    "weak": Strength(
        EXPERT,
        Mistakes(
            pick_wrong=0.16,
            misread_price=0.16,
            overlook=0.14,
            give_up=0.3,
            forget_option=0.2,
            buy_anyway=0.6,
            stray=10.0,
        ),
        0.001,
    ),
    "perfect": Strength(EXPERT, NONE, 0.0),
    "naive": Strength(NAIVE, NONE, 0.0),
}


def shopper(benchmark: WebShopBenchmark, strength: str, *, seed: int = 0) -> Shopper:
    """The scripted shopper of that strength for this benchmark's tasks."""
    if strength not in STRENGTHS:
        raise DataError(f"no shop expert {strength!r}; choose one of {', '.join(STRENGTHS)}")
    habits, mistakes, _ = STRENGTHS[strength]
    return Shopper(
        _Wishes(benchmark), judge(benchmark), name=strength, habits=habits, mistakes=mistakes, seed=seed
    )


class _Wishes(dict[str, Wish]):
    """Task id to what the shopper looks for, worked out when first asked."""

    def __init__(self, benchmark: WebShopBenchmark) -> None:
        super().__init__()
        self._benchmark = benchmark

    def __missing__(self, task_id: str) -> Wish:
        goal = self._benchmark.goal(task_id)
        words = [*goal.attributes, goal.query]
        self[task_id] = Wish(" ".join(words), goal.options)
        return self[task_id]


def kinds(benchmark: WebShopBenchmark) -> dict[str, str]:
    """Task id to the kind of task it is: in a generated shop what its page or options demand, else `any`."""
    file = benchmark.folder / "tasks.json"
    if not file.exists():
        return dict.fromkeys(benchmark.goals, "any")
    by_product = msgspec.json.decode(file.read_bytes(), type=dict[str, str])
    return {task: by_product[goal.asin] for task, goal in benchmark.goals.items()}


def judge(benchmark: WebShopBenchmark) -> Callable[[str, str], str | None]:
    """Why a product does not fit a task, by the official reward of what it is, has and costs; None if it does.

    Options are only seen once a product is open; but a title that says `red` is judged when `navy` is asked for.
    """

    @lru_cache(maxsize=1 << 16)
    def reason(task_id: str, asin: str) -> str | None:
        goal, product = benchmark.goal(task_id), benchmark.shop.catalogue[asin]
        kind = get_type_reward(
            product.query, product.product_category, product.title, goal=goal, nouns=benchmark.shop.nouns
        )
        if kind.r_type < 1:
            return f"not a {goal.query}"
        for attribute in goal.attributes:
            if not get_attribute_reward(product, (attribute,)).matches:
                return f"not {attribute}"
        offered = {value for values in product.options.values() for value in values}
        for value in goal.options:
            if value not in offered and _says_another(product.title, value):
                return f"not {value}"
        return "too expensive" if product.price > goal.price_upper else None

    return reason


def _says_another(title: str, value: str) -> bool:
    """Whether a title names another value of the group that `value` is of, and not `value`."""
    words = set(title.lower().split())
    return value not in words and any(
        value in group and words & set(group) for group in OPTION_VALUES.values()
    )


def offer(benchmark: WebShopBenchmark, strength: str, *, seed: int = 0) -> Offer:
    """The expert of that strength for hire, at its price an action."""
    expert = shopper(benchmark, strength, seed=seed)
    return hired(benchmark, expert, dollars=STRENGTHS[strength].dollars)


def show(benchmark: WebShopBenchmark, tasks: Iterable[str], *, n: int, seed: int) -> Iterable[Shown]:
    """`n` shopping skills on random ones of `tasks`, by the naive shopper."""
    return skills.show(benchmark, shopper(benchmark, "naive"), [*tasks], n=n, seed=seed)


def page(solution: Trajectory) -> int:
    """The page that the right product is on, 1 being the first: 1 + the uses of Next since the last Back to Search."""
    page = 1
    for button in (argument for name, argument in map(called, solution.actions) if name == "click"):
        page = 1 if button == BACK else page + (button in NEXT)
    return page


SCRIPTS = Scripts(
    strengths=tuple(STRENGTHS),
    offer=offer,
    kinds=kinds,
    measures=(
        Measure(
            "page",
            "page of the right product",
            "the page that the right product is on",
            "the right product’s page",
            page,
        ),
    ),
    show=show,
    phrases=PHRASES,
)
