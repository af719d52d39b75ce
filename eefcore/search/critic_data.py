"""Make training examples for a critic from the results of search; the paper leaves this to future work (§7).

    critic_questions   the questions of a critic and their right answers: the best of the explored actions
                       (`ActionQuestion`), and whether a simulation won (`OutcomeQuestion`)
    answer_questions   examples: the critic's own right answer where it finds one, or only the number of the option
    split_tasks        hold out tasks to measure on

A prompted critic thinks before it names a number. Trained on numbers alone it learns to answer without thinking, so it
learns from its own right answers, as in STaR.
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
from eefcore.search.scheduler import Request, Requests, draw_seed, run_requests
from eefcore.search.tree import Edge, Tree
from eefcore.types import Example, History, StopReason, Trajectory


class CriticQuestion(NamedTuple):
    """A question, its options, the index of the right one, and an answer that only names it."""

    prompt: History
    options: Sequence[str]
    right: int
    answer: str


class ActionQuestion(NamedTuple):
    """The question which explored action is best at a node, as search has measured it."""

    history: History
    explored: list[Edge]
    best: int

    @property
    def question(self) -> CriticQuestion:
        """Return the question which explored action helps most."""
        options = [command(e.reply.action) for e in self.explored]
        answer = _number(self.best, self.explored[self.best].reply.action)
        return CriticQuestion(critic_question(self.history, options, BEST_ACTION), options, self.best, answer)


class OutcomeQuestion(NamedTuple):
    """The question how a simulation ended, without its last page, which may show the score."""

    history: History
    won: bool

    @property
    def question(self) -> CriticQuestion:
        """Return the question whether the task is solved."""
        right = int(not self.won)
        answer = _number(right, self.history.actions[-1])
        return CriticQuestion(critic_question(self.history, VERDICTS, TASK_SOLVED), VERDICTS, right, answer)


class CriticQuestions(NamedTuple):
    """All questions that trees answer."""

    actions: list[ActionQuestion]
    outcomes: list[OutcomeQuestion]

    @property
    def all(self) -> list[CriticQuestion]:
        """Return the questions about actions, then those about outcomes."""
        return [each.question for each in (*self.actions, *self.outcomes)]


def critic_questions(trees: Iterable[Tree], *, min_visits: int = 1, gap: float = 0.25) -> CriticQuestions:
    """Return the questions for a critic that search has answered.

    An action with at least `min_visits` visits is explored. The mean return of the best explored action is above that
    of every other by at least `gap`.
    """
    trees = [*trees]
    return CriticQuestions(
        [question for tree in trees for question in _action_questions(tree, min_visits, gap)],
        [question for tree in trees for question in _outcome_questions(tree)],
    )


def _action_questions(tree: Tree, min_visits: int, gap: float) -> Iterator[ActionQuestion]:
    for k, node in enumerate(tree.nodes):
        explored = [e for e in node.edges if e.N and min_visits <= e.N]
        values = [mcts.mean_return(e) for e in explored]
        if len(explored) > 1 and max(values) - sorted(values)[-2] >= gap:
            yield ActionQuestion(tree.history(k), explored, values.index(max(values)))


def _outcome_questions(tree: Tree) -> Iterator[OutcomeQuestion]:
    """Yield the first win and the first loss of a tree, so that neither answer becomes a habit."""
    done = [s for s in tree.simulations if s.stop is StopReason.DONE and s.reward is not None]
    for won in (True, False):
        for simulation in [s for s in done if (s.reward == 1.0) is won][:1]:
            history = msgspec.structs.replace(tree.final_history(simulation), observation=EPISODE_OVER)
            yield OutcomeQuestion(history, won)


class TaskSplit(NamedTuple):
    """Trees to learn from, and trees of the tasks that are held out."""

    train: list[Tree]
    held_out: list[Tree]


def split_tasks(trees: Iterable[Tree], *, share: float, seed: int) -> TaskSplit:
    """Hold out about `share` of the tasks. Each is drawn by itself, so no round trains on what another measures on."""
    split = TaskSplit([], [])
    for tree in trees:
        split[Random(f"{seed} {tree.task_id}").random() < share].append(tree)
    return split


class CriticExamples(NamedTuple):
    """Examples of the questions that were answered, the number of the others, and the tokens of all answers."""

    examples: list[Example]
    unanswered: int
    tokens_written: int


def answer_questions(
    found: CriticQuestions, policy: Policy, *, draws: int | None, seed: int
) -> CriticExamples:
    """Return an example of each question: the first right one of `draws` answers of the critic's model.

    The first draw is greedy. Without draws (None) the answer is only the number of the right option.
    """
    questions = found.all
    if draws is None:
        return CriticExamples([_example(q, Reply(q.answer)) for q in questions], 0, 0)
    answers = run_requests([_draw_answers(q.prompt, draws, seed) for q in questions], policy)
    examples = [
        _example(q, right[0])
        for q, replies in zip(questions, answers, strict=True)
        if (right := [r for r in replies if parse_choice(r, q.options) == q.right])
    ]
    n_tokens = sum(len(r.tokens) for replies in answers for r in replies)
    return CriticExamples(examples, len(questions) - len(examples), n_tokens)


def _draw_answers(prompt: History, draws: int, seed: int) -> Requests[Sequence[Reply]]:
    samplings = [Sampling(float(n > 0), draw_seed(seed, prompt, "lesson", n)) for n in range(draws)]
    return (yield [Request(prompt, sampling) for sampling in samplings])


def _number(right: int, action: str) -> str:
    """Return the number of an option, as a command if `action` is composite, as the critic then writes."""
    number = str(right + 1)
    return format_action(ActionParts("", number, "")) if command(action) != action else number


def _example(question: CriticQuestion, reply: Reply) -> Example:
    t = len(question.prompt)
    after = question.prompt.then(reply.action, "", reply.tokens, reply.logps)
    return Example(Trajectory(history=after, reward=0.0, n_expert=t, source="search"), t, t + 1)
