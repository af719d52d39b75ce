"""Base skills of shopping: what a tiny base is pretrained on, so that it knows the words and not the strategy.

    shop       a whole task, naively: the first product that fits on page one, or the closest
    page       the same from a later page, to which somebody else turned
    open       the same on a product that somebody else opened, right or wrong
    again      the same after somebody else went back to search; a product that was seen is not opened twice
    refused    what to do after an impossible action was refused
    stated     do what the last thought decided, whatever that was
    options    say of many option values whether the opened product comes in them

The actions that lead to a skill's state are only read: an example trains from its `first` action on, so no skill
teaches Next or Back to Search as a choice; `stated` teaches them as words. These are not the navigation skills that EEF
counts (`evaluation.navigation`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence

from eefcore.experts.registry import SkillExample
from eefcore.experts.webshop.shopper import Shopper
from eefcore.experts.webshop.view import View, read_view, write_call
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


def base_skill_examples(
    benchmark: Benchmark,
    naive: Shopper,
    tasks: Sequence[str],
    *,
    n: int,
    seed: int,
    shares: Mapping[str, float] = SHARES,
) -> Iterator[SkillExample]:
    """Yield `n` examples of base skills on random ones of `tasks`, in the proportions of `shares`."""
    rng, env = random.Random(f"skills {seed}"), benchmark.make()
    for _ in range(n):
        name = rng.choices(list(shares), list(shares.values()))[0]
        yield SkillExample(name, _Episode(env, tasks, naive, rng, benchmark.max_turns).play(name))


class _Episode:
    """An episode of a random task, played partly at random and partly by the naive shopper."""

    def __init__(
        self, env: Environment, tasks: Sequence[str], naive: Shopper, rng: random.Random, max_turns: int
    ) -> None:
        self.env, self.tasks, self.naive, self.rng, self.max_turns = env, tasks, naive, rng, max_turns
        task = rng.choice(tasks)
        self.history = History(task, env.reset(task))
        self.reward, self.done = 0.0, False

    def play(self, skill: str) -> Example:
        """Play the episode that shows a skill."""
        if skill == "page":
            self._search()
            for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3))):
                self._click_next()
        elif skill == "open":
            self._search()
            self._open_any()
        elif skill == "again":
            self._search()
            if self.rng.random() < 0.25:
                self._click_next()
            self._open_and_return()
        elif skill == "refused":
            for _ in range(self.rng.randint(0, 4)):
                self._act_naively()
            self._act_impossibly()
        elif skill == "stated":
            return self._stated()
        elif skill == "options":
            return self._options()
        return self._finish_naively()

    def _finish_naively(self) -> Example:
        first = len(self.history)
        while not self.done and len(self.history) < self.max_turns:
            self._act_naively()
        return self._example(first)

    def _stated(self) -> Example:
        if self.rng.random() < 0.8:
            self._search()
            if self.rng.random() < 0.6:
                self._do(write_call("Think", self._naive_thought(self._view)))
                self._do(write_call("click", self.rng.choice(self._view.page.listings).asin))
        v = self._view
        arguments = self._any_plan(v)
        verb = "search" if v.page.kind == "start" else "click"
        decision = f"search for {arguments[0]}" if verb == "search" else f"click {', '.join(arguments)}"
        self._do(write_call("Think", f"{self._judgement(v)}I should {decision}."))
        first = len(self.history)
        for argument in arguments:
            self._do(write_call(verb, argument))
        return self._example(first)

    def _options(self) -> Example:
        """Ask about as many values that are offered as values that are not.

        A task asks for two values at most, and mostly the product has them: a small model finds out late that it must
        look at the page, and not at how often the answer was yes.
        """
        self._search()
        self._open_any()
        offered = self._view.page.options
        requested = {
            option
            for task in self.rng.sample(self.tasks, min(12, len(self.tasks)))
            for option in self.naive.requested_options(task)
        }
        others = sorted(requested.difference(offered))
        n = min(4, len(offered), len(others))
        if not n:  # no option to choose here: play the whole task instead
            return self._finish_naively()
        asked = [*self.rng.sample(offered, n), *self.rng.sample(others, n)]
        self.rng.shuffle(asked)
        sentences = (f"Suppose I need {v}, there is {v if v in offered else f'no {v}'}." for v in asked)
        first = len(self.history)
        self._do(write_call("Think", " ".join(sentences)))
        return self._example(first)

    def _any_plan(self, v: View) -> tuple[str, ...]:
        """Return the arguments of any sensible actions on this page, not of those that would help."""
        if v.page.kind == "start":
            return (self.naive.decide(self.history.task_id, v).plan[0].split('"')[3],)
        if v.page.kind == "results":
            listed = [x.asin for x in v.page.listings]
            return (self.rng.choice([*listed, v.page.next_button, "Back to Search"]),)
        if self.rng.random() < 0.25:
            return ("Back to Search",)
        n = min(len(v.page.options), self.rng.choice((0, 1, 1, 2, 2)))
        return (*self.rng.sample(v.page.options, n), "Buy Now")

    def _search(self) -> None:
        """Think and search, as the naive shopper does."""
        self._act_naively()
        self._act_naively()

    def _click_next(self) -> None:
        """Click Next, after a thought that may judge the page."""
        v = self._view
        self._do(write_call("Think", f"{self._judgement(v)}I should click {v.page.next_button}."))
        self._do(write_call("click", v.page.next_button))

    def _open_any(self) -> None:
        """Open a random one of the listed products."""
        asin = self.rng.choice(self._view.page.listings).asin
        self._do(write_call("Think", f"{self._judgement(self._view)}I should click {asin}."))
        self._do(write_call("click", asin))

    def _open_and_return(self) -> None:
        """Open the product that looks right, and go back to search."""
        self._do(write_call("Think", self._naive_thought(self._view)))
        self._do(self.naive.act(self.history))
        thought = self._naive_thought(self._view).split(" I should click")[0]
        self._do(write_call("Think", f"{thought} I should click Back to Search."))
        self._do(write_call("click", "Back to Search"))

    def _act_impossibly(self) -> None:
        """Take an action that the page refuses."""
        v = self._view
        if v.page.kind == "start":
            action = write_call("click", self.rng.choice(("Buy Now", "Next >", "Back to Search")))
        elif v.page.kind == "results":
            a, b = (self.rng.choice(v.page.listings).asin for _ in "ab")
            mixed = a[:6] + b[6:] if a[6:] != b[6:] else b[:6] + "BABA"
            action = self.rng.choice(
                (
                    write_call("click", mixed),
                    write_call("search", "something else"),
                    write_call("click", "Buy Now"),
                )
            )
        else:
            action = self.rng.choice(
                (write_call("click", "any"), write_call("search", "something else"), "click[Buy Now")
            )
        self._do(action)

    def _naive_thought(self, v: View) -> str:
        return self.naive.decide(self.history.task_id, v).thought

    def _judgement(self, v: View) -> str:
        """Return the thought about the page without its decision; sometimes nothing, as thoughts may be short."""
        if self.rng.random() < 0.3 or v.page.kind == "start":
            return ""
        return self._naive_thought(v).split("I should click")[0]

    @property
    def _view(self) -> View:
        return read_view(self.history)

    def _act_naively(self) -> None:
        if not self.done:
            self._do(self.naive.act(self.history))

    def _do(self, action: str) -> None:
        observation, self.reward, self.done = self.env.step(action)
        self.history = self.history.then(action, observation)

    def _example(self, first: int) -> Example:
        stop = StopReason.DONE if self.done else StopReason.TURN_LIMIT
        trajectory = Trajectory(
            history=self.history, reward=self.reward, n_expert=first, source=self.naive.name, stop=stop
        )
        return Example(trajectory, first)
