"""A suite on disk without training: stages as a suite's last notebook reads them, outcomes drawn at set rates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

from episodes import CARD, by_back, by_next, naive
from msgspec.structs import replace

from eefcore import store
from eefcore.ledger import Cost
from eefcore.types import Example, History, Mark, Trajectory

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("plain", "next", "back")


class Spec(NamedTuple):
    """A method: what it wins of each kind of task, and what its stages were asked for."""

    wins: tuple[float, float, float]  # of plain tasks, of those that need Next, of those that need Back
    iterations: int = 1
    samples: int = 0
    M: int = 0
    experts: tuple[str, ...] = ("strong",)
    cloning: str = "positive"
    finder: str = "fixed"
    base: str = "tiny"
    preferences: str = ""  # `by` of its preferences
    asks: float = 1.0  # share of its M simulations that the finder asks for


class Suite:
    """Folders by `seed<n>/<run>/<method>/<stage>`, and the sections of the runs."""

    def __init__(self, root: Path, *, tasks: int = 30, trained: int = 20) -> None:
        self.root, self.inputs, self.sections = root, {}, {}
        self.test = [f"test-{i:04}" for i in range(tasks)]
        self.train = [f"train-{i:04}" for i in range(trained)]

    def run(self, stem: str, section: str, methods: Mapping[str, Spec], seeds: Sequence[int]) -> Suite:
        """A params file of the suite, finished for `seeds`."""
        self.sections[stem] = section
        for seed in seeds:
            for name, spec in methods.items():
                self.method(seed, stem, name, spec)
        return self

    def method(self, seed: int, run: str, name: str, spec: Spec) -> None:
        """All that a method of a seed leaves behind."""
        rng = Random(f"{seed} {name} {run}")
        draw = Random(f"{seed} {spec.experts}")

        def stage(label: str, cost: Cost, params: Mapping[str, object], **records: Sequence[object]) -> Path:
            folder = self.root / f"seed{seed}" / run / name / label
            folder.mkdir(parents=True)
            for file, content in records.items():
                store.write_records(folder / f"{file}.jsonl", content, kind=file, card=CARD)
            record = store.StageRecord(
                label=label, notebook="", params=dict(params), inputs={}, identity=f"{seed}{run}{name}{label}", card=CARD,
                cost=cost, metrics={}, packages={"eefcore": "0.1"}, seconds=cost.seconds, attempts=1,
                started=NOW, finished=NOW,
            )  # fmt: skip
            store.write_record(folder, record)
            self.inputs[f"seed{seed}/{run}/{name}/{label}"] = folder
            return folder

        experts = [demonstrated(t, e, draw) for e in spec.experts for t in self.train]
        shown = [demonstrated(t, e, draw) for e in spec.experts for t in self.test]
        tasks = [History(t, "a task") for t in self.train]
        paid = Cost(money=sum(t.money for t in experts), seconds=2.0)
        stage(
            "experts",
            paid,
            {"expert": "+".join(spec.experts), "file": ""},
            tasks=tasks,
            experts=experts,
            panel=shown,
        )
        for i in range(1, spec.iterations + 1):
            simulations: list[Trajectory] = []
            if i > 1:
                simulations = [played(t, spec, rng) for t in self.train for _ in range(spec.samples)]
                simulations += [
                    played(e.task_id, spec, rng, n_expert=1 + m, after=e)
                    for e in experts
                    for m in range(spec.M)
                    if rng.random() < spec.asks
                ]
                cost = Cost(
                    episodes=len(simulations),
                    env_steps=8 * len(simulations),
                    tokens_written=90 * len(simulations),
                    tokens_read=300 * len(simulations),
                    seconds=0.02 * len(simulations),
                )
                params = {"samples": spec.samples, "M": spec.M, "finder": spec.finder}
                stage(f"simulations{i - 1}", cost, params, simulations=simulations)
            won = [t for t in (*experts, *simulations) if t.win or spec.cloning == "all"]
            if spec.preferences and i > 1:
                stage(f"preferences{i}", Cost(seconds=1.0), {"pairs": "trajectory", "by": spec.preferences})
            else:
                stage(
                    f"select{i}",
                    Cost(seconds=0.5),
                    {"cloning": spec.cloning},
                    examples=[Example(t) for t in won],
                )
            stage(f"model{i}", Cost(tokens_trained=90 * len(won), seconds=5.0), {"base": spec.base})
            stage(
                f"dev{i}",
                Cost(episodes=8, seconds=9.0),
                {},
                panel=[played(t, spec, rng) for t in self.test[:9]],
            )
        stage("test", Cost(episodes=8, seconds=9.0), {}, panel=[played(t, spec, rng) for t in self.test])


def kind(task: str) -> str:
    """The kind of a task, which its number tells."""
    return KINDS[int(task.rpartition("-")[2]) % 3]


def demonstrated(task: str, expert: str, rng: Random) -> Trajectory:
    """An expert that tries the skill that the task needs, mostly in vain, and marks a mistake where it loses."""
    win = rng.random() < (0.35 if expert == "strong" else 0.2)
    make = {"plain": naive, "next": by_next, "back": by_back}[kind(task)]
    marks = () if win else (Mark(3, "forgets"),)
    money = 0.27 if expert == "strong" else 0.01
    whole = make(task, 1.0 if win else 0.5, source=expert)
    return replace(whole, n_expert=len(whole), marks=marks, money=money)


def played(
    task: str, spec: Spec, rng: Random, *, n_expert: int = 0, after: Trajectory | None = None
) -> Trajectory:
    """The policy's, which wins as its spec says; by the skill that the task needs, or none."""
    win = rng.random() < spec.wins[KINDS.index(kind(task))]
    make = {"plain": naive, "next": by_next, "back": by_back}[kind(task)]
    if after is not None:  # from inside an expert's trajectory, which did what the task needs
        return make(task, 1.0 if win else 0.5, n_expert=min(n_expert, len(after) - 1), source="model")
    used = win or rng.random() < 0.2
    return (make if used else naive)(task, 1.0 if win else 0.5, source="model")


