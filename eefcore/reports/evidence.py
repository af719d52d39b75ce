"""Read the stages of a run or a suite as methods over seeds: the evaluation, the recipe and the cost of each.

A report reads what its methods left: `<method>/experts`, `/select1`, `/model1`, `/dev1`, …, `/test` (see `plan.algorithm_1`),
in a suite below `seed<n>/<run>/` (see `runs.suite`). A run is a suite of one seed. Seeds may have different methods if a
suite is reported before its end; two methods are then compared over the seeds that both have.
"""

from __future__ import annotations

import csv
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from eefcore.errors import ParamsError, StoreError
from eefcore.evaluation import metrics, stats
from eefcore.evaluation.panel import Evaluation
from eefcore.evaluation.stats import Estimate
from eefcore.experts import collect, split_experts
from eefcore.experts.prompted import expert_name
from eefcore.rendering.renderer import make_renderer
from eefcore.reports.document.blocks import Span
from eefcore.runs.suite import ORACLE, SECTIONS
from eefcore.search import forest, test_time
from eefcore.search.ceiling import Ceiling
from eefcore.search.settings import Signal
from eefcore.search.tree import Tree
from eefcore.selection import best_on_dev
from eefcore.storage import cost, stages
from eefcore.storage.cost import Cost
from eefcore.storage.hashing import digest
from eefcore.storage.records import read_records
from eefcore.storage.stage_inputs import StageInputs
from eefcore.storage.stages import StageRecord
from eefcore.training import rows
from eefcore.types import Card, Example, History, Preference, Trajectory, Value

R = TypeVar("R")


