"""Let scripted experts demonstrate tasks, within a budget of dollars (EEF §6, allocation between experts).

The price of a demonstration is known only after its last action. One is started only if the highest cost it may reach
fits what is left of the budget, so a budget is never overdrawn and a little may be left.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

from eefcore.errors import ParamsError, suggest
from eefcore.protocols import Benchmark
from eefcore.types import History, Mistake, StopReason, Trajectory

ALLOCATIONS = ("each", "cheap_first", "dear_first")
"""How a budget is shared between experts.

each          every expert on every task, one expert after the other, in the order in which they are named
cheap_first   the cheapest on every task; then the next dearer on the tasks that are still lost, and so on
dear_first    the dearest, as long as what is left pays the cheapest for every later task; then the cheapest
"""


class ScriptedExpert(Protocol):
    """An expert that is a function of the history alone, so that it can start from any state."""

    @property
    def name(self) -> str:
        """The name under which its trajectories are recorded."""
        ...

    def act(self, history: History) -> str:
        """Return a_t."""
        ...

    def mistakes(self, history: History) -> tuple[Mistake, ...]:
        """Return the mistakes that a_t makes on purpose, for analysis only: no method sees them."""
        ...


class Strength(NamedTuple):
    """An expert's habits, the rates of its mistakes, and the dollars that an action of it costs (a nominal price)."""

    habits: Any
    rates: Any
    price: float

    def settings(self) -> dict[str, float]:
        """Return the habits and the rates of mistakes by their names; a habit that is there or not is 1 or 0."""
        return {
            name: float(value) for name, value in {**self.habits._asdict(), **self.rates._asdict()}.items()
        }


def read_expert_name(
    name: str, strengths: Collection[str], rates: Sequence[str]
) -> tuple[str, dict[str, float]]:
    """Return the strength and the mistake rates that an expert's name sets: `strong?give_up=0.2` is `strong` but for one.

    Args:
        strengths: what may stand before the question mark.
        rates: the rates that may follow it.

    Raises:
        ParamsError: no such strength or rate, or a rate that is no finite number from 0.
    """
    stem, mark, query = name.partition("?")
    if stem not in strengths:
        raise ParamsError(
            f"no expert {stem!r}{suggest(stem, strengths) or ';'} choose one of {', '.join(strengths)}"
        )
    try:
        pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if mark else []
    except ValueError as error:
        raise ParamsError(f"expert {name!r}: {error}; rates read as in strong?give_up=0.2") from error
    return stem, {key: _read_rate(name, key, text, rates) for key, text in pairs}


def _read_rate(name: str, key: str, text: str, rates: Sequence[str]) -> float:
    if key not in rates:
        choices = (
            f"{suggest(key, rates) or ';'} choose one of {', '.join(rates)}"
            if rates
            else "; it has none to set"
        )
        raise ParamsError(f"expert {name!r}: no rate {key!r}{choices}")
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < inf:
        raise ParamsError(f"expert {name!r}: {key} is a finite number from 0, got {text!r}")
    return rate


def find_strength(name: str, strengths: Mapping[str, Strength]) -> Strength:
    """Return the strength of the expert called `name`, with the mistake rates that the name sets.

    Raises:
        ParamsError: as `read_expert_name`.
    """
    stem, changed = read_expert_name(name, strengths, next(iter(strengths.values())).rates._fields)
    return strengths[stem]._replace(rates=strengths[stem].rates._replace(**changed))


GivesUp = Callable[[History], bool]
"""Return whether an expert leaves an episode at h_t, unfinished."""


class Demonstrator(NamedTuple):
    """An expert with its price.

    Attributes:
        name: under which its trajectories are recorded.
        highest_cost: dollars that a task may cost at most.
        demonstrate: plays tasks, of each once or several times.
        plays_many: whether many tasks are played at once, as a language model does; a script plays one by one.
    """

    name: str
    highest_cost: float
    demonstrate: Callable[[Sequence[str]], list[Trajectory]]
    plays_many: bool = False


def demonstrate_tasks(
    benchmark: Benchmark,
    expert: ScriptedExpert,
    tasks: Iterable[str],
    *,
    price: float = 0.0,
    gives_up: GivesUp = lambda _: False,
) -> Iterator[Trajectory]:
    """Yield the expert's trajectory τ_e of each task, its mistakes marked, at `price` dollars an action.

    An episode that the expert leaves counts as one that ran out of turns, with reward 0. To go on until the
    environment's limit would only put useless actions between EEF's equally spaced states.
    """
    env = benchmark.make()
    for task in tasks:
        history, reward, done = History(task, env.reset(task)), 0.0, False
        marks: tuple[Mistake, ...] = ()
        while not done and len(history) < benchmark.max_turns and not gives_up(history):
            action = expert.act(history)
            marks += expert.mistakes(history)
            observation, reward, done = env.step(action)
            history = history.then(action, observation)
        yield Trajectory(
            history=history,
            reward=reward,
            n_expert=len(history),
            source=expert.name,
            stop=StopReason.DONE if done else StopReason.TURN_LIMIT,
            money=price * len(history),
            marks=marks,
        )