METHODS = {
    "SFT ALL": Spec((0.55, 0.1, 0.05), cloning="all"),
    "SFT POS": Spec((0.8, 0.15, 0.02)),
    "ETO": Spec((0.8, 0.2, 0.05), iterations=2, samples=1, preferences="reward"),
    "RFT": Spec((0.85, 0.25, 0.03), iterations=2, samples=1),
    "RFT×6": Spec((0.9, 0.35, 0.05), iterations=3, samples=6),
    "EEF": Spec((0.9, 0.5, 0.3), iterations=3, samples=1, M=5),
    "EEF both": Spec((0.92, 0.6, 0.4), iterations=3, samples=1, M=5, experts=("strong", "weak")),
}
BUDGETS = {
    "RFT×1": Spec((0.8, 0.2, 0.02), iterations=2, samples=1),
    "RFT×11": Spec((0.85, 0.3, 0.05), iterations=2, samples=11),
    "EEF M=1": Spec((0.85, 0.3, 0.1), iterations=2, samples=1, M=1),
    "EEF M=5": Spec((0.9, 0.4, 0.2), iterations=2, samples=1, M=5),
    "EEF weak M=5": Spec((0.9, 0.45, 0.2), iterations=2, samples=1, M=5, experts=("weak",)),
}
FINDERS = {
    "EEF fixed": Spec((0.9, 0.5, 0.3), iterations=2, samples=1, M=5),
    "EEF binary": Spec((0.9, 0.5, 0.3), iterations=2, samples=1, M=5, finder="binary", asks=0.5),
}
MODELS = {name: METHODS[name]._replace(base="qwen") for name in ("SFT POS", "RFT×6", "EEF")}


def whole(root: Path, seeds: Sequence[int] = (0, 1), **sizes: int) -> Suite:
    """A suite with every section."""
    suite = Suite(root, **sizes)
    suite.run("mini_methods", "methods", METHODS, seeds)
    suite.run("mini_budgets", "budget", BUDGETS, seeds)
    suite.run("mini_qwen", "models", MODELS, seeds[:1])
    suite.run("mini_finders", "finders", FINDERS, seeds)
    suite.run("mini_orders", "ablation", {"EEF": METHODS["EEF"], "EEF shortest": METHODS["RFT×6"]}, seeds)
    return suite