class Method:
    """A method of one run over its seeds; its stages are read when they are asked for, once.

    Attributes:
        run: the stem of the params file.
        name: the method's name in that file.
        seeds: the seeds that have the method, in order.
        stages: the folders of the method's stages, one mapping a seed: `experts`, `model1`, `dev1`, …, `test`.
    """

    def __init__(self, run: str, name: str, stages: Mapping[int, StageInputs[Path]], card: Card) -> None:
        self.run, self.name, self.card = run, name, card
        self.seeds = tuple(sorted(stages))
        self.stages = tuple(stages[seed] for seed in self.seeds)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Its trajectories on the test set, under a card of their own if its search saw the reward (DESIGN 4.5)."""
        card = test_time.search_card(self.card, self._signal)
        return Evaluation(self.name, card, tuple(read_panel(f, card) for f in self.tests), self.seeds)

    @cached_property
    def inference(self) -> Inference:
        """How the method acts on its test set, and the cost of an episode."""
        return read_inference(self.tests, sum(map(len, self.evaluation.runs)))

    @cached_property
    def ceilings(self) -> tuple[list[Ceiling], ...]:
        """The ceilings of the search on its test set, a list a seed; none where a seed did not measure them."""
        files = [folder / "ceiling.jsonl" for folder in self.tests]
        if not all(file.exists() for file in files):
            return ()
        runs = tuple(read_records(file, Ceiling, card=self.ceiling_card).list for file in files)
        return runs if all(any(c.rehearsed for c in run) for run in runs) else ()

    @property
    def ceiling_card(self) -> Card:
        """The card of its ceilings, which the reward judged, whatever its search saw."""
        return test_time.search_card(self.card, Signal.REWARD)

    @property
    def models(self) -> set[Path]:
        """The last model of each seed."""
        return {list(self.numbered("model", i).values())[-1] for i in range(len(self.seeds))}

    @property
    def saw_reward(self) -> bool:
        """Whether its search at test time sees the reward, which a real agent can't see before it acts."""
        return self._signal is Signal.REWARD

    @cached_property
    def cost(self) -> Cost:
        """The cost of the method up to its last model, mean over seeds; its evaluations are left out."""
        return cost.mean_cost([_training_cost(run) for run in self.stages])

    @cached_property
    def curve(self) -> dict[int, Estimate]:
        """Win rate on the dev set by iteration; iteration 0 is behaviour cloning."""
        return {
            i - 1: metrics.win_rate(
                *(read_panel(run.by_iteration("dev")[i], self.card) for run in self.stages)
            )
            for i in self.numbered("dev")
        }

    @cached_property
    def recipe(self) -> Recipe:
        """The recipe of the method, read from the first seed; all seeds have the same."""
        cloned = self._read(self.stages[0], StageInputs.of_iteration("select", 1), "examples", Example)
        return read_recipe(self.stages[0], all(e.trajectory.win for e in cloned))

    @cached_property
    def simulations_per_task(self) -> Estimate:
        """Simulations per task and iteration, mean over seeds with an interval over other seeds."""
        return stats.mean(np.array([[self._per_task(i)] for i in range(len(self.seeds))]))

    @cached_property
    def parameters(self) -> dict[str, Value]:
        """The parameters of all its stages but the seed, as `model1.base`; all seeds have the same. One that is None is off, and left out."""
        return {
            f"{stage}.{name}": value
            for stage, folder in self.stages[0].items()
            for name, value in stages.read_record(folder).params.items()
            if name != "seed" and value is not None
        }

    @cached_property
    def records(self) -> tuple[StageRecord, ...]:
        """The records of all its stages in all seeds."""
        return tuple(stages.read_record(folder) for run in self.stages for folder in run.values())

    @property
    def settings(self) -> str:
        """Eight hex digits of the hash of its parameters, which are equal for all seeds of one method."""
        return digest(*map(repr, sorted(self.parameters.items())))[:8]

    def code(self, seed: int) -> str:
        """Return eight hex digits of the hash of the code that its stages ran; `seed` counts from 0."""
        found = {
            item for folder in self.stages[seed].values() for item in stages.read_record(folder).code.items()
        }
        return digest(*map(repr, sorted(found)))[:8]

    @property
    def dev(self) -> Evaluation:
        """Its trajectories on the dev set by the model that was chosen there, in each seed."""
        return Evaluation(self.name, self.card, tuple(map(self._best_dev, self.stages)), self.seeds)

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the packages in its evaluation, by name."""
        return stages.read_record(self.tests[0]).packages

    def numbered(self, stage: str, seed: int = 0) -> dict[int, Path]:
        """Return the folders of its stages `<stage>1`, `<stage>2`, … by number, in order; `seed` counts from 0."""
        return self.stages[seed].by_iteration(stage)

    def examples(self, iteration: int) -> list[list[Example]]:
        """Return the training examples of the model of `iteration`, a list a seed."""
        return self._each(StageInputs.of_iteration("select", iteration), "examples", Example)

    def simulations(self, iteration: int) -> list[list[Trajectory]]:
        """Return the simulations of `iteration`, a list a seed."""
        return self._each(StageInputs.of_iteration("simulations", iteration), "simulations", Trajectory)

    def demonstrations(self) -> list[list[Trajectory]]:
        """Return the demonstrations D_e, a list a seed."""
        return self._each("experts", "experts", Trajectory)

    def unexplored(self) -> list[dict[str, str]]:
        """Return the rows of `02_expert`'s table of the demonstrations that nothing is explored from, of the first seed."""
        file = self.stages[0]["experts"] / "tables" / "refused.csv"
        if not file.exists():  # a stage of an earlier version
            return []
        with file.open(newline="", encoding="utf-8") as text:
            return [row for row in csv.DictReader(text) if row["use"] != "explore"]

    def tasks(self) -> list[list[str]]:
        """Return the training tasks C_train, a list a seed; an expert on a budget does not try them all."""
        return [_tasks(run) for run in self.stages]

    def expert_panels(self) -> list[list[Trajectory]]:
        """Return its experts' trajectories on the test set, a list a seed."""
        return [read_panel(run["experts"], self.card) for run in self.stages]

    def training_row(self, format: str, template_args: str | None = None) -> list[Span]:
        """Return one training row of the first seed: a recovery, or else the solution with the most expert actions.

        For a method that learns from preferences it is one that its last round preferred.
        """
        from eefcore.training.models import load_tokenizer  # transformers takes seconds to load

        selected = max(self.numbered("select").items())[1] / "examples.jsonl"
        preferred = [folder / "preferences.jsonl" for folder in self.numbered("preferences").values()]
        pairs = [p for file in preferred[-1:] for p in read_records(file, Preference, card=self.card).list]
        examples = [p.chosen for p in pairs] or read_records(selected, Example, card=self.card).list
        examples.sort(key=lambda e: (e.first > 0, e.trajectory.n_expert, -len(e.trajectory)), reverse=True)
        tokenizer = load_tokenizer(max(self.numbered("model").items())[1] / "model")
        renderer = make_renderer(tokenizer, format, template_args)
        written = (rows.rows_within(example, renderer, sys.maxsize) for example in examples)
        (row, *_) = next(filter(None, written))
        return spans(row.tokens, row.labels, tokenizer.decode)

    def example_tree(self) -> Tree | None:
        """Return one search tree of the last round of the first seed that grew some; None if the method grows no trees."""
        for folder in reversed(self.numbered("simulations").values()):
            if (file := folder / "trees.jsonl").exists():
                trees = read_records(file, Tree, card=self.card).list
                return forest.illustrative_tree(trees) if trees else None
        return None

    @property
    def tests(self) -> list[Path]:
        """The folders of its evaluation on the test set, one a seed."""
        return [run["test"] for run in self.stages]

    @property
    def _signal(self) -> Signal:
        """What a search at test time may have known in any seed: the reward, or the critic alone."""
        signals = {Signal(str(stages.read_record(f).params.get("signal", Signal.CRITIC))) for f in self.tests}
        return Signal.REWARD if Signal.REWARD in signals else Signal.CRITIC

    @property
    def chosen(self) -> tuple[ChosenModel, ...]:
        """The model that was chosen on the dev set, in each seed."""
        return tuple(map(_chosen, self.stages))

    def _best_dev(self, run: StageInputs[Path]) -> list[Trajectory]:
        return read_panel(run.by_iteration("dev")[_chosen(run).iteration], self.card)

    def _per_task(self, seed: int) -> float:
        """Return the simulations per task and iteration of one seed."""
        explored = self.numbered("simulations", seed).values()
        if not explored:
            return 0.0
        played = sum(stages.read_record(folder).cost.episodes for folder in explored)
        return played / len(explored) / len(_tasks(self.stages[seed]))

    def _each(self, stage: str, file: str, kind: type[R]) -> list[list[R]]:
        return [self._read(run, stage, file, kind) for run in self.stages]

    def _read(self, run: StageInputs[Path], stage: str, file: str, kind: type[R]) -> list[R]:
        return read_records(run[stage] / f"{file}.jsonl", kind, card=self.card).list


