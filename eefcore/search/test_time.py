"""Search at test time: choose the actions of a panel by search (Agent Q §4, §5.3).

    beam      the likeliest tokens of one action, by beam search with `simulations` beams; nothing is rehearsed
    best_of   `simulations` whole episodes, rehearsed in a simulator; the best of them is played
    mcts      before each action the tree grows by `simulations`; then the action that it advises is taken for good

`signal` is what judges them: the critic's opinion alone, or the environment's reward, which no agent has that acts for
good. Results of the two never share a table (DESIGN 4.5): `search_card` marks the cards of the second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from eefcore.errors import ParamsError, ReplayMismatch
from eefcore.protocols import Benchmark, Environment, Policy, Sampling
from eefcore.rendering.critic_prompts import EPISODE_OVER
from eefcore.rollout.rollout import Start, restore, rollout
from eefcore.search import mcts
from eefcore.search.ceiling import Ceiling, ceiling_of_episodes, ceiling_of_tree, ceiling_summary
from eefcore.search.critic import Critic
from eefcore.search.forest import search_cost
from eefcore.search.growth import grow, new_trees
from eefcore.search.guard import REFUSED, EnvView, Human, live
from eefcore.search.scheduler import draw_seed, run_requests
from eefcore.search.settings import SearchSettings, Signal
from eefcore.search.tree import Tally, Tree, copy_tree
from eefcore.storage.cost import Cost, rollout_cost
from eefcore.storage.records import write_records
from eefcore.types import Card, History, StopReason, Trajectory


class SearchedEpisode(msgspec.Struct, frozen=True, omit_defaults=True):
    """An episode played with search, the cost and the counts of its search; its ceiling and its tree if they are kept."""

    trajectory: Trajectory
    cost: Cost
    tally: Tally = Tally()
    tree: Tree | None = None
    ceiling: Ceiling | None = None


class SearchMethod(msgspec.Struct, frozen=True, kw_only=True):
    """How search chooses an action."""

    how: str  # `beam`, `best_of` or `mcts`
    signal: Signal  # what the search may know of an ending; beams know nothing
    simulations: int  # before each action; episodes of `best_of`, beams of `beam`
    by: str  # which action a tree advises (`mcts.choose_action`)
    settings: SearchSettings  # of the trees, or the temperature and the seed of the episodes
    slots: int  # trees or episodes that the policy plays at a time
    ceiling: bool = False  # whether all that was rehearsed is judged by the reward afterwards (`ceiling`)

    def __post_init__(self) -> None:
        if self.how not in ("beam", "best_of", "mcts"):
            raise ParamsError(f"13_decide: how {self.how!r}; choose beam, best_of or mcts")


def play_with_search(
    benchmark: Benchmark,
    tasks: Sequence[str],
    policy: Policy,
    critic: Critic | None,
    method: SearchMethod,
    *,
    kept_trees: int,
    human: Human | None = None,
    on_episodes: Callable[[int], None] = lambda n: None,
) -> list[SearchedEpisode]:
    """Play an episode of each task with search; return them in the same order, the first `kept_trees` with their trees.

    `human` is asked before an action that can't be undone is taken for good; None asks nobody, as in a simulator.
    `on_episodes` is called with the number of episodes played.

    Raises:
        ParamsError: a search by the critic has no critic; beams are asked of a policy that has no model here; a human
            is to be asked of episodes that are rehearsed and never acted.
    """
    if method.how == "best_of" and human is not None:
        raise ParamsError(
            "13_decide: best_of rehearses whole episodes and takes no action for good, so there is nothing to ask; "
            "choose how: mcts or beam, or set ask to False"
        )
    play = {"beam": _play_beams, "best_of": _play_best_of, "mcts": _play_mcts}[method.how]
    episodes = play(_Panel(benchmark, tasks, policy, critic, human), method)
    on_episodes(len(tasks))
    return [e if i < kept_trees else msgspec.structs.replace(e, tree=None) for i, e in enumerate(episodes)]


def decision_counts(episodes: Sequence[SearchedEpisode]) -> dict[str, float | int]:
    """Return the counts of searches and their ceiling, in the keys that a stage logs (results/README.md)."""
    tally = sum((e.tally for e in episodes), Tally())
    counts = {
        f"decide/{name}": getattr(tally, name) for name in ("irreversible", "violations", "unparseable")
    }
    return counts | ceiling_summary(_ceilings(episodes))


def write_ceilings(path: Path, episodes: Sequence[SearchedEpisode], *, card: Card) -> None:
    """Write the ceilings that were measured, under the card of a search that saw the reward, whatever this one saw."""
    write_records(path, _ceilings(episodes), kind="ceilings", card=search_card(card, Signal.REWARD))


def _ceilings(episodes: Sequence[SearchedEpisode]) -> list[Ceiling]:
    return [e.ceiling for e in episodes if e.ceiling is not None]


def search_card(card: Card, signal: Signal) -> Card:
    """Return the card of results measured with such a search: another one if the search saw the reward."""
    if signal is Signal.CRITIC:
        return card
    return msgspec.structs.replace(card, facts={**card.facts, "search saw": "the reward"})


class _Panel(NamedTuple):
    """What is played: the tasks, who plays them, who judges the search, and who is asked before what can't be undone."""

    benchmark: Benchmark
    tasks: Sequence[str]
    policy: Policy
    critic: Critic | None
    human: Human | None


