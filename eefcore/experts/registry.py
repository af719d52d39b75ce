"""Find the scripted experts of a benchmark, and what belongs to them: task kinds, difficulty, skills for a tiny base.

Nothing else in the package knows which environment it demonstrates in, reports on, or makes a base for. A benchmark
without scripted experts is learnt from a `file` of trajectories, and its reports leave out what scripts would add.
A *base skill* (`experts.base_skills`) is no *navigation skill* (`evaluation.navigation`), which EEF counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple, Protocol

from eefcore.actions import is_thought
from eefcore.envs.registry import scripted_experts
from eefcore.errors import ParamsError
from eefcore.experts.base_skills import SkillExample
from eefcore.experts.demonstrate import Demonstrator, read_expert_name
from eefcore.protocols import Benchmark
from eefcore.types import Trajectory

PERFECT = "perfect"
"""The strength of an expert that makes no mistakes. Reports measure a task's difficulty on its solution."""


class Measure(NamedTuple):
    """A measure of how hard a task is, taken on a perfect expert's solution of it."""

    name: str  # one word, for files and columns: page
    title: str  # page of the right product
    phrase: str  # the page that the right product is on
    demand: str  # what demands the steps of a task: the right product’s page
    value: Callable[[Trajectory], int]


STEPS = Measure(
    "steps",
    "steps of a solution",
    "the actions that a solution needs",
    "the shortest solution",
    lambda solution: sum(not is_thought(a) for a in solution.actions),
)
"""The measure of every environment: what a solution needs without luck, as a perfect expert can't know what it has not
seen."""


class MakeDemonstrator(Protocol):
    """Return the expert of that strength with its price; its mistakes follow from `seed`."""

    def __call__(self, benchmark: Any, strength: str, *, seed: int) -> Demonstrator: ...


class MakeBaseSkills(Protocol):
    """Return `n` examples of base skills on random ones of `tasks`."""

    def __call__(
        self, benchmark: Any, tasks: Iterable[str], *, n: int, seed: int
    ) -> Iterable[SkillExample]: ...


def any_kind(benchmark: Benchmark) -> dict[str, str]:
    """Return the kind `any` for every task of a benchmark."""
    return dict.fromkeys((t for split in ("train", "dev", "test") for t in benchmark.tasks(split)), "any")


class ScriptedExperts(NamedTuple):
    """The scripted experts of an environment. They are enough; reports and `01_base` use the rest where it is there.

    Attributes:
        strengths: the names of the experts; one called `PERFECT` makes no mistakes.
        demonstrator: one of them with its price (`experts.demonstrate.demonstrator`).
        kinds: task id to the kind of the task, in a word, for the tasks of a benchmark.
        measures: how hard a task is, beside `STEPS`.
        base_skills: examples of skills for a tiny base; None if nobody scripted any.
        phrases: what observations and actions repeat, each a token of the base's own.
        rates: the mistake rates that a name may set, as in `strong?give_up=0.2`.
        settings: the habits and rates of mistakes of an expert by their names, which a calibration records.
    """

    strengths: tuple[str, ...]
    demonstrator: MakeDemonstrator
    kinds: Callable[[Any], Mapping[str, str]] = any_kind
    measures: tuple[Measure, ...] = ()
    base_skills: MakeBaseSkills | None = None
    phrases: tuple[str, ...] = ()
    rates: tuple[str, ...] = ()
    settings: Callable[[str], Mapping[str, float]] = lambda _: {}

    def has(self, name: str) -> bool:
        """Return whether `name` is one of these experts, whatever rates it sets."""
        return name.partition("?")[0] in self.strengths

    def check(self, name: str) -> None:
        """Refuse a name that sets a rate these experts don't have.

        Raises:
            ParamsError: with what can be set.
        """
        read_expert_name(name, self.strengths, self.rates)


_registered: dict[str, ScriptedExperts] = {}


def register_experts(card_name: str, experts: ScriptedExperts) -> None:
    """Give `experts` to benchmarks whose card has that name, from now on in this process.

    The module that loads a benchmark of your own calls it.

    Raises:
        ParamsError: the name is that of one of this package's environments.
    """
    if place := scripted_experts(card_name):
        raise ParamsError(
            f"{card_name} has its scripted experts in {place}; give the card of your own benchmark another name"
        )
    _registered[card_name] = experts


def find_experts(benchmark: Benchmark) -> ScriptedExperts | None:
    """Return the scripted experts of a benchmark; None if it has none."""
    return experts_of_card(benchmark.card.name)


def experts_of_card(name: str) -> ScriptedExperts | None:
    """Return the scripted experts of benchmarks whose card has that name; None if there are none."""
    if place := scripted_experts(name):
        module, _, attribute = place.partition(":")
        return getattr(import_module(module), attribute)
    return _registered.get(name)


def experts_of(benchmark: Benchmark) -> ScriptedExperts:
    """Return the scripted experts of a benchmark.

    Raises:
        ParamsError: it has none.
    """
    experts = find_experts(benchmark)
    if experts is None:
        raise ParamsError(
            f"no scripted expert for {benchmark.card.name}; give 02_expert a `file` of trajectories instead"
        )
    return experts


def base_skill_examples(
    benchmark: Benchmark, tasks: Iterable[str], *, n: int, seed: int
) -> list[SkillExample]:
    """Return `n` examples of base skills on random ones of `tasks`, to pretrain a tiny base of the benchmark.

    Raises:
        ParamsError: nobody scripted base skills for it.
    """
    examples = experts_of(benchmark).base_skills
    if examples is None:
        raise ParamsError(
            f"nobody scripted base skills for {benchmark.card.name}; start from another base, as in base: tiny, or "
            "give its eefcore.experts.ScriptedExperts `base_skills`"
        )
    return list(examples(benchmark, tasks, n=n, seed=seed))
