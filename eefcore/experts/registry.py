"""What is scripted for an environment, found by its benchmark: who demonstrates, how hard tasks are, what a base learns.

    Scripts     experts by strength; kinds and measures of tasks; skills and phrases for a tiny base
    of          the scripts of a benchmark
    register    those of an environment of your own
    retold      a trajectory in other words, for skills; permuted: names for each other

Nothing else of the package knows which environment it demonstrates in, reports on, or makes a base for. A benchmark
without scripts is learnt from a `file` of trajectories, and its reports leave out what scripts would tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from random import Random
from typing import Any, NamedTuple, Protocol

from msgspec.structs import replace

from eefcore.actions import is_thought
from eefcore.envs.registry import scripted_experts
from eefcore.errors import ParamsError
from eefcore.experts.allocation import Offer
from eefcore.protocols import Benchmark
from eefcore.types import Example, Trajectory

PERFECT = "perfect"
"""The strength of an expert that makes no mistakes. By its solutions reports tell how hard a task is."""


class Measure(NamedTuple):
    """How hard a task is in one respect, told by a perfect expert's solution of it."""

    name: str  # one word, for files and columns: page
    title: str  # page of the right product
    phrase: str  # the page that the right product is on
    asked: str  # what asks it of a task: the right product’s page
    of: Callable[[Trajectory], int]


STEPS = Measure(
    "steps",
    "steps of a solution",
    "the actions that a solution needs",
    "the shortest solution",
    lambda solution: sum(not is_thought(a) for a in solution.actions),
)
"""The measure of every environment. A perfect expert can't know what it has not seen: it is what a solution needs
without luck."""


class Shown(NamedTuple):
    """One skill shown on one task, to pretrain a tiny base on."""

    name: str
    example: Example


def retold(trajectory: Trajectory, told: Callable[[str], str]) -> Trajectory:
    """The trajectory with all that was seen and said as `told` tells it: in other names, to be read and not remembered."""
    history = trajectory.history
    steps = tuple(replace(s, observation=told(s.observation), action=told(s.action)) for s in history.steps)
    return replace(trajectory, history=replace(history, steps=steps, observation=told(history.observation)))


def permuted(names: Sequence[str], rng: Random) -> dict[str, str]:
    """Each of the names, and the one among them that it is told by."""
    return dict(zip(names, rng.sample(names, len(names)), strict=True))


class Offering(Protocol):
    """The expert of that strength for hire; its mistakes follow from `seed`."""

    def __call__(self, benchmark: Any, strength: str, *, seed: int) -> Offer: ...


class Showing(Protocol):
    """`n` skills on random ones of `tasks`, for a base that must know the words of the environment and not the strategy."""

    def __call__(self, benchmark: Any, tasks: Iterable[str], *, n: int, seed: int) -> Iterable[Shown]: ...


def any_kind(benchmark: Benchmark) -> dict[str, str]:
    """Every task is of one kind, `any`."""
    return dict.fromkeys((t for split in ("train", "dev", "test") for t in benchmark.tasks(split)), "any")


class Scripts(NamedTuple):
    """What is scripted for an environment. Experts are enough; reports and `01_base` use the rest where it is there.

    Attributes:
        strengths: the experts there are; one called `PERFECT` makes no mistakes.
        offer: one of them for hire (`experts.players.hired`).
        kinds: task id to the kind of task it is, in a word, for the tasks of a benchmark.
        measures: how hard a task is, beside `STEPS`.
        show: skills for a tiny base; None if nobody scripted any.
        phrases: what observations and actions repeat, each a token of the base's own.
    """

    strengths: tuple[str, ...]
    offer: Offering
    kinds: Callable[[Any], Mapping[str, str]] = any_kind
    measures: tuple[Measure, ...] = ()
    show: Showing | None = None
    phrases: tuple[str, ...] = ()


_registered: dict[str, Scripts] = {}


def register(name: str, scripts: Scripts) -> None:
    """Let the benchmarks whose card is called `name` have `scripts`, from now on in this process.

    The module that loads a benchmark of your own calls it (README, *Bring your own*).

    Raises:
        ParamsError: the name is one of this package's environments.
    """
    if module := scripted_experts(name):
        raise ParamsError(f"{name} has its scripts in {module}; give the card of your own another name")
    _registered[name] = scripts


def find(benchmark: Benchmark) -> Scripts | None:
    """The scripts of a benchmark, by the name of its card; None if there are none."""
    name = benchmark.card.name
    if module := scripted_experts(name):
        return import_module(module).SCRIPTS
    return _registered.get(name)


def of(benchmark: Benchmark) -> Scripts:
    """The scripts of a benchmark.

    Raises:
        ParamsError: there are none.
    """
    scripts = find(benchmark)
    if scripts is None:
        raise ParamsError(
            f"no scripted expert for {benchmark.card.name}; give 02_expert a `file` of trajectories instead"
        )
    return scripts


def skills(benchmark: Benchmark, tasks: Iterable[str], *, n: int, seed: int) -> list[Shown]:
    """`n` skills for a tiny base of the benchmark, on random ones of `tasks`.

    Raises:
        ParamsError: nobody scripted skills for it.
    """
    show = of(benchmark).show
    if show is None:
        raise ParamsError(
            f"nobody scripted skills for {benchmark.card.name}; start from another base, as in base: tiny, or give its "
            "experts.scripted.Scripts a `show`"
        )
    return list(show(benchmark, tasks, n=n, seed=seed))
