"""A suite on disk without training: stages as a suite's last notebook reads them, outcomes drawn at set rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from eefcore.search import test_time
from eefcore.search.ceiling import Ceiling
from eefcore.search.settings import Signal
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.records import write_records
from eefcore.types import Card, Example, History, Mistake, Trajectory
from helpers.episodes import CARD, by_back, by_next, naive

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KINDS = ("plain", "next", "back")


class Spec(NamedTuple):
    """A method: its win rate on each kind of task, and the parameters of its stages."""

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
    trees: str = ""  # the critic of its trees, which take its `samples` simulations of each task
    acts: tuple[str, str, int] | None = None  # how, signal and simulations of its search at test time
    tunes: bool = False  # its critic learns from each search
    lifts: float = 0.0  # what that search adds to `wins` of each kind
    tasks: int = 0  # training tasks, the first ones; 0 is all
    rate: float = 0.0  # its learning rate; 0 is not recorded
    like: str = ""  # the method of the run whose stages it shares up to its last model


class Suite:
    """Folders by `seed<n>/<run>/<method>/<stage>`, and the sections of the runs."""

    def __init__(self, root: Path, *, tasks: int = 30, trained: int = 20) -> None:
        self.root, self.inputs, self.sections = root, {}, {}
        self.test = [f"test-{i:04}" for i in range(tasks)]
        self.train = [f"train-{i:04}" for i in range(trained)]

    def run(self, stem: str, section: str, methods: Mapping[str, Spec], seeds: Sequence[int]) -> Suite:
        """Write the finished stages of a params file for `seeds`."""
        self.sections[stem] = section
        for seed in seeds:
            for name, spec in methods.items():
                self.method(seed, stem, name, spec)
        return self

    def method(self, seed: int, run: str, name: str, spec: Spec) -> None:
        """Write all stages of a method for one seed."""
        rng = Random(f"{seed} {name} {run}")
        draw = Random(f"{seed} {spec.experts}")

        def stage(
            label: str,
            cost: Cost,
            params: Mapping[str, object],
            metrics: Mapping[str, float] = {},
            card: Card = CARD,
            **records: Sequence[object],
        ) -> Path:
            folder = self.root / f"seed{seed}" / run / name / label
            folder.mkdir(parents=True)
            for file, content in records.items():
                write_records(folder / f"{file}.jsonl", content, kind=file, card=card)
            record = stages.StageRecord(
                label=label, notebook="", params=dict(params), inputs={}, identity=f"{seed}{run}{name}{label}", card=card,
                cost=cost, metrics=dict(metrics), packages={"eefcore": "0.1"}, seconds=cost.seconds, attempts=1,
                started=NOW, finished=NOW,
            )  # fmt: skip
            stages.write_record(folder, record)
            self.inputs[f"seed{seed}/{run}/{name}/{label}"] = folder
            return folder

        if spec.like:
            of = f"seed{seed}/{run}/{spec.like}/"
            same = {k.removeprefix(of): v for k, v in self.inputs.items() if k.startswith(of)}
            self.inputs |= {f"seed{seed}/{run}/{name}/{k}": v for k, v in same.items() if k != "test"}
            self.tested(stage, spec, rng)
            return
        trained = self.train[: spec.tasks or None]
        experts = [demonstrated(t, e, draw) for e in spec.experts for t in trained]
        shown = [demonstrated(t, e, draw) for e in spec.experts for t in self.test]
        tasks = [History(t, "a task") for t in trained]
        paid = Cost(money=sum(t.money for t in experts), seconds=2.0)
        stage(
            "experts",
            paid,
            {"expert": "+".join(spec.experts), "file": None, "tasks": spec.tasks or None, "seed": seed},
            tasks=tasks,
            experts=experts,
            panel=shown,
        )
        for i in range(1, spec.iterations + 1):
            simulations: list[Trajectory] = []
            if i > 1:
                simulations = [played(t, spec, rng) for t in trained for _ in range(spec.samples)]
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
                logged: dict[str, float] = {}
                if spec.trees:
                    params = {"simulations": spec.samples, "K": 4, "M": spec.M, "critic": spec.trees}
                    logged = {"search/agreement": 0.1 * i, "search/merged": 0.25, "search/nodes": 30.0}
                    logged |= {"search/irreversible": 7, "search/violations": 0}
                stage(f"simulations{i - 1}", cost, params, logged, simulations=simulations)
                if spec.tunes:
                    learnt = {
                        "tune/agreement_before": 0.25,
                        "tune/agreement": 0.5,
                        "tune/named_before": 0.5,
                        "tune/named": 0.75,
                    }
                    stage(f"critic{i - 1}", Cost(seconds=1.0), {}, learnt)
            won = [t for t in (*experts, *simulations) if t.win or spec.cloning == "all"]
            if spec.preferences and i > 1:
                asked = {"pairs": "trajectory", "by": spec.preferences}
                stage(f"preferences{i}", Cost(seconds=1.0), {"kind": "node"} if spec.trees else asked)
            else:
                stage(
                    f"select{i}",
                    Cost(seconds=0.5),
                    {"cloning": spec.cloning},
                    examples=[Example(t) for t in won],
                )
            learnt = {"base": spec.base} | ({"learning_rate": spec.rate} if spec.rate else {})
            stage(f"model{i}", Cost(tokens_trained=90 * len(won), seconds=5.0), learnt)
            stage(
                f"dev{i}",
                Cost(episodes=8, seconds=9.0),
                {},
                panel=[played(t, spec, rng) for t in self.test[:9]],
            )
        self.tested(stage, spec, rng)

    def tested(self, stage: Callable[..., Path], spec: Spec, rng: Random) -> None:
        """Write the test panel; search at test time costs its simulations before each of five actions."""
        n, params, card, cost = len(self.test), {}, CARD, Cost(episodes=8, seconds=9.0)
        logged: dict[str, float] = {"eval/refused": 0}
        if spec.acts:
            params = dict(zip(("how", "signal", "simulations"), spec.acts, strict=True))
            logged |= {"decide/irreversible": 5, "decide/violations": 1}
            card = test_time.search_card(CARD, Signal(params["signal"]))
            episodes = {"mcts": 1 + 5 * params["simulations"], "best_of": params["simulations"], "beam": 1}
            each = episodes[params["how"]]
            cost = Cost(
                episodes=n * each, tokens_written=90 * n * each, tokens_read=300 * n * each, seconds=3.0 * n
            )
        acting = spec._replace(wins=tuple(min(1.0, w + spec.lifts) for w in spec.wins))
        panel = [played(t, acting, rng) for t in self.test]
        folder = stage("test", cost, params, logged, card=card, panel=panel)
        if spec.acts:
            bound = test_time.search_card(CARD, Signal.REWARD)
            write_records(
                folder / "ceiling.jsonl", [*map(self.ceiling(spec), panel)], kind="ceilings", card=bound
            )

    @staticmethod
    def ceiling(spec: Spec) -> Callable[[Trajectory], Ceiling]:
        """Return the ceiling of an episode: all that needs no Back is solvable, if anything was rehearsed."""
        n = spec.acts[2] if spec.acts and spec.acts[0] != "beam" else 0
        return lambda t: Ceiling(t.task_id, t.win or (n > 0 and kind(t.task_id) != "back"), n, 3 * n)


def kind(task: str) -> str:
    """Return the kind of a task, by its number."""
    return KINDS[int(task.rpartition("-")[2]) % 3]


def demonstrated(task: str, expert: str, rng: Random) -> Trajectory:
    """Return an expert's trajectory, which uses the skill that the task needs, and has a mistake if it loses."""
    win = rng.random() < (0.35 if expert == "strong" else 0.2)
    make = {"plain": naive, "next": by_next, "back": by_back}[kind(task)]
    marks = () if win else (Mistake(3, "forgets"),)
    money = 0.27 if expert == "strong" else 0.01
    whole = make(task, 1.0 if win else 0.5, source=expert)
    return replace(whole, n_expert=len(whole), marks=marks, money=money)