def _play_beams(panel: _Panel, method: SearchMethod) -> list[SearchedEpisode]:
    from eefcore.policies.beam import BeamPolicy  # torch takes seconds to load, like transformers
    from eefcore.policies.hf_engine.policy import HFPolicy

    policy = panel.policy
    if not isinstance(policy, HFPolicy):
        raise ParamsError(
            f"13_decide: beams need a model in this process, and {policy.name} has none; "
            "choose best_of or mcts, or load the policy here"
        )
    env = panel.benchmark.make()
    beams = BeamPolicy(policy, beams=method.simulations)
    starts = [Start(History(task, env.reset(task))) for task in panel.tasks]
    played = rollout(
        beams, live(panel.benchmark.make, panel.human), starts, max_turns=method.settings.max_turns
    )
    ceilings = [ceiling_of_episodes(t, []) if method.ceiling else None for t in played]
    return [
        SearchedEpisode(t, rollout_cost([t], policy.length), ceiling=ceiling)
        for t, ceiling in zip(played, ceilings, strict=True)
    ]


def _play_best_of(panel: _Panel, method: SearchMethod) -> list[SearchedEpisode]:
    """Play N episodes a task and return the first of the best judged ones. By the reward this is pass@N."""
    policy, critic, settings = panel.policy, panel.critic, method.settings
    env = panel.benchmark.make()
    histories = [History(task, env.reset(task)) for task in panel.tasks]
    starts = [
        Start(h, Sampling(settings.rollout_temperature, draw_seed(settings.seed, h, "best of", n)), n)
        for h in histories
        for n in range(method.simulations)
    ]
    played = rollout(policy, panel.benchmark.make, starts, max_turns=settings.max_turns)
    scores, tallies = [t.reward for t in played], [Tally()] * len(played)
    if method.signal is Signal.CRITIC:
        if critic is None:
            raise ParamsError("13_decide: best_of by the critic needs one; name a critic")
        blind = [msgspec.structs.replace(t.history, observation=EPISODE_OVER) for t in played]
        verdicts = run_requests([critic.verdict(h) for h in blind], critic.policy)
        tallies = [v.tally for v in verdicts]
        # A limit ends an episode with return 0, as in a tree, whatever the critic would say of it.
        scores = [v.scores[0] * (t.stop is StopReason.DONE) for v, t in zip(verdicts, played, strict=True)]
    episodes = []
    for first in range(0, len(played), method.simulations):
        of_task = range(first, first + method.simulations)
        tally = sum((tallies[k] for k in of_task), Tally())
        cost = rollout_cost([played[k] for k in of_task], policy.length)
        cost += Cost(
            tokens_written=tally.tokens_written,
            tokens_read=tally.critic_read + tally.endpoint_read,
            money=tally.money,
        )
        best = played[max(of_task, key=lambda k: scores[k])]
        ceiling = ceiling_of_episodes(best, [played[k] for k in of_task]) if method.ceiling else None
        episodes.append(SearchedEpisode(best, cost, tally, ceiling=ceiling))
    return episodes


