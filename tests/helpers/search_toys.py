"""A random policy, a scripted critic and trees of the toy shop: search without a model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from random import Random

from eefcore.policies.scripted import ScriptedPolicy
from eefcore.protocols import Policy, Reply, Sampling
from eefcore.search import growth, mcts
from eefcore.search.critic import Critic, Ranking, by_rank
from eefcore.search.scheduler import run_requests
from eefcore.search.settings import SearchSettings, Signal
from eefcore.search.tree import Simulation, Tally, Tree, new_tree
from eefcore.types import History, StopReason, Transition
from helpers.toy_shop import TASKS, ToyShop

HAT = "green hat"
ACTIONS = ("next", "back", "dance", "Think[well]", "Think[so]", *(f"buy {thing}" for thing in TASKS[2:5]))


def thrown(history: History, sampling: Sampling) -> Reply:
    """Return an action that depends on the seed and the history, with invented tokens."""
    dice = Random(f"{sampling.seed} {history.actions} {history.observation}")
    action = dice.choice(ACTIONS)
    return Reply(action, (len(action), dice.randrange(9)), (-dice.random(), -dice.random()))


class Dice(ScriptedPolicy):
    """A policy that replies by `say`: to all questions at once, in reverse, or one a call."""

    def __init__(
        self,
        say: Callable[[History, Sampling], Reply] = thrown,
        *,
        reverse: bool = False,
        single: bool = False,
    ):
        super().__init__(lambda h: "", "dice")
        self._say, self._reverse, self._single = say, reverse, single
        self._open: dict[Hashable, tuple[History, Sampling]] = {}
        self.asked: list[tuple[History, Sampling]] = []
        self.most = 0  # questions open at a time
        self.closed: list[Hashable] = []

    def ask(self, episode, history, sampling):
        assert episode not in self._open
        self._open[episode] = history, sampling
        self.asked.append((history, sampling))
        self.most = max(self.most, len(self._open))

    def answers(self):
        keys = list(reversed(self._open) if self._reverse else self._open)[: 1 if self._single else None]
        return [(key, self._say(*self._open.pop(key))) for key in keys]

    def close(self, episode):
        self.closed.append(episode)


def settings(**changes) -> SearchSettings:
    return SearchSettings(**{"max_turns": 8, "K": 4} | changes)


def roots(tasks=TASKS[3:], signal: Signal = Signal.REWARD, **changes) -> list[Tree]:
    shop = ToyShop()
    return [new_tree(History(t, shop.reset(t)), settings(**changes), signal, "dice") for t in tasks]


def record(tree: Tree, simulation: Simulation) -> None:
    """Back up a simulation, and add it to the tree."""
    mcts.backup(tree, simulation)
    tree.simulations.append(simulation)


class ScriptedCritic:
    """A critic without a model: higher `score` ranks better, of equals the first; `solved` judges endings."""

    policy: Policy | None = None

    def __init__(
        self, score: Callable[[History, str], float], solved: Callable[[History], bool] = lambda _: False
    ) -> None:
        self._score, self._solved = score, solved

    def ranking(self, history, actions):
        yield from ()
        order = sorted(range(len(actions)), key=lambda i: -self._score(history, actions[i]))
        return Ranking(by_rank(order, len(actions)), Tally())

    def verdict(self, history):
        yield from ()
        return Ranking([float(self._solved(history))], Tally())


def ranked(critic: Critic, questions: Sequence[tuple[History, Sequence[str]]]) -> list[Ranking]:
    """Return Q̂ of the actions at each history, with all questions open at once."""
    return run_requests([critic.ranking(*question) for question in questions], critic.policy)


CRITIC = ScriptedCritic(
    lambda history, action: (action == f"buy {history.task_id}") + (action == "next") / 2,
    lambda history: history.actions[-1] == f"buy {history.task_id}",
)


def grown(
    trees: list[Tree],
    to: int,
    policy: Policy | None = None,
    critic: Critic | None = CRITIC,
    make_env=ToyShop,
    **rest,
) -> list[Tree]:
    return growth.grow(trees, policy or Dice(), make_env, critic, to=to, **rest)


class Sealed(Transition):
    """A transition whose reward raises an error when it is read."""

    __slots__ = ()

    @property
    def reward(self):
        raise AssertionError("the reward was read")

    def __iter__(self):
        raise AssertionError("the reward was unpacked")


class SealedShop(ToyShop):
    """The toy shop with rewards that must not be read."""

    def step(self, action):
        return Sealed(*super().step(action))


FAILED = Reply("", stop=StopReason.MODEL_FAILURE)
MALFORMED = Reply("", (7,), (-0.5,), StopReason.MALFORMED)
