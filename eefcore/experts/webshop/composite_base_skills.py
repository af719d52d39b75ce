"""Base skills of shopping in composite actions, for a base that is its own critic (Agent Q §5.1.1, Appendix A).

    shop, page, open, again, refused    one action of the naive shopper, in the states of `webshop.base_skills`
    options    which of several option values the opened product comes in
    rank       which of several actions helps most: the page is judged as it is to act, and the best of the offered
               actions is named by its words (to find an option's number is more than so small a model learns)
    verdict    whether an episode that is over solved its task, as far as its actions show

Each is one action after its h_t. The first five teach navigation as an action that may be tried: where no product fits,
the naive shopper takes the closest, and in a share `WAY_OUT_SHARE` of such cases the perfect shopper's action is shown
instead, so that the base proposes to turn the page or to go back now and then, and never greedily. `rank` teaches that
this is better than a product that does not fit: the base is a better critic than agent, as large models are said to be.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from eefcore.actions import COMMAND, EXPLANATION, PLAN, THOUGHT, ActionParts, command, format_action
from eefcore.envs.webshop.benchmark import WebShopBenchmark
from eefcore.envs.webshop.words import ID_WORDS, OPTION_VALUES
from eefcore.experts.base_skills import SkillExample, draw_skill, permute_names, rewrite_trajectory
from eefcore.experts.webshop import base_skills
from eefcore.experts.webshop.composite import CompositeShopper, to_calls, to_composite
from eefcore.experts.webshop.shopper import ORDINALS, FindFault, Shopper, make_shopper
from eefcore.experts.webshop.view import BACK, View, read_call, read_view, write_call
from eefcore.rendering.critic_prompts import BEST_ACTION, EPISODE_OVER, TASK_SOLVED, VERDICTS, critic_question
from eefcore.types import Example, History, StopReason, Trajectory

SHARES = {"act": 0.5, "rank": 0.33, "options": 0.07, "verdict": 0.1}
ACTING_SHARES = {"shop": 0.3, "page": 0.25, "open": 0.15, "again": 0.2, "refused": 0.1}

WAY_OUT_SHARE = 0.2
"""How often the perfect shopper's way out is shown where no product fits, and not what the naive shopper does."""

RIGHT_OFFERED_SHARE = 0.7
"""How often a right action is put among the offered ones where chance left it out."""

OPTIONS_QUESTION = "Do not act yet. Which of these can be chosen here?\n{options}\nAnswer with its number, or with its very words."


def _ending(prompt: str) -> str:
    """Return what follows the options of a question, up to where its answer begins."""
    return prompt.partition("{options}")[2] + "\n> "


PHRASES = (
    *(f"\n{label}" for label in (THOUGHT, COMMAND, EXPLANATION)),
    *(
        f'"}}]\n{EXPLANATION}{explanation}'
        for explanation in ("Searched.", "Clicked.", "Bought.", "Went back.")
    ),
    f'"}}]\n{EXPLANATION}Turned the page.',
    f"{PLAN}search, judge, open, choose, buy.\n{THOUGHT}",
    THOUGHT,
    "\n\n",
    _ending(BEST_ACTION),
    '"}]' + _ending(BEST_ACTION),
    *("\n" + text.partition("{options}")[0] + "1. " for text in (BEST_ACTION, OPTIONS_QUESTION)),
    f"{EPISODE_OVER}\n{TASK_SOLVED.partition('{options}')[0]}1. {VERDICTS[0]}\n2. {VERDICTS[1]}"
    + _ending(TASK_SOLVED),
    _ending(OPTIONS_QUESTION),
    *(f'"}}]\n{number}. click[{{"button": "' for number in (2, 3, 4, 5)),
)
"""What these dialogues repeat beside a shop's own phrases (`webshop.view.PHRASES`)."""


_PRODUCT = re.compile("B0({})({})".format(*map("|".join, ID_WORDS)))
_VALUES = [value for values in OPTION_VALUES.values() for value in values]


