"""Store a search tree as plain data: the proposed actions, where they lead, how often they were tried, their returns.

    Tree
      nodes        h_t, stored as its last observation; node 0 is the root
      edges        the actions proposed at a node: N(h, a), the sum of returns, Q̂(h, a), the child
      simulations  where each rollout began, the actions of π_θ from there, and how it ended
      trunk        an expert's trajectory, if one was added before the tree grew

A node knows its parent and stores only its own observation, so a tree is one line of JSON whose size grows with what was
observed and not with depth; `history` assembles h_t again. Only `mcts` and `growth` change a tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from eefcore.errors import ParamsError
from eefcore.protocols import Reply
from eefcore.search.settings import SearchSettings, Signal
from eefcore.types import History, Step, StopReason, Trajectory


class Edge(msgspec.Struct, omit_defaults=True):
    """An action a proposed in h, with its statistics."""

    reply: Reply  # a, with its tokens and the log π of each; the first of the proposals that have this effect
    child: int  # the node it leads to
    # how many of the K proposals had this effect; 0 is an expert's action that the policy did not propose
    proposals: int = 1
    N: int = 0  # simulations that passed through it
    # the sum of their returns. Q̃ = total / N, so that no rounding adds up as in eq. 7's running mean
    total: float = 0.0
    # the critic's Q̂(h, a), 1 for the best and 0 for the worst; 0.5 where nothing was ranked
    q_hat: float = 0.5


class Node(msgspec.Struct, omit_defaults=True):
    """A history h_t, stored as its last observation and the edge that leads to it."""

    observation: str  # o_t
    parent: int = -1  # the node before; -1 for the root
    edge: int = -1  # index of the parent's edge that leads here
    edges: list[Edge] = []  # the actions proposed here; none until the node is expanded
    # why the episode ends here: the environment is done, a limit, no proposal held an action; None elsewhere
    stop: StopReason | None = None
    # R(τ) where the environment is done; None elsewhere, and wherever the search may not see it
    reward: float | None = None
    # the return of a simulation that ends here; None where none does, or while the critic was not asked
    value: float | None = None
    rollouts: int = 0  # simulations whose rollout began or ended here
    refused_answer: str = ""  # the first proposal, as it was written, where none held an action

    @property
    def expanded(self) -> bool:
        """Return whether the policy made proposals here; an expert's action alone does not count."""
        return any(e.proposals for e in self.edges)


