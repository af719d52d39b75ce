"""Print the tables of a plan in a terminal: its stages, their estimated work, and the memory that they take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import groupby

from rich.console import Console

from eefcore.evaluation.formatting import compact
from eefcore.runs import estimate
from eefcore.runs.changes import reasons
from eefcore.runs.plan import Node, list_methods, methods_by_stage
from eefcore.runs.run_tables import make_console, make_table


def show_plan(nodes: Sequence[Node], console: Console | None = None) -> None:
    """Print each stage: its folder, the methods it serves, what it reads, what differs from its notebook.

    Of the runs of a suite, which are alike, the first; of the others how much there is to do.
    """
    console = console or make_console()
    serves, printed, again = methods_by_stage(n.inputs for n in nodes), set(), reasons(nodes)
    for run, group in groupby(nodes, key=lambda n: n.run):
        own = list(group)
        labels = tuple(n.label for n in own)
        if labels in printed:
            todo = sum(not n.finished for n in own)
            console.print(f"results/{run}/: the same {len(own)} stages, {todo} to do")
            continue
        printed.add(labels)
        table = make_table(f"results/{run}/", "stage", "", "for", "reads", "differs from its notebook")
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


def _show_work(nodes: Sequence[Node], serves: Mapping[Node, list[str]], console: Console) -> None:
    """Print the estimated work of each method, finished or not; of a suite, of its first seed, and the sum of all."""
    title = "estimated work: simulations, rows and optimiser steps at most; the rest by typical episodes"
    played = ("simulations", "evaluated", "env steps", "written", "read")
    table = make_table(title, "method", *played, "rows", "updates", "trained on")
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
        table = make_table(title, "", *parts)
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
