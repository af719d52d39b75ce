"""Read a params file, and check it against the notebooks before anything starts.

    run: quickstart                 results/quickstart/
    shared:                         given to every stage whose notebook has a parameter of that name
      seed: 0
    stages:                         a notebook's name without the number, for all methods
      train: {epochs: 6, learning_rate: 1.0e-3}
    methods:
      RFT×6: {iterations: 3, explore: {samples: 6, M: 0}}
      EEF:   {iterations: 3, explore: {samples: 1, M: 5}}
      ETO:   {iterations: 4, learn: dpo, explore: {M: 0}}

`learn` is how a method learns from its second iteration on: `sft` on selected solutions, the default, or `dpo` on
preferences. A method that names `search` grows trees where others explore, one that names `pairs` takes its preferences
from what it did itself, and one that names `decide` searches at test time (`SWAPS`); one that names `tune` has the
critic learn from each search, too. The nearest entry wins: method, then stages, then shared, then the notebook's default.

`${NAME}` in a text value stands for an environment variable: checked here, expanded only where a stage
runs, so that files and records keep the name and never a path of this machine.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from yaml.constructor import ConstructorError

from eefcore.errors import ParamsError, suggest
from eefcore.runs.notebook import Notebook, Parameter, shorten
from eefcore.storage.stages import check_run_name
from eefcore.types import Value
from eefcore.variables import VARIABLE

RESERVED = frozenset({"run", "label", "inputs"})
"""Parameters that say where a stage stands and not what it computes: filled by the pipeline, part of no identity."""

PLANNED = frozenset({"iteration", "split"})
"""Parameters that belong to the identity and that a params file may not set: i and the panel come from the algorithm."""

SWAPS: Mapping[str, str] = {"search": "explore", "pairs": "preferences", "decide": "evaluate"}
"""Stages that a method has by naming them, and those whose place they take; of `evaluate`, the test panel's."""

STAGES = ("expert", "select", "train", "explore", "preferences", "dpo", "evaluate", *SWAPS, "tune", "report")
"""The stages of the algorithms, each a notebook."""

MOST_ITERATIONS = 100
"""Iterations of a method at most: each is several stages, and reads those of all before it."""

LONGEST_TEXT = 1_000
"""Characters of a key or a text value at most; a longer one is a slip, and no message can show it."""

LONGEST_NAME = 255
"""Bytes between two slashes at most: what file systems take as the name of one file."""

LONGEST_METHOD = 100
"""Characters of a method's name at most: it heads tables, figures and folders of a report."""

LEARN: Mapping[str, Sequence[str]] = {"sft": (), "dpo": ("preferences", "pairs", "dpo")}
"""How a method may learn, and the stages that only such a method has."""

Values = Mapping[str, Value]


class Method(NamedTuple):
    """One of the compared methods: its iterations I, how it learns, and the parameters that it sets differently."""

    name: str
    iterations: int
    learn: str
    stages: Mapping[str, Values]


class Params(NamedTuple):
    """A params file that fits its notebooks."""

    path: Path
    run: str
    shared: Values
    stages: Mapping[str, Values]
    methods: tuple[Method, ...]

    def values(self, notebook: Notebook, method: Method | None) -> dict[str, Value]:
        """Return every unreserved parameter of `notebook` as `method` sets it; None: as all methods share it."""
        shared = {k: v for k, v in self.shared.items() if k in notebook.parameters}
        own = method.stages.get(notebook.stage, {}) if method else {}
        defaults = {p.name: p.default for p in notebook.parameters.values()}
        merged = {**defaults, **shared, **self.stages.get(notebook.stage, {}), **own}
        return {k: notebook.parameters[k].read(v) for k, v in merged.items() if k not in RESERVED}


def read_params(path: Path, notebooks: Mapping[str, Notebook]) -> Params:
    """Read the params file at `path`, and check every key and value of it."""
    return _Reader(path, notebooks).params(read_yaml(path))


