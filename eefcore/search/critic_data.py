"""What search found out, as examples to tune a critic on; the paper leaves it to others (§7).

    lessons    the questions a critic is asked, and what it should have answered: of explored actions the best (`Chosen`),
               of how a simulation ended whether it won (`Ended`)
    answered   examples of them: in the critic's own words, where it can find the answer, or the number alone
    split      tasks that are held out, to measure on

The answers of a prompted critic hold what it thinks before it names a number. Trained on numbers alone it learns to
answer unthinkingly, so it learns from its own right answers, as STaR does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from eefcore.actions import ActionParts, command, format_action
from eefcore.protocols import Policy, Reply, Sampling
from eefcore.rendering.critic_prompts import (
    BEST_ACTION,
    EPISODE_OVER,
    TASK_SOLVED,
    VERDICTS,
    critic_question,
    parse_choice,
)
from eefcore.search import mcts
from eefcore.search.scheduler import Question, Talk, draw_seed, side_by_side
from eefcore.search.tree import Edge, Tree
from eefcore.types import Example, History, StopReason, Trajectory


class Lesson(NamedTuple):
    """A question, which of its options is right, and that alone as an answer."""

    asked: History
    options: Sequence[str]
    right: int
    answer: str


class Chosen(NamedTuple):
    """A node where search found out which explored action is best."""

    history: History
    tried: list[Edge]
    best: int

    @property
    def lesson(self) -> Lesson:
        """Which of those that were tried helps most."""
        options = [command(e.reply.action) for e in self.tried]
        said = self.tried[self.best].reply.action
        return Lesson(
            critic_question(self.history, options, BEST_ACTION), options, self.best, _number(self.best, said)
        )


class Ended(NamedTuple):
    """How a simulation ended, its last page left out, which may tell the score."""

    history: History
    won: bool

    @property
    def lesson(self) -> Lesson:
        """Whether the task is done."""
        right = int(not self.won)
        answer = _number(right, self.history.actions[-1])
        return Lesson(critic_question(self.history, VERDICTS, TASK_SOLVED), VERDICTS, right, answer)


class Lessons(NamedTuple):
    """All that trees teach."""

    chosen: list[Chosen]
    ended: list[Ended]

    @property
    def all(self) -> list[Lesson]:
        """To be answered."""
        return [each.lesson for each in (*self.chosen, *self.ended)]


def lessons(trees: Iterable[Tree], *, min_visits: int = 1, gap: float = 0.25) -> Lessons:
    """What a critic is to answer where search found out.

    Args:
        min_visits: of an action, to count as tried.
        gap: by which the mean return of the best of the tried ones is above every other's.
    """
    each = [*trees]
    return Lessons(
        [found for tree in each for found in _chosen(tree, min_visits, gap)],
        [found for tree in each for found in _ended(tree)],
    )


def _chosen(tree: Tree, min_visits: int, gap: float) -> Iterator[Chosen]:
    for k, node in enumerate(tree.nodes):
        tried = [e for e in node.edges if e.N and min_visits <= e.N]
        values = [mcts.mean_return(e) for e in tried]
        if len(tried) > 1 and max(values) - sorted(values)[-2] >= gap:
            yield Chosen(tree.history(k), tried, values.index(max(values)))


def _ended(tree: Tree) -> Iterator[Ended]:
    """The first win and the first loss, so that neither answer is right by habit."""
    over = [s for s in tree.simulations if s.stop is StopReason.DONE and s.reward is not None]
    for won in (True, False):
        for simulation in [s for s in over if (s.reward == 1.0) is won][:1]:
            yield Ended(msgspec.structs.replace(tree.ended(simulation), observation=EPISODE_OVER), won)


class Split(NamedTuple):
    """Trees to learn from, and those of tasks that are held out."""

    taught: list[Tree]
    held_out: list[Tree]


def split(trees: Iterable[Tree], *, share: float, seed: int) -> Split:
    """About that `share` of the tasks held out, each drawn for itself: what one round trains on none measures on."""
    out = Split([], [])
    for tree in trees:
        out[Random(f"{seed} {tree.task_id}").random() < share].append(tree)
    return out


class Answered(NamedTuple):
    """Examples of the lessons that could be answered, how many could not, and the tokens that all answers took."""

    examples: list[Example]
    unanswered: int
    tokens_written: int


def answered(found: Lessons, policy: Policy, *, draws: int, seed: int) -> Answered:
    """The first right one of `draws` answers of the critic's model to each question, the first of them greedy.

    With `draws` 0 the right number alone.
    """
    every = found.all
    if not draws:
        return Answered([_example(lesson, Reply(lesson.answer)) for lesson in every], 0, 0)
    told = side_by_side([_answers(lesson, draws, seed) for lesson in every], policy)
    examples = [
        _example(lesson, right[0])
        for lesson, replies in zip(every, told, strict=True)
        if (right := [r for r in replies if parse_choice(r, lesson.options) == lesson.right])
    ]
    written = sum(len(r.tokens) for replies in told for r in replies)
    return Answered(examples, len(every) - len(examples), written)


def _answers(lesson: Lesson, draws: int, seed: int) -> Talk[list[Reply]]:
    replies = yield [
        Question(lesson.asked, Sampling(float(n > 0), draw_seed(seed, lesson.asked, "lesson", n)))
        for n in range(draws)
    ]
    return [*replies]


def _number(right: int, said: str) -> str:
    """The number of an option, as a command where actions are composite, as `said` is."""
    named = str(right + 1)
    return format_action(ActionParts("", named, "")) if command(said) != said else named


def _example(lesson: Lesson, reply: Reply) -> Example:
    t = len(lesson.asked)
    after = lesson.asked.then(reply.action, "", reply.tokens, reply.logps)
    return Example(Trajectory(history=after, reward=0.0, n_expert=t, source="search"), t, t + 1)
