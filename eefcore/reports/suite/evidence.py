"""From the stages of a suite to methods over seeds: what each was evaluated on, what it was made of, what it cost.

A suite's last stage reads folders by `seed<n>/<run>/<method>/<stage>` (`eefcore.runs.suite`). Seeds may have different
methods where a suite is reported before its end; two methods are then compared over the seeds that both have.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from eefcore.errors import ParamsError, StoreError
from eefcore.evaluation import stats
from eefcore.evaluation.metrics import Evaluation
from eefcore.evaluation.stats import Estimate
from eefcore.experts import collect
from eefcore.reports import acting, evidence
from eefcore.reports.acting import Acting
from eefcore.reports.document.blocks import Segment
from eefcore.reports.evidence import Stages
from eefcore.reports.suite import recipes
from eefcore.reports.suite.recipes import Recipe
from eefcore.runs.suite import ORACLE, SECTIONS
from eefcore.search.settings import Signal
from eefcore.storage import cost as ledger
from eefcore.storage import stages as store
from eefcore.storage.cost import Cost
from eefcore.types import Card, Example, History, Trajectory


class Method:
    """A method of one run over its seeds; what it reads is read when it is asked for, once.

    Attributes:
        run: the stem of the params file.
        name: as the file names it.
        seeds: those that have it, in order.
        stages: of each of them the folders by `<method>/<stage>`.
    """

    def __init__(self, run: str, name: str, stages: Mapping[int, Stages], card: Card) -> None:
        self.run, self.name, self.card = run, name, card
        self.seeds = tuple(sorted(stages))
        self.stages = tuple(stages[seed] for seed in self.seeds)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Its test panels."""
        folders = [run[f"{self.name}/test"] for run in self.stages]
        return evidence.evaluation(self.name, folders, self.card, self.seeds)

    @cached_property
    def acting(self) -> Acting:
        """How it acts on its test panels, and what an episode takes."""
        return acting.read(
            [run[f"{self.name}/test"] for run in self.stages], sum(map(len, self.evaluation.runs))
        )

    @property
    def models(self) -> set[Path]:
        """The last model of each seed."""
        return {list(evidence.numbered(run, self.name, "model").values())[-1] for run in self.stages}

    @property
    def saw_reward(self) -> bool:
        """Whether it searches at test time and sees the reward, as no agent can that acts for good."""
        return evidence.signal([run[f"{self.name}/test"] for run in self.stages]) is Signal.REWARD

    @cached_property
    def cost(self) -> Cost:
        """What it cost up to its last model, mean over seeds."""
        return ledger.mean_cost([evidence.cost(run, self.name) for run in self.stages])

    @cached_property
    def curve(self) -> dict[int, Estimate]:
        """Win rate on the dev panel by iteration."""
        return evidence.curve(self.stages, self.name, self.card)

    @cached_property
    def recipe(self) -> Recipe:
        """What it is made of; of the first seed, and all are made alike."""
        cloned = self._examples(self.stages[0], 1)
        return recipes.read(self.stages[0], self.name, all(e.trajectory.win for e in cloned))

    @cached_property
    def simulated(self) -> Estimate:
        """Simulations per task and iteration: the mean over seeds, its interval over other seeds."""
        return stats.mean(np.array([[_per_task(run, self.name)] for run in self.stages]))

    @property
    def versions(self) -> dict[str, str]:
        """What it was evaluated with."""
        return store.read_record(self.stages[0][f"{self.name}/test"]).packages

    def dialogue(self, format: str) -> list[Segment]:
        """One training row of the first seed."""
        return evidence.dialogue(self.stages[0], self.name, self.card, format)

    def examples(self, iteration: int) -> list[list[Example]]:
        """What the model of `iteration` was trained on, a list a seed."""
        return [self._examples(run, iteration) for run in self.stages]

    def simulations(self, iteration: int) -> list[list[Trajectory]]:
        """What `iteration` simulated, a list a seed."""
        files = (run[f"{self.name}/simulations{iteration}"] / "simulations.jsonl" for run in self.stages)
        return [store.read_records(file, Trajectory, card=self.card).list for file in files]

    def demonstrations(self) -> list[list[Trajectory]]:
        """D_e, a list a seed."""
        files = (run[f"{self.name}/experts"] / "experts.jsonl" for run in self.stages)
        return [store.read_records(file, Trajectory, card=self.card).list for file in files]

    def tasks(self) -> list[list[str]]:
        """C_train, a list a seed: an expert on a budget does not try them all."""
        return [_tasks(run, self.name) for run in self.stages]

    def shown(self) -> list[list[Trajectory]]:
        """What its experts did on the test panel, a list a seed."""
        return [evidence.panel(run[f"{self.name}/experts"], self.card) for run in self.stages]

    def _examples(self, run: Stages, iteration: int) -> list[Example]:
        file = run[f"{self.name}/select{iteration}"] / "examples.jsonl"
        return store.read_records(file, Example, card=self.card).list


