"""Refuse parameters that no stage could work with together, before anything starts.

`eefcore.runs.ranges` checks each value by itself. Here are the checks of several values, and of the files, models and
functions that they name. None of them loads a model or reads a benchmark's tasks.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

from eefcore.envs.panels import SPLITS, panel_sizes
from eefcore.envs.registry import card_name, check_benchmark, find_entry, typical_episode
from eefcore.errors import EefError, ParamsError, suggest
from eefcore.experts.prompted import expert_name, split_experts
from eefcore.judge.endpoint import check_judge
from eefcore.policies.loading import BASES, check_base
from eefcore.policies.settings import VLLMOptions, read_engine
from eefcore.rendering.formats import check_format, read_template_args
from eefcore.rollout.finders import check_finder
from eefcore.runs.plan import Node, upstream
from eefcore.selection.orders import check_order
from eefcore.storage import stages
from eefcore.tracking.secrets import refuse_secrets
from eefcore.types import Value
from eefcore.variables import expand_variables

Values = Mapping[str, Any]
Passed = set[tuple[object, ...]]
"""Checks that were passed, each with the values that it read."""


def check_nodes(path: object, nodes: Iterable[Node]) -> None:
    """Refuse a plan if a stage could not work with its parameters.

    Raises:
        ParamsError: the stage, its parameter, what was expected and found; `path` is the file that was planned.
    """
    seen: set[frozenset[tuple[str, Value]]] = set()
    passed: Passed = set()
    for node in nodes:
        before = upstream([node])
        inherited = {
            name: next((n.params[name] for n in reversed(before) if name in n.params), None)
            for name in ("benchmark", "sizes", "lora_r", "expert", "file")
        }
        values = {**inherited, **node.params}
        key = frozenset({**values, "stage": node.notebook.stage, "seed": 0}.items())
        try:
            refuse_secrets({**node.params, "run": node.run, "methods": [*node.inputs]})
            if node.params.get("ask"):
                raise ParamsError(
                    "ask: a run has nobody to ask; leave it out, or open the notebook in JupyterLab and set it there"
                )
            if key not in seen:
                check_values(node.notebook.stage, values, passed)
            if node.notebook.stage not in ("report", "suite"):  # they read the stages of several methods
                _check_text_form(node, before)
        except EefError as error:
            raise ParamsError(f"{path}: {node.label}: {error}") from error
        seen.add(key)


def check_values(stage: str, values: Mapping[str, Value], passed: Passed | None = None) -> None:
    """Refuse parameters with which a stage could not work; a check is made if all its parameters are given.

    Args:
        stage: the name of its notebook without the number.
        values: its parameters, and of the stages before it the benchmark, its sizes, the rank of the adapter, and the
            experts or their file.
        passed: the checks that other stages of a plan passed, which are not made again; those of this stage are added.
            So the files of a shop are read once a plan, not once for each of its stages.
    """
    given = {name: expand_variables(value) for name, value in values.items() if value is not None}
    given["stage"] = stage
    passed = set() if passed is None else passed
    with _path_of_stages():
        for check, needed, optional in _CHECKS:
            if all(name in given for name in needed):
                read = {name: given[name] for name in (*needed, *optional) if name in given}
                key = check, *read.items()
                if key not in passed:
                    check(read)
                passed.add(key)


def _check_text_form(node: Node, before: Iterable[Node]) -> None:
    """Refuse a stage that writes dialogues in another text form than the stage that trained its model."""
    trained = next((n for n in before if n.notebook.stage == "train"), node)
    for name in ("format", "template_args"):
        own, expected = (_text_form(n.params, name) for n in (node, trained))
        if name in node.params and own != expected:
            raise ParamsError(
                f"{name} {node.params[name]!r}: expected {trained.params[name]!r} as in {trained.label}, since a model "
                f"is trained and played in one text form; give {name} once, under `shared:`"
            )


def _text_form(params: Values, name: str) -> object:
    """Return the value of a parameter of the text form; template arguments are compared by what they say."""
    value = expand_variables(params.get(name))
    if name != "template_args":
        return value
    return read_template_args(None if value is None else str(value))


@contextmanager
def _path_of_stages() -> Generator[None]:
    """Look for modules of the user's own where a stage finds them: notebooks run in their folder."""
    folder = str(stages.workspace() / "notebooks")
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _check_benchmark(given: Values) -> None:
    check_benchmark(given["benchmark"], data=given["data"], sizes=given["sizes"])


def _check_panels(given: Values) -> None:
    if not (sizes := given["sizes"]):
        return
    entry, panels = find_entry(given["benchmark"]), panel_sizes(sizes)
    needed = {"expert": ("train",), "explore": ("train",), "search": ("train",)}.get(given["stage"], ())
    for split in (*needed, *((given["split"],) if given.get("split") else ())):
        all_of_them = (
            entry is None or entry.source == "simulated" or (entry.source, split) == ("files", "train")
        )
        if panels[SPLITS.index(split)] == 0 and not all_of_them:
            raise ParamsError(
                f"sizes {sizes}: must have a {split} task at least, as in 400/100/300 (train/dev/test)"
            )


