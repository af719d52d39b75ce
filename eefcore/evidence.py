"""From the stages of one or several runs to what a report is made of.

A run's last stage reads everything its methods left: `<method>/experts`, `/select1`, `/simulations1`,
`/model1`, `/dev1`, …, `/test` (see `plan.algorithm_1`). Several runs of one params file that differ in
their seeds are one report with several seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eefcore import ledger, masking, metrics, store
from eefcore.errors import StoreError
from eefcore.experts import collect
from eefcore.ledger import Cost
from eefcore.metrics import Evaluation
from eefcore.report import Segment, segments
from eefcore.stats import Estimate
from eefcore.types import Card, Example, Trajectory

Stages = Mapping[str, Path]
"""Folders of a run's stages by `<method>/<name>`."""


class Evidence(NamedTuple):
    """The arguments of `report.from_results`."""

    evaluations: list[Evaluation]
    baseline: str | None
    costs: dict[str, Cost]
    curves: dict[str, dict[int, Estimate]]
    experts: list[Trajectory]
    dialogue: list[Segment]
    command: str
    versions: dict[str, str]


def compared(runs: Sequence[Stages], card: Card, *, format: str, command: str) -> Evidence:
    """Every method of `runs`, a run a seed, and the experts, on the test panel of `card`.

    The last method is the one the others are held against: `baseline` is the best of them, on the test
    panel, since it is named after the fact whatever panel it is chosen on.

    Raises:
        CardMismatch: a stage was made in another environment.
    """
    methods = list(dict.fromkeys(name.partition("/")[0] for name in runs[0] if "/" in name))
    tested = [Evaluation(m, card, tuple(_panel(run[f"{m}/test"], card) for run in runs)) for m in methods]
    shown = [_panel(run[f"{methods[0]}/experts"], card) for run in runs]
    experts = [
        Evaluation(f"expert: {name}", card, tuple(collect.by(panel, name) for panel in shown))
        for name in collect.sources(shown[0])
    ]
    others = [e for e in tested[:-1] if e.runs]
    best = max(others, key=lambda e: metrics.win_rate(*e.runs).value, default=None)
    return Evidence(
        evaluations=[*experts, *tested],
        baseline=best.method if best else None,
        costs={m: ledger.total(_cost(run, m) for run in runs) for m in methods},
        curves={m: _curve(runs, m, card) for m in methods},
        experts=shown[0],
        dialogue=_dialogue(runs[0], methods[-1], card, format),
        command=command,
        versions=store.record(runs[0][f"{methods[-1]}/test"]).packages,
    )


def best_on_dev(inputs: Stages) -> Path:
    """The model to evaluate: the only one, or the one that won most on the dev panel; the earliest of equals."""
    if "model" in inputs:
        return inputs["model"]
    iterations = sorted(int(name.removeprefix("model")) for name in inputs if name.startswith("model"))
    if not iterations:
        raise StoreError("06_evaluate reads a model, or model1, dev1, …; it was opened with none of them")
    rates = {i: store.record(inputs[f"dev{i}"]).metrics["eval/win_rate"] for i in iterations}
    # A panel on which nothing could be judged has no rate, and is no reason to choose its model.
    best = max(iterations, key=lambda i: -1.0 if rates[i] is None else rates[i])
    return inputs[f"model{best}"]


def _panel(folder: Path, card: Card) -> list[Trajectory]:
    return store.read_records(folder / "panel.jsonl", Trajectory, card=card).list


def _numbered(run: Stages, method: str, name: str) -> dict[int, Path]:
    """`dev1`, `dev2`, … of a method, by number."""
    prefix = f"{method}/{name}"
    found = {key.removeprefix(prefix): folder for key, folder in run.items() if key.startswith(prefix)}
    return {int(i): found[i] for i in sorted(found, key=int)}


def _cost(run: Stages, method: str) -> Cost:
    """What the method cost up to its last model: expert data, simulations, training. Evaluations are not its own."""
    parts = [run[f"{method}/experts"]]
    for name in ("select", "simulations", "model"):
        parts += _numbered(run, method, name).values()
    return ledger.total(store.record(folder).cost for folder in parts)


def _curve(runs: Sequence[Stages], method: str, card: Card) -> dict[int, Estimate]:
    return {
        i - 1: metrics.win_rate(*(_panel(run[f"{method}/dev{i}"], card) for run in runs))
        for i in _numbered(runs[0], method, "dev")
    }


def _dialogue(run: Stages, method: str, card: Card, format: str) -> list[Segment]:
    """One training row of the method: a recovery if there is one, else the solution with most of an expert's actions."""
    from eefcore.models import load_tokenizer  # transformers takes seconds to load

    last = max(_numbered(run, method, "select").items())[1]
    examples = store.read_records(last / "examples.jsonl", Example, card=card).list
    shown = max(examples, key=lambda e: (e.first > 0, e.trajectory.n_expert, -len(e.trajectory)))
    tokenizer = load_tokenizer(max(_numbered(run, method, "model").items())[1] / "model")
    row = masking.row(shown, masking.renderer(tokenizer, format))
    return segments(row.tokens, row.labels, tokenizer.decode)
