"""A search tree as plain data: what was proposed where, what it led to, how often it was tried, what came of it.

    Tree
      nodes        h_t, by the page it shows; node 0 is where the tree is rooted
        edges      the actions proposed there: N(h, a), the sum of their returns, Q̂(h, a), the child
      simulations  where each rollout began, what π_θ did from there, and how it ended

      trunk        an expert's trajectory, where one was laid before the tree grew

A node knows its parent and keeps only its own page, so a tree is one line of JSON whose size grows with what was
seen and not with depth; `history` puts h_t together again. The functions of `mcts` change a tree, nothing else does.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from eefcore.errors import ParamsError
from eefcore.protocols import Reply
from eefcore.search.settings import Settings, Signal
from eefcore.search.tally import Tally
from eefcore.types import History, Step, StopReason, Trajectory


class Edge(msgspec.Struct, omit_defaults=True):
    """(h, a): an action proposed in h.

    Attributes:
        reply: a, with its tokens and log π of each; the first of the proposals that have this effect.
        child: the node it leads to.
        proposals: how many of the K had this effect; 0 is an expert's action that the policy did not propose.
        N: simulations that passed through.
        total: the sum of their returns: Q̃ = total / N, so that no rounding adds up as it would in eq. 7's mean.
        q_hat: Q̂(h, a) of the critic, the best 1, the worst 0; 0.5 where nothing was ranked.
    """

    reply: Reply
    child: int
    proposals: int = 1
    N: int = 0
    total: float = 0.0
    q_hat: float = 0.5


class Node(msgspec.Struct, omit_defaults=True):
    """h_t: the page that is shown, and how one came there.

    Attributes:
        observation: o_t.
        parent: the node before, -1 for the root.
        edge: which of its edges leads here.
        edges: what was proposed here; none until the node is expanded.
        stop: why nothing follows: the environment is done, a limit, no proposal held an action; None elsewhere.
        reward: R(τ) where the environment is done; None elsewhere, and wherever the search may not see it.
        value: what a simulation that ends here is worth; None where none does, or the critic was not asked yet.
        rollouts: simulations whose rollout began, or ended, here.
    """

    observation: str
    parent: int = -1
    edge: int = -1
    edges: list[Edge] = []
    stop: StopReason | None = None
    reward: float | None = None
    value: float | None = None
    rollouts: int = 0

    @property
    def expanded(self) -> bool:
        """Whether the policy was asked here; an expert's action alone is none of its proposals."""
        return any(e.proposals for e in self.edges)


class Simulation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One simulation: down the tree to `node`, then π_θ's own `steps`.

    Attributes:
        observation: the last thing seen.
        value: the return that was backed up.
        reward: R(τ); None where the search may not see it.
        given: actions below the root that an expert took; selection began after them.
    """

    node: int
    observation: str
    stop: StopReason
    value: float
    steps: tuple[Step, ...] = ()
    reward: float | None = None
    given: int = 0


class Place(NamedTuple):
    """An edge of a tree."""

    node: int
    edge: int


class Tree(msgspec.Struct, kw_only=True, omit_defaults=True):
    """All that a search knows of one task, from `root` on.

    Attributes:
        at: the node selection starts from: the root, or where search at test time has acted itself to.
        source: who proposed and rolled out.
        trunk: an expert's trajectory that is the main branch; it counts as a visit, and in no budget.
        starts: where on the trunk simulations begin, in turn.
    """

    root: History
    settings: Settings
    signal: Signal
    source: str = ""
    at: int = 0
    nodes: list[Node]
    simulations: list[Simulation] = []
    tally: Tally = Tally()
    trunk: Simulation | None = None
    starts: tuple[int, ...] = ()

    @property
    def task_id(self) -> str:
        """The task it is about."""
        return self.root.task_id

    @property
    def attempts(self) -> int:
        """Simulations made, those that the infrastructure spoilt among them: what a budget counts."""
        return len(self.simulations) + self.tally.failed

    @property
    def passed(self) -> list[Simulation]:
        """All that passed the edges: the simulations, and the trunk if there is one."""
        return self.simulations if self.trunk is None else [self.trunk, *self.simulations]

    def start(self, n: int) -> int:
        """The node that selection of simulation n begins at."""
        return self.starts[n % len(self.starts)] if self.starts else self.at

    def path(self, node: int) -> tuple[Place, ...]:
        """The edges from the root to `node`."""
        out = []
        while (here := self.nodes[node]).parent >= 0:
            node = here.parent
            out.append(Place(node, here.edge))
        return tuple(reversed(out))

    def history(self, node: int) -> History:
        """h_t of `node`, with the tokens that were sampled on the way."""
        replies = [(self.nodes[p.node].observation, self.edge(p).reply) for p in self.path(node)]
        steps = (Step(seen, r.action, r.tokens, r.logps) for seen, r in replies)
        return History(self.task_id, self.nodes[node].observation, (*self.root.steps, *steps))

    def edge(self, place: Place) -> Edge:
        """The edge there."""
        return self.nodes[place.node].edges[place.edge]

    def ended(self, simulation: Simulation) -> History:
        """The history that a simulation ended with."""
        start = self.history(simulation.node)
        return History(self.task_id, simulation.observation, (*start.steps, *simulation.steps))

    def trajectory(self, simulation: Simulation) -> Trajectory:
        """τ of a simulation; the root's own actions, if it has any, count as an expert's.

        Raises:
            ParamsError: the search did not see the reward, so there is none to say.
        """
        if simulation.reward is None:
            raise ParamsError(
                f"{self.task_id}: this tree was grown by the {self.signal.value} alone and knows no reward; "
                "grow trees to learn from with signal: reward"
            )
        return Trajectory(
            history=self.ended(simulation),
            reward=simulation.reward,
            n_expert=len(self.root) + simulation.given,
            source=self.source,
            stop=simulation.stop,
            temperature=self.settings.rollout_temperature,
        )


def rooted(root: History, settings: Settings, signal: Signal, source: str = "") -> Tree:
    """A tree of which nothing but the root is known."""
    if len(root) >= settings.max_turns:
        raise ParamsError(
            f"{root.task_id}: a root after {len(root)} actions leaves nothing to search within "
            f"max_turns {settings.max_turns}"
        )
    return Tree(root=root, settings=settings, signal=signal, source=source, nodes=[Node(root.observation)])


def copied(tree: Tree) -> Tree:
    """The same tree, to be grown without changing the first; what never changes is shared."""
    nodes = [
        msgspec.structs.replace(n, edges=[msgspec.structs.replace(e) for e in n.edges]) for n in tree.nodes
    ]
    return msgspec.structs.replace(tree, nodes=nodes, simulations=[*tree.simulations])
