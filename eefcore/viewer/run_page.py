"""Write every trajectory and search tree of a run as one page, with what each method learned from them.

The files of a stage say what they hold, so a stage of your own shows its records as well. Folders of results may come from
elsewhere: they are read as data, and only the package's own benchmarks are loaded, for their skills.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from eefcore import envs
from eefcore.envs.registry import find_entry
from eefcore.errors import EefError, StoreError
from eefcore.protocols import Skill
from eefcore.search.tree import Tree
from eefcore.storage import stages
from eefcore.storage.records import read_header, read_records
from eefcore.storage.stage_inputs import StageInputs
from eefcore.types import Example, Preference, Trajectory
from eefcore.variables import expand_variables
from eefcore.viewer.content import Content, Mark, Part, Use
from eefcore.viewer.page import write_page
from eefcore.viewer.tokens import Vocabulary, find_vocabulary

FILE = "trajectories.html"
"""The page in the run's folder, beside its report."""

WHOLE = {"experts", "simulations", "panel"}
"""The files that hold all episodes of a stage; another file is named in its part of the page."""

_WORLD = ("benchmark", "data", "sizes", "world_seed")  # parameters of a stage that plays

Skills = Mapping[str, Skill]


class Written(NamedTuple):
    """The page of a run: where it is, and how much it shows."""

    path: Path
    episodes: int
    trees: int


class StageFolder(NamedTuple):
    """A stage whose records are shown: its folder and record, the run's name below the page's, the methods it serves."""

    folder: Path
    run: str
    label: str
    params: Mapping[str, Any]
    models: tuple[Path, ...] = ()
    methods: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The beginning of its links."""
        return f"{self.run}/{self.folder.name}" if self.run else self.folder.name

    @property
    def name(self) -> str:
        """Its label with the methods that it serves, if they are few."""
        return f"{self.label} ({', '.join(self.methods)})" if 0 < len(self.methods) <= 4 else self.label


def run_page(run: str) -> Written:
    """Write the page of a run or a suite to its folder.

    Raises:
        StoreError: no stage of the run has finished, or a file of one is damaged.
    """
    folders = find_stages(stages.run_folder(run))
    if not folders:
        raise StoreError(
            f"{stages.run_folder(run)}: no finished stage; runs are named as in their params files, run it with `eef run`"
        )
    content = collect(run, folders)
    path = write_page(stages.run_folder(run) / FILE, content)
    return Written(path, content.episodes, content.trees)


def find_stages(root: Path) -> list[StageFolder]:
    """Return the finished stages in the folder of a run, and of the runs of a suite, in the order in which they finished."""
    places = [
        path.parent
        for path in root.rglob("stage.json")
        if not any(p.startswith(".") for p in path.relative_to(root).parts)
    ]
    records = sorted(
        ((stages.read_record(f), f) for f in places), key=lambda pair: (pair[0].finished, pair[1])
    )
    by_identity = {record.identity: folder for record, folder in records}
    serves: dict[str, dict[str, None]] = {}
    for record, _ in records:
        for method, inputs in StageInputs(record.inputs).by_folder().items():
            for identity in inputs.values():
                serves.setdefault(identity, {})[method.rpartition("/")[2]] = None
    return [
        StageFolder(
            folder,
            "" if folder.parent == root else folder.parent.relative_to(root).as_posix(),
            record.label,
            record.params,
            tuple(
                by_identity[identity]
                for name, identity in record.inputs.items()
                if StageInputs.kind(name) == "model" and identity in by_identity
            ),
            tuple(serves.get(record.identity, ())),
        )
        for record, folder in records
    ]


def collect(title: str, folders: Iterable[StageFolder], skills: Skills | None = None) -> Content:
    """Return the content of a page on these stages; `skills` stand for those of each stage's own benchmark."""
    content, folders = Content(title), list(folders)
    files = [
        (stage, path, read_header(path).type) for stage in folders for path in record_files(stage.folder)
    ]
    marks, kept = _marks((stage, path, kind) for stage, path, kind in files)
    load = cache(_load_skills)
    vocabulary = cache(_vocabulary)
    for stage, path, kind in files:
        if kind == Trajectory.__name__:
            found = skills
            if found is None:
                found, problem = load(tuple(stage.params.get(name) for name in _WORLD))
                if problem:
                    content.note(problem)
            episodes = read_records(path, Trajectory).list
            keys = [_key(stage, t) for t in episodes]
            for key in keys:
                kept.pop(key, None)
            content.add(
                _part(stage, path),
                episodes,
                skills=found,
                marks=[tuple(marks.get(key, {})) for key in keys],
                vocabulary=vocabulary(stage.models),
            )
        elif kind == Tree.__name__:
            content.add_trees(_part(stage, path, stage.label), read_records(path, Tree).list)
    for stage, part in {part.key: (stage, part) for stage, part, _ in kept.values()}.values():
        own = {key: t for key, (_, p, t) in kept.items() if p.key == part.key}
        content.add(
            part,
            own.values(),
            skills=skills or {},
            marks=[tuple(marks[key]) for key in own],
            vocabulary=vocabulary(stage.models),
        )
    return content