Sections = dict[str, dict[str, list[Method]]]
"""The methods of each run of each section, in the order of the suite's file."""


def read(inputs: Stages, sections: str, card: Card) -> Sections:
    """The methods of a suite.

    Args:
        inputs: folders by `seed<n>/<run>/<method>/<stage>`.
        sections: JSON, run -> section.

    Raises:
        ParamsError: a section that there is not.
        StoreError: no stage of a suite is among the inputs.
    """
    found: dict[tuple[str, str], dict[int, dict[str, Path]]] = {}
    for path, folder in inputs.items():
        seed, run, method, stage = path.split("/", 3)
        stages = found.setdefault((run, method), {}).setdefault(int(seed.removeprefix("seed")), {})
        stages[f"{method}/{stage}"] = folder
    if not found:
        raise StoreError("10_suite reads seed0/<run>/<method>/<stage>, …; it was opened with nothing")
    out: Sections = {}
    for run, section in json.loads(sections).items():
        if section not in SECTIONS:
            raise ParamsError(f"sections: {run}: {section!r} is none of {', '.join(SECTIONS)}")
        for (of, name), stages in found.items():
            if of == run:
                method = Method(run, name, stages, card)
                where = ORACLE if method.saw_reward else section
                out.setdefault(where, {}).setdefault(run, []).append(method)
    seen = out.pop(ORACLE, {})  # last: the headline is about the first
    return {**out, ORACLE: seen} if seen else out


def experts(methods: Sequence[Method]) -> list[Evaluation]:
    """Each expert of `methods` on the test panel, alone; none where trajectories came from elsewhere."""
    out: dict[str, Evaluation] = {}
    for method in methods:
        panels = method.shown()
        for name in collect.sources(panels[0]):
            runs = tuple(collect.by(panel, name) for panel in panels)
            known = out.get(name)
            if known is None or len(known.runs) < len(runs):
                out[name] = Evaluation(f"expert: {name}", method.card, runs, method.seeds)
    return list(out.values())


def demonstrated(methods: Sequence[Method]) -> dict[str, list[list[Trajectory]]]:
    """D_e of each expert of `methods`, a list a seed (EEF Table 1)."""
    out: dict[str, list[list[Trajectory]]] = {}
    for method in methods:
        given = method.demonstrations()
        for name in collect.sources(given[0]):
            mine = [collect.by(seed, name) for seed in given]
            if len(out.get(name, ())) < len(mine):
                out[name] = mine
    return out


def _per_task(run: Stages, method: str) -> float:
    """Simulations per task and iteration of one seed."""
    explored = evidence.numbered(run, method, "simulations").values()
    if not explored:
        return 0.0
    played = sum(store.read_record(folder).cost.episodes for folder in explored)
    return played / len(explored) / len(_tasks(run, method))


def _tasks(run: Stages, method: str) -> list[str]:
    starts = store.read_records(run[f"{method}/experts"] / "tasks.jsonl", History).list
    return [start.task_id for start in starts]
