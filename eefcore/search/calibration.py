"""How well the critic's Q̂ tells what search finds out: its rank correlation with Q̃, and a reliability curve.

`lessons` makes of what trees found examples to tune a critic on, which the paper leaves to others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scipy.stats import spearmanr

from eefcore.composite import Parts, command, written
from eefcore.questions import BEST, question
from eefcore.search import mcts
from eefcore.search.tree import Tree
from eefcore.types import Example, Trajectory


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


def lessons(trees: Iterable[Tree], *, min_visits: int = 2, gap: float = 0.25) -> list[Example]:
    """What a critic is to answer where search found out: the question, and the explored action of the highest Q̃.

    Only where it is better than every other explored one by `gap`, each of them tried `min_visits` times. The answer
    is the number alone, as a command where actions are composite.
    """
    out = []
    for tree in trees:
        for k, node in enumerate(tree.nodes):
            tried = [e for e in node.edges if min_visits <= e.N]
            values = [mcts.mean_return(e) for e in tried]
            if len(tried) < 2 or max(values) - sorted(values)[-2] < gap:
                continue
            best = values.index(max(values))
            asked = question(tree.history(k), [command(e.reply.action) for e in tried], BEST)
            named = str(best + 1)
            speaks = command(tried[best].reply.action) != tried[best].reply.action
            answer = written(Parts("", named, "")) if speaks else named
            t = len(asked)
            taught = Trajectory(history=asked.then(answer, ""), reward=0.0, n_expert=t, source="search")
            out.append(Example(taught, t, t + 1))
    return out
