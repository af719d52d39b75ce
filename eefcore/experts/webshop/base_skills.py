"""Base skills of shopping: what a tiny base is pretrained on, so that it knows the words and not the strategy.

    shop       a whole task, naively: the first product that fits on page one, or the closest
    page       the same from a later page, to which somebody else turned
    open       the same on a product that somebody else opened, right or wrong
    again      the same after somebody else went back to search; a product that was seen is not opened twice
    refused    what to do after an impossible action was refused
    stated     do what the last thought decided, whatever that was
    options    say of many option values whether the opened product comes in them

An example trains from its `first` action on; what leads there is only read. So no skill teaches Next or Back to Search as
a choice; `stated` teaches them as words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from random import Random

from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.experts.base_skills import SkillEpisode, SkillExample, draw_skill
from eefcore.experts.webshop.shopper import Shopper, make_shopper
from eefcore.experts.webshop.view import BACK, View, read_view, write_call
from eefcore.types import Example

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
    benchmark: WebShopBenchmark,
    tasks: Iterable[str],
    *,
    n: int,
    seed: int,
    strength: str = "naive",
    shares: Mapping[str, float] = SHARES,
) -> Iterator[SkillExample]:
    """Yield `n` examples of base skills on random ones of `tasks`, in the proportions of `shares`."""
    rng, env, tasks = Random(f"skills {seed}"), benchmark.make(), [*tasks]
    shopper = make_shopper(benchmark, strength)
    for _ in range(n):
        name = draw_skill(shares, rng)
        episode = _ShopEpisode(env, rng.choice(tasks), shopper, rng)
        yield SkillExample(name, episode.play(name, tasks, benchmark.max_turns))


class _ShopEpisode(SkillEpisode[Shopper]):
    """An episode of shopping."""

    def play(self, skill: str, tasks: list[str], max_turns: int) -> Example:
        """Play the episode that shows a skill; the options of other `tasks` are asked about."""
        if skill == "page":
            self._search()
            for _ in range(self.rng.choice((1, 1, 1, 2, 2, 3))):
                self._click(self._view.page.next_button)
        elif skill == "open":
            self._search()
            self._open_any()
        elif skill == "again":
            self._search()
            if self.rng.random() < 0.25:
                self._click(self._view.page.next_button)
            self._open_and_return()
        elif skill == "refused":
            for _ in range(self.rng.randint(0, 4)):
                self.act_naively()
            self._act_impossibly()
        elif skill == "stated":
            return self._stated()
        elif skill == "options" and (example := self._options(tasks)):
            return example
        first = len(self.history)
        while not self.done and len(self.history) < max_turns:
            self.act_naively()
        return self.example(first)

    def _stated(self) -> Example:
        if self.rng.random() < 0.8:
            self._search()
            if self.rng.random() < 0.6:
                self.act(write_call("Think", self._naive_thought(self._view)))
                self.act(write_call("click", self.rng.choice(self._view.page.listings).asin))
        v = self._view
        arguments = self._any_plan(v)
        verb = "search" if v.page.kind == "start" else "click"
        decision = f"search for {arguments[0]}" if verb == "search" else f"click {', '.join(arguments)}"
        self.act(write_call("Think", f"{self._judgement(v)}I should {decision}."))
        first = len(self.history)
        for argument in arguments:
            self.act(write_call(verb, argument))
        return self.example(first)

    def _options(self, tasks: list[str]) -> Example | None:
        """Show whether an option offers a value: half of the questions are about offered values; None without an option to choose.

        A task asks for two values at most, and mostly the product has them: a small model finds out late that it must
        look at the page, and not at how often the answer was yes.
        """
        self._search()
        self._open_any()
        offered = self._view.page.options
        requested = {
            option
            for task in self.rng.sample(tasks, min(12, len(tasks)))
            for option in self.naive.request(task).options
        }
        others = sorted(requested.difference(offered))
        n = min(4, len(offered), len(others))
        if not n:
            return None
        values = [*self.rng.sample(offered, n), *self.rng.sample(others, n)]
        self.rng.shuffle(values)
        sentences = (f"Suppose I need {v}, there is {v if v in offered else f'no {v}'}." for v in values)
        first = len(self.history)
        self.act(write_call("Think", " ".join(sentences)))
        return self.example(first)

    def _any_plan(self, v: View) -> tuple[str, ...]:
        """Return the arguments of any sensible actions on this page, not of those that would help."""
        if v.page.kind == "start":
            return (self.naive.decide(self.history.task_id, v).plan[0].split('"')[3],)
        if v.page.kind == "results":
            listed = [x.asin for x in v.page.listings]
            return (self.rng.choice([*listed, v.page.next_button, BACK]),)
        if self.rng.random() < 0.25:
            return (BACK,)
        n = min(len(v.page.options), self.rng.choice((0, 1, 1, 2, 2)))
        return (*self.rng.sample(v.page.options, n), "Buy Now")

    def _search(self) -> None:
        """Think and search, as the naive shopper does."""
        self.act_naively()
        self.act_naively()

    def _click(self, button: str) -> None:
        """Click a button, after a thought that may judge the page."""
        self.act(write_call("Think", f"{self._judgement(self._view)}I should click {button}."))
        self.act(write_call("click", button))

    def _open_any(self) -> None:
        """Open a random one of the listed products."""
        self._click(self.rng.choice(self._view.page.listings).asin)

    def _open_and_return(self) -> None:
        """Open the product that looks right, and go back to search."""
        self.act(write_call("Think", self._naive_thought(self._view)))
        self.act(self.naive.act(self.history))
        thought = self._naive_thought(self._view).split(" I should click")[0]
        self.act(write_call("Think", f"{thought} I should click {BACK}."))
        self.act(write_call("click", BACK))

    def _act_impossibly(self) -> None:
        """Take an action that the page refuses."""
        v, search_again = self._view, write_call("search", "something else")
        if v.page.kind == "start":
            action = write_call("click", self.rng.choice(("Buy Now", "Next >", BACK)))
        elif v.page.kind == "results":
            a, b = (self.rng.choice(v.page.listings).asin for _ in "ab")
            mixed = a[:6] + b[6:] if a[6:] != b[6:] else b[:6] + "BABA"
            action = self.rng.choice(
                (write_call("click", mixed), search_again, write_call("click", "Buy Now"))
            )
        else:
            action = self.rng.choice((write_call("click", "any"), search_again, "click[Buy Now"))
        self.act(action)

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
