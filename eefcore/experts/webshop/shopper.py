"""Scripted shoppers that think aloud as the papers' experts do, some of which make mistakes on purpose.

A shopper knows the goal and the catalogue. It judges the products on a page by the official reward, and says why.
The mistakes it makes are explicit, drawn from a seed, the task and the turn, and marked in the trajectory.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.envs.webshop.reward import get_attribute_reward, get_type_reward
from eefcore.envs.webshop.words import OPTION_VALUES
from eefcore.experts.demonstrate import Strength, find_strength
from eefcore.experts.webshop.view import BACK, Listing, View, read_view, write_call
from eefcore.types import History, Mistake

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


class Request(NamedTuple):
    """What a task asks for, as a shopper needs to know it."""

    query: str  # what to type into the search box
    options: tuple[str, ...]  # option values to choose


FindFault = Callable[[str, str], str | None]
"""Return why a product (its asin) does not fit a task (its id), in words that follow `is`; None if it fits.

`too expensive` is the fault that can be misread."""


class Habits(NamedTuple):
    """What a shopper does when no listed product fits."""

    max_next: int  # how often it clicks Next after a search, at most
    goes_back: bool  # whether it goes back to search when the opened product lacks something, or buys it


EXPERT_HABITS = Habits(max_next=4, goes_back=True)
NAIVE_HABITS = Habits(max_next=0, goes_back=False)


class MistakeRates(NamedTuple):
    """The probability of each mistake, each time there is an occasion for it; a mark in a trajectory has the same name.

    After n clicks on Next and b on Back to Search a rate p has become p · after_next^n · after_back^b: an expert that has
    left the straight way loses the thread, and wins what is simple (EEF §3.1).

    Attributes:
        pick_wrong: opens a listed product that lacks something, as if it were right. Drawn for each listed product.
        misread_price: opens a listed product that is too expensive, as if its price were low enough.
        overlook: passes over a listed product that is right.
        give_up: finds no listed product right, and opens the closest one instead of clicking Next.
        forget_option: does not choose an option that the task asks for, though the product has it.
        buy_anyway: does not notice that the opened product is wrong or lacks an option, and buys it.
        after_next: the factor by which every rate grows with each click on Next.
        after_back: the factor by which every rate grows with each click on Back to Search.
    """

    pick_wrong: float = 0.0
    misread_price: float = 0.0
    overlook: float = 0.0
    give_up: float = 0.0
    forget_option: float = 0.0
    buy_anyway: float = 0.0
    after_next: float = 1.0
    after_back: float = 1.0


NO_MISTAKES = MistakeRates()


class Decision(NamedTuple):
    """What a shopper thinks on a page, the actions that follow from it in order, and the mistakes in it."""

    thought: str
    plan: tuple[str, ...]
    mistakes: tuple[str, ...] = ()


class Shopper:
    """A scripted shopper, h_t -> a_t: a function of the history alone, so that it can start from any state.

    It first thinks about a page and then acts on it; it clicks options one after another without a further thought.
    Equal seeds make equal mistakes, in the thought and in the actions that follow from it.

    Args:
        request: task id -> what the task asks for.
    """

    def __init__(
        self,
        request: Callable[[str], Request],
        find_fault: FindFault,
        *,
        name: str = "expert",
        habits: Habits = EXPERT_HABITS,
        rates: MistakeRates = NO_MISTAKES,
        seed: int = 0,
    ) -> None:
        self.name, self.habits, self.rates, self.seed = name, habits, rates, seed
        self.request, self.find_fault = request, find_fault

    def act(self, history: History) -> str:
        """Return a_t."""
        v = read_view(history)
        decision = self.decide(history.task_id, v)
        if not (v.after_thought or v.chosen or v.refused):
            return write_call("Think", decision.thought)
        done = {write_call("click", option) for option in v.chosen}
        return next(a for a in decision.plan if a not in done)

    def mistakes(self, history: History) -> tuple[Mistake, ...]:
        """Return the mistakes in a_t, if it is a thought that makes some or an action that follows from one.

        Of the actions that follow from one thought the last is wrong: the product opened, the page turned, or the
        purchase. The options chosen before it are right.
        """
        v = read_view(history)
        if v.refused:
            return ()
        decision = self.decide(history.task_id, v)
        if (v.after_thought or v.chosen) and self.act(history) != decision.plan[-1]:
            return ()
        return tuple(Mistake(len(history), mistake) for mistake in decision.mistakes)

    def decide(self, task_id: str, v: View) -> Decision:
        """Return what the shopper thinks and does on the page that it sees."""
        if v.page.kind == "start":
            query = self.request(task_id).query
            return Decision(f"I should search for {query}.", (write_call("search", query),))
        if v.page.kind == "results":
            return self._decide_on_results(task_id, v)
        return self._decide_on_product(task_id, v)

    def _decide_on_results(self, task_id: str, v: View) -> Decision:
        """Judge the listed products one after the other, and open the first that fits; else turn the page."""
        sentences: list[str] = []
        mistakes: list[str] = []
        for ordinal, listing in zip(ORDINALS, v.page.listings, strict=False):
            if listing.asin in v.opened:
                sentences.append(f"The {ordinal} was seen.")
                continue
            fault = self.find_fault(task_id, listing.asin)
            mistake = self._misjudges(task_id, v, listing, fault)
            if mistake:
                mistakes.append(mistake)
            if (fault is None) == (mistake is None):
                sentences.append(f"The {ordinal} fits.")
                return _click(listing.asin, sentences, mistakes)
            sentences.append(f"The {ordinal} is {fault or 'not right'}.")
        sentences.append("None fits.")
        may_turn = v.next_clicks < self.habits.max_next and v.page.listings
        if may_turn and not self._makes("give_up", task_id, v):
            return _click(v.page.next_button, sentences, mistakes)
        if may_turn:
            mistakes.append("give_up")
        if not v.page.listings:
            return _click(BACK, ["Nothing is listed."])
        closest = next((i for i, x in enumerate(v.page.listings) if x.asin not in v.opened), 0)
        sentences.append(f"The {ORDINALS[closest]} is closest.")
        return _click(v.page.listings[closest].asin, sentences, mistakes)

    def _decide_on_product(self, task_id: str, v: View) -> Decision:
        """Check the opened product; go back if it does not do, else choose its options and buy it."""
        careless = self._makes("buy_anyway", task_id, v)
        requested = self.request(task_id).options
        sentences: list[str] = []
        plan: list[str] = []
        mistakes: list[str] = []
        # After the last Next, an opened product was the last resort.
        goes_back = self.habits.goes_back and v.next_clicks < self.habits.max_next
        fault = self.find_fault(task_id, v.asin) if goes_back else None
        if fault and not careless:
            return _click(BACK, [f"It is {fault}."])
        for option in requested:
            if option in v.page.options:
                if self._makes("forget_option", task_id, v, option):
                    mistakes.append("forget_option")
                    continue
                sentences.append(f"I need {option}, there is {option}.")
                plan.append(option)
            elif not careless:
                sentences.append(f"I need {option}, there is no {option}.")
                if goes_back:
                    return _click(BACK, sentences)
        if careless and (fault or len(plan) + len(mistakes) < len(requested)):
            mistakes.append("buy_anyway")
        plan.append("Buy Now")
        sentences.append(f"I should click {', '.join(plan)}.")
        clicks = tuple(write_call("click", button) for button in plan)
        return Decision(" ".join(sentences), clicks, tuple(mistakes))

    def _misjudges(self, task_id: str, v: View, listing: Listing, fault: str | None) -> str | None:
        """Return the mistake that turns the judgement of a listed product into its opposite, or None."""
        mistake = {None: "overlook", "too expensive": "misread_price"}.get(fault, "pick_wrong")
        return mistake if self._makes(mistake, task_id, v, listing.asin) else None

    def _makes(self, mistake: str, task_id: str, v: View, about: str = "") -> bool:
        """Return whether the shopper makes a mistake here, about a product or an option."""
        rates = self.rates
        rate = getattr(rates, mistake) * rates.after_next**v.nexts * rates.after_back**v.backs
        # Experts of one strength with other rates draw the same numbers, so that a sweep over a rate compares like with like.
        strength = self.name.partition("?")[0]
        key = f"{strength}|{self.seed}|{task_id}|{v.turn}|{mistake}|{about}"
        return rate > 0 and random.Random(key).random() < rate


def _click(button: str, sentences: list[str], mistakes: Sequence[str] = ()) -> Decision:
    thought = f"{' '.join(sentences)} I should click {button}."
    return Decision(thought, (write_call("click", button),), tuple(mistakes))


STRENGTHS = {
    "strong": Strength(
        EXPERT_HABITS,
        MistakeRates(
            pick_wrong=0.175,
            misread_price=0.175,
            overlook=0.165,
            give_up=0.25,
            forget_option=0.02,
            buy_anyway=0.72,
            after_next=2.95,
            after_back=3.4,
        ),
        0.03,
    ),
    "weak": Strength(
        EXPERT_HABITS,
        MistakeRates(
            pick_wrong=0.12,
            misread_price=0.12,
            overlook=0.09,
            give_up=0.88,
            forget_option=0.33,
            buy_anyway=0.74,
            after_next=5.0,
            after_back=1.5,
        ),
        0.001,
    ),
    "perfect": Strength(EXPERT_HABITS, NO_MISTAKES, 0.0),
    "naive": Strength(NAIVE_HABITS, NO_MISTAKES, 0.0),
}
"""The scripted shoppers by name.

