"""Plan the stages that a params file asks for: a DAG, each method EEF Algorithm 1 or rounds of preference learning.

    expert ─ select.1 ─ train.1 ┬ explore.1 ─ select.2 ─ train.2 ┬ …      evaluate.test ─ report
                                └ evaluate.1 (dev)               └ evaluate.2 (dev)

    learn: dpo                    explore.1 ─ preferences.2 ─ dpo.2 ─ …
    and search, pairs, decide     search.1  ─ pairs.2       ─ dpo.2 ─ …      decide.test        Agent Q, Algorithm 1
    and tune                      search.1  ─ tune.1 ─ search.2 ─ tune.2 ─ … decide.test        whose critic learns as well

Stages with the same identity (`eefcore.tracking.identity`) are one stage: methods that begin alike share their
beginnings, and what a results folder already holds under that identity is not computed again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple, Protocol, TypeVar

from eefcore.envs import name_as_recorded
from eefcore.errors import EefError, ParamsError, PolicyError
from eefcore.experts.collect import recorded_pages
from eefcore.experts.prompted import check_planned
from eefcore.policies.loading import is_trainable
from eefcore.policies.settings import read_engine
from eefcore.runs.notebook import Notebook
from eefcore.runs.params import SWAPS, Method, Params
from eefcore.search.critic import check_critic, is_tunable
from eefcore.storage import stages
from eefcore.storage.stage_inputs import StageInputs
from eefcore.tracking.identity import CodeReader, identity
from eefcore.types import Value
from eefcore.variables import expand_variables

K = TypeVar("K")
Inputs = Mapping[str, "Node"]
numbered = StageInputs.of_iteration


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A planned stage: its notebook and parameters, the stages that it reads by name, and the hashes of its code.

    A plan holds each stage once, so a node equals only itself.
    """

    run: str
    label: str
    notebook: Notebook
    params: Mapping[str, Value]
    inputs: StageInputs[Node]
    identity: str
    code: Mapping[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Return the folder of the stage once it has finished."""
        return stages.stage_folder(self.run, self.label, self.identity)

    @property
    def finished(self) -> bool:
        """Return whether the stage has finished."""
        return stages.is_finished(self.folder)

    def integer(self, name: str) -> int:
        """Return a parameter that is a whole number."""
        if (value := self.optional_integer(name)) is None:
            raise TypeError(f"{self.label}: {name} is None, expected a whole number")
        return value

    def optional_integer(self, name: str) -> int | None:
        """Return a parameter that is a whole number or None."""
        value = self.params[name]
        if value is not None and not isinstance(value, int):
            raise TypeError(f"{self.label}: {name} is {value!r}, expected a whole number")
        return value


class Nodes(dict[str, Node]):
    """The stages of a plan by their identities, in the order of planning; they follow from one reading of the code."""

    def __init__(self) -> None:
        super().__init__()
        self.code = CodeReader()


class Schedule(NamedTuple):
    """The choices that decide which stages a method has and what each reads; all else is in the parameters.

    Attributes:
        iterations: I.
        replay: number of earlier rounds whose trees, or simulations, also give pairs.
        tunes_critic: the critic learns from each search, and later stages ask the newest critic.
        searches_at_test: the test panel is played with search.
    """

    iterations: int
    replay: int
    tunes_critic: bool
    searches_at_test: bool


def schedule_of(params: Params, notebooks: Mapping[str, Notebook], method: Method) -> Schedule:
    """Return the schedule of `method`; parameters of stages that it does not have are ignored.

    Raises:
        ParamsError: `replay` is below 0, there is no critic to tune, or no stage could load a model.
    """
    where = f"{params.path}: methods.{method.name}"
    values = {stage: params.values(notebooks[stage], method) for stage in method.stages}
    replay = values.get("pairs", {}).get("replay", 0)
    if not isinstance(replay, int) or replay < 0:
        raise ParamsError(f"{where}.pairs.replay: must be a number of rounds from 0 on, got {replay}")
    if "tune" in values:
        if "search" not in values or method.iterations == 1:
            raise ParamsError(
                f"{where}.tune: a critic learns from searches; name search as well, with 2 iterations or more"
            )
        critics = {
            stage: values[stage].get("critic") for stage in ("search", "tune", "decide") if stage in values
        }
        for stage, critic in critics.items():
            if not is_tunable(str(expand_variables(critic))):
                raise ParamsError(
                    f"{where}.tune: critic {critic!r} of {stage} has no weights of its own to tune; name a model"
                )
        if len({*critics.values()}) > 1:
            raise ParamsError(f"{where}.tune: one critic is tuned, got {critics}; name it once, in shared")
    # models that their stages could not load: such a stage may come hours after the first
    base = str(expand_variables(params.values(notebooks["train"], method).get("base", "")))
    if not is_trainable(base):
        raise ParamsError(
            f"{where}.train: base {base!r} is only asked and has no weights here to train; name a model, as hf:… is"
        )
    expert = {k: expand_variables(v) for k, v in params.values(notebooks["expert"], method).items()}
    if "prompt" in expert and expert["file"] is None:
        try:
            check_planned(SimpleNamespace(**expert))
        except (ParamsError, PolicyError) as error:
            raise ParamsError(f"{where}.expert: {error}") from error
    played = {stage: params.values(notebooks[stage], method) for stage in ("expert", "explore", "evaluate")}
    for stage, own in (played | values).items():
        if "engine" in own:
            try:
                read_engine(str(expand_variables(own["engine"])))
            except PolicyError as error:
                raise ParamsError(f"{where}.{stage}: {error}") from error
        if "critic" in own:
            critic, format = own["critic"], own.get("format", "compact")
            try:
                check_critic(str(expand_variables(critic)), format=str(expand_variables(format)))
            except PolicyError as error:
                raise ParamsError(f"{where}.{stage}: critic: {error}") from error
    return Schedule(method.iterations, replay, "tune" in values, "decide" in values)


class Stage(Protocol):
    """Adds one stage of a method to the plan, or finds it there; `params.SWAPS` says which are in another's place."""

    def __call__(self, name: str, which: str, inputs: Inputs, *, split: str = "") -> Node:
        """Return stage `name`, the `which`-th of its kind: `explore.2`."""


def _explore(schedule: Schedule, stage: Stage, i: int, reads: Inputs, critics: dict[str, Node]) -> Node:
    """Plan exploration `i` and, in a method that tunes its critic, the stage in which the critic learns from it."""
    explored = stage("explore", f"{i}", {**reads, **_latest(critics)})
    if schedule.tunes_critic:
        searched = {"experts": reads["experts"], "search": explored, **_latest(critics)}
        critics[numbered("critic", i)] = stage("tune", f"{i}", searched)
    return explored


def _latest(critics: Mapping[str, Node]) -> dict[str, Node]:
    """Return the newest tuned critic as an input, or nothing while the critic comes from a parameter."""
    return {"critic": [*critics.values()][-1]} if critics else {}


def algorithm_1(schedule: Schedule, stage: Stage) -> dict[str, Node]:
    """Plan the stages of EEF Algorithm 1 (§3.2) for one method, by the names under which a report reads them.

    What differs between methods is in the parameters: M = 0 is RFT, one iteration behaviour cloning.
    """
    experts = stage("expert", "", {})
    simulations: dict[str, Node] = {}  # of all iterations so far: D⁺ grows
    models: dict[str, Node] = {}
    panels: dict[str, Node] = {}
    critics: dict[str, Node] = {}
    made = {"experts": experts}
    for i in range(1, schedule.iterations + 1):
        before = models.get(numbered("model", i - 1))  # none before behaviour cloning: the base
        if before:
            reads = {"model": before, "experts": experts}
            explored = _explore(schedule, stage, i - 1, reads, critics)  # lines 3–9
            simulations[numbered("simulations", i - 1)] = explored
        explorer = {"model": before} if before else {}  # whose simulations these are
        examples = stage("select", f"{i}", {"experts": experts, **simulations, **explorer})  # lines 10–13
        trained_on = {"examples": examples, "model": before} if before else {"examples": examples}
        models[numbered("model", i)] = model = stage("train", f"{i}", trained_on)  # line 14
        panels[numbered("dev", i)] = stage("evaluate", f"{i}", {"model": model}, split="dev")
        made[numbered("select", i)] = examples
    # "we select the best model from all iterations": on the dev panel, and only then is the test panel seen
    critic = _latest(critics) if schedule.searches_at_test else {}
    made["test"] = stage("evaluate", "test", {**models, **panels, **critic}, split="test")
    return {**made, **critics, **simulations, **models, **panels}


def preference_rounds(schedule: Schedule, stage: Stage) -> dict[str, Node]:
    """Plan ETO's stages: behaviour cloning, then rounds of exploration and DPO; named as by `algorithm_1`.

    A round's simulations are of the model that it starts from, which is also π_ref; earlier rounds' give no pairs
    unless the method replays some. With trees in place of simulations and `pairs` of them it is Agent Q's Algorithm 1.
    """
    experts = stage("expert", "", {})
    examples = stage("select", "1", {"experts": experts})
    made = {"experts": experts, numbered("select", 1): examples}
    model = stage("train", "1", {"examples": examples})
    models = {numbered("model", 1): model}
    panels = {numbered("dev", 1): stage("evaluate", "1", {"model": model}, split="dev")}
    critics: dict[str, Node] = {}
    rounds: list[Node] = []  # the newest first
    for i in range(2, schedule.iterations + 1):
        before = model
        reads = {"model": before, "experts": experts}
        explored = _explore(schedule, stage, i - 1, reads, critics)
        replayed = {numbered("earlier", n): r for n, r in enumerate(rounds[: schedule.replay], start=1)}
        pairs = stage("preferences", f"{i}", {**reads, "simulations": explored, **replayed})
        rounds.insert(0, explored)
        models[numbered("model", i)] = model = stage("dpo", f"{i}", {"preferences": pairs, "model": before})
        panels[numbered("dev", i)] = stage("evaluate", f"{i}", {"model": model}, split="dev")
        made.update({numbered("simulations", i - 1): explored, numbered("preferences", i): pairs})
    critic = _latest(critics) if schedule.searches_at_test else {}
    made["test"] = stage("evaluate", "test", {**models, **panels, **critic}, split="test")
    return {**made, **critics, **models, **panels}


LATER = frozenset({"choose", "keep"})
"""Parameters of select that cloning does not read: methods that differ in them alone begin alike."""

ALGORITHMS = {"sft": algorithm_1, "dpo": preference_rounds}
"""By how a method learns from its second iteration on."""


def plan(params: Params, notebooks: Mapping[str, Notebook]) -> list[Node]:
    """Return every stage of `params` once, each after what it reads; the last is the report over all methods."""
    nodes = Nodes()
    report = notebooks["report"]
    inputs = stages_of(params, notebooks, nodes)
    add(nodes, params.run, "report", report, values_of(params, notebooks, "report", None), inputs)
    return list(nodes.values())


def values_of(
    params: Params, notebooks: Mapping[str, Notebook], stage: str, method: Method | None
) -> dict[str, Value]:
    """Return every unreserved parameter of a stage's notebook, as `Params.values` does.

    Where the expert is a `file`, a benchmark without options is the one that shows the pages recorded there.
    """
    values = params.values(notebooks[stage], method)
    file = expand_variables(params.values(notebooks["expert"], method).get("file"))
    if isinstance(file, str) and "benchmark" in values:
        values["benchmark"] = _benchmark_of_file(str(values["benchmark"]), file)
    return values


@cache
def _benchmark_of_file(benchmark: str, file: str) -> str:
    try:
        return name_as_recorded(benchmark, recorded_pages(file))
    except EefError:  # the stage that reads the file says what is wrong with it
        return benchmark


def stages_of(params: Params, notebooks: Mapping[str, Notebook], nodes: Nodes) -> dict[str, Node]:
    """Return the stages of every method of `params`, as `<method>/<stage>`, and add the new ones to `nodes`."""

    def stage(method: Method, name: str, which: str, inputs: Inputs, *, split: str = "") -> Node:
        swapped = (own for own, other in SWAPS.items() if other == name and own in method.stages)
        name = next(swapped, name) if split != "dev" else name
        notebook = notebooks[name]
        values = values_of(params, notebooks, name, method)
        planned: dict[str, Value] = {"iteration": int(which) if which.isdecimal() else 0, "split": split}
        if (name, which) == ("select", "1"):
            planned |= {k: p.default for k, p in notebook.parameters.items() if k in LATER}
        values.update({k: v for k, v in planned.items() if k in notebook.parameters})
        return add(nodes, params.run, f"{name}.{which}" if which else name, notebook, values, inputs)

    found: dict[str, Node] = {}
    for method in params.methods:
        learn = ALGORITHMS[method.learn]
        made = learn(schedule_of(params, notebooks, method), partial(stage, method))
        found.update(StageInputs(made).under(method.name))
    return found


def add(
    nodes: Nodes,
    run: str,
    label: str,
    notebook: Notebook,
    values: Mapping[str, Value],
    inputs: Inputs,
) -> Node:
    """Return the stage of `notebook` with `values`, found in `nodes` by its identity or added there."""
    code = nodes.code.code_of(notebook.name, values)
    key = identity(notebook.name, values, {k: n.identity for k, n in inputs.items()}, code)
    return nodes.setdefault(key, Node(run, label, notebook, values, StageInputs(inputs), key, code))


def name_folders(inputs: Inputs) -> str:
    """Return the value of a notebook's parameter `inputs`: JSON of each input's folder under the results root."""
    root = stages.results_root()
    folders = {name: node.folder.relative_to(root).as_posix() for name, node in inputs.items()}
    return json.dumps(folders, ensure_ascii=False)


def upstream(nodes: Iterable[Node]) -> list[Node]:
    """Return `nodes` and all stages that they read, directly or not, each once and after its inputs."""
    found: dict[Node, None] = {}

    def visit(node: Node) -> None:
        if node not in found:
            for read in node.inputs.values():
                visit(read)
            found[node] = None

    for node in nodes:
        visit(node)
    return list(found)


def list_methods(methods: Iterable[str], most: int = 4) -> str:
    """Return the names of `methods` as text, at most `most` of them, without a suite's seed and run before them."""
    names = list(dict.fromkeys(method.rpartition("/")[2] for method in methods))
    rest = len(names) - most
    return ", ".join(names) if rest <= 0 else f"{', '.join(names[:most])} and {rest} more"


def methods_by_stage(inputs: Iterable[StageInputs[K]]) -> dict[K, list[str]]:
    """Return the methods that each stage serves, by the inputs of reports."""
    serves: dict[K, dict[str, None]] = defaultdict(dict)
    for reads in inputs:
        for method, own in reads.by_folder().items():
            for stage in own.values():
                serves[stage][method] = None
    return defaultdict(list, {stage: list(names) for stage, names in serves.items()})