def _check_tiny_base(given: Values) -> None:
    """Refuse a generated shop so large that its product ids are of words which the tiny bases never learned to copy."""
    entry, tasks = find_entry(given["benchmark"]), sum(panel_sizes(given["sizes"] or "0/0/0"))
    if given["base"] in BASES and entry is not None and 0 < entry.tiny_tasks < tasks:
        raise ParamsError(
            f"sizes {given['sizes']}: {tasks} tasks are asked for, and base {given['base']} can copy the product ids of "
            f"{entry.tiny_tasks} tasks at most; ask for fewer, or train a base of your own with notebooks/01_base"
        )


def _check_tasks(given: Values) -> None:
    if given.get("file"):
        raise ParamsError(
            f"tasks {given['tasks']}: the trajectories of `file` say which; leave one of the two out"
        )
    most = panel_sizes(given["sizes"]).train if given["sizes"] else 0  # 0: all that there are
    if given["tasks"] > (most or given["tasks"]):
        raise ParamsError(
            f"tasks {given['tasks']}: there are {most} training tasks in sizes {given['sizes']}; ask for more there"
        )


def _check_context(given: Values) -> None:
    """Refuse a context that not even one turn fits into, with the answer where a policy plays."""
    answer, context, format = given.get("max_new_tokens", 0), given["context"], given["format"]
    entry = find_entry(given["benchmark"])
    known = entry is not None and format in entry.episodes
    episode = typical_episode(given["benchmark"], format)
    dialogue = episode.read + episode.written
    turn = dialogue // episode.steps if known else 1
    if context < turn + answer:
        measured = (
            f"; a turn in format {format} takes about {turn} tokens, and a dialogue about {dialogue}" * known
        )
        room = f" beside an answer of max_new_tokens {answer}" if answer else ""
        raise ParamsError(
            f"context {context}: must have room for one turn of a dialogue at least{room}{measured}. Raise context to "
            f"{dialogue + answer if known else 2 * (answer + 1)} or more"
        )


def _check_rank(given: Values) -> None:
    engine = read_engine(given["engine"])
    if isinstance(engine, VLLMOptions) and given["lora_r"] > (engine.max_lora_rank or 512):
        raise ParamsError(
            f"lora_r {given['lora_r']}: engine {given['engine']} plays adapters of rank {engine.max_lora_rank or 512} at "
            "most; lower lora_r in train, or name engine: hf"
        )


def _check_simulations(given: Values) -> None:
    if given["samples"] == given["M"] == 0:
        raise ParamsError(
            "samples and M are both 0, so nothing would be simulated; give one of them 1 or more, or the method one "
            "iteration (behaviour cloning)"
        )


def _check_file(given: Values) -> None:
    for name in filter(None, map(str.strip, given["file"].split(" + "))):
        if not (path := stages.workspace() / name).is_file():
            found = "a folder" if path.is_dir() else "nothing"
            raise ParamsError(
                f"file {name}: expected a file of trajectories there, seen from the workspace, got {found}; mend the path, "
                "or leave `file` out to play an expert"
            )


def _check_expert(given: Values) -> None:
    """Refuse the name of an expert that does not play; who is in a file only the stage that reads it knows."""
    if "file" in given or not card_name(given["benchmark"]):  # experts of your own may have any names
        return
    specs = split_experts(given["expert"])
    names = {name for spec in specs for name in (spec, spec.partition("?")[0], expert_name(spec))}
    for parameter in ("clone_from", "explore_from"):
        if (name := given.get(parameter)) and name not in names:
            raise ParamsError(
                f"{parameter} {name!r}: no expert of that name plays{suggest(name, specs) or ';'} `expert` of 02_expert "
                f"says {' + '.join(specs)}"
            )


def _check_order(given: Values) -> None:
    if ":" in given["choose"]:
        check_order(given["choose"])


class _Check(NamedTuple):
    """A check, the parameters that it needs, and those that it also reads where they are given; it sees no others."""

    check: Callable[[Values], object]
    needed: tuple[str, ...]
    optional: tuple[str, ...] = ()


_CHECKS = (
    _Check(_check_benchmark, ("benchmark", "data", "sizes")),
    _Check(_check_panels, ("benchmark", "sizes", "stage"), ("split",)),
    _Check(_check_tasks, ("tasks", "sizes"), ("file",)),
    _Check(lambda given: check_base(given["base"]), ("base",)),
    _Check(_check_tiny_base, ("base", "benchmark", "sizes")),
    _Check(lambda given: read_engine(given["engine"]), ("engine",)),
    _Check(lambda given: check_judge(given["judge"]), ("judge",)),
    _Check(
        lambda given: check_format(given["format"], given.get("template_args")),
        ("format",),
        ("template_args",),
    ),
    _Check(
        lambda given: check_finder(given["finder"], repeats=given["repeats"]),
        ("finder", "repeats"),
    ),
    _Check(_check_order, ("choose",)),
    _Check(_check_file, ("file",)),
    _Check(_check_expert, ("benchmark", "expert"), ("file", "clone_from", "explore_from")),
    _Check(
        lambda given: check_format(given["prompt"], given.get("template_args")),
        ("prompt",),
        ("template_args",),
    ),
    _Check(_check_simulations, ("samples", "M")),
    _Check(_check_rank, ("engine", "lora_r")),
    _Check(_check_context, ("benchmark", "format", "context"), ("max_new_tokens",)),
)
"""The checks of a stage."""
