"""Tables for a terminal: a plan that is not run yet, and a run from its records."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from rich.console import Console
from rich.table import Table

from eefcore import store
from eefcore.errors import StoreError
from eefcore.plan import Node, methods
from eefcore.store import Metric, StageRecord


def show_plan(nodes: Sequence[Node], console: Console | None = None) -> None:
    """Print each stage: its folder, the methods it serves, what it reads, what differs from its notebook."""
    console = console or Console(markup=False, highlight=False)
    for run, group in groupby(nodes, key=lambda n: n.run):
        stages = list(group)
        serves = methods(n.inputs for n in stages)
        table = _table(f"results/{run}/", "stage", "", "for", "reads", "differs from its notebook")
        for node in stages:
            table.add_row(
                node.folder.name,
                "finished" if node.finished else "to do",
                ", ".join(serves[node]) or "all",
                ", ".join(n.label for n in node.inputs.values()) if serves[node] else "",
                ", ".join(_changes(node)),
            )
        console.print(table)
    todo = sum(not n.finished for n in nodes)
    console.print(f"{len(nodes)} stages, {todo} to do. Nothing was started.")


def show_run(run: str, console: Console | None = None) -> None:
    """Print the finished stages of `run`, what each took, and what each notebook's stages measured.

    Raises:
        StoreError: there is no such run.
    """
    console = console or Console(markup=False, highlight=False)
    records = store.stages(run)
    if not records:
        raise StoreError(
            f"{store.run_folder(run)}: no finished stage; runs are named as in their params files"
        )
    serves = methods(r.inputs for r in records)
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