def played(
    task: str, spec: Spec, rng: Random, *, n_expert: int = 0, after: Trajectory | None = None
) -> Trajectory:
    """Return a policy's trajectory, which wins at the rate of `spec` with the skill that the task needs."""
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
MAP_TASKS = {
    f"{name}, {tasks} tasks": METHODS[name]._replace(tasks=tasks, wins=wins)
    for tasks, others, ours in ((5, (0.2,) * 3, (0.9,) * 3), (20, (0.5,) * 3, (0.5,) * 3))
    for name, wins in (("RFT×6", others), ("EEF", ours))
}
MAP_EXPERT = {
    f"{name}, {expert}": METHODS[name]._replace(experts=(expert,))
    for expert in ("strong", "weak")
    for name in ("RFT×6", "EEF")
}
RATES = {
    f"{name}, {rate:g}": METHODS[name]._replace(rate=rate, wins=(won,) * 3)
    for name, best in (("SFT POS", 1e-4), ("ETO", 1e-3))
    for rate, won in ((1e-5, 0.1), (1e-4, 0.2), (1e-3, 0.1 if best == 1e-4 else 0.95))
}
FINDERS = {
    "EEF fixed": Spec((0.9, 0.5, 0.3), iterations=2, samples=1, M=5),
    "EEF binary": Spec((0.9, 0.5, 0.3), iterations=2, samples=1, M=5, finder="binary", asks=0.5),
}
MODELS = {name: METHODS[name]._replace(base="qwen") for name in ("SFT POS", "RFT×6", "EEF")}


