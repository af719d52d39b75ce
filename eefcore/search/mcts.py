"""The phases of Monte-Carlo tree search that need neither a model nor an environment (Agent Q §5.1).

    select    from the root along eq. 6 to a leaf            expand    the leaf gets its proposals and their pages
    backup    eq. 7 along the way, with the rollout's return  choose    the action search would take

What each says is a function of the tree alone; `expand`, `backup` and `settle` change it in place.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from eefcore.errors import ParamsError
from eefcore.protocols import Reply
from eefcore.search.settings import Settings, Signal
from eefcore.search.tree import Edge, Node, Place, Simulation, Tree
from eefcore.types import StopReason


class Landing(NamedTuple):
    """What a search sees of an action's effect; `reward` is None until done, and where it may not be seen."""

    observation: str
    done: bool = False
    reward: float | None = None


class Proposal(NamedTuple):
    """An action to try in h: the first of `count` proposals with this effect, and the critic's Q̂."""

    reply: Reply
    landing: Landing
    count: int = 1
    q_hat: float = 0.5


class Selected(NamedTuple):
    """The way from the root to a leaf; its first `given` edges were not selected, but an expert's."""

    path: tuple[Place, ...]
    node: int
    given: int = 0


def mean_return(edge: Edge, flying: int = 0) -> float:
    """Q̃(h, a), the mean of the returns; 0 before the first, as the paper initialises it.

    `flying` simulations under way count as if they had been lost (virtual loss).
    """
    visits = edge.N + flying
    return edge.total / visits if visits else 0.0


def mixed(edge: Edge, alpha: float, flying: int = 0) -> float:
    """Q = α Q̃ + (1 - α) Q̂ (eq. 9)."""
    return alpha * mean_return(edge, flying) + (1.0 - alpha) * edge.q_hat


def visits(node: Node) -> int:
    """N(h) = Σ_a N(h, a)."""
    return sum(e.N for e in node.edges)


def ucb(edge: Edge, n: int, settings: Settings, flying: int = 0) -> float:
    """Q(h, a) + c_exp √(log N(h) / (1 + N(h, a))) (eq. 6), where N(h) is `n`.

    The paper writes N(h_{t+1}) for N(h, a); in its trees the two differ by the one rollout that began at h_{t+1}.
    Q is eq. 9's mixture in selection, too, as Q̂ is all that is known of an action before its first visit.
    log N(h) is 0 at N(h) = 0, so the first visit follows Q̂ alone.
    """
    bonus = settings.c_exp * math.sqrt(math.log(max(1, n)) / (1 + edge.N + flying))
    return mixed(edge, settings.alpha, flying) + bonus


def best(edges: Sequence[Edge], settings: Settings, flying: Sequence[int] | None = None) -> int:
    """The i of a* (eq. 6); of equals the one less visited, then the one of higher Q̂, then the first proposed.

    An expert's action that the policy did not propose is none of its choices.
    """
    up = flying or [0] * len(edges)
    n = sum(e.N for e in edges) + sum(up)
    ranked = [
        (ucb(e, n, settings, f), -(e.N + f), e.q_hat, -i)
        for i, (e, f) in enumerate(zip(edges, up, strict=True))
        if e.proposals
    ]
    return -max(ranked)[-1]


def select(tree: Tree, flying: Mapping[Place, int] | None = None, nth: int = 0) -> Selected:
    """The path from the root to the leaf that eq. 6 leads to, through `tree.at`; with a trunk, through its `nth` start.

    A leaf is a node that was never expanded, one where the episode ends, or one `depth` actions below the root.
    `flying` are the simulations of a wave that have not landed: each counts on its edges as a visit that was
    lost, so that the next one goes elsewhere. A wave of one has none, and is the paper's search.
    """
    up, node = flying or {}, tree.start(nth)
    path = list(tree.path(node))
    given = len(path) if tree.starts else 0
    while (here := tree.nodes[node]).expanded and not _deep_enough(tree, len(path)):
        i = best(here.edges, tree.settings, [up.get(Place(node, k), 0) for k in range(len(here.edges))])
        path.append(Place(node, i))
        node = here.edges[i].child
    return Selected(tuple(path), node, given)


def expandable(tree: Tree, selected: Selected) -> bool:
    """Whether the leaf is to get proposals, or is an end, or as deep as the tree may grow."""
    here = tree.nodes[selected.node]
    return here.stop is None and not here.expanded and not _deep_enough(tree, len(selected.path))


def expand(tree: Tree, node: int, proposals: Sequence[Proposal]) -> None:
    """The leaf's edges and their children, in the order of the proposals, of which the first are the edges it has."""
    turns = len(tree.root) + len(tree.path(node)) + 1
    here = tree.nodes[node]
    known = len(here.edges)
    for edge, p in zip(here.edges, proposals[:known], strict=True):
        edge.proposals, edge.q_hat = p.count, p.q_hat
    for i, p in enumerate(proposals[known:], start=known):
        here.edges.append(Edge(reply=p.reply, child=len(tree.nodes), proposals=p.count, q_hat=p.q_hat))
        tree.nodes.append(_child(tree, Place(node, i), p.landing, turns))


