"""Monte-Carlo tree search as in Agent Q §5.1: the phases that need neither a model nor an environment.

    Agent Q                                       here
    §5.1.2 selection, UCB1            eq. 6       select, best_edge, ucb
    §5.1.2 expansion                              expand, with the proposals that `simulation` made
    §5.1.2 simulation                             `simulation.Simulator` rolls out with π_θ; episode_return is its R
    §5.1.2 backpropagation            eq. 7       backup; mean_return is Q̃
    §5.2 mixture of Q̃ and Q̂           eq. 9       mixed_q
    the action to take                            choose_action, principal_path

All functions are functions of the tree alone. `expand` and `backup` change it in place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from eefcore.errors import ParamsError
from eefcore.protocols import Reply
from eefcore.search.settings import SearchSettings, Signal
from eefcore.search.tree import Edge, EdgeId, Node, Simulation, Tree, copy_tree, faults
from eefcore.types import StopReason


class StepResult(NamedTuple):
    """The result of an action in a search; `reward` is None until the end, or if the search may not see it."""

    observation: str
    done: bool = False
    reward: float | None = None


class Proposal(NamedTuple):
    """An action to try in h: the first of `count` proposals with this effect, and the critic's Q̂."""

    reply: Reply
    result: StepResult
    count: int = 1
    q_hat: float = 0.5


class Selection(NamedTuple):
    """The path from the root to a leaf; its first `given` edges were not selected, but are an expert's."""

    path: tuple[EdgeId, ...]
    node: int
    given: int = 0


def mean_return(edge: Edge, in_flight: int = 0) -> float:
    """Return Q̃(h, a), the mean of the returns (eq. 7); 0 before the first, as the paper initialises it.

    `in_flight` simulations under way count as if they had been lost (virtual loss).
    """
    n = edge.N + in_flight
    return edge.total / n if n else 0.0


def mixed_q(edge: Edge, alpha: float, in_flight: int = 0) -> float:
    """Return Q = α Q̃ + (1 - α) Q̂ (eq. 9)."""
    return alpha * mean_return(edge, in_flight) + (1.0 - alpha) * edge.q_hat


def visits(node: Node) -> int:
    """Return N(h) = Σ_a N(h, a)."""
    return sum(e.N for e in node.edges)


def ucb(edge: Edge, n: int, settings: SearchSettings, in_flight: int = 0) -> float:
    """Return Q(h, a) + c_exp √(log N(h) / (1 + N(h, a))) (eq. 6), where N(h) is `n`.

    The paper writes N(h_{t+1}) for N(h, a); in its trees the two differ by the one rollout that began at h_{t+1}.
    Q is eq. 9's mixture in selection, too, because Q̂ is all that is known of an action before its first visit.
    log N(h) is taken as 0 at N(h) = 0, so the first visit follows Q̂ alone.
    """
    bonus = settings.c_exp * math.sqrt(math.log(max(1, n)) / (1 + edge.N + in_flight))
    return mixed_q(edge, settings.alpha, in_flight) + bonus


def best_edge(edges: Sequence[Edge], settings: SearchSettings, in_flight: Sequence[int] | None = None) -> int:
    """Return the index of a* (eq. 6); of equals the less visited, then the higher Q̂, then the first proposed.

    An expert's action that the policy did not propose is never selected.
    """
    lost = in_flight or [0] * len(edges)
    n = sum(e.N for e in edges) + sum(lost)

    def rank(i: int) -> tuple[float, int, float]:
        edge, extra = edges[i], lost[i]
        return ucb(edge, n, settings, extra), -(edge.N + extra), edge.q_hat

    return max((i for i, e in enumerate(edges) if e.proposals), key=rank)


def select(tree: Tree, in_flight: Mapping[EdgeId, int] | None = None, nth: int = 0) -> Selection:
    """Follow eq. 6 from the root to a leaf through `tree.at`; with a trunk, through its `nth` start.

    A leaf is a node that was never expanded, one where the episode ends, or one `depth` actions below the root.
    `in_flight` counts, by edge, the simulations of a wave that have not ended: each counts as a visit that was lost,
    so that the next simulation goes elsewhere. A wave of one has none, and is the paper's search.
    """
    extra = in_flight or {}
    node = tree.starts[nth % len(tree.starts)] if tree.starts else tree.at
    path = list(tree.path(node))
    given = len(path) if tree.starts else 0
    while (here := tree.nodes[node]).expanded and not _at_depth_limit(tree, len(path)):
        counts = [extra.get(EdgeId(node, k), 0) for k in range(len(here.edges))]
        i = best_edge(here.edges, tree.settings, counts)
        path.append(EdgeId(node, i))
        node = here.edges[i].child
    return Selection(tuple(path), node, given)


def expandable(tree: Tree, selection: Selection) -> bool:
    """Return whether the leaf gets proposals: not at the end of an episode, nor at the depth limit of the tree."""
    here = tree.nodes[selection.node]
    return here.stop is None and not here.expanded and not _at_depth_limit(tree, len(selection.path))