def whole(root: Path, seeds: Sequence[int] = (0, 1), **sizes: int) -> Suite:
    """Return a suite with every section."""
    suite = Suite(root, **sizes)
    suite.run("mini_methods", "methods", METHODS, seeds)
    suite.run("mini_budgets", "budget", BUDGETS, seeds)
    suite.run("mini_qwen", "models", MODELS, seeds[:1])
    suite.run("mini_finders", "finders", FINDERS, seeds)
    suite.run("mini_orders", "ablation", {"EEF": METHODS["EEF"], "EEF shortest": METHODS["RFT×6"]}, seeds)
    return suite


AGENT_Q = {
    "base": Spec((0.5, 0.1, 0.0)),
    "RFT": Spec((0.6, 0.2, 0.0), iterations=3, samples=6),
    "trajectory DPO": Spec((0.7, 0.2, 0.0), iterations=3, samples=6, preferences="win"),
    "base + beams": Spec((0.5, 0.1, 0.0), like="base", acts=("beam", "critic", 4)),
    "base + best of 6": Spec((0.5, 0.1, 0.0), like="base", acts=("best_of", "critic", 6), lifts=0.1),
    "base + MCTS": Spec((0.5, 0.1, 0.0), like="base", acts=("mcts", "critic", 6), lifts=0.3),
    "Agent Q": Spec((0.8, 0.3, 0.0), iterations=3, samples=6, trees="tiny", preferences="win"),
    "Agent Q + MCTS": Spec((0.8, 0.3, 0.0), like="Agent Q", acts=("mcts", "critic", 6), lifts=0.3),
}
GAPS = {
    "base": AGENT_Q["base"],
    "base + MCTS×2": AGENT_Q["base + MCTS"]._replace(acts=("mcts", "critic", 2), lifts=0.2),
    "base + MCTS×6": AGENT_Q["base + MCTS"],
    "one round": AGENT_Q["Agent Q"]._replace(iterations=2),
    "one round + MCTS×6": AGENT_Q["Agent Q + MCTS"]._replace(like="one round"),
    "Agent Q": AGENT_Q["Agent Q"],
    "Agent Q + MCTS×6": AGENT_Q["Agent Q + MCTS"],
}
BOUND = {
    "base": AGENT_Q["base"],
    "base + MCTS (sees the reward)": AGENT_Q["base + MCTS"]._replace(acts=("mcts", "reward", 6), lifts=0.4),
    "best of 6 (sees the reward)": AGENT_Q["base + MCTS"]._replace(acts=("best_of", "reward", 6), lifts=0.3),
}
UNION = {
    "EEF": METHODS["EEF"],
    "Agent Q": AGENT_Q["Agent Q"],
    "Agent Q along experts": AGENT_Q["Agent Q"]._replace(M=3),
}


CRITICS = {
    "Agent Q": AGENT_Q["Agent Q"],
    "tuned critic": AGENT_Q["Agent Q"]._replace(tunes=True),
    "tuned critic + MCTS": AGENT_Q["Agent Q + MCTS"]._replace(like="tuned critic"),
}


def agent_q(root: Path, seeds: Sequence[int] = (0, 1), **sizes: int) -> Suite:
    """Return a suite of methods that search."""
    suite = Suite(root, **sizes)
    suite.run("mini_methods", "methods", AGENT_Q, seeds)
    suite.run("mini_oracle", "ablation", BOUND, seeds)
    suite.run("mini_budgets", "search", GAPS, seeds)
    suite.run("mini_expert", "union", UNION, seeds)
    suite.run("mini_critic", "ablation", CRITICS, seeds)
    return suite