def read_yaml(path: Path) -> dict[str, object]:
    """Read a YAML file that is one mapping; a key that is given twice is an error."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Unique)
    except (OSError, yaml.YAMLError) as error:
        raise ParamsError(f"{path}: can't be read: {error}; mend the file") from error
    except (ValueError, LookupError, AttributeError, RecursionError) as error:
        # PyYAML's own, of a date that is none, a tag that does not fit, brackets a thousand deep
        raise ParamsError(
            f"{path}: can't be read: a value that YAML has no meaning for ({error}); mend it"
        ) from error
    if not isinstance(content, dict):
        raise ParamsError(f"{path}: must be a mapping of keys, got {type(content).__name__}")
    return content


def checked(where: str, parameter: Parameter, value: object) -> Value:
    """Return `value` as `parameter` takes it, or raise ParamsError at `where`; its variables must be set."""
    try:
        accepted = parameter.read(value)
    except (TypeError, ValueError) as error:
        raise ParamsError(f"{where}: {error} ({parameter.help})") from error
    names = VARIABLE.findall(accepted) if isinstance(accepted, str) else []
    if missing := next((name for name in names if name not in os.environ), None):
        raise ParamsError(
            f"{where}: set the environment variable {missing} first: {parameter.help} (export {missing}=…)"
        )
    return accepted


def settable(notebook: Notebook) -> list[str]:
    """Return the parameters of `notebook` that a params file may set."""
    return [name for name in notebook.parameters if name not in RESERVED | PLANNED]


def choose(path: Path, where: str, key: object, allowed: Iterable[str]) -> str:
    """Return `key` if it is one of `allowed`, or raise ParamsError with the closest of them."""
    names = list(allowed)
    if key in names:
        return str(key)
    guess = suggest(key, names) if isinstance(key, str) else ""
    raise ParamsError(
        f"{path}: {where} {shorten(key)} is unknown{guess or '.'} Allowed: {', '.join(names) or 'none'}"
    )


class _Unique(yaml.SafeLoader):
    """A YAML loader that refuses a key that is given twice, of which the safe loader takes the second, and endless text."""

    def construct_scalar(self, node: yaml.ScalarNode) -> Any:
        value = super().construct_scalar(node)
        if node.tag == "tag:yaml.org,2002:str" and (refused := _too_long(value)):
            raise ConstructorError(None, None, refused, node.start_mark)
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        if twice := next((key for key, times in keys.items() if times > 1), None):
            raise ConstructorError(None, None, f"given twice: {shorten(twice)}", node.start_mark)
        return super().construct_mapping(node, deep)


def _too_long(text: str) -> str:
    """Return why `text` is too long for a params file, or nothing."""
    if len(text) > LONGEST_TEXT:
        return f"expected text of at most {LONGEST_TEXT:,} characters, got {len(text):,}: {shorten(text)}"
    if (
        longest := max(len(part.encode("utf-8", "surrogatepass")) for part in text.split("/"))
    ) > LONGEST_NAME:
        return (
            f"expected at most {LONGEST_NAME} bytes between two slashes, the longest name of a file, got {longest}: "
            f"{shorten(text)}"
        )
    return ""


class _Reader:
    """The reader of one params file; its path and notebooks are in every message."""

    def __init__(self, path: Path, notebooks: Mapping[str, Notebook]) -> None:
        self.path, self.notebooks = path, notebooks

    def params(self, content: dict[str, object]) -> Params:
        if "suite" in content and "run" not in content:
            raise ParamsError(f"{self.path}: is a suite of params files; run it with `eef suite {self.path}`")
        for key in content:
            choose(self.path, "key", key, ("run", "shared", "stages", "methods"))
        run = content.get("run")
        if not isinstance(run, str):
            raise self.error("run", f"must be the name of the run, as in `run: my_run`, got {shorten(run)}")
        try:
            check_run_name(run)
        except ParamsError as error:
            raise self.error("run", str(error)) from error
        methods = self.mapping("methods", content.get("methods"))
        if not methods:
            raise self.error("methods", "must name at least one, as in `SFT POS: {iterations: 1}`")
        return Params(
            path=self.path,
            run=run,
            shared=self.shared(self.mapping("shared", content.get("shared"))),
            stages=self.stages("stages", self.mapping("stages", content.get("stages"))),
            methods=tuple(self.method(name, entry) for name, entry in methods.items()),
        )

    def shared(self, given: dict[str, object]) -> dict[str, Value]:
        notebooks = [self.notebook(stage) for stage in STAGES]
        allowed = sorted({name for notebook in notebooks for name in settable(notebook)})
        for key, value in given.items():
            choose(self.path, "shared: a parameter of no stage,", key, allowed)
            for notebook in notebooks:
                if key in notebook.parameters:
                    checked(f"{self.path}: shared.{key}", notebook.parameters[key], value)
        return cast("dict[str, Value]", dict(given))  # each value was checked against its parameter

    def method(self, name: object, entry: object) -> Method:
        if (
            not isinstance(name, str)
            or not 1 <= len(name) <= LONGEST_METHOD
            or "/" in name
            or not name.isprintable()
        ):
            raise self.error(
                "methods",
                f"a method's name is printable text without '/', of 1 to {LONGEST_METHOD} characters, got {shorten(name)}",
            )
        where = f"methods.{name}"
        given = self.mapping(where, entry)
        for key in given:
            choose(self.path, f"{where}: key", key, ("iterations", "learn", *STAGES))
        iterations = given.pop("iterations", None)
        if type(iterations) is not int or not 1 <= iterations <= MOST_ITERATIONS:
            raise self.error(
                f"{where}.iterations",
                f"must be a whole number from 1 to {MOST_ITERATIONS}, since each iteration is planned as stages of its "
                f"own before anything starts (the papers have 6 at most); got {shorten(iterations)}",
            )
        learn = choose(self.path, f"{where}.learn:", given.pop("learn", "sft"), LEARN)
        if iterations == 1 and LEARN[learn]:
            raise self.error(
                f"{where}.iterations", f"learn: {learn} begins with the second iteration; give it 2 or more"
            )
        for stage in (stage for how, own in LEARN.items() if how != learn for stage in own):
            if stage in given:
                raise self.error(f"{where}.{stage}", f"a method with learn: {learn} has no such stage")
        for own, other in SWAPS.items():
            if own != "decide" and {own, other} <= {*given}:
                raise self.error(f"{where}.{other}", f"{own} takes its place; say one of the two")
        return Method(name, iterations, learn, self.stages(where, given))

    def stages(self, where: str, given: dict[str, object]) -> dict[str, dict[str, Value]]:
        return {str(key): self.stage(where, str(key), entry) for key, entry in given.items()}

    def stage(self, where: str, key: str, entry: object) -> dict[str, Value]:
        notebook = self.notebook(choose(self.path, f"{where}: notebook", key, STAGES))
        out = {}
        for name, value in self.mapping(f"{where}.{key}", entry).items():
            choose(self.path, f"{where}: {notebook.name}'s parameter", name, settable(notebook))
            out[name] = checked(f"{self.path}: {where}.{key}.{name}", notebook.parameters[name], value)
        return out

    def notebook(self, stage: str) -> Notebook:
        if stage not in self.notebooks:
            raise self.error(stage, f"there is no such notebook; there are {', '.join(self.notebooks)}")
        notebook = self.notebooks[stage]
        if missing := sorted(RESERVED - set(notebook.parameters)):
            raise ParamsError(
                f"{notebook.path}: the parameters cell of a stage must declare {', '.join(missing)}"
            )
        return notebook

    def mapping(self, where: str, value: object) -> dict[str, object]:
        if not isinstance(value, dict | None):
            raise self.error(where, f"must be a mapping, got {type(value).__name__} {shorten(value)}")
        return dict(value or {})

    def error(self, where: str, what: str) -> ParamsError:
        return ParamsError(f"{self.path}: {where}: {what}")
