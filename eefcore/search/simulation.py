"""One simulation, as a talk: from a leaf to the end of an episode, and what was learnt on the way (Agent Q §5.1.1, §5.1.2).

It sees the leaf and not the tree, so what it brings depends on nothing but the leaf, the settings and the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import NamedTuple

from eefcore.actions import command, is_thought
from eefcore.errors import SimulatorError
from eefcore.protocols import Reply, Sampling
from eefcore.search import mcts
from eefcore.search.critic import Critic
from eefcore.search.env_view import World
from eefcore.search.mcts import Landing, Proposal
from eefcore.search.scheduler import Question, Talk, draw_seed
from eefcore.search.settings import Settings
from eefcore.search.tally import Tally
from eefcore.search.tree import Edge
from eefcore.types import History, Step, StopReason

Effect = Callable[[str, Landing], Hashable]
"""What two proposals at a node must have in common to be one."""


def effect(action: str, landing: Landing) -> Hashable:
    """What was seen, whether it is over, and the reward.

    The words count as well where nothing of the effect can be seen: of a thought, which is always answered alike and
    yet decides what π_θ does next; and of an end whose reward is hidden. Of a composite action only its command has an
    effect: those that think otherwise and do the same are one.
    """
    hidden = is_thought(action) or (landing.done and landing.reward is None)
    return (landing, command(action) if hidden else "")


class Leaf(NamedTuple):
    """Where a simulation leaves the tree."""

    history: History
    expand: bool  # whether it is to get proposals
    rollouts: int  # that have begun here before
    stop: StopReason | None = None  # why the episode is over here, if it is
    laid: Sequence[Proposal] = ()  # an expert's actions that are here already, proposed by nobody


class Ending(NamedTuple):
    """How the episode went on from where the tree was left; `value` is the return to back up."""

    observation: str
    stop: StopReason
    value: float
    steps: tuple[Step, ...] = ()
    reward: float | None = None


class Simulated(NamedTuple):
    """What a simulation brings back.

    Attributes:
        ending: None if the infrastructure spoilt it.
        proposals: the leaf's edges, if it was to be expanded, those it had first; none of them an action means that it
            ends there.
        taken: which of the proposals was followed; None if there are none.
    """

    ending: Ending | None
    proposals: Sequence[Proposal]
    taken: int | None
    tally: Tally


class Simulator(NamedTuple):
    """All that simulations of one kind have in common."""

    settings: Settings
    critic: Critic | None
    effect: Effect

    def simulate(self, leaf: Leaf, world: World) -> Talk[Simulated]:
        """Propose K, rank them, follow the best, and roll out with π_θ to the end."""
        proposals: Sequence[Proposal] = ()
        taken, tally = None, Tally()
        try:
            history, landing = leaf.history, Landing(leaf.history.observation, leaf.stop is not None)
            if leaf.expand:
                replies = yield self._questions(history)
                tally += _heard(replies)
                if not (usable := [r for r in replies if r.stop is None]):
                    nowhere = _dead_end(history, replies)
                    return Simulated(nowhere, (), None, tally + Tally(failed=int(nowhere is None)))
                proposals = self._landed(world, history, usable, leaf.laid)
                proposals, took = yield from self._ranked(history, proposals)
                tally += took + Tally(merged=len(usable) - sum(p.count > 0 for p in proposals))
                taken = mcts.best([_edge(p) for p in proposals], self.settings)
                reply, landing = proposals[taken].reply, proposals[taken].landing
                history = history.then(reply.action, landing.observation, reply.tokens, reply.logps)
            ending, took = yield from self._to_the_end(history, landing, world, leaf)
            tally += took + Tally(failed=int(ending is None))
        except SimulatorError:
            # What was proposed goes with it: the tree stays as it was.
            return Simulated(None, (), None, tally + world.took() + Tally(failed=1))
        return Simulated(ending, proposals, taken, tally + world.took())

    def _questions(self, history: History) -> list[Question]:
        at = self.settings
        return [
            Question(history, Sampling(at.temperature, draw_seed(at.seed, history, "propose", i)))
            for i in range(at.K)
        ]

    def _landed(
        self, world: World, history: History, replies: Iterable[Reply], laid: Iterable[Proposal]
    ) -> list[Proposal]:
        """Each reply tried once, those of equal effect merged into the first, or into what an expert did here."""
        found = {self.effect(p.reply.action, p.landing): p for p in laid}
        tried: dict[str, Hashable] = {}
        for reply in replies:
            if reply.action not in tried:
                world.go_to(history)
                landing = world.step(reply.action)
                if not landing.done:
                    world.keep()
                tried[reply.action] = self.effect(reply.action, landing)
                found.setdefault(tried[reply.action], Proposal(reply, landing, count=0))
            same = found[tried[reply.action]]
            found[tried[reply.action]] = same._replace(count=same.count + 1)
        return list(found.values())

    def _ranked(
        self, history: History, proposals: Sequence[Proposal]
    ) -> Talk[tuple[Sequence[Proposal], Tally]]:
        if self.critic is None:
            return proposals, Tally()
        scores, tally = yield from self.critic.ranking(history, [p.reply.action for p in proposals])
        return [p._replace(q_hat=q) for p, q in zip(proposals, scores, strict=True)], tally

    def _to_the_end(
        self, history: History, landing: Landing, world: World, leaf: Leaf
    ) -> Talk[tuple[Ending | None, Tally]]:
        """π_θ's own actions from `history` on, and what they came to; no ending if the infrastructure spoilt it."""
        at, first, tally = self.settings, len(history), Tally()
        begun = leaf.rollouts if history is leaf.history else 0
        sampling = Sampling(at.rollout_temperature, draw_seed(at.seed, history, "rollout", begun))
        if not landing.done:
            world.go_to(history)
        while not landing.done:
            if len(history) >= at.max_turns:
                return _lost(history, first, StopReason.TURN_LIMIT), tally
            (reply,) = yield [Question(history, sampling)]
            tally += Tally(asked=1, tokens_written=len(reply.tokens))
            if reply.stop is not None:
                infrastructure = reply.stop.infrastructure
                return None if infrastructure else _lost(history, first, reply.stop), tally
            landing = world.step(reply.action)
            history = history.then(reply.action, landing.observation, reply.tokens, reply.logps)
        if landing.reward is not None:
            value = mcts.worth(landing.reward, at)
        else:
            value, took = yield from self._judged(history)
            tally += took
        steps = history.steps[first:]
        return Ending(history.observation, StopReason.DONE, value, steps, landing.reward), tally

    def _judged(self, history: History) -> Talk[tuple[float, Tally]]:
        """What an ending is worth to a search that may not see its reward."""
        assert self.critic is not None  # `growth.grow` refuses a blind search without one
        (value,), tally = yield from self.critic.verdict(history)
        return value, tally


def _heard(replies: Sequence[Reply]) -> Tally:
    """What K proposals took, and how many of them were none."""
    stops = [r.stop for r in replies if r.stop is not None]
    lost = sum(stop.infrastructure for stop in stops)
    return Tally(
        asked=len(replies),
        proposals=len(replies),
        tokens_written=sum(len(r.tokens) for r in replies),
        malformed=len(stops) - lost,
        lost=lost,
    )


def _dead_end(history: History, replies: Sequence[Reply]) -> Ending | None:
    """An episode in which nothing was said that is an action; None if the infrastructure had a part in it."""
    stops = [r.stop for r in replies if r.stop is not None]
    return None if any(s.infrastructure for s in stops) else _lost(history, len(history), stops[0])


def _lost(history: History, first: int, stop: StopReason) -> Ending:
    """A limit ends an episode with no reward, whatever the environment might have said."""
    return Ending(history.observation, stop, 0.0, history.steps[first:])


def _edge(proposal: Proposal) -> Edge:
    return Edge(reply=proposal.reply, child=-1, proposals=proposal.count, q_hat=proposal.q_hat)