def base_skill_examples(
    shop: WebShopBenchmark, tasks: Iterable[str], *, n: int, seed: int
) -> Iterator[SkillExample]:
    """Yield `n` examples of base skills on random ones of `tasks`, in the proportions of `SHARES`.

    Args:
        shop: the shop itself, whose agents write thoughts and calls.
    """
    rng, tasks, most = random.Random(f"composed skills {seed}"), [*tasks], 50 * n
    perfect = CompositeShopper(make_shopper(shop, "perfect"))
    acting = base_skills.base_skill_examples(shop, tasks, n=most, seed=seed, shares=ACTING_SHARES)
    solved = base_skills.base_skill_examples(
        shop, tasks, n=most, seed=seed, strength="perfect", shares={"shop": 1.0}
    )
    questions = _Questions(make_shopper(shop, "naive"), solved, rng)
    made = 0
    while made < n:
        name = draw_skill(SHARES, rng)
        played = next(acting)
        if name == "act":
            name, example = played.name, _one_action(played.example, perfect, rng)
        else:
            example = questions.ask(name, played.example)
        if example is not None:
            made += 1
            yield SkillExample(name, _with_other_ids(example, rng))


def _one_action(played: Example, perfect: CompositeShopper, rng: random.Random) -> Example | None:
    """Return one of the actions that an example trains, as a composite one; those with a judgement are likelier.

    Where the action settles for a product that does not fit, a share `WAY_OUT_SHARE` is `perfect`'s action instead.
    """
    t = played.trajectory
    history = to_composite(t.history)
    before = len(to_composite(t.history.at(played.first)))
    if before == len(history):
        return None
    candidates = range(before, len(history))
    i = rng.choices(candidates, [_weight(history.actions[i]) if i else 1 for i in candidates])[0]
    if _lacks(history.actions[i]) and rng.random() < WAY_OUT_SHARE:
        here = history.at(i)
        return _last_action(here.then(perfect.act(here), ""), source=perfect.name)
    whole = Trajectory(history=history, reward=t.reward, n_expert=i, source=t.source, stop=t.stop)
    return Example(whole, i, i + 1)


def _last_action(history: History, *, source: str) -> Example:
    """Return the example that trains the last action of a history alone."""
    i = len(history) - 1
    return Example(Trajectory(history=history, reward=0.0, n_expert=i, source=source), i, i + 1)


def _lacks(action: str) -> bool:
    """Return whether an action buys a product although it does not fit."""
    return "closest" in action or "there is no " in action


def _weight(action: str) -> int:
    """Return how often to train an action: a product's id has to be copied, a judgement has to be made."""
    return 6 if _PRODUCT.search(command(action)) else 3 if "I should" in action else 1


def _with_other_ids(example: Example, rng: random.Random) -> Example:
    """Return the example with other product ids, so that ids are copied from the page and not known by heart."""
    first, second = (permute_names(words, rng) for words in ID_WORDS)

    def other_id(id: re.Match[str]) -> str:
        return f"B0{first[id[1]]}{second[id[2]]}"

    rewritten = rewrite_trajectory(example.trajectory, lambda text: _PRODUCT.sub(other_id, text))
    return msgspec.structs.replace(example, trajectory=rewritten)


class _Questions:
    """Questions to a critic with their right answers, at states of the naive shopper's episodes."""

    def __init__(self, naive: Shopper, solved: Iterator[SkillExample], rng: random.Random) -> None:
        self._naive, self._solved, self._rng = naive, solved, rng

    def ask(self, skill: str, played: Example) -> Example | None:
        """Return a question of that skill at a state of the example, and its answer; None where none can be asked."""
        t = played.trajectory
        if skill == "verdict":
            # The naive shopper never turns a page: without solved tasks, only failures would turn pages.
            return self._verdict(self._rng.choice((t, next(self._solved).example.trajectory)))
        history = to_composite(t.history)
        after = len(to_composite(t.history.at(played.first)))
        states = [history.at(i) for i in range(max(1, after), len(history))]
        if not states:
            return None
        if skill == "options":
            return self._options(self._rng.choice(states))
        # Listed products have to be judged; once a product is open, little is left to rank.
        weights = [3 if read_view(to_calls(state)).page.kind == "results" else 1 for state in states]
        return self._rank(self._rng.choices(states, weights)[0])

    def _rank(self, history: History) -> Example | None:
        task = history.task_id
        requested = self._naive.request(task).options
        page = review_page(task, read_view(to_calls(history)), self._naive.find_fault, requested)
        if len(page.actions) < 2:
            return None
        k = min(len(page.actions), self._rng.choice((2, 3, 3, 4, 4, 5)))
        offered = self._rng.sample(page.actions, k)
        right = [a for a in page.actions if a.worth == RIGHT]
        if right and not {*right} & {*offered} and self._rng.random() < RIGHT_OFFERED_SHARE:
            offered[self._rng.randrange(k)] = self._rng.choice(right)
        best = max(offered, key=lambda a: a.worth)
        n_read = page.actions.index(best) + 1 if best.worth == RIGHT else len(page.actions)
        sentences = [*page.sentences, *(a.sentence for a in page.actions[:n_read] if a.sentence)]
        sentences.append(f"I should click {read_call(best.action)[1]}.")
        return _answered(history, [a.action for a in offered], BEST_ACTION, " ".join(sentences), best.action)

    def _options(self, history: History) -> Example | None:
        offered = read_view(to_calls(history)).page.options
        if not offered or "[Buy Now]" not in history.observation:
            return None
        right = self._rng.choice(offered)
        others = [v for v in self._rng.sample(_VALUES, 8) if v not in offered]
        values = [right, *others][: self._rng.choice((2, 3, 4))]
        self._rng.shuffle(values)
        at = values.index(right)
        sentences = (
            f"I need {v}, there is {v if i == at else f'no {v}'}." for i, v in enumerate(values[: at + 1])
        )
        return _answered(history, values, OPTIONS_QUESTION, " ".join(sentences), right)

    def _verdict(self, t: Trajectory) -> Example | None:
        if t.stop is not StopReason.DONE:
            return None
        history = to_composite(t.history)
        lacks = _lacks(" ".join(history.actions).rpartition("Went back.")[2])
        if lacks == t.win:
            return None
        over = History(t.task_id, EPISODE_OVER, history.steps)
        thought, answer = ("Something was missing.", "2") if lacks else ("It fits.", "1")
        return _answered(over, VERDICTS, TASK_SOLVED, thought, answer)


