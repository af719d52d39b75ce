"""Print tables in a terminal: a plan that is not run yet, and a run from its records."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby

from rich.console import Console
from rich.table import Table

from eefcore.errors import StoreError
from eefcore.evaluation.formatting import compact
from eefcore.runs import estimate
from eefcore.runs.changes import reasons
from eefcore.runs.plan import Node, list_methods, methods_by_stage
from eefcore.selection.best_model import best_on_dev
from eefcore.storage import stages
from eefcore.storage.metrics_log import Metric
from eefcore.storage.stage_inputs import StageInputs
from eefcore.storage.stages import StageRecord

PIPED = 160  # columns


def show_plan(nodes: Sequence[Node], console: Console | None = None) -> None:
    """Print each stage: its folder, the methods it serves, what it reads, what differs from its notebook.

    Of the runs of a suite, which are alike, the first; of the others how much there is to do.
    """
    console = console or _console()
    serves, printed, again = methods_by_stage(n.inputs for n in nodes), set(), reasons(nodes)
    for run, group in groupby(nodes, key=lambda n: n.run):
        own = list(group)
        labels = tuple(n.label for n in own)
        if labels in printed:
            todo = sum(not n.finished for n in own)
            console.print(f"results/{run}/: the same {len(own)} stages, {todo} to do")
            continue
        printed.add(labels)
        table = _table(f"results/{run}/", "stage", "", "for", "reads", "differs from its notebook")
        for node in own:
            parameters = node.notebook.parameters
            changes = [f"{k}={v}" for k, v in node.params.items() if v != parameters[k].default]
            table.add_row(
                node.folder.name,
                "finished" if node.finished else "to do again" if node in again else "to do",
                list_methods(serves[node]) or "all",
                ", ".join(n.label for n in node.inputs.values()) if serves[node] else "",
                ", ".join(changes),
            )
        console.print(table)
        for node in [n for n in own if n in again]:
            console.print(f"{node.folder.name} is computed again: {again[node]}")
    todo = sum(not n.finished for n in nodes)
    console.print(f"{len(nodes)} stages, {todo} to do. Nothing was started.")
    if estimate.total(map(estimate.work, nodes)) != estimate.Work():
        _show_work(nodes, serves, console)
        _show_memory(nodes, console)


def _console() -> Console:
    """Return the terminal; a file or a pipe gets a width at which no number is broken."""
    console = Console(markup=False, highlight=False)
    return console if console.is_terminal else Console(markup=False, highlight=False, width=PIPED)


def _show_work(nodes: Sequence[Node], serves: Mapping[Node, list[str]], console: Console) -> None:
    """Print the estimated work of each method, finished or not; of a suite, of its first seed, and the sum of all."""
    title = "estimated work: simulations, rows and optimiser steps at most; the rest by typical episodes"
    played = ("simulations", "evaluated", "env steps", "written", "read")
    table = _table(title, "method", *played, "rows", "updates", "trained on")
    first = [node for node in nodes if node.run == nodes[0].run]
    for method in dict.fromkeys(name.rpartition("/")[0] for name in nodes[-1].inputs):
        own = [node for node in first if method in serves[node]]
        if own:
            name = method.partition("/")[2] or method
            table.add_row(name, _simulations(own), *_amounts(estimate.total(map(estimate.work, own))))
    whole = estimate.total(map(estimate.work, nodes))
    table.add_row("all, each stage once", f"{whole.simulations:,}", *_amounts(whole))
    table.add_row("… at most", "", "", *map(compact, whole.most))
    console.print(table)
    if whole.demonstrations:
        console.print(
            f"language models play {whole.demonstrations:,} episodes as experts, whose tokens are among these"
        )
    console.print("written, read, trained on: tokens; at most: every episode as long as it may be")


def _simulations(nodes: Sequence[Node]) -> str:
    """Return the simulations of each iteration as text: `3 × 2,835` where they are alike."""
    counts = (estimate.work(n).simulations for n in nodes if n.notebook.stage in ("explore", "search"))
    alike = ((n, len(list(group))) for n, group in groupby(counts))
    return " + ".join(f"{times} × {n:,}" if times > 1 else f"{n:,}" for n, times in alike) or "0"


def _amounts(work: estimate.Work) -> list[str]:
    amounts = (*work.typical, work.rows, work.optimiser_steps, work.tokens_trained)
    return [f"{work.evaluated:,}", *map(compact, amounts)]


def _show_memory(nodes: Sequence[Node], console: Console) -> None:
    """Print the memory that each kind of training and playing takes on one device."""
    found = estimate.memory(nodes, cache(estimate.model_shape))
    for base in dict.fromkeys(use.base for use in found):
        uses = {use.what: memory for use, memory in found.items() if use.base == base}
        if None in uses.values():
            console.print(f"{base}: no estimate of its memory, its config.json is not on this machine")
            continue
        title = f"{base}: estimated memory on one device, GB; playing in bfloat16 (on a CPU twice that)"
        parts = ("weights", "gradients", "AdamW", "activations", "cache", "in all", "or, recomputed")
        table = _table(title, "", *parts)
        for what, memory in uses.items():
            table.add_row(what, *_gigabytes(memory or estimate.Memory(0)))
        console.print(table)
    if device := estimate.device_memory():
        for line in estimate.misfits(found, device):
            console.print(f"Does not fit. {line}")


def _gigabytes(memory: estimate.Memory) -> Iterable[str]:
    """Return the parts of the memory, their sum, and the sum if activations are computed again."""
    weights, gradients, optimiser, activations, _, cached = memory
    again = memory.total(recompute=True) if activations else 0
    for n in (weights, gradients, optimiser, activations, cached, memory.total(recompute=False), again):
        yield f"{n / 1e9:,.{0 if n >= 1e10 else 2}f}" if n else ""


def show_run(run: str, console: Console | None = None) -> None:
    """Print the finished stages of `run` with what each took and measured, and the folder of each method's chosen model."""
    console = console or _console()
    records = stages.finished_stages(run)
    if not records:
        raise StoreError(
            f"{stages.run_folder(run)}: no finished stage; runs are named as in their params files"
        )
    serves = methods_by_stage(StageInputs(r.inputs) for r in records)
    headings = ("stage", "for", "seconds", "attempts", "env steps", "tokens trained", "$")
    table = _table(f"results/{run}/", *headings)
    for r in records:
        spent = (r.cost.env_steps, r.cost.tokens_trained, round(r.cost.money, 2))
        costs = (f"{n:,}" if n else "" for n in spent)
        table.add_row(_name(r), ", ".join(serves[r.identity]), f"{r.seconds:.0f}", str(r.attempts), *costs)
    console.print(table)
    for notebook in sorted({r.notebook for r in records}):
        own = [r for r in records if r.notebook == notebook]
        table = _table(notebook, "", *map(_name, own))
        for key in sorted({key for r in own for key in r.metrics if not key.startswith("cost/")}):
            table.add_row(key, *(_cell(r.metrics.get(key)) for r in own))
        if table.row_count:
            console.print(table)
    for record in records:
        if model := _chosen_model(run, record, records):
            console.print(f"model of {', '.join(serves[record.identity])}: {model}")


def _chosen_model(run: str, record: StageRecord, records: Iterable[StageRecord]) -> str:
    """Return the model that an evaluation on the test panel chose, as a folder from the workspace; nothing of other stages."""
    labels = {r.identity: r.label for r in records}
    if record.params.get("split") != "test" or not {*record.inputs.values()} <= labels.keys():
        return ""
    folders = {name: stages.stage_folder(run, labels[key], key) for name, key in record.inputs.items()}
    model = best_on_dev(StageInputs(folders)) / "model"
    return os.path.relpath(model, stages.workspace()) if model.is_dir() else ""


def _table(title: str, *headings: str) -> Table:
    table = Table(*headings, title=title, title_justify="left", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for column in table.columns:
        column.overflow = "fold"
    return table


def _name(record: StageRecord) -> str:
    return f"{record.label}-{record.identity[:8]}"


def _cell(value: Metric) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