def demonstrator(
    benchmark: Benchmark,
    expert: ScriptedExpert,
    *,
    price: float = 0.0,
    gives_up: GivesUp = lambda _: False,
) -> Demonstrator:
    """Return the expert as a demonstrator, at `price` dollars an action."""
    return Demonstrator(
        expert.name,
        price * benchmark.max_turns,
        lambda tasks: [*demonstrate_tasks(benchmark, expert, tasks, price=price, gives_up=gives_up)],
    )


def demonstrate_within(
    demonstrators: Sequence[Demonstrator],
    tasks: Sequence[str],
    *,
    budget: float | None = None,
    allocation: str = "each",
) -> list[Trajectory]:
    """Return D_e for `budget` dollars (None is no limit), in the order in which it was paid for.

    Tasks are taken in their own order, which does not follow their difficulty.

    Raises:
        ParamsError: no such allocation, one that needs two experts and has one, no task, or a budget that pays for nothing.
    """
    if allocation not in ALLOCATIONS:
        raise ParamsError(f"02_expert: allocation {allocation!r}; choose one of {', '.join(ALLOCATIONS)}")
    if allocation != "each" and len(demonstrators) < 2:
        raise ParamsError(
            f"02_expert: allocation {allocation} is between experts; name two, as in weak+strong"
        )
    if not tasks:
        raise ParamsError("02_expert: there is no task to demonstrate; ask for some in sizes")
    paid = _Budget(float("inf") if budget is None else budget)
    allocate = {"each": _each, "cheap_first": _cheap_first, "dear_first": _dear_first}[allocation]
    allocate(demonstrators, tasks, paid)
    if not paid.demonstrations:
        raise ParamsError(
            f"02_expert: a budget of ${budget or 0:g} pays for no demonstration, which may cost "
            f"{' or '.join(f'${d.highest_cost:g} ({d.name})' for d in demonstrators)}; raise it"
        )
    return paid.demonstrations


def demonstrate_panel(
    benchmark: Benchmark, demonstrators: Sequence[Demonstrator], *, left: float | None = None
) -> list[Trajectory]:
    """Return a trajectory of each expert on each test task, for which language models spend `left` dollars at most.

    None is no limit, and scripts play for nothing. A task for which a model has no money left is a trajectory without an
    action that ended by its BUDGET: it keeps its place on the panel, and is counted in no rate.
    """
    tasks, money = benchmark.tasks("test"), _Budget(inf if left is None else max(0.0, left))
    out: list[Trajectory] = []
    for demonstrator in demonstrators:
        played = _play_affordable(demonstrator, tasks, money if demonstrator.plays_many else _Budget(inf))
        reason = f"the budget was spent after {len(played)} of {len(tasks)} test tasks"
        out += played
        out += [
            Trajectory(
                history=History(task, benchmark.instruction(task)),
                reward=0.0,
                source=demonstrator.name,
                stop=StopReason.BUDGET,
                reason=reason,
            )
            for task in tasks[len(played) :]
        ]
    return out


class _Budget:
    """The dollars that are left, and the demonstrations that were paid for."""

    def __init__(self, dollars: float) -> None:
        self.left = dollars
        self.demonstrations: list[Trajectory] = []

    def affords(self, demonstrator: Demonstrator, tasks: int, *, reserve: float = 0.0) -> int:
        """Return the number of tasks that the budget surely pays for, with `reserve` dollars kept for each other task."""
        cost, left = demonstrator.highest_cost, self.left
        if cost + reserve * (tasks - 1) > left:
            return 0
        if not demonstrator.plays_many:
            return 1
        return (
            tasks if cost <= reserve else max(1, int(min(tasks, (left - reserve * tasks) / (cost - reserve))))
        )

    def pay(self, demonstrator: Demonstrator, tasks: Sequence[str]) -> list[Trajectory]:
        """Return the demonstrations of `tasks`, which the budget affords."""
        demonstrations = demonstrator.demonstrate(tasks)
        self.left -= sum(t.money for t in demonstrations)
        self.demonstrations += demonstrations
        return demonstrations


def _each(demonstrators: Sequence[Demonstrator], tasks: Sequence[str], budget: _Budget) -> None:
    for demonstrator in demonstrators:
        _play_affordable(demonstrator, tasks, budget)


def _cheap_first(demonstrators: Sequence[Demonstrator], tasks: Sequence[str], budget: _Budget) -> None:
    lost = list(tasks)
    for demonstrator in sorted(demonstrators, key=lambda d: d.highest_cost):
        won = {t.task_id for t in _play_affordable(demonstrator, lost, budget) if t.win}
        lost = [task for task in lost if task not in won]


def _dear_first(demonstrators: Sequence[Demonstrator], tasks: Sequence[str], budget: _Budget) -> None:
    cheap, *_, dear = sorted(demonstrators, key=lambda d: d.highest_cost)
    while tasks:
        player, n = dear, budget.affords(dear, len(tasks), reserve=cheap.highest_cost)
        if not n:
            player, n = cheap, budget.affords(cheap, len(tasks))
        if not n:
            return
        budget.pay(player, tasks[:n])
        tasks = tasks[n:]


def _play_affordable(demonstrator: Demonstrator, tasks: Sequence[str], budget: _Budget) -> list[Trajectory]:
    """Return the demonstrations of the first of `tasks`, as many as the budget affords."""
    played: list[Trajectory] = []
    while tasks and (n := budget.affords(demonstrator, len(tasks))):
        played += budget.pay(demonstrator, tasks[:n])
        tasks = tasks[n:]
    return played
