"""Write the card of a trained model, README.md beside its weights: what it scored, what it cost, how it was made.

Everything comes from the records of the run that trained it. A number stands with its n and its interval, beside the key of
the environment card that it was measured under, and says which signals a search saw.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from eefcore.errors import StoreError
from eefcore.evaluation.formatting import compact, duration, interval, percent
from eefcore.evaluation.stats import Estimate
from eefcore.runs.params import read_yaml
from eefcore.runs.plan import methods_by_stage
from eefcore.selection.best_model import best_on_dev
from eefcore.storage import stages
from eefcore.storage.cost import Cost, total_cost
from eefcore.storage.disk import write_atomically
from eefcore.storage.stage_inputs import StageInputs
from eefcore.storage.stages import StageRecord
from eefcore.training.model_files import ADAPTER, is_adapter, read_json

CARD = "README.md"


class _Run(NamedTuple):
    """The run of a model: its name, its records by identity, and the record of the stage that trained the model."""

    name: str
    records: dict[str, StageRecord]
    training: StageRecord

    def folder(self, identity: str) -> Path:
        return stages.stage_folder(self.name, self.records[identity].label, identity)

    def before(self, record: StageRecord) -> list[StageRecord]:
        """Return `record` and all stages of the run that it follows from, each once, the earliest first."""
        found: dict[str, StageRecord] = {}

        def visit(one: StageRecord) -> None:
            for identity in one.inputs.values():
                if identity in self.records and identity not in found:
                    visit(self.records[identity])
            found[one.identity] = one

        visit(record)
        return list(found.values())


def write_model_card(folder: Path) -> Path:
    """Write README.md into the folder of a model that a stage has trained, and return its path; an older card is replaced.

    Raises:
        StoreError: no finished stage keeps this model.
    """
    path = folder / CARD
    write_atomically(path, model_card(folder).encode())
    return path


def model_card(folder: Path) -> str:
    """Return the card of the model in `folder`, `results/<run>/<stage>-<hash>/model`, as Markdown with a YAML heading.

    Raises:
        StoreError: no finished stage keeps this model.
    """
    run = _run_of(folder.resolve())
    record = run.training
    methods = methods_by_stage(StageInputs(r.inputs) for r in run.records.values())[record.identity]
    sections = [
        "\n".join(_heading(folder)),
        f"# {run.name}: {record.label}",
        f"A language model that acts in {record.card.name if record.card else 'a text environment'}, "
        f"{'a LoRA adapter on' if is_adapter(folder) else 'trained from'} `{_base(folder, record)}` by eefcore"
        + (f", method {', '.join(methods)}." if methods else "."),
        "## Results",
        *_results(run, folder.resolve().parent),
        "## Data and cost",
        *_data(run),
        "## How it was made",
        *_making(run),
        "## Environment card",
        *_environment(record),
    ]
    return "\n\n".join(sections) + "\n"


def _run_of(folder: Path) -> _Run:
    stage = folder.parent
    if not (stage / "stage.json").is_file():
        raise StoreError(
            f"{folder}: expected the model of a finished stage, as results/<run>/train.1-0a1b2c3d/model, got a folder "
            "without a stage.json beside it; `eef show RUN` prints the models of a run"
        )
    root, training = stages.results_root().resolve(), stages.read_record(stage)
    if not stage.is_relative_to(root):
        raise StoreError(
            f"{folder}: expected a model under the results in {root}; name its root in EEF_RESULTS, or change into its "
            "workspace"
        )
    name = stage.parent.relative_to(root).as_posix()
    return _Run(name, {r.identity: r for r in stages.finished_stages(name)}, training)


def _heading(folder: Path) -> Iterator[str]:
    """Yield the lines that a hub reads; a base is named only if it is a hub's."""
    adapter = is_adapter(folder)
    yield from (
        "---",
        f"library_name: {'peft' if adapter else 'transformers'}",
        "pipeline_tag: text-generation",
    )
    if adapter and (base := hub_base(folder)):
        yield f"base_model: {json.dumps(base)}"
    yield from ("tags: [eefcore, agent]", "---")


def hub_base(adapter: Path) -> str:
    """Return the hub name of the base that an adapter was trained on; empty if it is a folder or a stored model."""
    name = str(read_json(adapter / ADAPTER).get("base_model_name_or_path") or "")
    parts = name.split("/")
    return name if len(parts) == 2 and all(parts) and parts[0] not in (".", "..", "~") else ""


def _base(folder: Path, record: StageRecord) -> str:
    return (hub_base(folder) if is_adapter(folder) else "") or str(record.params.get("base", "its base"))


