"""Scripted shoppers that think aloud as the papers' experts do, some of which make mistakes on purpose.

    Habits         what a shopper does when no listed product fits: turn the page, go back, or buy anyway
    MistakeRates   how often an imperfect shopper makes each mistake
    Shopper        h_t -> a_t

A shopper knows the goal and the catalogue. It judges the products on a page by the official reward, and says why.
The mistakes it makes are explicit, drawn from a seed, the task and the turn, and marked in the trajectory.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from eefcore.experts.webshop.view import Listing, View, read_view, write_call
from eefcore.types import History, Mistake

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


class Request(NamedTuple):
    """What a task asks for, as a shopper needs to know it."""

    query: str  # what to type into the search box
    options: tuple[str, ...]  # option values to choose


class FindFault(Protocol):
    """Return why a product does not fit a task, in words that follow `is`, or None if it fits.

    `too expensive` is the fault that can be misread.
    """

    def __call__(self, task_id: str, asin: str, /) -> str | None: ...


class Habits(NamedTuple):
    """What a shopper does when no listed product fits."""

    max_next: int  # how often it clicks Next after a search, at most
    goes_back: (
        bool  # whether it clicks Back to Search when the opened product lacks something, instead of buying it
    )


EXPERT_HABITS = Habits(max_next=4, goes_back=True)
NAIVE_HABITS = Habits(max_next=0, goes_back=False)


class MistakeRates(NamedTuple):
    """The probability of each mistake, each time there is an occasion for it; a mark in a trajectory has the same name.

    A rate p becomes p (1 + growth_per_detour)^d after d clicks on Next or Back to Search: an expert that has left the
    straight way loses the thread, and wins what is simple (EEF §3.1).

    Attributes:
        pick_wrong: opens a listed product that lacks something, as if it were right. Drawn for each listed product.
        misread_price: opens a listed product that is too expensive, as if its price were low enough.
        overlook: passes over a listed product that is right.
        give_up: finds no listed product right, and opens the closest one instead of clicking Next.
        forget_option: does not choose an option that the task asks for, though the product has it.
        buy_anyway: does not notice that the opened product is wrong or lacks an option, and buys it.
        growth_per_detour: how much every rate grows with each Next or Back to Search; 10 makes it elevenfold.
    """

    pick_wrong: float = 0.0
    misread_price: float = 0.0
    overlook: float = 0.0
    give_up: float = 0.0
    forget_option: float = 0.0
    buy_anyway: float = 0.0
    growth_per_detour: float = 0.0


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
    """

    def __init__(
        self,
        requests: Mapping[str, Request],
        find_fault: FindFault,
        *,
        name: str = "expert",
        habits: Habits = EXPERT_HABITS,
        rates: MistakeRates = NO_MISTAKES,
        seed: int = 0,
    ) -> None:
        self.name, self.habits, self.rates, self.seed = name, habits, rates, seed
        self.find_fault = find_fault
        self._requests = requests

    def requested_options(self, task_id: str) -> tuple[str, ...]:
        """Return the option values that a task asks for."""
        return self._requests[task_id].options

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
            query = self._requests[task_id].query
            return Decision(f"I should search for {query}.", (write_call("search", query),))
        if v.page.kind == "results":
            return self._decide_on_results(task_id, v)
        return self._decide_on_product(task_id, v)

    def _decide_on_results(self, task_id: str, v: View) -> Decision:
        """Judge the listed products one after the other, and open the first that fits; else turn the page."""
        sentences: list[str] = []
        mistakes: list[str] = []
        for ordinal, listing in zip(ORDINALS, v.page.listings, strict=False):
            subject = f"The {ordinal}"
            if listing.asin in v.opened:
                sentences.append(f"{subject} was seen.")
                continue
            fault = self.find_fault(task_id, listing.asin)
            mistake = self._misjudges(task_id, v, listing, fault)
            if mistake:
                mistakes.append(mistake)
            if (fault is None) == (mistake is None):
                sentences.append(f"{subject} fits.")
                return _open(sentences, listing, mistakes)
            sentences.append(f"{subject} is {fault or 'not right'}.")
        sentences.append("None fits.")
        may_turn = v.next_clicks < self.habits.max_next and v.page.listings
        if may_turn and not self._makes("give_up", task_id, v):
            button = v.page.next_button
            thought = f"{' '.join(sentences)} I should click {button}."
            return Decision(thought, (write_call("click", button),), tuple(mistakes))
        if may_turn:
            mistakes.append("give_up")
        if not v.page.listings:
            return _go_back("Nothing is listed.")
        closest = next((i for i, x in enumerate(v.page.listings) if x.asin not in v.opened), 0)
        sentences.append(f"The {ORDINALS[closest]} is closest.")
        return _open(sentences, v.page.listings[closest], mistakes)

    def _decide_on_product(self, task_id: str, v: View) -> Decision:
        """Check the opened product; go back if it does not do, else choose its options and buy it."""
        careless = self._makes("buy_anyway", task_id, v)
        requested = self._requests[task_id].options
        sentences: list[str] = []
        plan: list[str] = []
        mistakes: list[str] = []
        goes_back = (
            self.habits.goes_back and v.next_clicks < self.habits.max_next
        )  # else this was the last resort
        fault = self.find_fault(task_id, v.asin) if goes_back else None
        if fault and not careless:
            return _go_back(f"It is {fault}.")
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
                    return _go_back(*sentences)
        if careless and (fault or len(plan) + len(mistakes) < len(requested)):
            mistakes.append("buy_anyway")
        plan.append("Buy Now")
        sentences.append(f"I should click {', '.join(plan)}.")
        clicks = tuple(write_call("click", button) for button in plan)
        return Decision(" ".join(sentences), clicks, tuple(mistakes))

    def _misjudges(self, task_id: str, v: View, listing: Listing, fault: str | None) -> str | None:
        """Return the mistake that turns the judgement of a listed product into its opposite, or None."""
        mistake = "pick_wrong"
        if fault is None:
            mistake = "overlook"
        elif fault == "too expensive":
            mistake = "misread_price"
        return mistake if self._makes(mistake, task_id, v, listing.asin) else None

    def _makes(self, mistake: str, task_id: str, v: View, about: str = "") -> bool:
        """Return whether the shopper makes a mistake here, about a product or an option."""
        rate = getattr(self.rates, mistake) * (1 + self.rates.growth_per_detour) ** v.detours
        if not rate:
            return False
        rng = random.Random(f"{self.name}|{self.seed}|{task_id}|{v.turn}|{mistake}|{about}")
        return rng.random() < rate


def _open(sentences: list[str], listing: Listing, mistakes: list[str]) -> Decision:
    thought = f"{' '.join(sentences)} I should click {listing.asin}."
    return Decision(thought, (write_call("click", listing.asin),), tuple(mistakes))


def _go_back(*sentences: str) -> Decision:
    thought = f"{' '.join(sentences)} I should click Back to Search."
    return Decision(thought, (write_call("click", "Back to Search"),))
