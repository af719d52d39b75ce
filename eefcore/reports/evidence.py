"""From the stages of one or several runs to what a report is made of.

A run's last stage reads everything its methods left: `<method>/experts`, `/select1`, `/simulations1`,
`/model1`, `/dev1`, …, `/test` (see `plan.algorithm_1`). Several runs of one params file that differ in
their seeds are one report with several seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eefcore.errors import StoreError
from eefcore.evaluation import metrics
from eefcore.evaluation.metrics import Evaluation
from eefcore.evaluation.stats import Estimate
from eefcore.experts import collect
from eefcore.rendering.renderer import make_renderer
from eefcore.reports import acting
from eefcore.reports.acting import Acting
from eefcore.reports.document.blocks import Segment
from eefcore.reports.sections import segments
from eefcore.search import deciding, forest
from eefcore.search.settings import Signal
from eefcore.search.tree import Tree
from eefcore.storage import cost as ledger
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.training import rows
from eefcore.types import Card, Example, Preference, Trajectory

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
    tree: Tree | None  # one that search grew, if any did
    acts: dict[str, Acting]  # how each method acts on the test panel


def compared(runs: Sequence[Stages], card: Card, *, format: str, command: str) -> Evidence:
    """Every method of `runs`, a run a seed, and the experts, on the test panel of `card`.

    The last method is the one the others are held against: `baseline` is the best of them, on the test
    panel, since it is named after the fact whatever panel it is chosen on.

    Raises:
        CardMismatch: a stage was made in another environment.
    """
    methods = list(dict.fromkeys(name.partition("/")[0] for name in runs[0] if "/" in name))
    tested = [evaluation(m, [run[f"{m}/test"] for run in runs], card) for m in methods]
    shown = [panel(run[f"{methods[0]}/experts"], card) for run in runs]
    experts = [
        Evaluation(f"expert: {name}", card, tuple(collect.by(played, name) for played in shown))
        for name in collect.sources(shown[0])
    ]
    others = [e for e in tested[:-1] if e.runs and e.card == tested[-1].card]
    best = max(others, key=lambda e: metrics.win_rate(*e.runs).value, default=None)
    return Evidence(
        evaluations=[*experts, *tested],
        baseline=best.method if best else None,
        costs={m: ledger.total_cost(cost(run, m) for run in runs) for m in methods},
        curves={m: curve(runs, m, card) for m in methods},
        experts=shown[0],
        dialogue=dialogue(runs[0], methods[-1], card, format),
        command=command,
        versions=stages.read_record(runs[0][f"{methods[-1]}/test"]).packages,
        tree=grown(runs[0], methods, card),
        acts={e.method: _acting(runs, e) for e in tested},
    )


def grown(run: Stages, methods: Sequence[str], card: Card) -> Tree | None:
    """A tree to look at, of the last method that grew some, in its last round."""
    for method in reversed(methods):
        for folder in reversed(numbered(run, method, "simulations").values()):
            if (file := folder / "trees.jsonl").exists():
                trees = stages.read_records(file, Tree, card=card).list
                return forest.telling(trees) if trees else None
    return None


def best_on_dev(inputs: Stages) -> Path:
    """The model to evaluate: the only one, or the one that won most on the dev panel; the earliest of equals."""
    if "model" in inputs:
        return inputs["model"]
    iterations = sorted(int(name.removeprefix("model")) for name in inputs if name.startswith("model"))
    if not iterations:
        raise StoreError("06_evaluate reads a model, or model1, dev1, …; it was opened with none of them")
    rates = {i: stages.read_record(inputs[f"dev{i}"]).metrics["eval/win_rate"] for i in iterations}
    # A panel on which nothing could be judged has no rate, and is no reason to choose its model.
    best = max(iterations, key=lambda i: -1.0 if rates[i] is None else rates[i])
    return inputs[f"model{best}"]


def evaluation(method: str, folders: Sequence[Path], card: Card, seeds: tuple[int, ...] = ()) -> Evaluation:
    """A method's panels, a folder a seed; under a card of their own where search saw the reward (DESIGN 4.5)."""
    own = deciding.seen(card, signal(folders))
    return Evaluation(method, own, tuple(panel(folder, own) for folder in folders), seeds)


def _acting(runs: Sequence[Stages], tested: Evaluation) -> Acting:
    return acting.read([run[f"{tested.method}/test"] for run in runs], sum(map(len, tested.runs)))


def signal(folders: Sequence[Path]) -> Signal:
    """What a search at test time may have known on these panels: the reward, if on any of them."""
    told = {str(stages.read_record(folder).params.get("signal", Signal.CRITIC)) for folder in folders}
    return max(map(Signal, told))  # "reward" comes after "critic"


def panel(folder: Path, card: Card) -> list[Trajectory]:
    """The evaluated trajectories of a stage."""
    return stages.read_records(folder / "panel.jsonl", Trajectory, card=card).list


def numbered(run: Stages, method: str, name: str) -> dict[int, Path]:
    """`dev1`, `dev2`, … of a method, by number."""
    prefix = f"{method}/{name}"
    found = {key.removeprefix(prefix): folder for key, folder in run.items() if key.startswith(prefix)}
    return {int(i): found[i] for i in sorted(found, key=int)}


def cost(run: Stages, method: str) -> Cost:
    """What the method cost up to its last model: all its stages but the evaluations, which are not its own."""
    parts = {
        folder: None
        for name, folder in run.items()
        if name.startswith(f"{method}/") and not name.removeprefix(f"{method}/").startswith(("dev", "test"))
    }
    return ledger.total_cost(stages.read_record(folder).cost for folder in parts)


def curve(runs: Sequence[Stages], method: str, card: Card) -> dict[int, Estimate]:
    """Win rate on the dev panel by iteration; 0 is behaviour cloning."""
    return {
        i - 1: metrics.win_rate(*(panel(run[f"{method}/dev{i}"], card) for run in runs))
        for i in numbered(runs[0], method, "dev")
    }


def dialogue(run: Stages, method: str, card: Card, format: str) -> list[Segment]:
    """One training row of the method: a recovery if there is one, else the solution with most of an expert's actions.

    Of a method that learns from preferences, what its last round preferred.
    """
    from eefcore.training.models import load_tokenizer  # transformers takes seconds to load

    selected = max(numbered(run, method, "select").items())[1] / "examples.jsonl"
    preferred = [folder / "preferences.jsonl" for folder in numbered(run, method, "preferences").values()]
    pairs = [p for file in preferred[-1:] for p in stages.read_records(file, Preference, card=card).list]
    examples = [p.chosen for p in pairs] or stages.read_records(selected, Example, card=card).list
    shown = max(examples, key=lambda e: (e.first > 0, e.trajectory.n_expert, -len(e.trajectory)))
    tokenizer = load_tokenizer(max(numbered(run, method, "model").items())[1] / "model")
    row = rows.rows(shown, make_renderer(tokenizer, format))[0]
    return segments(row.tokens, row.labels, tokenizer.decode)
