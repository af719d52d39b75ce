"""Grow many trees side by side, so that the model never waits for one of them (Agent Q §5.1).

    for each tree, until it has its simulations:
        a wave: select leaves, simulate each; when all have ended: expand and back up, in the order selected

The simulations of all trees run on one policy, which answers them as its slots fall free (`scheduler`). A tree depends
on its settings and its seed, and on its neighbours only as far as the policy does (HFPolicy: by the last bits of a float).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from eefcore.errors import ParamsError, StoreError
from eefcore.protocols import Benchmark, Environment, Policy
from eefcore.rollout.rollout import restore
from eefcore.search import mcts
from eefcore.search.critic import Critic
from eefcore.search.guard import EnvView
from eefcore.search.mcts import Selection
from eefcore.search.scheduler import Scheduler
from eefcore.search.settings import SearchSettings, Signal
from eefcore.search.simulation import Ending, SimulationResult, Simulator
from eefcore.search.tree import EdgeId, Simulation, Tally, Tree, copy_tree, new_tree
from eefcore.types import History


def new_trees(
    benchmark: Benchmark, tasks: Sequence[str], settings: SearchSettings, signal: Signal, *, source: str
) -> list[Tree]:
    """Return a tree at s_0 of each task; `source` is the name of the policy that will propose and roll out."""
    env = benchmark.make()
    return [new_tree(History(task, env.reset(task)), settings, signal, source) for task in tasks]


def grow(
    trees: Sequence[Tree],
    policy: Policy,
    make_env: Callable[[], Environment],
    critic: Critic | None = None,
    *,
    to: int,
    sessions: int = 1,
    at_once: int = 64,
    on_simulations: Callable[[int], None] = lambda n: None,
) -> list[Tree]:
    """Return a copy of each tree, grown to `to` simulations, in the same order.

    A tree that has some simulations continues as if it had never stopped, if it is grown with the same policy and critic.
    Simulations that the infrastructure spoilt count in `to` and in `tally.failed`, and nowhere else.

    Args:
        critic: None ranks nothing, which is Agent Q without AI feedback; α must then be 1.
        sessions: requests of one tree at a time; with 1 the policy reads least.
        at_once: trees that grow at a time; `sessions · at_once` is best the number of the policy's slots.
        on_simulations: called after each wave with the number of simulations that it added.

    Raises:
        ParamsError: there is no critic where one is needed.
        ReplayMismatch: an environment shows another observation than a tree recorded.
        StoreError: a tree contradicts itself.
    """
    grown = [_checked(copy_tree(tree), critic) for tree in trees]
    env = make_env()
    for tree in grown:
        restore(env, tree.history(max(tree.starts, default=0)))
    growth = _Growth(
        [Simulator(tree, critic) for tree in grown],
        Scheduler(policy, critic.policy if critic else None, sessions=sessions),
        make_env,
        to,
        on_simulations,
    )
    growth.run(at_once)
    return grown


def next_wave(tree: Tree, to: int) -> list[Selection]:
    """Select the leaves of the next wave; none if the tree has its simulations.

    A wave ends at a multiple of its size, or before a leaf at which another of its simulations begins to ask.
    """
    size = tree.settings.wave - tree.attempts % tree.settings.wave
    in_flight: Counter[EdgeId] = Counter()
    wave: list[Selection] = []
    for nth in range(tree.attempts, min(tree.attempts + size, to)):
        selection = mcts.select(tree, in_flight, nth)
        if any(other.node == selection.node and _result_at_end(tree, other) is None for other in wave):
            break
        wave.append(selection)
        in_flight.update(selection.path)
    return wave


def add_result(tree: Tree, selection: Selection, result: SimulationResult) -> None:
    """Add the result of a simulation to the tree: expand the leaf, and back up the return."""
    tree.tally += result.tally
    node, ending = selection.node, result.ending
    if result.followed is not None:
        mcts.expand(tree, node, result.proposals)
        node = tree.nodes[node].edges[result.followed].child
    if ending is None:
        return
    here = tree.nodes[node]
    if result.followed is None and mcts.expandable(tree, selection):
        # no proposal was an action: an episode ends here, and is lost
        here.stop, here.refused_answer = ending.stop, ending.refused_answer
    if here.stop is not None:
        here.value = ending.value  # so that a critic is asked for it only once
    # A limit ends an episode with reward 0, as in a rollout; a search that may not see rewards records none.
    if ending.reward is None and tree.signal is Signal.REWARD:
        ending = ending._replace(reward=0.0)
    simulation = Simulation(node, *ending, given=selection.given)
    mcts.backup(tree, simulation)
    tree.simulations.append(simulation)


@dataclass
class _Growth:
    """Grows trees, each one wave after the other, a fixed number of trees at a time."""

    simulators: Sequence[Simulator]
    scheduler: Scheduler
    make_env: Callable[[], Environment]
    to: int
    on_simulations: Callable[[int], None]
    free_envs: list[Environment] = field(default_factory=list)

    def run(self, at_once: int) -> None:
        """Grow all trees, `at_once` at a time."""
        self.waiting = iter(range(len(self.simulators)))
        for _ in range(at_once):
            self._start_next_tree()
        self.scheduler.run()

    def _start_next_tree(self) -> None:
        """Start the next tree that has requests; those before it without any are complete."""
        next((i for i in self.waiting if self._start_wave(i)), None)

    def _start_wave(self, i: int) -> bool:
        """Start the tree's next wave; return False if it has its simulations."""
        tree = self.simulators[i].tree
        while wave := next_wave(tree, self.to):
            results = [_result_at_end(tree, selection) for selection in wave]
            if None in results:
                for n in [n for n, result in enumerate(results) if result is None]:
                    self._start_simulation(i, n, wave, results)
                return True
            self._end_wave(tree, wave, results)
        return False

    def _start_simulation(
        self, i: int, n: int, wave: list[Selection], results: list[SimulationResult | None]
    ) -> None:
        simulator = self.simulators[i]
        env = self.free_envs.pop() if self.free_envs else self.make_env()

        def on_result(result: SimulationResult) -> None:
            self.free_envs.append(env)
            results[n] = result
            if None not in results:
                self._end_wave(simulator.tree, wave, results)
                if not self._start_wave(i):
                    self.scheduler.leave(i)
                    self._start_next_tree()

        view = EnvView(env, simulator.tree.signal)
        self.scheduler.start(i, simulator.simulate(wave[n], view), on_result)

    def _end_wave(
        self, tree: Tree, wave: Sequence[Selection], results: Sequence[SimulationResult | None]
    ) -> None:
        for selection, result in zip(wave, results, strict=True):
            if result is not None:
                add_result(tree, selection, result)
        self.on_simulations(len(wave))


def _result_at_end(tree: Tree, selection: Selection) -> SimulationResult | None:
    """Return the result of a simulation whose leaf is an end with a value, for which nothing has to be asked."""
    here = tree.nodes[selection.node]
    if here.stop is None or here.value is None:
        return None
    return SimulationResult(
        Ending(here.observation, here.stop, here.value, (), here.reward, here.refused_answer),
        (),
        None,
        Tally(),
    )


def _checked(tree: Tree, critic: Critic | None) -> Tree:
    """Return the tree if it is consistent and has the critic that it needs."""
    if critic is None and (tree.signal is Signal.CRITIC or tree.settings.alpha < 1.0):
        raise ParamsError(
            f"{tree.task_id}: signal {tree.signal.value} and alpha {tree.settings.alpha} need a critic; "
            "give one, or search by the reward with alpha 1"
        )
    if fault := next(mcts.contradictions(tree), None):
        raise StoreError(f"{tree.task_id}: a tree that contradicts itself: {fault}; grow it anew")
    return tree
