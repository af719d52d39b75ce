"""Print the tables of a run in a terminal, from its records."""

from __future__ import annotations

import os
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from eefcore.errors import StoreError
from eefcore.runs.plan import methods_by_stage
from eefcore.selection.best_model import best_on_dev
from eefcore.storage import stages
from eefcore.storage.metrics_log import Metric
from eefcore.storage.stage_inputs import StageInputs
from eefcore.storage.stages import StageRecord

PIPED = 160  # columns


def show_run(run: str, console: Console | None = None) -> None:
    """Print the finished stages of `run` with what each took and measured, and the folder of each method's chosen model."""
    console = console or make_console()
    records = stages.finished_stages(run)
    if not records:
        raise StoreError(
            f"{stages.run_folder(run)}: no finished stage; runs are named as in their params files"
        )
    serves = methods_by_stage(StageInputs(r.inputs) for r in records)
    headings = ("stage", "for", "seconds", "attempts", "env steps", "tokens trained", "$")
    table = make_table(f"results/{run}/", *headings)
    for r in records:
        spent = (r.cost.env_steps, r.cost.tokens_trained, round(r.cost.money, 2))
        costs = (f"{n:,}" if n else "" for n in spent)
        table.add_row(_name(r), ", ".join(serves[r.identity]), f"{r.seconds:.0f}", str(r.attempts), *costs)
    console.print(table)
    for notebook in sorted({r.notebook for r in records}):
        own = [r for r in records if r.notebook == notebook]
        table = make_table(notebook, "", *map(_name, own))
        for key in sorted({key for r in own for key in r.metrics if not key.startswith("cost/")}):
            table.add_row(key, *(_cell(r.metrics.get(key)) for r in own))
        if table.row_count:
            console.print(table)
    for methods, model in chosen_models(run).items():
        console.print(f"model of {methods}: {model}")


def chosen_models(run: str) -> dict[str, str]:
    """Return the folder of the model that each method of `run` chose on the dev panel, from the workspace."""
    records = stages.finished_stages(run)
    serves = methods_by_stage(StageInputs(r.inputs) for r in records)
    found = {", ".join(serves[r.identity]): _chosen_model(run, r, records) for r in records}
    return {methods: model for methods, model in found.items() if methods and model}


def _chosen_model(run: str, record: StageRecord, records: Iterable[StageRecord]) -> str:
    """Return the model that an evaluation on the test panel chose, as a folder from the workspace; nothing of other stages."""
    labels = {r.identity: r.label for r in records}
    if record.params.get("split") != "test" or not {*record.inputs.values()} <= labels.keys():
        return ""
    folders = {name: stages.stage_folder(run, labels[key], key) for name, key in record.inputs.items()}
    model = best_on_dev(StageInputs(folders)) / "model"
    return os.path.relpath(model, stages.workspace()) if model.is_dir() else ""


def _name(record: StageRecord) -> str:
    return f"{record.label}-{record.identity[:8]}"


def _cell(value: Metric) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def make_console() -> Console:
    """Return the terminal; a file or a pipe gets a width at which no number is broken."""
    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=PIPED)


def make_table(title: str, *headings: str) -> Table:
    """Return an empty table without lines, whose cells are never cut."""
    table = Table(*headings, title=title, title_justify="left", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for column in table.columns:
        column.overflow = "fold"
    return table
