"""Shopping skills for a base whose actions are composite and which is its own critic (Agent Q §5.1.1, Appendix A).

    shop, page, open, again, refused    one action of the naive shopper's, where `experts.skills` leads
    options    of values, which the opened product comes in
    rank       of actions that may be taken, the one that helps most: the page is judged as if to act, and of what is
               offered the best is named, by its words (to find the number of an option is more than so small a model learns)
    verdict    whether an episode that is over solved its task, as far as its actions tell

Each is one action after its h_t. The first five teach navigation as something that may be tried: where nothing fits the
naive shopper takes the closest, and in one such case of `1 / TRIES` what the perfect one would do is shown instead. So the
base proposes, now and then, to turn the page or to go back, as a prompted large model would, and greedily never does.
`rank` does judge it: that it is better than what does not fit. So the base is a better critic than it is an agent, as large
models are said to be, and how much AI feedback is worth follows from that; the experiments without it say how much.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator, Sequence

import msgspec

from eefcore.actions import COMMAND, EXPLANATION, PLAN, THOUGHT, ActionParts, command, format_action
from eefcore.envs.composite import CompositeBenchmark
from eefcore.envs.webshop.words import ID_WORDS, OPTION_VALUES
from eefcore.experts.registry import Shown, permuted, retold
from eefcore.experts.webshop import shop, skills
from eefcore.experts.webshop.composed import Composed, composed, parted
from eefcore.experts.webshop.judgement import TOP, judged
from eefcore.experts.webshop.view import called, view
from eefcore.rendering.critic_prompts import BEST_ACTION, EPISODE_OVER, TASK_SOLVED, VERDICTS, critic_question
from eefcore.types import Example, History, StopReason, Trajectory

SHARES = {"act": 0.5, "rank": 0.33, "options": 0.07, "verdict": 0.1}
ACTING = {"shop": 0.3, "page": 0.25, "open": 0.15, "again": 0.2, "refused": 0.1}

TRIES = 0.2
"""The share of states where nothing fits at which an expert's way out is shown, and not what the naive shopper does."""

OFFERED = 0.7
"""How often what is right is put among what is offered where chance left it out."""

ASKED = "Do not act yet. Which of these can be chosen here?\n{options}\nAnswer with its number, or with its very words."


def _ending(prompt: str) -> str:
    """What follows the options of a question, and where its answer begins."""
    return prompt.partition("{options}")[2] + "\n> "


PHRASES = (
    *(f"\n{label}" for label in (THOUGHT, COMMAND, EXPLANATION)),
    *(f'"}}]\n{EXPLANATION}{said}' for said in ("Searched.", "Clicked.", "Bought.", "Went back.")),
    f'"}}]\n{EXPLANATION}Turned the page.',
    f"{PLAN}search, judge, open, choose, buy.\n{THOUGHT}",
    THOUGHT,
    "\n\n",
    _ending(BEST_ACTION),
    '"}]' + _ending(BEST_ACTION),
    *("\n" + text.partition("{options}")[0] + "1. " for text in (BEST_ACTION, ASKED)),
    f"{EPISODE_OVER}\n{TASK_SOLVED.partition('{options}')[0]}1. {VERDICTS[0]}\n2. {VERDICTS[1]}"
    + _ending(TASK_SOLVED),
    _ending(ASKED),
    '"}]\n2. click[{"button": "',
    '"}]\n3. click[{"button": "',
    '"}]\n4. click[{"button": "',
    '"}]\n5. click[{"button": "',
)
"""What these dialogues repeat beside a shop's own (`experts.view.PHRASES`)."""


_PRODUCT = re.compile("B0({})({})".format(*map("|".join, ID_WORDS)))
_VALUES = [value for values in OPTION_VALUES.values() for value in values]


def show(benchmark: CompositeBenchmark, tasks: Sequence[str], *, n: int, seed: int) -> Iterator[Shown]:
    """`n` skills on random ones of `tasks`, in the proportions of `SHARES`."""
    rng = random.Random(f"composed skills {seed}")
    naive = shop.shopper(benchmark.inner, "naive")
    best = shop.shopper(benchmark.inner, "perfect")
    perfect = Composed(best)
    acted = skills.show(benchmark.inner, naive, tasks, n=50 * n, seed=seed, shares=ACTING)
    solved = skills.show(benchmark.inner, best, tasks, n=50 * n, seed=seed, shares={"shop": 1.0})
    asking = _Asking(benchmark, naive.wanted, solved, rng)
    made = 0
    while made < n:
        name = rng.choices(list(SHARES), list(SHARES.values()))[0]
        shown = next(acted)
        if (
            example := _one(shown.example, perfect, rng)
            if name == "act"
            else asking.example(name, shown.example)
        ):
            made += 1
            yield Shown(shown.name if name == "act" else name, _in_other_ids(example, rng))


