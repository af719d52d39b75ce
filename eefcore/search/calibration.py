"""How well the critic's Q̂ tells what search finds out: its rank correlation with Q̃, a reliability curve, how often it is right.

agreement, reliability   of the explored edges of trees, as their own critic ranked them
asked_anew               the same trees, ranked by another one
known                    all that, and how often a critic knows the answer of a lesson
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scipy.stats import spearmanr

from eefcore.search import mcts
from eefcore.search.critic import Critic
from eefcore.search.critic_data import Chosen, Lessons, lessons
from eefcore.search.scheduler import side_by_side
from eefcore.search.tree import Tree, copied


class Point(NamedTuple):
    """One explored edge."""

    q_hat: float
    q_tilde: float
    visits: int


class Bin(NamedTuple):
    """Edges of like Q̂: their mean Q̂, their Q̃ weighted by visits, and how many there are."""

    q_hat: float
    q_tilde: float
    edges: int


def points(trees: Iterable[Tree], *, min_visits: int = 1) -> list[Point]:
    """The edges with siblings that were tried at least so often."""
    return [
        Point(e.q_hat, mcts.mean_return(e), e.N)
        for tree in trees
        for node in tree.nodes
        if len(node.edges) > 1
        for e in node.edges
        if min_visits <= e.N
    ]


def agreement(found: Sequence[Point]) -> float:
    """Spearman's rank correlation of Q̂ with Q̃; NaN of fewer than three edges, or where one of the two is constant."""
    if len(found) < 3 or len({p.q_hat for p in found}) < 2 or len({p.q_tilde for p in found}) < 2:
        return math.nan
    return float(spearmanr([p.q_hat for p in found], [p.q_tilde for p in found]).statistic)


def reliability(found: Sequence[Point], *, bins: int = 5) -> list[Bin]:
    """Q̃ by Q̂, in `bins` of equal width; empty ones are left out."""
    out = []
    for b in range(bins):
        inside = [p for p in found if min(int(p.q_hat * bins), bins - 1) == b]
        if weight := sum(p.visits for p in inside):
            mean = sum(p.q_hat for p in inside) / len(inside)
            out.append(Bin(mean, sum(p.q_tilde * p.visits for p in inside) / weight, len(inside)))
    return out


def asked_anew(trees: Sequence[Tree], critic: Critic, *, min_visits: int) -> list[Tree]:
    """The trees, the actions of every node of which some were tried so often ranked by `critic`; N and Q̃ stay."""
    again = [copied(tree) for tree in trees]
    nodes = [
        (tree.history(k), node)
        for tree in again
        for k, node in enumerate(tree.nodes)
        if len(node.edges) > 1 and any(min_visits <= e.N for e in node.edges)
    ]
    talks = [critic.ranking(history, [e.reply.action for e in node.edges]) for history, node in nodes]
    for (_, node), ranking in zip(nodes, side_by_side(talks, critic.policy), strict=True):
        for edge, q_hat in zip(node.edges, ranking.scores, strict=True):
            edge.q_hat = q_hat
    return again


class Known(NamedTuple):
    """What a critic knows; NaN where there is nothing to be known. The names are those of the logged keys."""

    named: float  # share of `Chosen` of which the action it ranks highest of those tried is the best one
    judged: float  # share of `Ended` that it takes for what they are
    agreement: float  # see there


def known(trees: Sequence[Tree], critic: Critic, *, min_visits: int, gap: float) -> Known:
    """By the Q̂ that the trees have of `critic`, and by asking it how the simulations ended."""
    found = lessons(trees, min_visits=min_visits, gap=gap)
    verdicts = side_by_side([critic.verdict(e.history) for e in found.ended], critic.policy)
    right = [v.scores[0] == e.won for v, e in zip(verdicts, found.ended, strict=True)]  # 0.5 is neither
    named = [_named(c) == c.best for c in found.chosen]
    return Known(_share(named), _share(right), agreement(points(trees, min_visits=min_visits)))


def by_chance(found: Lessons) -> float:
    """What `Known.named` would be of one who guesses; of `judged` it is a half."""
    return _share([1 / len(c.tried) for c in found.chosen])


def _named(chosen: Chosen) -> int | None:
    """The tried action of the highest Q̂; None if several have it."""
    scores = [e.q_hat for e in chosen.tried]
    return scores.index(max(scores)) if scores.count(max(scores)) == 1 else None


def _share(right: Sequence[float]) -> float:
    return sum(right) / len(right) if right else math.nan