Sections = dict[str, dict[str, list[Method]]]
"""The methods of each run of each section, in the order of the suite's file."""


def read_run(inputs: Mapping[str, Path], run: str, card: Card) -> Sections:
    """Return the methods of a single run: a suite of one seed and one section.

    Raises:
        StoreError: no stage of a method is among the inputs.
    """
    by_method = StageInputs(inputs).by_folder()
    if not by_method:
        raise StoreError(
            "07_report: expected inputs <method>/experts, <method>/test, …, got none; start it with `eef run`"
        )
    return _by_section(
        {(run, method): {0: found} for method, found in by_method.items()}, {run: "methods"}, card
    )


def read_suite(inputs: Mapping[str, Path], sections: str, card: Card) -> Sections:
    """Return the methods of a suite by section and run.

    Args:
        inputs: folders by `seed<n>/<run>/<method>/<stage>`.
        sections: JSON, run -> section.

    Raises:
        ParamsError: a section is unknown.
        StoreError: no stage of a suite is among the inputs.
    """
    found: dict[tuple[str, str], dict[int, StageInputs[Path]]] = {}
    for folder, of_method in StageInputs(inputs).by_folder().items():
        seed, run, method = folder.split("/", 2)
        found.setdefault((run, method), {})[StageInputs.seed_of(seed)] = of_method
    if not found:
        raise StoreError(
            "10_suite: expected inputs seed0/<run>/<method>/<stage>, …, got none; start it with `eef suite`"
        )
    return _by_section(found, json.loads(sections), card)


def _by_section(
    found: Mapping[tuple[str, str], Mapping[int, StageInputs[Path]]], sections: Mapping[str, str], card: Card
) -> Sections:
    out: Sections = {}
    for run, section in sections.items():
        if section not in SECTIONS:
            raise ParamsError(
                f"sections: {run}: expected one of {', '.join(SECTIONS)}, got {section!r}; correct the suite's file"
            )
        for (of_run, name), by_seed in found.items():
            if of_run == run:
                method = Method(run, name, by_seed, card)
                place = ORACLE if method.saw_reward else section
                out.setdefault(place, {}).setdefault(run, []).append(method)
    oracles = out.pop(ORACLE, {})  # last, because the headline is about the first section
    return {**out, ORACLE: oracles} if oracles else out


