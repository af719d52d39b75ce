"""Who is asked to demonstrate what, when there is only so much money (EEF §6, allocation between experts).

    each          every expert on every task, one expert after the other, in the order they are named
    cheap_first   the cheapest on every task; then the next dearer on the tasks that are still lost, and so on
    dear_first    the dearest, as long as what is left pays the cheapest for every task after; then the cheapest

Demonstrations are bought one by one, and a price is known only when the last action is done. One is bought only
if the dearest it may become fits what is left, so that a budget is never overdrawn and a little may be left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from eefcore.errors import ParamsError
from eefcore.types import Trajectory

ALLOCATIONS = ("each", "cheap_first", "dear_first")


class Offer(NamedTuple):
    """An expert for hire: `show` plays a task, and costs at most `dearest` dollars."""

    name: str
    dearest: float
    show: Callable[[str], Trajectory]


def bought(
    offers: Sequence[Offer], tasks: Sequence[str], *, budget: float = 0.0, allocation: str = "each"
) -> list[Trajectory]:
    """D_e for `budget` dollars (0 is no limit), in the order it was bought.

    Tasks are taken in their own order, which is that of no difficulty.

    Raises:
        ParamsError: no such allocation, one that needs two experts and has one, or a budget that buys nothing.
    """
    if allocation not in ALLOCATIONS:
        raise ParamsError(f"02_expert: allocation {allocation!r}; choose one of {', '.join(ALLOCATIONS)}")
    if allocation != "each" and len(offers) < 2:
        raise ParamsError(
            f"02_expert: allocation {allocation} is between experts; name two, as in weak+strong"
        )
    purse = _Purse(budget)
    {"each": _each, "cheap_first": _cheap_first, "dear_first": _dear_first}[allocation](offers, tasks, purse)
    if not purse.bought:
        raise ParamsError(
            f"02_expert: a budget of ${budget:g} buys no demonstration, which may cost "
            f"{' or '.join(f'${o.dearest:g} ({o.name})' for o in offers)}; raise it"
        )
    return purse.bought


class _Purse:
    """What is left of a budget, and what it bought."""

    def __init__(self, budget: float) -> None:
        self.left = budget or float("inf")
        self.bought: list[Trajectory] = []

    def buy(self, offer: Offer, task: str, *, reserve: float = 0.0) -> Trajectory | None:
        """The demonstration, if the dearest it may become leaves `reserve`."""
        if offer.dearest + reserve > self.left:
            return None
        shown = offer.show(task)
        self.left -= shown.money
        self.bought.append(shown)
        return shown


def _each(offers: Sequence[Offer], tasks: Sequence[str], purse: _Purse) -> None:
    for offer in offers:
        for task in tasks:
            purse.buy(offer, task)


def _cheap_first(offers: Sequence[Offer], tasks: Sequence[str], purse: _Purse) -> None:
    lost = list(tasks)
    for offer in sorted(offers, key=lambda o: o.dearest):
        shown = [(task, purse.buy(offer, task)) for task in lost]
        lost = [task for task, t in shown if t is None or not t.win]


def _dear_first(offers: Sequence[Offer], tasks: Sequence[str], purse: _Purse) -> None:
    cheap, *_, dear = sorted(offers, key=lambda o: o.dearest)
    for i, task in enumerate(tasks):
        after = cheap.dearest * (len(tasks) - i - 1)
        if purse.buy(dear, task, reserve=after) is None:
            purse.buy(cheap, task)
