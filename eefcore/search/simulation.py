"""Run one simulation as a generator of requests: expand a leaf, follow the best proposal, roll out to the end of the episode.

This is Agent Q §5.1.1 and §5.1.2. A simulation reads the tree and does not change it, so its result depends on nothing
but the leaf, the settings and the seed.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple

from eefcore.actions import command, is_thought
from eefcore.errors import SimulatorError
from eefcore.protocols import Reply, Sampling
from eefcore.search import mcts
from eefcore.search.critic import Critic
from eefcore.search.guard import EnvView
from eefcore.search.mcts import Proposal, Selection, StepResult
from eefcore.search.scheduler import Request, Requests, draw_seed
from eefcore.search.tree import Edge, Node, Tally, Tree, answer_tally
from eefcore.types import History, Step, StopReason


def effect_key(action: str, result: StepResult) -> Hashable:
    """Return the effect of an action: the observation, whether the episode is over, and the reward.

    Proposals at a node with equal keys are merged into one. The paper samples K actions and says nothing of equal ones;
    merged, simulations are spent on different pages, and no pair prefers one of two actions that do the same.

    The action's text is part of the key where its effect can't be seen: of a thought, which always gets the same answer
    and yet decides what π_θ does next; and of an end whose reward is hidden. Of a composite action only the command has
    an effect: two that think differently and do the same are merged.
    """
    hidden = is_thought(action) or (result.done and result.reward is None)
    return (result, command(action) if hidden else "")


class Ending(NamedTuple):
    """The end of a simulated episode after the leaf of the tree; `value` is the return to back up."""

    observation: str
    stop: StopReason
    value: float
    steps: tuple[Step, ...] = ()
    reward: float | None = None
    refused_answer: str = ""  # what the model wrote last, if it held no action


class SimulationResult(NamedTuple):
    """The result of a simulation."""

    ending: Ending | None  # None if the infrastructure spoilt the simulation
    proposals: Sequence[Proposal]  # the leaf's edges if it was expanded, those that it had first
    followed: (
        int | None
    )  # index of the proposal that was followed; None where none was an action, or none was made
    tally: Tally


class Simulator(NamedTuple):
    """What the simulations of a tree share: the tree and its critic."""

    tree: Tree
    critic: Critic | None

    def simulate(self, selection: Selection, env: EnvView) -> Requests[SimulationResult]:
        """Propose K actions, rank them, follow the best, and roll out with π_θ to the end."""
        leaf = self.tree.nodes[selection.node]
        history, nth = self.tree.history(selection.node), leaf.rollouts
        result = StepResult(history.observation, done=leaf.stop is not None)
        proposals: list[Proposal] = []
        followed, tally = None, Tally()
        try:
            if mcts.expandable(self.tree, selection):
                replies = yield self._proposal_requests(history)
                tally += _count_replies(replies)
                if not (usable := [r for r in replies if r.stop is None]):
                    ending = _dead_end(history, replies)
                    return SimulationResult(ending, (), None, tally + Tally(failed=int(ending is None)))
                proposals = self._try_replies(env, history, usable, leaf)
                tally += Tally(merged=len(usable) - sum(p.count > 0 for p in proposals))
                if self.critic is not None:
                    actions = [p.reply.action for p in proposals]
                    scores, ranking_tally = yield from self.critic.ranking(history, actions)
                    proposals = [p._replace(q_hat=q) for p, q in zip(proposals, scores, strict=True)]
                    tally += ranking_tally
                edges = [Edge(p.reply, -1, p.count, q_hat=p.q_hat) for p in proposals]
                followed = mcts.best_edge(edges, self.tree.settings)
                reply, result = proposals[followed].reply, proposals[followed].result
                history, nth = history.then(reply.action, result.observation, reply.tokens, reply.logps), 0
            ending, rollout_tally = yield from self._roll_out(history, result, env, nth)
            tally += rollout_tally + Tally(failed=int(ending is None))
        except SimulatorError:
            # The proposals are dropped as well: the tree stays as it was.
            return SimulationResult(None, (), None, tally + env.tally + Tally(failed=1))
        return SimulationResult(ending, proposals, followed, tally + env.tally)

    def _proposal_requests(self, history: History) -> list[Request]:
        s = self.tree.settings
        return [
            Request(history, Sampling(s.temperature, draw_seed(s.seed, history, "propose", i)))
            for i in range(s.K)
        ]

    def _try_replies(
        self, env: EnvView, history: History, replies: Iterable[Reply], leaf: Node
    ) -> list[Proposal]:
        """Try each reply once; merge those of equal effect into the first, or into an expert's action at the leaf."""
        by_effect: dict[Hashable, Proposal] = {}
        for edge in leaf.edges:
            child = self.tree.nodes[edge.child]
            result = StepResult(child.observation, child.stop is StopReason.DONE, child.reward)
            effect = self._key(edge.reply.action, result)
            by_effect[effect] = Proposal(edge.reply, result, 0, edge.q_hat)
        effects: dict[str, Hashable] = {}
        for reply in replies:
            if reply.action not in effects:
                env.go_to(history)
                result = env.step(reply.action)
                if not result.done:
                    env.snapshot()
                effects[reply.action] = self._key(reply.action, result)
                by_effect.setdefault(effects[reply.action], Proposal(reply, result, count=0))
            same = by_effect[effects[reply.action]]
            by_effect[effects[reply.action]] = same._replace(count=same.count + 1)
        return list(by_effect.values())

    def _key(self, action: str, result: StepResult) -> Hashable:
        """Return what two proposals must have in common to be one: their effect, or their text if none are merged."""
        return effect_key(action, result) if self.tree.settings.merge else action

    def _roll_out(
        self, history: History, result: StepResult, env: EnvView, nth: int
    ) -> Requests[tuple[Ending | None, Tally]]:
        """Act with π_θ from `history` to the end; the ending is None if the infrastructure spoilt it."""
        s, first, tally = self.tree.settings, len(history), Tally()
        sampling = Sampling(s.rollout_temperature, draw_seed(s.seed, history, "rollout", nth))
        if not result.done:
            env.go_to(history)
        while not result.done:
            if len(history) >= s.max_turns:
                return _lost(history, first, Reply("", stop=StopReason.TURN_LIMIT)), tally
            (reply,) = yield [Request(history, sampling)]
            tally += Tally(asked=1) + answer_tally([reply])
            if reply.stop is not None:
                infrastructure = reply.stop.infrastructure
                return None if infrastructure else _lost(history, first, reply), tally
            result = env.step(reply.action)
            history = history.then(reply.action, result.observation, reply.tokens, reply.logps)
        if result.reward is not None:
            value = mcts.episode_return(result.reward, s)
        else:
            assert self.critic is not None  # `growth.grow` refuses a search without reward and without critic
            (value,), verdict_tally = yield from self.critic.verdict(history)
            tally += verdict_tally
        steps = history.steps[first:]
        return Ending(history.observation, StopReason.DONE, value, steps, result.reward), tally


def _count_replies(replies: Sequence[Reply]) -> Tally:
    """Count what K proposals took, and how many of them were no action."""
    stops = [r.stop for r in replies if r.stop is not None]
    lost = sum(stop.infrastructure for stop in stops)
    return Tally(
        asked=len(replies),
        proposals=len(replies),
        malformed=len(stops) - lost,
        lost=lost,
    ) + answer_tally(replies)


def _dead_end(history: History, replies: Sequence[Reply]) -> Ending | None:
    """End an episode in which no reply is an action; return None if the infrastructure spoilt one of the replies."""
    spoilt = any(r.stop.infrastructure for r in replies if r.stop is not None)
    return None if spoilt else _lost(history, len(history), replies[0])


def _lost(history: History, first: int, reply: Reply) -> Ending:
    """End an episode at a reply without an action, without a reward, whatever the environment might have returned."""
    assert reply.stop is not None
    return Ending(
        history.observation, reply.stop, 0.0, history.steps[first:], refused_answer=reply.refused_answer
    )
