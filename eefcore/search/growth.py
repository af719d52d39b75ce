"""Many trees grown side by side, so that the model never waits for one of them (Agent Q §5.1).

    for each tree, until it has its simulations:
        a wave: select leaves ── simulate each ── when all have landed: expand, back up, in the order selected

The simulations of all trees are talks with one policy, which answers them as its places fall free. What a tree
becomes depends on its settings and its seed, and on its neighbours only as far as the policy does (HFPolicy: by the
last bits of a float).

Nothing in a simulation grows with its depth but the histories that are handed on: an environment goes back to a
snapshot, and a policy that keeps what it read goes on from there (`talks`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from eefcore.errors import ParamsError, StoreError
from eefcore.protocols import Benchmark, Environment, Policy
from eefcore.rollout.rollout import restore
from eefcore.search import mcts
from eefcore.search.critic import Critic
from eefcore.search.env_view import World, opened
from eefcore.search.guard import Irreversible, nothing
from eefcore.search.mcts import Landing, Proposal, Selected
from eefcore.search.scheduler import Talks
from eefcore.search.settings import Settings, Signal
from eefcore.search.simulation import Effect, Ending, Leaf, Simulated, Simulator, effect
from eefcore.search.tally import Tally
from eefcore.search.tree import Node, Place, Simulation, Tree, copied, rooted
from eefcore.types import History, StopReason


def planted(
    benchmark: Benchmark, tasks: Sequence[str], settings: Settings, signal: Signal, *, source: str
) -> list[Tree]:
    """A tree at s_0 of each task; `source` is who will propose and roll out."""
    env = benchmark.make()
    return [rooted(History(task, env.reset(task)), settings, signal, source) for task in tasks]


def grow(
    trees: Sequence[Tree],
    policy: Policy,
    make_env: Callable[[], Environment],
    critic: Critic | None = None,
    *,
    to: int,
    lanes: int = 1,
    at_once: int = 64,
    irreversible: Irreversible = nothing,
    alike: Effect = effect,
    landed: Callable[[int], None] = lambda n: None,
) -> list[Tree]:
    """Each tree, grown to `to` simulations, in the same order; the given ones stay as they are.

    A tree that has some goes on as if it had never been put away, if it is grown with the same policy and critic.
    Simulations that the infrastructure spoilt count in `to` and in `tally.failed`, and nowhere else.

    Args:
        critic: None ranks nothing, which is Agent Q without AI feedback; α is then to be 1.
        lanes: questions of one tree at a time; with 1 the policy reads least.
        at_once: trees that grow at a time; `lanes · at_once` is best the number of the policy's slots.
        irreversible: which actions can't be undone outside a snapshot.
        alike: what makes two proposals at a node one.
        landed: hears how many simulations have landed, wave by wave.

    Raises:
        ParamsError: there is no critic where one is needed.
        ReplayMismatch: an environment does not show what a tree saw.
        StoreError: a tree contradicts itself.
    """
    grown = [_sound(copied(tree), critic) for tree in trees]
    env = make_env()
    for tree in grown:
        restore(env, tree.history(max(tree.starts, default=0)))
    nursery = _Nursery(
        grown,
        [Simulator(tree.settings, critic, alike) for tree in grown],
        Talks(policy, critic.policy if critic else None, lanes=lanes),
        lambda signal: opened(signal, make_env, irreversible),
        to=to,
        landed=landed,
    )
    nursery.grow(at_once)
    return grown


def wave_of(tree: Tree, to: int) -> list[Selected]:
    """The leaves of the next wave; none when the tree has its simulations.

    A wave ends at a multiple of its size, or before it would come to a leaf that another of its simulations is
    working on: what follows there is not known yet.
    """
    size = tree.settings.wave - tree.attempts % tree.settings.wave
    flying: Counter[Place] = Counter()
    wave: list[Selected] = []
    for nth in range(tree.attempts, min(tree.attempts + size, to)):
        selected = mcts.select(tree, flying, nth)
        if any(other.node == selected.node and _known(tree, other) is None for other in wave):
            break
        wave.append(selected)
        flying.update(selected.path)
    return wave


def land(tree: Tree, selected: Selected, simulated: Simulated) -> None:
    """The tree with what a simulation brought: the leaf expanded, the return backed up."""
    tree.tally += simulated.tally
    (path, node, given), ending = selected, simulated.ending
    if simulated.taken is not None:
        mcts.expand(tree, node, simulated.proposals)
        path = (*path, Place(node, simulated.taken))
        node = tree.edge(path[-1]).child
    if ending is None:
        return
    if simulated.taken is None and mcts.expandable(tree, selected):
        mcts.close(tree, node, ending.stop)
    if tree.nodes[node].stop is not None:
        mcts.settle(tree, node, ending.value)
    # A limit ends an episode with no reward, as in a rollout; a search that may not see it has none to say.
    limit = 0.0 if tree.signal is Signal.REWARD else None
    reward = limit if ending.reward is None else ending.reward
    simulation = Simulation(node, ending.observation, ending.stop, ending.value, ending.steps, reward, given)
    mcts.backup(tree, path, simulation)


class _Nursery:
    """Trees at work: each one wave after the other, as many side by side as were admitted."""

    def __init__(
        self,
        trees: Sequence[Tree],
        simulators: Sequence[Simulator],
        talks: Talks,
        open: Callable[[Signal], World],
        *,
        to: int,
        landed: Callable[[int], None],
    ) -> None:
        self._trees, self._simulators, self._talks, self._open = trees, simulators, talks, open
        self._to, self._landed = to, landed
        self._waiting = iter(range(len(trees)))
        self._worlds: dict[Signal, list[World]] = {signal: [] for signal in Signal}

    def grow(self, at_once: int) -> None:
        """All of them."""
        for _ in range(at_once):
            self._admit()
        self._talks.run()

    def _admit(self) -> None:
        """The next tree that has something to ask; those before it that have not are done."""
        for i in self._waiting:
            if self._wave(i):
                return

    def _wave(self, i: int) -> bool:
        """Start the tree's next wave; False if it has its simulations."""
        tree = self._trees[i]
        while leaves := wave_of(tree, self._to):
            came = [_known(tree, selected) for selected in leaves]
            if None in came:
                for n in [n for n, simulated in enumerate(came) if simulated is None]:
                    self._start(i, n, leaves, came)
                return True
            self._land(tree, leaves, came)
        return False

    def _start(self, i: int, n: int, leaves: list[Selected], came: list[Simulated | None]) -> None:
        tree, worlds = self._trees[i], self._worlds[self._trees[i].signal]
        world = worlds.pop() if worlds else self._open(tree.signal)

        def back(simulated: Simulated) -> None:
            worlds.append(world)
            came[n] = simulated
            if None not in came:
                self._land(tree, leaves, came)
                if not self._wave(i):
                    self._talks.leave(i)
                    self._admit()

        self._talks.start(i, self._simulators[i].simulate(_leaf(tree, leaves[n]), world), back)

    def _land(self, tree: Tree, leaves: Sequence[Selected], came: Sequence[Simulated | None]) -> None:
        for selected, simulated in zip(leaves, came, strict=True):
            if simulated is not None:
                land(tree, selected, simulated)
        self._landed(len(leaves))


