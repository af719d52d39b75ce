"""A scripted shop expert that thinks aloud in the papers' manner, and an imperfect one.

    Habits     what a shopper does when nothing fits: turn the page, go back, or buy anyway
    Mistakes   how often an imperfect shopper slips, and how
    Shopper    h_t -> a_t

A shopper knows the goal and the catalogue; it judges what a page lists by the official reward, and says
why. What it may do wrong is explicit, seeded by task and turn, and marked.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from eefcore.experts.webshop.view import Listing, View, call, view
from eefcore.types import History, Mistake

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")


class Wish(NamedTuple):
    """What a task asks for, as a shopper needs to know it."""

    query: str  # what to type
    values: tuple[str, ...]  # option values to choose


class Judge(Protocol):
    """Why a product does not fit a task, in words that follow `is`; None if it does.

    `too expensive` is the reason that can be misread.
    """

    def __call__(self, task_id: str, asin: str) -> str | None: ...


class Habits(NamedTuple):
    """What a shopper does when nothing fits."""

    pages: int  # Next, at most so often after a search
    goes_back: bool  # Back to Search when the opened product lacks something, instead of buying it


EXPERT = Habits(pages=4, goes_back=True)
NAIVE = Habits(pages=0, goes_back=False)


class Mistakes(NamedTuple):
    """Probabilities of each slip.

    Each grows with every Next and every Back to Search, × (1 + stray): who has left the straight way loses the
    thread, and an expert wins what is simple (EEF §3.1).
    """

    pick_wrong: float = 0.0  # a product that lacks something is taken for right
    misread_price: float = 0.0  # one that is too expensive is taken for right
    overlook: float = 0.0  # the right one is passed over
    give_up: float = 0.0  # nothing fits, and the closest is bought instead of turning the page
    forget_option: float = 0.0  # an option is not chosen
    buy_anyway: float = 0.0  # what the opened product lacks is not noticed
    stray: float = 0.0


NONE = Mistakes()


class Decision(NamedTuple):
    """What a shopper thinks on a page, the actions it leads to, in order, and the slips behind it."""

    thought: str
    plan: tuple[str, ...]
    slips: tuple[str, ...] = ()


class Shopper:
    """h_t -> a_t of a scripted shopper; a function of the history alone, so it can start anywhere.

    A page is first thought about, then acted on; options are clicked one after another without further
    thought. Equal seeds make equal mistakes, for the thought and for the action it leads to.
    """

    def __init__(
        self,
        wishes: Mapping[str, Wish],
        judge: Judge,
        *,
        name: str = "expert",
        habits: Habits = EXPERT,
        mistakes: Mistakes = NONE,
        seed: int = 0,
    ) -> None:
        self.name, self.habits, self.mistakes, self.seed = name, habits, mistakes, seed
        self._wishes, self._judge = wishes, judge

    def wanted(self, task_id: str) -> tuple[str, ...]:
        """The option values that a task asks for."""
        return self._wishes[task_id].values

    def act(self, history: History) -> str:
        """a_t."""
        v = view(history)
        decision = self.decide(history.task_id, v)
        if not (v.thought or v.chosen or v.refused):
            return call("Think", decision.thought)
        done = {call("click", value) for value in v.chosen}
        return next(a for a in decision.plan if a not in done)

    def marks(self, history: History) -> tuple[Mistake, ...]:
        """The slips behind a_t, if it is a thought that holds some, or what such a thought led to; for analysis only.

        Of the actions of one thought it is the last that is wrong: the product opened, the page turned, or the
        purchase. The options chosen before it are right.
        """
        v = view(history)
        if v.refused:
            return ()
        decision = self.decide(history.task_id, v)
        if (v.thought or v.chosen) and self.act(history) != decision.plan[-1]:
            return ()
        return tuple(Mistake(len(history), slip) for slip in decision.slips)

    def decide(self, task_id: str, v: View) -> Decision:
        """What to think and do on the page of `v`."""
        if v.page.kind == "start":
            query = self._wishes[task_id].query
            return Decision(f"I should search for {query}.", (call("search", query),))
        if v.page.kind == "results":
            return self._choose(task_id, v)
        return self._configure(task_id, v)

    def _choose(self, task_id: str, v: View) -> Decision:
        """Judge what is listed, one after the other, until one fits."""
        said, slips = [], []
        for ordinal, listing in zip(ORDINALS, v.page.listings, strict=False):
            it = f"The {ordinal}"
            if listing.asin in v.opened:
                said.append(f"{it} was seen.")
                continue
            reason = self._judge(task_id, listing.asin)
            slip = self._misjudge(task_id, v, listing, reason)
            if slip:
                slips.append(slip)
            if (reason is None) == (slip is None):
                said.append(f"{it} fits.")
                return _open(said, listing, slips)
            said.append(f"{it} is {reason or 'not right'}.")
        said.append("None fits.")
        turn = v.turned < self.habits.pages and v.page.listings
        if turn and not self._slips("give_up", task_id, v):
            button = v.page.next_button
            return Decision(
                f"{' '.join(said)} I should click {button}.", (call("click", button),), tuple(slips)
            )
        if turn:
            slips.append("give_up")
        if not v.page.listings:
            return Decision(
                "Nothing is listed. I should click Back to Search.", (call("click", "Back to Search"),)
            )
        at = next((i for i, x in enumerate(v.page.listings) if x.asin not in v.opened), 0)
        said.append(f"The {ORDINALS[at]} is closest.")
        return _open(said, v.page.listings[at], slips)

    def _configure(self, task_id: str, v: View) -> Decision:
        """Check the opened product, then choose its options."""
        careless = self._slips("buy_anyway", task_id, v)
        said, plan, slips = [], [], []
        goes_back = self.habits.goes_back and v.turned < self.habits.pages  # else this was the last resort
        wrong = self._judge(task_id, v.asin) if goes_back else None
        if wrong and not careless:
            said.append(f"It is {wrong}.")
            return Decision(f"{said[0]} I should click Back to Search.", (call("click", "Back to Search"),))
        for value in self._wishes[task_id].values:
            if value in v.page.values:
                if self._slips("forget_option", task_id, v, value):
                    slips.append("forget_option")
                    continue
                said.append(f"I need {value}, there is {value}.")
                plan.append(value)
            elif not careless:
                said.append(f"I need {value}, there is no {value}.")
                if goes_back:
                    back = call("click", "Back to Search")
                    return Decision(f"{' '.join(said)} I should click Back to Search.", (back,))
        if careless and (wrong or len(plan) + len(slips) < len(self._wishes[task_id].values)):
            slips.append("buy_anyway")
        plan.append("Buy Now")
        said.append(f"I should click {', '.join(plan)}.")
        return Decision(" ".join(said), tuple(call("click", b) for b in plan), tuple(slips))

    def _misjudge(self, task_id: str, v: View, listing: Listing, reason: str | None) -> str | None:
        """The slip that turns the judgement of one product into its opposite, or None."""
        kind = (
            "overlook" if reason is None else "misread_price" if reason == "too expensive" else "pick_wrong"
        )
        return kind if self._slips(kind, task_id, v, listing.asin) else None

    def _slips(self, kind: str, task_id: str, v: View, what: str = "") -> bool:
        rate = getattr(self.mistakes, kind) * (1 + self.mistakes.stray) ** v.detours
        if not rate:
            return False
        return random.Random(f"{self.name}|{self.seed}|{task_id}|{v.turn}|{kind}|{what}").random() < rate


def _open(said: list[str], listing: Listing, slips: list[str]) -> Decision:
    thought = f"{' '.join(said)} I should click {listing.asin}."
    return Decision(thought, (call("click", listing.asin),), tuple(slips))
