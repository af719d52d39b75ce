"""Shopping skills for a base model that must know the words and not the strategy.

    shop       a whole task, naively: the first product that fits page one, or the closest
    page       the same from a later page, which somebody else turned to
    open       the same on a product that somebody else opened, right or wrong
    again      the same after somebody else went back to search: what was seen is not opened twice
    refused    what to do after a reply to an impossible action
    stated     do what the last thought decided, whatever that was
    options    say of many values whether the opened product comes in them

What leads to a skill's state is only read: an example trains from its `first` action on, so no skill
teaches Next or Back as a choice; `stated` teaches them as words.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from eefcore.experts.registry import Shown
from eefcore.experts.webshop.shopper import Shopper
from eefcore.experts.webshop.view import View, call, view
from eefcore.protocols import Benchmark, Environment
from eefcore.types import Example, History, StopReason, Trajectory

SHARES = {
    "shop": 0.16,
    "page": 0.17,
    "open": 0.12,
    "again": 0.16,
    "refused": 0.07,
    "stated": 0.12,
    "options": 0.2,
}


def show(
    benchmark: Benchmark,
    naive: Shopper,
    tasks: Sequence[str],
    *,
    n: int,
    seed: int,
    shares: Mapping[str, float] = SHARES,
) -> Iterator[Shown]:
    """`n` skills on random ones of `tasks`, in the proportions of `shares`."""
    rng, env = random.Random(f"skills {seed}"), benchmark.make()
    for _ in range(n):
        name = rng.choices(list(shares), list(shares.values()))[0]
        yield Shown(name, _Episode(env, tasks, naive, rng, benchmark.max_turns).show(name))


class _Episode:
    """One of `tasks` being played, partly by nobody in particular, partly by the naive shopper."""

    def __init__(
        self, env: Environment, tasks: Sequence[str], naive: Shopper, rng: random.Random, max_turns: int
    ) -> None:
        self.env, self.tasks, self.naive, self.rng, self.max_turns = env, tasks, naive, rng, max_turns
        task = rng.choice(tasks)
        self.history = History(task, env.reset(task))
        self.reward, self.done = 0.0, False

    def show(self, skill: str) -> Example:
        if skill == "page":
            self._search()
            for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3))):
                self._turn()
        elif skill == "open":
            self._search()
            self._open_any()
        elif skill == "again":
            self._search()
            if self.rng.random() < 0.25:
                self._turn()
            self._open_and_return()
        elif skill == "refused":
            for _ in range(self.rng.randint(0, 4)):
                self._naive()
            self._impossible()
        elif skill == "stated":
            return self._stated()
        elif skill == "options":
            return self._options()
        return self._to_the_end()

    def _to_the_end(self) -> Example:
        first = len(self.history)
        while not self.done and len(self.history) < self.max_turns:
            self._naive()
        return self._example(first)

    def _stated(self) -> Example:
        if self.rng.random() < 0.8:
            self._search()
            if self.rng.random() < 0.6:
                self._do(call("Think", self._thought(self._view)))
                self._do(call("click", self.rng.choice(self._view.page.listings).asin))
        v = self._view
        plan = self._any_plan(v)
        verb = "search" if v.page.kind == "start" else "click"
        decision = f"search for {plan[0]}" if verb == "search" else f"click {', '.join(plan)}"
        self._do(call("Think", f"{self._judged(v)}I should {decision}."))
        first = len(self.history)
        for argument in plan:
            self._do(call(verb, argument))
        return self._example(first)

    def _options(self) -> Example:
        """As many values that are offered as values that are not: a task asks for two at most, and mostly has them.

        A small model finds out late that it must look at the page, and not at how often it was so.
        """
        self._search()
        self._open_any()
        offered = self._view.page.values
        wanted = {
            v
            for task in self.rng.sample(self.tasks, min(12, len(self.tasks)))
            for v in self.naive.wanted(task)
        }
        others = sorted(wanted.difference(offered))
        n = min(4, len(offered), len(others))
        if not n:  # nothing to choose here: the whole task, then
            return self._to_the_end()
        asked = [*self.rng.sample(offered, n), *self.rng.sample(others, n)]
        self.rng.shuffle(asked)
        said = (f"Suppose I need {v}, there is {v if v in offered else f'no {v}'}." for v in asked)
        first = len(self.history)
        self._do(call("Think", " ".join(said)))
        return self._example(first)

    def _any_plan(self, v: View) -> tuple[str, ...]:
        """Arguments of any sensible actions on this page, not the ones that would help."""
        if v.page.kind == "start":
            return (self.naive.decide(self.history.task_id, v).plan[0].split('"')[3],)
        if v.page.kind == "results":
            listed = [x.asin for x in v.page.listings]
            return (self.rng.choice([*listed, v.page.next_button, "Back to Search"]),)
        if self.rng.random() < 0.25:
            return ("Back to Search",)
        n = min(len(v.page.values), self.rng.choice((0, 1, 1, 2, 2)))
        return (*self.rng.sample(v.page.values, n), "Buy Now")

    def _search(self) -> None:
        self._naive()
        self._naive()

    def _turn(self) -> None:
        """Next, with or without a thought about the page."""
        v = self._view
        self._do(call("Think", f"{self._judged(v)}I should click {v.page.next_button}."))
        self._do(call("click", v.page.next_button))

    def _open_any(self) -> None:
        """Open one of what is listed, whatever it is."""
        asin = self.rng.choice(self._view.page.listings).asin
        self._do(call("Think", f"{self._judged(self._view)}I should click {asin}."))
        self._do(call("click", asin))

    def _open_and_return(self) -> None:
        """Open what looks right, go back to search, and search again."""
        self._do(call("Think", self._thought(self._view)))
        self._do(self.naive.act(self.history))
        v = self._view
        thought = self.naive.decide(self.history.task_id, v).thought.split(" I should click")[0]
        self._do(call("Think", f"{thought} I should click Back to Search."))
        self._do(call("click", "Back to Search"))

    def _impossible(self) -> None:
        """Something the page refuses."""
        v = self._view
        if v.page.kind == "start":
            action = call("click", self.rng.choice(("Buy Now", "Next >", "Back to Search")))
        elif v.page.kind == "results":
            a, b = (self.rng.choice(v.page.listings).asin for _ in "ab")
            mixed = a[:6] + b[6:] if a[6:] != b[6:] else b[:6] + "BABA"
            action = self.rng.choice(
                (call("click", mixed), call("search", "something else"), call("click", "Buy Now"))
            )
        else:
            action = self.rng.choice(
                (call("click", "any"), call("search", "something else"), "click[Buy Now")
            )
        self._do(action)

    def _thought(self, v: View) -> str:
        return self.naive.decide(self.history.task_id, v).thought

    def _judged(self, v: View) -> str:
        """The page's thought without its decision; sometimes nothing, as thoughts may be short."""
        if self.rng.random() < 0.3 or v.page.kind == "start":
            return ""
        return self._thought(v).split("I should click")[0]

    @property
    def _view(self) -> View:
        return view(self.history)

    def _naive(self) -> None:
        if not self.done:
            self._do(self.naive.act(self.history))

    def _do(self, action: str) -> None:
        seen, self.reward, self.done = self.env.step(action)
        self.history = self.history.then(action, seen)

    def _example(self, first: int) -> Example:
        stop = StopReason.DONE if self.done else StopReason.TURN_LIMIT
        trajectory = Trajectory(
            history=self.history, reward=self.reward, n_expert=first, source=self.naive.name, stop=stop
        )
        return Example(trajectory, first)