# ------------------------------------------------------------------------------ experts


def expert_evaluations(methods: Sequence[Method]) -> list[Evaluation]:
    """Return the evaluation of each expert of `methods` on the test set; none for demonstrations from a file."""
    found = _by_expert(methods, Method.expert_panels)
    return [Evaluation(f"expert: {name}", m.card, tuple(runs), m.seeds) for name, (m, runs) in found.items()]


def expert_demonstrations(methods: Sequence[Method]) -> dict[str, list[list[Trajectory]]]:
    """Return the demonstrations D_e of each expert of `methods`, a list a seed (EEF Table 1)."""
    return {name: seeds for name, (_, seeds) in _by_expert(methods, Method.demonstrations).items()}


def _by_expert(
    methods: Sequence[Method], read: Callable[[Method], list[list[Trajectory]]]
) -> dict[str, tuple[Method, list[list[Trajectory]]]]:
    """Return the trajectories of each expert, a list a seed, of the first method that has most seeds of it."""
    out: dict[str, tuple[Method, list[list[Trajectory]]]] = {}
    for method in methods:
        seeds = read(method)
        for name in collect.expert_names(seeds[0]):
            if name not in out or len(out[name][1]) < len(seeds):
                out[name] = method, [collect.by_expert(seed, name) for seed in seeds]
    return out


# ------------------------------------------------------------------------------ what a method is made of


class Recipe(NamedTuple):
    """The recipe of a method: the data and learning that its stages recorded, whatever its name says (EEF Table 2)."""

    base: str  # the model it starts from
    experts: str  # whose trajectories it uses, joined by +
    negatives: bool  # whether it uses trajectories that an expert lost
    iterations: int  # I
    samples: int  # simulations of each task from its start, per iteration; with trees all of a task
    M: int  # at most so many simulations of each expert trajectory, per iteration; with trees, states that have one
    K: int  # actions proposed at a node of its trees; 0 if it grows none
    explored: str  # the experts from whose trajectories it simulates
    finder: str  # how it finds expert states to simulate from
    signals: str  # what its search knew of the environment and of the critic
    learns: str  # what its later iterations learn from

    @property
    def explores(self) -> bool:
        """Whether it simulates anything to learn from."""
        return self.signals != _NO_SIGNAL


def read_recipe(run: StageInputs[Path], won: bool) -> Recipe:
    """Read the recipe of a method from its stages.

    Args:
        run: the method's stages of one seed; all seeds are made alike.
        won: whether behaviour cloning was trained on won trajectories only.
    """

    def params(stage: str) -> list[Mapping[str, Any]]:
        return [stages.read_record(folder).params for folder in run.by_iteration(stage).values()]

    first, *_ = models = params("model")
    *_, explored = params("simulations") or [{}]
    pairs = params("preferences")
    expert = stages.read_record(run["experts"]).params
    names = "+".join(map(expert_name, split_experts(str(expert.get("expert", "")))))
    from_experts, experts = explored.get("M", 0) > 0, str(expert.get("file") or names)
    return Recipe(
        base=str(first.get("base", "")),
        experts=experts,
        negatives=from_experts or not won or any(p.get("demonstrations") == "all" for p in pairs),
        iterations=len(models),
        samples=explored.get("samples", explored.get("simulations", 0)),
        M=explored.get("M", 0),
        K=explored.get("K", 0),
        explored=str(explored.get("explore_from") or experts) if from_experts else "",
        finder=str(explored.get("finder", "")) if from_experts else "",
        signals=_signals(explored, pairs),
        learns=_learns(len(models), pairs),
    )


_NO_SIGNAL = "none"