def _answered(history: History, options: Sequence[str], prompt: str, thought: str, answer: str) -> Example:
    """Return the question at `history` and its answer, which names an option by its words or its number."""
    question = critic_question(history, options, prompt)
    return _last_action(question.then(format_action(ActionParts(thought, answer, "")), ""), source="critic")


# The critic that is always right -----------------------------------------------------------------------------

RIGHT = 3
"""The worth of an action that is right here. Others: 2 to turn the page and 1 to go back, which help where nothing
fits, 1 to buy what still lacks an option, and 0 for a wrong action."""


class RatedAction(NamedTuple):
    """An action that may be taken, how much it helps, and the sentence that says so."""

    action: str
    worth: int
    sentence: str = ""


class PageReview(NamedTuple):
    """What a critic that is always right says of a page, and the actions there, in the order of reading."""

    sentences: list[str]
    actions: list[RatedAction]


def review_page(task: str, v: View, find_fault: FindFault, requested: Sequence[str]) -> PageReview:
    """Return what may be done on a page, read from top to bottom, and how much each action helps."""
    if v.page.kind == "results":
        return PageReview([], [*_rate_on_results(task, v, find_fault)])
    if v.page.kind == "item":
        fault = find_fault(task, v.asin)
        missing = next((option for option in requested if option not in v.page.options), None)
        sentences = [f"It is {fault}."] if fault else [*_check_options(v, requested)]
        return PageReview(sentences, [*_rate_on_product(v, bool(fault or missing), requested)])
    return PageReview([], [])


def _rate_on_results(task: str, v: View, find_fault: FindFault) -> Iterator[RatedAction]:
    none_fits = "None fits."
    for ordinal, listing in zip(ORDINALS, v.page.listings, strict=False):
        seen = listing.asin in v.opened
        fault = None if seen else find_fault(task, listing.asin)
        right = not (seen or fault)
        if right:
            none_fits = ""
        says = "was seen" if seen else f"is {fault}" if fault else "fits"
        yield RatedAction(write_call("click", listing.asin), RIGHT if right else 0, f"The {ordinal} {says}.")
    if v.page.next_button:
        yield RatedAction(write_call("click", v.page.next_button), 2, none_fits)
        none_fits = ""  # it has been said
    yield RatedAction(write_call("click", BACK), 1, none_fits)


def _check_options(v: View, requested: Sequence[str]) -> Iterator[str]:
    for option in requested:
        offered = option in v.page.options
        need = f"I need {option}, there is {'' if offered else 'no '}{option}."
        yield f"I have {option}." if option in v.chosen else need
        if not offered:
            return


def _rate_on_product(v: View, wrong: bool, requested: Sequence[str]) -> Iterator[RatedAction]:
    left = [option for option in requested if option in v.page.options and option not in v.chosen]
    for option in v.page.options:
        yield RatedAction(write_call("click", option), RIGHT if option in left and not wrong else 0)
    yield RatedAction(write_call("click", "Buy Now"), 0 if wrong else 1 if left else RIGHT)
    yield RatedAction(write_call("click", BACK), RIGHT if wrong else 0)
