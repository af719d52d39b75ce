"""Tables for a terminal: a plan that is not run yet, and a run from its records."""

from __future__ import annotations

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
from eefcore.storage import stages as store
from eefcore.storage.metrics_log import Metric
from eefcore.storage.stage_inputs import StageInputs
from eefcore.storage.stages import StageRecord

PIPED = 160  # columns


def show_plan(nodes: Sequence[Node], console: Console | None = None) -> None:
    """Print each stage: its folder, the methods it serves, what it reads, what differs from its notebook.

    Of the runs of a suite, which are alike, the first; of the others how much there is to do.
    """
    console = console or _console()
    serves, shown, again = methods_by_stage(n.inputs for n in nodes), set(), reasons(nodes)
    for run, group in groupby(nodes, key=lambda n: n.run):
        stages = list(group)
        alike = tuple(n.label for n in stages)
        if alike in shown:
            todo = sum(not n.finished for n in stages)
            console.print(f"results/{run}/: the same {len(stages)} stages, {todo} to do")
            continue
        shown.add(alike)
        table = _table(f"results/{run}/", "stage", "", "for", "reads", "differs from its notebook")
        for node in stages:
            table.add_row(
                node.folder.name,
                "finished" if node.finished else "to do again" if node in again else "to do",
                list_methods(serves[node]) or "all",
                ", ".join(n.label for n in node.inputs.values()) if serves[node] else "",
                ", ".join(_changes(node)),
            )
        console.print(table)
        for node in stages:
            if node in again:
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
    """Print what each method asks for, finished or not; of a suite, of its first seed, and the sum of all."""
    table = _table(
        "estimated work: simulations, rows and optimiser steps at most; the rest by typical episodes",
        *("method", "simulations", "evaluated", "env steps", "written", "read"),
        *("rows", "updates", "trained on"),
    )
    first = [node for node in nodes if node.run == nodes[0].run]
    for method in dict.fromkeys(name.rpartition("/")[0] for name in nodes[-1].inputs):
        own = [node for node in first if method in serves[node]]
        if own:
            name = method.partition("/")[2] or method
            table.add_row(name, _explored(own), *_worked(estimate.total(map(estimate.work, own))))
    whole = estimate.total(map(estimate.work, nodes))
    table.add_row("all, each stage once", f"{whole.simulations:,}", *_worked(whole))
    table.add_row("… at most", "", "", *map(compact, whole.most))
    console.print(table)
    console.print("written, read, trained on: tokens; at most: every episode as long as it may be")


def _explored(nodes: Sequence[Node]) -> str:
    """Return the simulations of each iteration as text: `3 × 2,835` where they are alike."""
    explored = [estimate.work(n).simulations for n in nodes if n.notebook.stage in ("explore", "search")]
    alike = ((n, len(list(group))) for n, group in groupby(explored))
    return " + ".join(f"{times} × {n:,}" if times > 1 else f"{n:,}" for n, times in alike) or "0"


def _worked(work: estimate.Work) -> list[str]:
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
        table = _table(
            title, "", "weights", "gradients", "AdamW", "activations", "cache", "in all", "or, recomputed"
        )
        for what, memory in uses.items():
            table.add_row(what, *_gigabytes(memory or estimate.Memory(0)))
        console.print(table)


def _gigabytes(memory: estimate.Memory) -> Iterable[str]:
    """Return the parts of the memory, their sum, and the sum if activations are computed again."""
    weights, gradients, optimiser, activations, _, cached = memory
    again = memory.total(recompute=True) if activations else 0
    for n in (weights, gradients, optimiser, activations, cached, memory.total(recompute=False), again):
        yield f"{n / 1e9:,.{0 if n >= 1e10 else 2}f}" if n else ""


def show_run(run: str, console: Console | None = None) -> None:
    """Print the finished stages of `run`, what each took, and what each notebook's stages measured.

    Raises:
        StoreError: there is no such run.
    """
    console = console or _console()
    records = store.finished_stages(run)
    if not records:
        raise StoreError(
            f"{store.run_folder(run)}: no finished stage; runs are named as in their params files"
        )
    serves = methods_by_stage(StageInputs(r.inputs) for r in records)
    table = _table(
        f"results/{run}/", "stage", "for", "seconds", "attempts", "env steps", "tokens trained", "$"
    )
    for r in records:
        spent = (r.cost.env_steps, r.cost.tokens_trained, round(r.cost.money, 2))
        costs = (f"{n:,}" if n else "" for n in spent)
        table.add_row(_name(r), ", ".join(serves[r.identity]), f"{r.seconds:.0f}", str(r.attempts), *costs)
    console.print(table)
    for notebook, group in groupby(sorted(records, key=lambda r: r.notebook), key=lambda r: r.notebook):
        _show_metrics(notebook, list(group), console)


def _show_metrics(notebook: str, records: Sequence[StageRecord], console: Console) -> None:
    keys = sorted({key for r in records for key in r.metrics if not key.startswith("cost/")})
    if not keys:
        return
    table = _table(notebook, "", *(_name(r) for r in records))
    for key in keys:
        table.add_row(key, *(_cell(r.metrics.get(key)) for r in records))
    console.print(table)


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


def _changes(node: Node) -> Iterable[str]:
    for name, value in node.params.items():
        if value != node.notebook.parameters[name].default:
            yield f"{name}={value}"
