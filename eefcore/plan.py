"""The stages that a params file asks for: a DAG, each method EEF Algorithm 1.

    expert ─ select.1 ─ train.1 ┬ explore.1 ─ select.2 ─ train.2 ┬ …      evaluate.test ─ report
                                └ evaluate.1 (dev)               └ evaluate.2 (dev)

A stage is known by what it computes: the hash of its notebook, its parameters (the version it declares
among them) and its inputs' identities. Methods that begin alike therefore share their beginnings, and
what a results folder already holds under that identity is not computed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from eefcore import store
from eefcore.notebook import Notebook, Value
from eefcore.params import Method, Params

K = TypeVar("K")
Inputs = Mapping[str, "Node"]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A stage to be: `inputs` are the stages that it reads, by the names it knows them by.

    A plan holds each stage once, so a node equals only itself.
    """

    run: str
    label: str
    notebook: Notebook
    params: Mapping[str, Value]
    inputs: Inputs
    identity: str

    @property
    def folder(self) -> Path:
        """Where it is, once finished."""
        return store.stage_folder(self.run, self.label, self.identity)

    @property
    def finished(self) -> bool:
        """Whether it is there."""
        return store.finished(self.folder)


class Stage(Protocol):
    """Adds one stage of a method to the plan, or finds it there."""

    def __call__(self, name: str, which: str, inputs: Inputs, *, split: str = "") -> Node:
        """Stage `name`, the `which`-th of its kind: `explore.2`."""


def algorithm_1(iterations: int, stage: Stage) -> dict[str, Node]:
    """EEF §3.2, Algorithm 1, and what a method leaves behind: its stages under the names a report reads.

    What differs between methods is in the parameters: M = 0 is RFT, one iteration behaviour cloning.
    """
    experts = stage("expert", "", {})
    simulations: dict[str, Node] = {}  # of all iterations so far: D⁺ grows
    models: dict[str, Node] = {}
    panels: dict[str, Node] = {}
    made = {"experts": experts}
    for i in range(1, iterations + 1):
        before = models.get(f"model{i - 1}")  # none before behaviour cloning: the base
        if before:
            explored = stage("explore", f"{i - 1}", {"model": before, "experts": experts})  # lines 3–9
            simulations[f"simulations{i - 1}"] = explored
        examples = stage("select", f"{i}", {"experts": experts, **simulations})  # lines 10–13
        trained_on = {"examples": examples, "model": before} if before else {"examples": examples}
        models[f"model{i}"] = model = stage("train", f"{i}", trained_on)  # line 14
        panels[f"dev{i}"] = stage("evaluate", f"{i}", {"model": model}, split="dev")
        made[f"select{i}"] = examples
    # "we select the best model from all iterations": on the dev panel, and only then is the test panel seen
    made["test"] = stage("evaluate", "test", {**models, **panels}, split="test")
    return {**made, **simulations, **models, **panels}


def plan(params: Params, notebooks: Mapping[str, Notebook]) -> list[Node]:
    """Every stage of `params`, each once, what a stage reads before it; last the report over all methods."""
    nodes: dict[str, Node] = {}

    def add(method: Method | None, name: str, which: str, inputs: Inputs, *, split: str = "") -> Node:
        notebook = notebooks[name]
        values = params.values(notebook, method)
        planned: dict[str, Value] = {"iteration": int(which) if which.isdecimal() else 0, "split": split}
        values.update({k: v for k, v in planned.items() if k in notebook.parameters})
        identity = store.identity(notebook.name, values, {k: n.identity for k, n in inputs.items()})
        label = f"{name}.{which}" if which else name
        return nodes.setdefault(identity, Node(params.run, label, notebook, values, dict(inputs), identity))

    compared = {
        f"{method.name}/{name}": node
        for method in params.methods
        for name, node in algorithm_1(method.iterations, partial(add, method)).items()
    }
    add(None, "report", "", compared)
    return list(nodes.values())


def upstream(node: Node) -> list[Node]:
    """What `node` stands on, directly or not, each once and what it reads before it."""
    found: dict[Node, None] = {}

    def visit(reader: Node) -> None:
        for read in reader.inputs.values():
            if read not in found:
                visit(read)
                found[read] = None

    visit(node)
    return list(found)


def methods(inputs: Iterable[Mapping[str, K]]) -> dict[K, list[str]]:
    """The methods that each stage serves, as the inputs of a report, `<method>/<stage>`, tell."""
    serves: dict[K, dict[str, None]] = defaultdict(dict)
    for reads in inputs:
        for name, stage in reads.items():
            method, slash, _ = name.rpartition("/")
            if slash:
                serves[stage][method] = None
    return defaultdict(list, {stage: list(names) for stage, names in serves.items()})