def _known(tree: Tree, selected: Selected) -> Simulated | None:
    """A simulation that needs nobody, as its leaf is an end whose worth is known."""
    here = tree.nodes[selected.node]
    if here.stop is None or here.value is None:
        return None
    return Simulated(Ending(here.observation, here.stop, here.value, (), here.reward), (), None, Tally())


def _leaf(tree: Tree, selected: Selected) -> Leaf:
    node = tree.nodes[selected.node]
    laid = [Proposal(e.reply, _landing(tree.nodes[e.child]), 0, e.q_hat) for e in node.edges]
    return Leaf(tree.history(selected.node), mcts.expandable(tree, selected), node.rollouts, node.stop, laid)


def _landing(node: Node) -> Landing:
    return Landing(node.observation, node.stop is StopReason.DONE, node.reward)


def _sound(tree: Tree, critic: Critic | None) -> Tree:
    if critic is None and (tree.signal is Signal.CRITIC or tree.settings.alpha < 1.0):
        raise ParamsError(
            f"{tree.task_id}: signal {tree.signal.value} and alpha {tree.settings.alpha} need a critic; "
            "give one, or search by the reward with alpha 1"
        )
    if fault := next(mcts.faults(tree), None):
        raise StoreError(f"{tree.task_id}: a tree that contradicts itself: {fault}; grow it anew")
    return tree