def expand(tree: Tree, node: int, proposals: Sequence[Proposal]) -> None:
    """Add an edge and a child for each proposal, in their order; the first of them are the edges that the leaf has."""
    turns = len(tree.root) + len(tree.path(node)) + 1
    here = tree.nodes[node]
    n = len(here.edges)
    for edge, p in zip(here.edges, proposals[:n], strict=True):
        edge.proposals, edge.q_hat = p.count, p.q_hat
    for i, p in enumerate(proposals[n:], start=n):
        here.edges.append(Edge(reply=p.reply, child=len(tree.nodes), proposals=p.count, q_hat=p.q_hat))
        tree.nodes.append(_child(tree, EdgeId(node, i), p.result, turns))


def _child(tree: Tree, parent: EdgeId, result: StepResult, turns: int) -> Node:
    node = Node(result.observation, parent=parent.node, edge=parent.edge)
    if result.done:
        node.stop, node.reward = StopReason.DONE, result.reward
        node.value = None if result.reward is None else episode_return(result.reward, tree.settings)
    elif turns >= tree.settings.max_turns:
        node.stop, node.value = StopReason.TURN_LIMIT, 0.0
    return node


def _at_depth_limit(tree: Tree, depth: int) -> bool:
    return tree.settings.depth is not None and depth >= tree.settings.depth


def episode_return(reward: float, settings: SearchSettings) -> float:
    """Return R of eq. 7 for an episode that the environment ended with `reward`."""
    return float(reward == 1.0) if settings.by == "win" else reward


def backup(tree: Tree, simulation: Simulation) -> None:
    """Back up the return of a simulation by eq. 7, to every edge from the root to the node where it left the tree.

    N and the sum of returns each grow; their ratio is the paper's running mean. With a discount the return shrinks
    with the number of actions between an edge and the end of the episode.
    """
    path = tree.path(simulation.node)
    after = len(path) - 1 + len(simulation.steps)
    for i, edge_id in enumerate(path):
        edge = tree.edge(edge_id)
        edge.N += 1
        edge.total += simulation.value * tree.settings.discount ** (after - i)
    tree.nodes[simulation.node].rollouts += 1


def choose_action(tree: Tree, by: str, node: int | None = None) -> int | None:
    """Return the index of the action that search takes at `node` (default `tree.at`); None if none was proposed.

    `by` is `visits`, the most visited, because UCB1 converges to the best; or `value`, the highest Q of those visited.
    Of equals the other decides, then Q̂, then the first proposed. The paper does not say which it uses.
    """
    if by not in ("visits", "value"):
        raise ParamsError(f"search: choose by {by!r}; expected visits or value")
    edges, alpha = tree.nodes[tree.at if node is None else node].edges, tree.settings.alpha

    def rank(i: int) -> tuple[float, float, float]:
        n, q = edges[i].N, mixed_q(edges[i], alpha)
        return (*((n, q) if by == "visits" else (q if n else -1.0, n)), edges[i].q_hat)

    return max((i for i, e in enumerate(edges) if e.proposals), key=rank, default=None)


def principal_path(tree: Tree, by: str) -> tuple[EdgeId, ...]:
    """Return the actions that search would take one after the other, from the root to the first unvisited edge."""
    path, node = [], 0
    while (i := choose_action(tree, by, node)) is not None and tree.nodes[node].edges[i].N:
        path.append(EdgeId(node, i))
        node = tree.nodes[node].edges[i].child
    return tuple(path)


def contradictions(tree: Tree) -> Iterator[str]:
    """Yield the contradictions in a tree: none, unless it was edited or comes from another version.

    N and the sum of returns of every edge are those that its simulations back up; so Q̃ and Q lie in [0, 1].
    """
    if found := [*faults(tree)]:
        yield from found
        return
    expected = copy_tree(tree)
    for node in expected.nodes:
        node.rollouts = 0
    for _, _, edge in _edges(expected):
        edge.N, edge.total = 0, 0.0
    for simulation in tree.traversals:
        backup(expected, simulation)
    for k, (node, again) in enumerate(zip(tree.nodes, expected.nodes, strict=True)):
        if node.rollouts != again.rollouts:
            yield f"node {k}: {node.rollouts} rollouts, but {again.rollouts} simulations began there"
        if tree.signal is Signal.CRITIC and node.reward is not None:
            yield f"node {k}: a reward in a tree that was to see none"
    for (k, i, edge), (_, _, again) in zip(_edges(tree), _edges(expected), strict=True):
        if edge.N != again.N:
            yield f"edge {k}.{i}: N {edge.N}, but {again.N} simulations pass it"
        if not math.isclose(edge.total, again.total, abs_tol=1e-9):
            yield f"edge {k}.{i}: returns of {edge.total}, but its simulations' are {again.total}"
        if not 0.0 <= edge.total <= edge.N or not 0.0 <= edge.q_hat <= 1.0:
            yield f"edge {k}.{i}: Q̃ {edge.total}/{edge.N} or Q̂ {edge.q_hat} outside [0, 1]"


def _edges(tree: Tree) -> Iterator[tuple[int, int, Edge]]:
    return ((k, i, edge) for k, node in enumerate(tree.nodes) for i, edge in enumerate(node.edges))