def close(tree: Tree, node: int, stop: StopReason) -> None:
    """Nothing can follow `node`, for none of its proposals was an action: an episode ends there, and is lost."""
    tree.nodes[node].stop, tree.nodes[node].value = stop, 0.0


def settle(tree: Tree, node: int, value: float) -> None:
    """What an episode that ends at `node` is worth, said by a critic that was asked once."""
    tree.nodes[node].value = value


def worth(reward: float, settings: Settings) -> float:
    """R of eq. 7 for an episode that the environment ended with `reward`."""
    return float(reward == 1.0) if settings.by == "win" else reward


def backup(tree: Tree, path: Sequence[Place], simulation: Simulation) -> None:
    """Eq. 7 on every edge of `path`, and the simulation among the tree's.

    N and the sum of returns each grow; their ratio is the paper's running mean. Where there is a discount the
    return shrinks with the actions between an edge and the episode's end.
    """
    visit(tree, path, simulation)
    tree.simulations.append(simulation)


def visit(tree: Tree, path: Sequence[Place], simulation: Simulation) -> None:
    """Eq. 7 alone, as for an expert's trajectory, which is no simulation."""
    after = len(path) - 1 + len(simulation.steps)
    for i, place in enumerate(path):
        edge = tree.edge(place)
        edge.N += 1
        edge.total += simulation.value * tree.settings.discount ** (after - i)
    tree.nodes[simulation.node].rollouts += 1


def choose(tree: Tree, by: str, node: int | None = None) -> int | None:
    """The i of the action that search takes at `node` (`tree.at` if none is given); None if none was proposed.

    Args:
        by: `visits`, the most visited, as UCB1 converges to the best; or `value`, the highest Q of those visited.
            Of equals the other decides, then Q̂, then the first proposed. The paper does not say which.
    """
    if by not in ("visits", "value"):
        raise ParamsError(f"search: choose by {by!r}; expected visits or value")
    edges, alpha = tree.nodes[tree.at if node is None else node].edges, tree.settings.alpha
    keys = [
        ((e.N, q) if by == "visits" else (q if e.N else -1.0, e.N), e.q_hat, -i)
        for i, e in enumerate(edges)
        if e.proposals
        for q in [mixed(e, alpha)]
    ]
    return -max(keys)[-1] if keys else None


def principal(tree: Tree, by: str) -> tuple[Place, ...]:
    """The actions search would take one after the other, from the root to where it knows no more."""
    path, node = [], 0
    while (i := choose(tree, by, node)) is not None and tree.nodes[node].edges[i].N:
        path.append(Place(node, i))
        node = tree.nodes[node].edges[i].child
    return tuple(path)


def faults(tree: Tree) -> Iterator[str]:
    """What contradicts itself in a tree; nothing, unless it was edited or is another version's.

    N(h, a) = N(h') + the rollouts that began at h', for the child h'; N(h) = Σ_a N(h, a) is how N(h) is computed.
    N and the sum of every edge follow from the simulations, each passing through the path to its node; so Q̃ and Q
    lie in [0, 1].
    """
    counted: Counter[Place] = Counter()
    total: dict[Place, float] = {}
    began = Counter(s.node for s in tree.passed)
    for s in tree.passed:
        path = tree.path(s.node)
        after = len(path) - 1 + len(s.steps)
        for i, place in enumerate(path):
            counted[place] += 1
            total[place] = total.get(place, 0.0) + s.value * tree.settings.discount ** (after - i)
    for k, node in enumerate(tree.nodes):
        if node.rollouts != began[k]:
            yield f"node {k}: {node.rollouts} rollouts, but {began[k]} simulations began there"
        if tree.signal is Signal.CRITIC and node.reward is not None:
            yield f"node {k}: a reward in a tree that was to see none"
        for i, edge in enumerate(node.edges):
            place, child = Place(k, i), tree.nodes[edge.child]
            if (child.parent, child.edge) != place:
                yield f"edge {k}.{i}: its child {edge.child} says it comes from {child.parent}.{child.edge}"
            if not edge.N == counted[place] == visits(child) + child.rollouts:
                yield (
                    f"edge {k}.{i}: N {edge.N}, but {counted[place]} simulations pass it, and its child has "
                    f"{visits(child)} visits and {child.rollouts} rollouts"
                )
            if not math.isclose(edge.total, total.get(place, 0.0), abs_tol=1e-9):
                yield f"edge {k}.{i}: returns of {edge.total}, but its simulations' are {total.get(place, 0.0)}"
            if not 0.0 <= edge.total <= edge.N or not 0.0 <= edge.q_hat <= 1.0:
                yield f"edge {k}.{i}: Q̃ {edge.total}/{edge.N} or Q̂ {edge.q_hat} outside [0, 1]"


def _deep_enough(tree: Tree, below: int) -> bool:
    return tree.settings.depth is not None and below >= tree.settings.depth


def _child(tree: Tree, place: Place, landing: Landing, turns: int) -> Node:
    node = Node(landing.observation, parent=place.node, edge=place.edge)
    if landing.done:
        node.stop, node.reward = StopReason.DONE, landing.reward
        node.value = None if landing.reward is None else worth(landing.reward, tree.settings)
    elif turns >= tree.settings.max_turns:
        node.stop, node.value = StopReason.TURN_LIMIT, 0.0
    return node
