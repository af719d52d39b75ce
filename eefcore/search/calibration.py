"""Measure how well the critic's Q̂ agrees with the returns Q̃ that search measures.

agreement, reliability   rank correlation with Q̃, and Q̃ by Q̂, over the explored edges of trees
rank_again               the same trees, ranked by another critic
critic_accuracy          the agreement, and how often a critic knows the answer to its questions
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from eefcore.search import mcts
from eefcore.search.critic import Critic
from eefcore.search.critic_data import ActionQuestion, CriticQuestions, critic_questions
from eefcore.search.scheduler import run_requests
from eefcore.search.tree import Tree, copy_tree


class ExploredEdge(NamedTuple):
    """An explored action with the critic's Q̂ and the search's Q̃."""

    q_hat: float
    q_tilde: float
    visits: int


class Bin(NamedTuple):
    """Edges of similar Q̂: their mean Q̂, their Q̃ weighted by visits, and their number."""

    q_hat: float
    q_tilde: float
    edges: int


def explored_edges(trees: Iterable[Tree], *, min_visits: int = 1) -> list[ExploredEdge]:
    """Return the edges that have siblings and at least `min_visits` visits."""
    return [
        ExploredEdge(e.q_hat, mcts.mean_return(e), e.N)
        for tree in trees
        for node in tree.nodes
        if len(node.edges) > 1
        for e in node.edges
        if min_visits <= e.N
    ]


def agreement(edges: Sequence[ExploredEdge]) -> float:
    """Return Spearman's rank correlation of Q̂ with Q̃; NaN of fewer than three edges, or if one of the two is constant."""
    if len(edges) < 3 or len({e.q_hat for e in edges}) < 2 or len({e.q_tilde for e in edges}) < 2:
        return math.nan
    from scipy.stats import spearmanr  # takes a second to load

    return float(spearmanr([e.q_hat for e in edges], [e.q_tilde for e in edges]).statistic)


def reliability(edges: Sequence[ExploredEdge], *, bins: int = 5) -> list[Bin]:
    """Return Q̃ by Q̂, in `bins` of equal width; empty ones are left out."""
    curve = []
    for b in range(bins):
        inside = [e for e in edges if min(int(e.q_hat * bins), bins - 1) == b]
        if weight := sum(e.visits for e in inside):
            q_tilde = sum(e.q_tilde * e.visits for e in inside) / weight
            curve.append(Bin(_share([e.q_hat for e in inside]), q_tilde, len(inside)))
    return curve


def rank_again(trees: Sequence[Tree], critic: Critic, *, min_visits: int) -> list[Tree]:
    """Return copies of the trees in which `critic` ranks the actions of every explored node; N and Q̃ stay.

    A node is explored if one of its edges has at least `min_visits` visits.
    """
    copies = [copy_tree(tree) for tree in trees]
    nodes = [
        (tree.history(k), node)
        for tree in copies
        for k, node in enumerate(tree.nodes)
        if len(node.edges) > 1 and any(min_visits <= e.N for e in node.edges)
    ]
    rankings = [critic.ranking(history, [e.reply.action for e in node.edges]) for history, node in nodes]
    for (_, node), ranking in zip(nodes, run_requests(rankings, critic.policy), strict=True):
        for edge, q_hat in zip(node.edges, ranking.scores, strict=True):
            edge.q_hat = q_hat
    return copies


class CriticAccuracy(NamedTuple):
    """How often a critic is right, by the logged keys; NaN where there is nothing to measure."""

    named: float  # share of the `ActionQuestion`s whose best action is the explored one of the highest Q̂
    judged: float  # share of the `OutcomeQuestion`s whose outcome it names
    agreement: float  # Spearman's rank correlation of Q̂ with Q̃


def critic_accuracy(trees: Sequence[Tree], critic: Critic, *, min_visits: int, gap: float) -> CriticAccuracy:
    """Measure `critic` by the Q̂ that it gave the trees, and by asking it how the simulations ended."""
    questions = critic_questions(trees, min_visits=min_visits, gap=gap)
    verdicts = run_requests([critic.verdict(q.history) for q in questions.outcomes], critic.policy)
    # A score of 0.5 is neither.
    judged = [v.scores[0] == q.won for v, q in zip(verdicts, questions.outcomes, strict=True)]
    named = [_names_best(q) for q in questions.actions]
    return CriticAccuracy(
        _share(named), _share(judged), agreement(explored_edges(trees, min_visits=min_visits))
    )


def chance_accuracy(questions: CriticQuestions) -> float:
    """Return the expected `CriticAccuracy.named` of a guess; that of `judged` is a half."""
    return _share([1 / len(q.explored) for q in questions.actions])


def _names_best(question: ActionQuestion) -> bool:
    """Return whether the best explored action, and no other, has the highest Q̂."""
    scores = [e.q_hat for e in question.explored]
    return [i for i, q in enumerate(scores) if q == max(scores)] == [question.best]


def _share(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