def _results(run: _Run, stage: Path) -> Iterator[str]:
    rows = []
    for record in run.records.values():
        if "eval/win_rate" not in record.metrics or "split" not in record.params:
            continue
        if not {*record.inputs.values()} <= run.records.keys():
            continue
        played = best_on_dev(StageInputs({name: run.folder(i) for name, i in record.inputs.items()}))
        if played.resolve() == stage:
            rows.append(_evaluation(record))
    if not rows:
        yield "This model was not evaluated in its run."
        return
    head = ("panel", "how", "n", "win rate (95 %)", "mean reward", "skills won / used", "environment")
    yield _table(head, sorted(rows))
    yield (
        "A win is a reward of exactly 1. Intervals are Wilson's, over the tasks of this one seed; episodes that the "
        "infrastructure spoilt are in no denominator."
    )


def _evaluation(record: StageRecord) -> tuple[str, ...]:
    metrics = record.metrics
    value, low, high, reward = (
        _number(metrics.get(f"eval/{key}")) for key in ("win_rate", "win_rate_low", "win_rate_high", "reward")
    )
    n, lost = int(_number(metrics.get("eval/n"))), int(_number(metrics.get("eval/n_unjudged", 0)))
    how, params = "plain", record.params
    if "signal" in params:
        how = f"{params['how']}, {params['simulations']} simulations; the search saw the {params['signal']}"
    skills = [
        key.removeprefix("nav/").removesuffix("_success") for key in metrics if key.endswith("_success")
    ]
    used = (
        f"{skill} {percent(_number(metrics[f'nav/{skill}_success']))} / {percent(_number(metrics[f'nav/{skill}_attempt']))}"
        for skill in skills
        if f"nav/{skill}_attempt" in metrics
    )
    return (
        str(params["split"]),
        how,
        f"{n:,}" + (f" ({lost} not judged)" if lost else ""),
        f"{percent(value)} ({interval(Estimate(value, low, high, n))})",
        f"{reward:.2f}",
        ", ".join(used) or "–",
        record.card.key if record.card else "–",
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _data(run: _Run) -> Iterator[str]:
    before = run.before(run.training)
    experts = [r.params.get("file") or r.params.get("expert") for r in before if r.notebook == "02_expert"]
    if experts:
        yield f"Expert: {', '.join(f'`{name}`' for name in dict.fromkeys(map(str, experts)))}."
    head = ("cost", "episodes", "env steps", "tokens written", "read", "trained", "time", "dollars")
    rows = [_cost("of this training", run.training.cost)]
    if len(before) > 1:
        rows.append(
            _cost(f"of it and the {len(before) - 1} stages before", total_cost(r.cost for r in before))
        )
    yield _table(head, rows)


def _cost(what: str, cost: Cost) -> tuple[str, ...]:
    counts = (cost.episodes, cost.env_steps, cost.tokens_written, cost.tokens_read, cost.tokens_trained)
    return (what, *map(compact, counts), duration(cost.seconds), f"{cost.money:.2f}")


def _making(run: _Run) -> Iterator[str]:
    command = run_command(run.name)
    if command:
        yield f"```\n{command}\n```"
    record = run.training
    yield (
        f"The stage is `notebooks/{record.notebook}.ipynb`, its identity `{record.identity[:12]}`, with these parameters:"
    )
    yield (
        "```yaml\n"
        + "\n".join(f"{name}: {json.dumps(value)}" for name, value in record.params.items())
        + "\n```"
    )
    yield f"Versions: {', '.join(f'{name} {version}' for name, version in record.packages.items())}."


def run_command(run: str) -> str:
    """Return the command that makes a run again, if a params file or a suite of this workspace has its name; else empty."""
    folder = stages.workspace() / "params"
    name, _, seed = run.partition("/seed")
    if seed:
        found = _named((folder / "suites").glob("*.yaml"), "suite", name)
        return f"eef suite params/suites/{found} --seeds {seed}" if found else ""
    found = _named(folder.glob("*.yaml"), "run", name)
    return f"eef run params/{found}" if found else ""


def _named(files: Iterable[Path], key: str, name: str) -> str:
    return next((path.name for path in sorted(files) if read_yaml(path).get(key) == name), "")


def _environment(record: StageRecord) -> Iterator[str]:
    if record.card is None:
        yield "Unknown: the training data were made elsewhere."
        return
    yield f"`{record.card.name}`, key `{record.card.key}`. Numbers of other keys are not comparable."
    yield _table(("fact", "value"), [(name, str(value)) for name, value in sorted(record.card.facts.items())])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
