"""Search at test time: what is done on a panel when actions are searched for, and what the search knew (Agent Q §4, §5.3).

    beam      the likeliest of the tokens of one action, with `simulations` beams; nothing is rehearsed
    best_of   `simulations` whole episodes, rehearsed in a simulator; the best of them is played
    mcts      a tree before each action, for `simulations` more; then the action it advises, for good

`signal` says by what they are judged: the critic's opinion alone, or the environment's reward, which no agent has who
acts for good. Results of the two never share a table (DESIGN 4.5): `seen` marks the cards of the second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from eefcore.errors import ParamsError
from eefcore.protocols import Benchmark, Policy, Sampling
from eefcore.rendering.critic_prompts import EPISODE_OVER
from eefcore.rollout.rollout import Start, rollout
from eefcore.search import guard
from eefcore.search.cost import cost
from eefcore.search.critic import Critic
from eefcore.search.growth import grow, planted
from eefcore.search.play import play
from eefcore.search.scheduler import draw_seed, side_by_side
from eefcore.search.settings import Settings, Signal
from eefcore.search.tally import Tally
from eefcore.search.tree import Tree
from eefcore.storage import cost as ledger
from eefcore.storage.cost import Cost
from eefcore.types import Card, History, StopReason, Trajectory


class Decided(msgspec.Struct, frozen=True, omit_defaults=True):
    """An episode of a panel, what its search took and went wrong with, and the tree, where one is kept to be looked at."""

    trajectory: Trajectory
    cost: Cost
    tally: Tally = Tally()
    tree: Tree | None = None


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """How an action is decided on.

    Attributes:
        how: `beam`, `best_of` or `mcts`.
        signal: what the search may know; beams know nothing.
        simulations: before each action; episodes of `best_of`, beams of `beam`.
        by: which action a tree advises (`mcts.choose`).
        settings: of the trees, or of the temperature and the seed of the episodes.
        slots: conversations with the policy at a time.
    """

    how: str
    signal: Signal
    simulations: int
    by: str
    settings: Settings
    slots: int

    def __post_init__(self) -> None:
        if self.how not in ("beam", "best_of", "mcts"):
            raise ParamsError(f"13_decide: how {self.how!r}; choose beam, best_of or mcts")


def decided(
    benchmark: Benchmark,
    tasks: Sequence[str],
    policy: Policy,
    critic: Critic | None,
    search: Search,
    *,
    kept: int,
    told: Callable[[int], None] = lambda n: None,
) -> list[Decided]:
    """An episode of each task, in the same order; the first `kept` with their trees. `told` hears how many are done.

    Raises:
        ParamsError: a search by the critic without one; beams of a policy that has no model here.
    """
    way = {"beam": _beams, "best_of": _best_of, "mcts": _trees}[search.how]
    played = way(benchmark, tasks, policy, critic, search)
    told(len(tasks))
    return [d if i < kept else msgspec.structs.replace(d, tree=None) for i, d in enumerate(played)]


def _trees(
    benchmark: Benchmark, tasks: Sequence[str], policy: Policy, critic: Critic | None, search: Search
) -> list[Decided]:
    trees = planted(benchmark, tasks, search.settings, search.signal, source=policy.name)
    unsafe = guard.classed(benchmark)
    played = play(
        trees,
        lambda some, to: grow(
            some, policy, benchmark.make, critic, to=to, at_once=search.slots, irreversible=unsafe
        ),
        benchmark.make,
        simulations=search.simulations,
        by=search.by,
    )
    return [
        Decided(
            p.trajectory,
            cost([p.tree], policy.length) + Cost(episodes=1, env_steps=len(p.trajectory)),
            p.tree.tally,
            p.tree,
        )
        for p in played
    ]


def seen(card: Card, signal: Signal) -> Card:
    """The card of numbers that such a search measured: another one if it saw the reward."""
    if signal is Signal.CRITIC:
        return card
    return msgspec.structs.replace(card, facts={**card.facts, "search saw": "the reward"})


def _beams(
    benchmark: Benchmark, tasks: Sequence[str], policy: Policy, critic: Critic | None, search: Search
) -> list[Decided]:
    from eefcore.policies.beam import BeamPolicy  # torch takes seconds to load, like transformers
    from eefcore.policies.hf_engine.policy import HFPolicy

    del critic
    if not isinstance(policy, HFPolicy):
        raise ParamsError(f"13_decide: beams need a model in this process, and {policy.name} has none")
    env = benchmark.make()
    beams = BeamPolicy(policy, beams=search.simulations)
    starts = [Start(History(task, env.reset(task))) for task in tasks]
    played = rollout(beams, benchmark.make, starts, max_turns=search.settings.max_turns)
    return [Decided(t, ledger.rollout_cost([t], policy.length)) for t in played]


def _best_of(
    benchmark: Benchmark, tasks: Sequence[str], policy: Policy, critic: Critic | None, search: Search
) -> list[Decided]:
    """N episodes a task; of those judged best the first. By the reward it is pass@N."""
    at, env = search.settings, benchmark.make()
    starts = [History(task, env.reset(task)) for task in tasks]
    drawn = [
        Start(s, Sampling(at.rollout_temperature, draw_seed(at.seed, s, "best of", n)), n)
        for s in starts
        for n in range(search.simulations)
    ]
    played = rollout(policy, benchmark.make, drawn, max_turns=at.max_turns)
    scores, asked = [t.reward for t in played], [Tally()] * len(played)
    if search.signal is Signal.CRITIC:
        if critic is None:
            raise ParamsError("13_decide: best_of by the critic needs one; name a critic")
        blind = [msgspec.structs.replace(t.history, observation=EPISODE_OVER) for t in played]
        told = side_by_side([critic.verdict(h) for h in blind], critic.policy)
        asked = [r.tally for r in told]
        # A limit ends an episode with nothing, as in a tree, whatever the critic would say of it.
        scores = [r.scores[0] * (t.stop is StopReason.DONE) for r, t in zip(told, played, strict=True)]
    out = []
    for i in range(len(tasks)):
        some = range(i * search.simulations, (i + 1) * search.simulations)
        tally = sum((asked[k] for k in some), Tally())
        spent = ledger.rollout_cost([played[k] for k in some], policy.length)
        spent += Cost(tokens_written=tally.tokens_written, tokens_read=tally.critic_read)
        out.append(Decided(played[max(some, key=lambda k: scores[k])], spent, tally))
    return out