def _one(shown: Example, perfect: Composed, rng: random.Random) -> Example | None:
    """One of the actions that the example trains, as a composite one; those with a judgement rather than others.

    Of those that settle for what does not fit, a share of `TRIES` is `perfect`'s action there.
    """
    t = shown.trajectory
    history = composed(t.history)
    before = len(composed(t.history.at(shown.first)))
    if before == len(history):
        return None
    at = range(before, len(history))
    i = rng.choices(at, [_telling(history.actions[i]) if i else 1 for i in at])[0]
    settles = "closest" in history.actions[i] or "there is no " in history.actions[i]
    if settles and rng.random() < TRIES:
        here = history.at(i)
        tried = Trajectory(
            history=here.then(perfect.act(here), ""), reward=0.0, n_expert=i, source=perfect.name
        )
        return Example(tried, i, i + 1)
    return Example(
        Trajectory(history=history, reward=t.reward, n_expert=i, source=t.source, stop=t.stop), i, i + 1
    )


def _in_other_ids(example: Example, rng: random.Random) -> Example:
    """The example with other product ids, as those of one shop would be known by heart and not copied from the page."""
    first, second = (permuted(words, rng) for words in ID_WORDS)

    def anew(id: re.Match[str]) -> str:
        return f"B0{first[id[1]]}{second[id[2]]}"

    told = retold(example.trajectory, lambda text: _PRODUCT.sub(anew, text))
    return msgspec.structs.replace(example, trajectory=told)


def _telling(action: str) -> int:
    """How much an action has to teach: a product's id is to be copied, a judgement to be made."""
    return 6 if _PRODUCT.search(command(action)) else 3 if "I should" in action else 1


class _Asking:
    """Questions about where the naive shopper, or whoever led it there, stands."""

    def __init__(
        self,
        benchmark: CompositeBenchmark,
        wanted: Callable[[str], Sequence[str]],
        solved: Iterator[Shown],
        rng: random.Random,
    ) -> None:
        self._judge = shop.judge(benchmark.inner)
        self._wanted, self._solved, self._rng = wanted, solved, rng

    def example(self, name: str, shown: Example) -> Example | None:
        """A question of that kind at a state of the example, and its answer; None where there is none to ask."""
        t = shown.trajectory
        if name == "verdict":
            # The naive shopper never turns a page: of those who do only failures would be seen.
            return self._verdict(self._rng.choice((t, next(self._solved).example.trajectory)))
        history = composed(t.history)
        after = len(composed(t.history.at(shown.first)))
        states = [history.at(i) for i in range(max(1, after), len(history))]
        if not states:
            return None
        if name == "options":
            return self._options(self._rng.choice(states))
        # What is listed has to be judged; once a product is open, little is left to rank.
        lists = [3 if view(parted(at)).page.kind == "results" else 1 for at in states]
        return self._ranked(self._rng.choices(states, lists)[0])

    def _ranked(self, history: History) -> Example | None:
        page = judged(history.task_id, view(parted(history)), self._judge, self._wanted(history.task_id))
        if len(page.actions) < 2:
            return None
        k = min(len(page.actions), self._rng.choice((2, 3, 3, 4, 4, 5)))
        offered = self._rng.sample(page.actions, k)
        right = [j for j in page.actions if j.worth == TOP]
        if right and not {*right} & {*offered} and self._rng.random() < OFFERED:
            offered[self._rng.randrange(k)] = self._rng.choice(right)
        best = max(offered, key=lambda j: j.worth)
        read = page.actions.index(best) + 1 if best.worth == TOP else len(page.actions)
        said = [*page.said, *(j.said for j in page.actions[:read] if j.said)]
        said.append(f"I should click {called(best.action)[1]}.")
        return _answered(history, [j.action for j in offered], BEST_ACTION, " ".join(said), best.action)

    def _options(self, history: History) -> Example | None:
        offered = view(parted(history)).page.values
        if not offered or "[Buy Now]" not in history.observation:
            return None
        right = self._rng.choice(offered)
        others = [v for v in self._rng.sample(_VALUES, 8) if v not in offered]
        asked = [right, *others][: self._rng.choice((2, 3, 4))]
        self._rng.shuffle(asked)
        at = asked.index(right)
        said = (f"I need {v}, there is {v if i == at else f'no {v}'}." for i, v in enumerate(asked[: at + 1]))
        return _answered(history, asked, ASKED, " ".join(said), right)

    def _verdict(self, t: Trajectory) -> Example | None:
        if t.stop is not StopReason.DONE:
            return None
        history = composed(t.history)
        of_the_last = " ".join(history.actions).rpartition("Went back.")[2]
        lacks = "there is no " in of_the_last or "closest" in of_the_last
        if lacks == t.win:
            return None
        over = History(t.task_id, EPISODE_OVER, history.steps)
        return _answered(
            over,
            VERDICTS,
            TASK_SOLVED,
            "Something was missing." if lacks else "It fits.",
            "1" if t.win else "2",
        )


def _answered(history: History, options: Sequence[str], prompt: str, said: str, best: str) -> Example:
    """The question at `history`, and the answer that names `best`, by its words or its number."""
    asked = critic_question(history, options, prompt)
    after = asked.then(format_action(ActionParts(said, best, "")), "")
    i = len(history)
    return Example(Trajectory(history=after, reward=0.0, n_expert=i, source="critic"), i, i + 1)