def _play_mcts(panel: _Panel, method: SearchMethod) -> list[SearchedEpisode]:
    played = play_trees(
        new_trees(panel.benchmark, panel.tasks, method.settings, method.signal, source=panel.policy.name),
        lambda some, to: grow(
            some, panel.policy, panel.benchmark.make, panel.critic, to=to, at_once=method.slots
        ),
        live(panel.benchmark.make, panel.human),
        simulations=method.simulations,
        by=method.by,
    )
    judge = EnvView(panel.benchmark.make(), Signal.REWARD) if method.ceiling else None
    episodes = []
    for trajectory, tree in ((p.trajectory, p.tree) for p in played):
        cost = search_cost([tree], panel.policy.length) + Cost(episodes=1, env_steps=len(trajectory))
        ceiling = ceiling_of_tree(trajectory, tree, judge) if judge else None
        episodes.append(SearchedEpisode(trajectory, cost, tree.tally, tree, ceiling))
    return episodes


def play_trees(
    trees: Sequence[Tree],
    grow_to: Callable[[list[Tree], int], list[Tree]],
    make_live: Callable[[], Environment],
    *,
    simulations: int,
    by: str = "visits",
) -> list[TreeEpisode]:
    """Play an episode from the root of each tree, all side by side (Agent Q §5.3).

    Until every episode is over, each tree grows by `simulations` from its present node, then one action is taken for
    good. What was searched below that action is kept. The returned rewards are those of the live environment, which a
    search by the critic never saw.

    `grow_to` grows trees to so many simulations each (`growth.grow`). `make_live` makes an environment to act in for
    good (`guard.live`). `by` is which action is taken (`mcts.choose_action`).

    Raises:
        ReplayMismatch: the live environment does not answer as the searched one did.
    """
    episodes = [TreeEpisode(tree, make_live()) for tree in trees]
    to = 0
    while unfinished := [e for e in episodes if e.stop is None]:
        to += simulations
        grown = grow_to([e.tree for e in unfinished], to)
        for episode, tree in zip(unfinished, grown, strict=True):
            episode.act(tree, by)
    return episodes


class TreeEpisode:
    """An episode played by tree search: a live environment, and the tree that advises which action to take in it."""

    def __init__(self, tree: Tree, live: Environment) -> None:
        self.tree, self.stop, self._reward = copy_tree(tree), tree.nodes[tree.at].stop, 0.0
        self._history, self._live = tree.history(tree.at), live
        restore(live, self._history)

    def act(self, tree: Tree, by: str) -> None:
        """Take the action that `tree` advises; the episode ends if there is none, or the user does not agree."""
        self.tree = tree
        here = tree.nodes[tree.at]
        i = mcts.choose_action(tree, by)
        if i is None:
            # Without an end all proposals were lost on the way.
            self.stop = here.stop or StopReason.MODEL_FAILURE
            return
        edge = here.edges[i]
        expected, reply = tree.nodes[edge.child], edge.reply
        observation, reward, done = self._live.step(reply.action)
        self._history = self._history.then(reply.action, observation, reply.tokens, reply.logps)
        if observation == REFUSED:
            self.stop = StopReason.DONE
            return
        over = expected.stop is StopReason.DONE
        if done != over or (not over and observation != expected.observation):
            raise ReplayMismatch(
                f"{tree.task_id}: after {len(self._history)} actions the live environment shows {observation!r}, "
                f"the search {expected.observation!r}; is it the environment that was searched?"
            )
        tree.at, self.stop, self._reward = edge.child, expected.stop, reward

    @property
    def trajectory(self) -> Trajectory:
        """Return the actions taken for good."""
        assert self.stop is not None  # asked for when all episodes are over
        return Trajectory(
            history=self._history,
            reward=self._reward,
            n_expert=len(self.tree.root),
            source=f"{self.tree.source}+search",
            stop=self.stop,
            refused_answer=self.tree.nodes[self.tree.at].refused_answer,
            temperature=self.tree.settings.temperature,
        )