strong    stands where GPT-4 stands in EEF: its rates are fitted to wins, Next, Back and length of Tables 1, 3 and 4
weak      stands where GPT-3.5 stands, thirty times cheaper, fitted in the same way (Tables 3 and 4)
perfect   makes no mistakes, and shows that the tasks can be solved
naive     buys the first product that fits on page one; what the tiny base knows
"""


def make_shopper(benchmark: WebShopBenchmark, strength: str, *, seed: int = 0) -> Shopper:
    """Return the scripted shopper of that strength for this benchmark's tasks, as in `strong` or `strong?give_up=0.2`.

    Raises:
        ParamsError: there is no such strength, or no such rate.
    """
    habits, rates, _ = find_strength(strength, STRENGTHS)

    @cache
    def request(task_id: str) -> Request:
        goal = benchmark.goal(task_id)
        return Request(" ".join((*goal.attributes, goal.query)), goal.options)

    return Shopper(request, fault_finder(benchmark), name=strength, habits=habits, rates=rates, seed=seed)


def fault_finder(benchmark: WebShopBenchmark) -> FindFault:
    """Return a function that says why a product does not fit a task, by the official reward; None if it fits.

    Options can be seen only once a product is open; but a title that says `red` is a fault when `navy` is asked for.
    """

    @lru_cache(maxsize=1 << 16)
    def fault(task_id: str, asin: str) -> str | None:
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