def _signals(explored: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> str:
    if not explored:
        return _NO_SIGNAL
    outcome = "a judge’s verdict" if explored.get("judge") else "win or loss"
    if "K" in explored:  # trees
        critic = explored.get("critic", "none") != "none" and explored.get("alpha", 0.5) < 1
        return f"{outcome}, the critic" if critic else outcome
    by_reward = any(p.get("pairs") == "trajectory" and p.get("by") == "reward" for p in pairs)
    return "reward" if by_reward else outcome


def _learns(iterations: int, pairs: Sequence[Mapping[str, Any]]) -> str:
    if iterations == 1:
        return "demonstrations"
    if not pairs:
        return "solutions"
    kind = str(pairs[-1].get("kind", pairs[-1].get("pairs")))
    return {"node": "pairs of siblings", "trajectory": "pairs of trajectories"}.get(kind, f"{kind} pairs")


class ChosenModel(NamedTuple):
    """The model that a method chose on the dev set: its iteration, from 1, and its folder from the results root."""

    iteration: int
    folder: str


def _chosen(run: StageInputs[Path]) -> ChosenModel:
    best = best_on_dev(run)
    (i,) = (i for i, model in run.by_iteration("model").items() if model == best)
    return ChosenModel(i, os.path.relpath(best / "model", stages.results_root()))


_AT_ONCE = "at once"


class Inference(NamedTuple):
    """How a method acts on the test set, and the mean cost of an episode.

    Attributes:
        how: `at once`, `beams × 4`, `best of 6`, `MCTS × 6`.
        simulations_per_action: simulations of the tree before each action; 0 for every way that grows no tree.
        signal: what the search knew of an ending: `critic`, `reward`, or nothing.
        simulations: simulations an episode, beside the episode itself.
        tokens_written: tokens an episode, sampled by policy and critic.
        tokens_read: tokens an episode, read by them.
        seconds: wall time of the stage divided by its episodes.
    """

    how: str
    simulations_per_action: int
    signal: str
    simulations: float
    tokens_written: float
    tokens_read: float
    seconds: float

    @property
    def searches(self) -> bool:
        """Whether the method searches before it acts."""
        return self.how != _AT_ONCE


def read_inference(folders: Sequence[Path], episodes: int) -> Inference:
    """Read how a method acts from its test stages, one a seed with equal parameters; `episodes` is their number of episodes."""
    records = [stages.read_record(folder) for folder in folders]
    params = records[0].params
    way, n = params.get("how", ""), int(params.get("simulations", 0))
    spent = cost.total_cost(record.cost for record in records)
    # MCTS plays each episode itself after its simulations; beams and acting at once play nothing else.
    simulations = {"mcts": spent.episodes - episodes, "best_of": spent.episodes}.get(way, 0)
    words = {"beam": f"beams × {n}", "best_of": f"best of {n}", "mcts": f"MCTS × {n}"}
    each = 1 / max(1, episodes)
    return Inference(
        how=words.get(way, _AT_ONCE),
        simulations_per_action=n if way == "mcts" else 0,
        signal=str(params.get("signal", Signal.CRITIC)) if way in ("mcts", "best_of") else "",
        simulations=simulations * each,
        tokens_written=spent.tokens_written * each,
        tokens_read=spent.tokens_read * each,
        seconds=spent.seconds * each,
    )


# ------------------------------------------------------------------------------ stages of one seed


def read_panel(folder: Path, card: Card) -> list[Trajectory]:
    """Return the evaluated trajectories of a stage."""
    return read_records(folder / "panel.jsonl", Trajectory, card=card).list


def spans(tokens: Sequence[int], labels: Sequence[int], decode: Callable[[list[int]], str]) -> list[Span]:
    """Divide a training row (`rows.Row`) where the loss begins and ends."""
    pairs = zip(tokens, labels, strict=True)
    groups = (
        (trained, [t for t, _ in run]) for trained, run in groupby(pairs, lambda pair: pair[0] == pair[1])
    )
    return [Span(decode(ids), trained, len(ids)) for trained, ids in groups]


def _training_cost(run: StageInputs[Path]) -> Cost:
    parts = {folder: None for name, folder in run.items() if StageInputs.kind(name) not in ("dev", "test")}
    return cost.total_cost(stages.read_record(folder).cost for folder in parts)


def _tasks(run: StageInputs[Path]) -> list[str]:
    starts = read_records(run["experts"] / "tasks.jsonl", History).list
    return [start.task_id for start in starts]