def record_files(folder: Path) -> list[Path]:
    """Return the files of records in a stage's folder, in order; journals of long work are none."""
    return sorted(path for path in folder.glob("*.jsonl") if _is_records(path))


def _is_records(path: Path) -> bool:
    return not path.name.endswith(".journal.jsonl") and not path.name.startswith("metrics")


def _part(stage: StageFolder, path: Path, what: str = "") -> Part:
    stem = path.stem
    others = {p.stem for p in record_files(stage.folder)} & WHOLE
    alone = stem in WHOLE and len(others) == 1
    label = what or (stage.label if alone else f"{stage.label}: {stem}")
    return Part(stage.key if alone and not what else f"{stage.key}/{stem}", label, stage.run, stage.methods)


# ------------------------------------------------------------------------------ what learning did

Key = tuple[str, str, tuple[str, ...], str, int, int, float]


def _key(stage: StageFolder, t: Trajectory) -> Key:
    """Return what an episode is known by among those of a run; another seed may have played the same."""
    return stage.run, t.task_id, t.actions, t.source, t.sample, t.n_expert, t.reward


def _marks(
    files: Iterable[tuple[StageFolder, Path, str]],
) -> tuple[dict[Key, dict[Mark, None]], dict[Key, tuple[StageFolder, Part, Trajectory]]]:
    """Return what learning did with each trajectory, and the trajectories that learning read."""
    marks: dict[Key, dict[Mark, None]] = {}
    kept: dict[Key, tuple[StageFolder, Part, Trajectory]] = {}
    for stage, path, kind in files:
        for use, example in _uses(path, kind):
            key = _key(stage, example.trajectory)
            marks.setdefault(key, {})[Mark(stage.name, use, example.trained_indices)] = None
            kept.setdefault(key, (stage, _part(stage, path, stage.label), example.trajectory))
    return marks, kept


def _uses(path: Path, kind: str) -> Iterator[tuple[Use, Example]]:
    if kind == Example.__name__:
        for example in read_records(path, Example).list:
            yield Use.TRAINED, example
    elif kind == Preference.__name__:
        for pair in read_records(path, Preference).list:
            yield Use.PREFERRED, pair.chosen
            yield Use.REJECTED, pair.rejected


# ------------------------------------------------------------------------------ skills and vocabularies


def _load_skills(world: tuple[Any, ...]) -> tuple[Skills, str]:
    """Return the skills of a stage's benchmark, and why there are none."""
    benchmark, data, sizes, seed = world
    if not benchmark or find_entry(str(benchmark)) is None:
        what = f"benchmark {benchmark}" if benchmark else "stages without a benchmark"
        return {}, f"Navigation skills are counted for the package's own benchmarks, not for {what}."
    try:
        found = envs.load(
            str(benchmark),
            data=str(expand_variables(data or "")),
            sizes=str(sizes or ""),
            seed=int(seed or 0),
        )
    except EefError as error:
        return {}, f"Navigation skills of {benchmark} are not counted: {error}"
    return found.skills, ""


def _vocabulary(models: tuple[Path, ...]) -> Vocabulary | None:
    return next(filter(None, (find_vocabulary(folder / "model") for folder in models)), None)