class Simulation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One simulation: a path down the tree to `node`, then the `steps` that π_θ took."""

    node: int
    observation: str  # the last observation
    stop: StopReason
    value: float  # the return that was backed up
    steps: tuple[Step, ...] = ()
    reward: float | None = None  # R(τ); None where the search may not see it
    refused_answer: str = ""  # what the model wrote last, if it held no action
    given: int = 0  # number of actions below the root that an expert took; selection began after them


class Tally(msgspec.Struct, frozen=True, omit_defaults=True):
    """Counts of tokens and failures while a tree grew; `a + b` adds them up."""

    asked: int = 0  # questions to π_θ
    critic_asked: int = 0  # questions to the critic
    critic_read: int = 0  # tokens of the critic's questions, without the history they ask about
    tokens_written: int = 0  # by both
    endpoint_read: int = 0  # tokens that endpoints read, by their own counts, where no tokenizer counts them
    money: float = 0.0  # dollars paid to endpoints
    env_steps: int = 0  # actions that the environment answered
    proposals: int = 0  # actions proposed, those below among them
    merged: int = 0  # proposals that had the effect of another
    malformed: int = 0  # proposals without an action, and those that found the context full
    lost: int = 0  # proposals that the infrastructure spoilt
    failed: int = 0  # simulations that the infrastructure spoilt; no return of theirs is backed up
    unparseable: int = 0  # answers of the critic that named no action
    neutral: int = 0  # rankings left incomplete because of it
    irreversible: int = 0  # actions that can't be undone outside, done in a snapshot
    violations: int = 0  # such actions anywhere else, which were refused; there must be none

    def __add__(self, other: Tally) -> Tally:
        return Tally(*(getattr(self, n) + getattr(other, n) for n in self.__struct_fields__))


def answer_tally(replies: Iterable[Reply]) -> Tally:
    """Count the tokens of answers, and the tokens and dollars that an endpoint reports."""
    tally = Tally()
    for reply in replies:
        read, written, money = reply.usage
        tally += Tally(tokens_written=len(reply.tokens) + written, endpoint_read=read, money=money)
    return tally


class EdgeId(NamedTuple):
    """The address of an edge: its node, and its index there."""

    node: int
    edge: int


class Tree(msgspec.Struct, kw_only=True, omit_defaults=True):
    """The search tree of one task, from `root` on."""

    root: History
    settings: SearchSettings
    signal: Signal
    source: str = ""  # name of the policy that proposed and rolled out
    # the node where selection starts: the root, or the node that search at test time has reached
    at: int = 0
    nodes: list[Node]
    simulations: list[Simulation] = []
    tally: Tally = Tally()
    # an expert's trajectory that is the main branch; it counts as a visit, and in no budget
    trunk: Simulation | None = None
    starts: tuple[int, ...] = ()  # the nodes of the trunk where simulations begin, in turn

    def __post_init__(self) -> None:
        if fault := next(faults(self), None):
            raise ValueError(
                f"{self.root.task_id}: no tree: {fault}; was its file damaged or edited? Grow it anew"
            )

    @property
    def task_id(self) -> str:
        """Return the id of the task."""
        return self.root.task_id

    @property
    def attempts(self) -> int:
        """Count the simulations made, including those that the infrastructure spoilt: the number that a budget limits."""
        return len(self.simulations) + self.tally.failed

    @property
    def traversals(self) -> list[Simulation]:
        """Return all simulations and, before them, the trunk if there is one: everything that visited edges."""
        return self.simulations if self.trunk is None else [self.trunk, *self.simulations]

    def path(self, node: int) -> tuple[EdgeId, ...]:
        """Return the edges from the root to `node`."""
        out = []
        while (here := self.nodes[node]).parent >= 0:
            node = here.parent
            out.append(EdgeId(node, here.edge))
        return tuple(reversed(out))

    def history(self, node: int) -> History:
        """Return h_t of `node`, with the tokens that were sampled on the way."""
        replies = [(self.nodes[e.node].observation, self.edge(e).reply) for e in self.path(node)]
        steps = (Step(observation, r.action, r.tokens, r.logps) for observation, r in replies)
        return History(self.task_id, self.nodes[node].observation, (*self.root.steps, *steps))

    def edge(self, edge_id: EdgeId) -> Edge:
        """Return the edge at this address."""
        return self.nodes[edge_id.node].edges[edge_id.edge]

    def final_history(self, simulation: Simulation) -> History:
        """Return the history with which a simulation ended."""
        start = self.history(simulation.node)
        return History(self.task_id, simulation.observation, (*start.steps, *simulation.steps))

    def trajectory(self, simulation: Simulation) -> Trajectory:
        """Return τ of a simulation; actions of the root itself, if it has any, count as an expert's.

        Raises:
            ParamsError: the search did not see the reward, so the trajectory has none.
        """
        if simulation.reward is None:
            raise ParamsError(
                f"{self.task_id}: this tree was grown by the {self.signal.value} alone and has no reward; "
                "grow trees to learn from with signal: reward"
            )
        return Trajectory(
            history=self.final_history(simulation),
            reward=simulation.reward,
            n_expert=len(self.root) + simulation.given,
            source=self.source,
            stop=simulation.stop,
            temperature=self.settings.rollout_temperature,
        )


def faults(tree: Tree) -> Iterator[str]:
    """Yield what makes the nodes no tree: one that comes after itself, so that no path ends, or one that is not there."""
    n = len(tree.nodes)
    for k, node in enumerate(tree.nodes):
        if not -1 <= node.parent < k or (node.parent < 0) != (k == 0):
            yield f"node {k} says it comes from node {node.parent}, expected an earlier one"
        elif k and not 0 <= node.edge < len(tree.nodes[node.parent].edges):
            yield f"node {k} says it comes from edge {node.edge} of node {node.parent}, which has no such edge"
        for i, edge in enumerate(node.edges):
            child = tree.nodes[edge.child] if 0 <= edge.child < n else None
            if child is None:
                yield f"edge {k}.{i} leads to node {edge.child} of {n}"
            elif (child.parent, child.edge) != (k, i):
                yield f"edge {k}.{i}: its child {edge.child} says it comes from {child.parent}.{child.edge}"
    for node in (tree.at, *tree.starts, *(s.node for s in tree.traversals)):
        if not 0 <= node < n:
            yield f"node {node} is named, and there are {n}"


def new_tree(root: History, settings: SearchSettings, signal: Signal, source: str = "") -> Tree:
    """Return a tree that has only its root."""
    if len(root) >= settings.max_turns:
        raise ParamsError(
            f"{root.task_id}: a root after {len(root)} actions leaves nothing to search within "
            f"max_turns {settings.max_turns}"
        )
    return Tree(root=root, settings=settings, signal=signal, source=source, nodes=[Node(root.observation)])


def copy_tree(tree: Tree) -> Tree:
    """Return a copy of the tree that can grow without changing the first; immutable parts are shared."""
    nodes = [
        msgspec.structs.replace(n, edges=[msgspec.structs.replace(e) for e in n.edges]) for n in tree.nodes
    ]
    return msgspec.structs.replace(tree, nodes=nodes, simulations=[*tree.simulations])
