"""Make preference pairs from search: of actions at the nodes of trees (Agent Q §5.2, eq. 4) and of trajectories (eq. 5).

    node_pairs      explored siblings of a tree whose Q (eq. 9) differ by at least θ
    outcome_pairs   a task's winning trajectories against its losing ones

Pairs carry log π of every trained token from when it was sampled, under the policy that grew the tree: the paper's
off-policy replay buffer, which loads no reference model. Trees that were grown without rewards are refused
(`Tree.trajectory`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations, product
from random import Random

import msgspec

from eefcore.search import mcts
from eefcore.search.tree import Edge, EdgeId, Simulation, Tree
from eefcore.types import Example, Preference, Trajectory


def node_pairs(
    trees: Iterable[Tree], *, theta: float, min_visits: int = 1, alpha: float | None = None
) -> list[Preference]:
    """Return (h, a^w, a^l) of every two explored siblings whose Q (eq. 9) differs by at least θ; a^w has the higher Q.

    The margin is the difference. Only the action is trained; it stands in a simulation that passed through it, for
    reading: the best simulation for the chosen action, the worst for the rejected one. An expert's action counts as
    explored where the policy proposed it as well and selection took it: that the expert failed makes no pair.

    Theorem 1 (eq. 8) is about preferences with probability σ(Q^w − Q^l). A pair by a threshold is certain, so DPO on such
    pairs moves all probability from the actions that lose one, the further the longer it trains.

    `theta` is θ_threshold; two that tie are never a pair. An action with at least `min_visits` visits is explored.
    `alpha` of None takes each tree's own.
    """
    pairs = []
    for tree in trees:
        mix = tree.settings.alpha if alpha is None else alpha
        passing = _passing(tree)
        for k, node in enumerate(tree.nodes):
            t = len(tree.root) + len(tree.path(k))
            of_edge = [(edge, passing[EdgeId(k, i)]) for i, edge in enumerate(node.edges)]
            explored = [side for side in of_edge if len(side[1]) >= max(1, min_visits)]
            for both in combinations(explored, 2):
                (worse, below), (better, above) = sorted(both, key=lambda side: mcts.mixed_q(side[0], mix))
                margin = mcts.mixed_q(better, mix) - mcts.mixed_q(worse, mix)
                if margin > 0.0 and margin >= theta:
                    best, worst = max(above, key=lambda s: s.value), min(below, key=lambda s: s.value)
                    chosen, rejected = (Example(tree.trajectory(s), t, t + 1) for s in (best, worst))
                    reason = f"{_q_text(better, mix)} against {_q_text(worse, mix)}"
                    pairs.append(_preference(chosen, rejected, margin, reason))
    return pairs


def outcome_pairs(
    trajectories: Sequence[Trajectory], *, most: int | None = 8, seed: int = 0
) -> list[Preference]:
    """Pair a win with a loss from one root, the state in which the policy took over.

    At most `most` pairs of each root are drawn; None takes all. Equal trajectories count once. The margin is the
    difference of rewards.
    """
    wins, losses = (_by_root(trajectories, win=win) for win in (True, False))
    pairs = []
    for root, won in wins.items():
        both = [*product(won, losses.get(root, ()))]
        n = len(both) if most is None else min(most, len(both))
        # Drawn for each root by itself, so that other tasks do not move it.
        for w, l in Random(f"{seed} {root}").sample(both, n):
            reason = f"{w.outcome} {w.reward:.2f}, {l.outcome} {l.reward:.2f}"
            sides = Example(w, w.n_expert), Example(l, l.n_expert)
            pairs.append(_preference(*sides, w.reward - l.reward, reason))
    return pairs


def _passing(tree: Tree) -> dict[EdgeId, list[Simulation]]:
    """Return the simulations that selected each edge."""
    out: dict[EdgeId, list[Simulation]] = defaultdict(list)
    for simulation in tree.simulations:
        for edge_id in tree.path(simulation.node)[simulation.given :]:
            out[edge_id].append(simulation)
    return out


def _by_root(trajectories: Iterable[Trajectory], *, win: bool) -> dict[str, list[Trajectory]]:
    """Return won (or lost) trajectories with an action of the policy, by the state it began in; equal ones once."""
    out: dict[str, dict[tuple[str, ...], Trajectory]] = defaultdict(dict)
    for t in trajectories:
        if t.win is win and len(t) > t.n_expert and not t.stop.infrastructure:
            out[repr(t.state(t.n_expert))].setdefault(t.actions, t)
    return {root: list(found.values()) for root, found in out.items()}


def _preference(chosen: Example, rejected: Example, margin: float, reason: str) -> Preference:
    """Return the pair, with the likelihoods of its sides if both have them."""
    pair = Preference(chosen=chosen, rejected=rejected, margin=margin, reason=reason)
    ours, theirs = _logps(chosen), _logps(rejected)
    return (
        msgspec.structs.replace(pair, chosen_logps=ours, rejected_logps=theirs) if ours and theirs else pair
    )


def _logps(example: Example) -> tuple[float, ...]:
    """Return log π of each trained token as it was sampled; empty if some of the actions were not sampled."""
    steps = [example.trajectory.history.steps[i] for i in example.trained_indices]
    return tuple(p for s in steps for p in s.logps) if all(s.logps for s in steps) else ()


def _q_text(edge: Edge, alpha: float) -> str:
    return (
        f"Q {mcts.mixed_q(edge, alpha):.2f} (Q̃ {mcts.mean_return(edge):.2f} of {edge.N}, Q̂ {edge.q_hat:.2f})"
    )
