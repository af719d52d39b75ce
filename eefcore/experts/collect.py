"""Collect the expert data D_e for a benchmark, from experts that play or from a file, and describe it.

A scripted expert is known by its strength and belongs to its environment (`experts.registry`); a language model is named
as any policy is (`experts.prompted`).
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import msgspec

from eefcore.errors import DataError, ParamsError
from eefcore.experts.demonstrate import Demonstrator, demonstrate_panel, demonstrate_within
from eefcore.experts.foreign.formats import RefusedRecord, parse_file
from eefcore.experts.foreign.importing import import_foreign
from eefcore.experts.prompted import PromptedExperts, check_experts
from eefcore.experts.registry import find_experts
from eefcore.instructions import instruction_key
from eefcore.protocols import Benchmark, Skill, Variants
from eefcore.storage import stages
from eefcore.storage.cost import Cost
from eefcore.storage.records import read_records
from eefcore.types import History, Trajectory, Value

SPLITS = ("train", "dev", "test")


class ExpertData(NamedTuple):
    """The expert trajectories D_e, and the records of their file that can't be read."""

    trajectories: list[Trajectory]
    refused: list[RefusedRecord]


def expert_data(
    benchmark: Benchmark,
    names: Sequence[str],
    file: str | None,
    *,
    seed: int,
    budget: float | None,
    allocation: str,
    tasks: int | None = None,
    models: PromptedExperts | None = None,
    only_clone: bool = False,
) -> ExpertData:
    """Return the expert trajectories D_e: read from `file`, or if it is None played by the named experts within `budget`.

    With `only_clone`, none of `file` has to be of a training task: it is cloned, and nothing is explored.

    Raises:
        ParamsError: a budget or a number of tasks beside a file, or one of `demonstrations`.
        DataError: no trajectory of `file` is of a training task, or one of `read_demonstrations`.
    """
    if file is None:
        played = demonstrations(
            benchmark,
            names,
            "train",
            seed=seed,
            budget=budget,
            allocation=allocation,
            tasks=tasks,
            models=models,
        )
        return ExpertData(played, [])
    for name, limit in (("budget", budget), ("tasks", tasks)):
        if limit is not None:
            raise ParamsError(
                f"02_expert: the trajectories of `file` are there already; leave {name} {limit:g} out"
            )
    read = read_demonstrations(file, benchmark)
    if not only_clone:
        _require_training_tasks(file, read.trajectories, benchmark)
    return read


def demonstrations(
    benchmark: Benchmark,
    names: Sequence[str],
    split: str,
    *,
    seed: int,
    budget: float | None = None,
    allocation: str = "each",
    tasks: int | None = None,
    models: PromptedExperts | None = None,
) -> list[Trajectory]:
    """Return the trajectories τ_e of experts on a split, for `budget` dollars (None is no limit).

    Args:
        names: of scripted experts, and of language models.
        tasks: number of tasks of the split to play, the first ones; None is all.
        models: the language models of the stage; None refuses them.

    Raises:
        ParamsError: an expert that is neither scripted for this benchmark nor a policy; a budget or an allocation that
            does not do.
    """
    demonstrators = _demonstrators(benchmark, names, split, seed=seed, budget=budget, models=models)
    played = first_tasks(benchmark, split, tasks)
    return demonstrate_within(demonstrators, played, budget=budget, allocation=allocation)


def panel_data(
    benchmark: Benchmark,
    names: Sequence[str],
    demonstrated: Iterable[Trajectory],
    budget: float | None,
    *,
    seed: int,
    models: PromptedExperts | None = None,
) -> list[Trajectory]:
    """Return the trajectories of experts on the test set, for the report: language models spend what D_e left of `budget`.

    Raises:
        ParamsError: an expert that is neither scripted for this benchmark nor a policy, or whose price nobody knows.
    """
    demonstrators = _demonstrators(benchmark, names, "test", seed=seed, budget=budget, models=models)
    left = None if budget is None else budget - sum(t.money for t in demonstrated)
    return demonstrate_panel(benchmark, demonstrators, left=left)


def _demonstrators(
    benchmark: Benchmark,
    names: Sequence[str],
    split: str,
    *,
    seed: int,
    budget: float | None,
    models: PromptedExperts | None,
) -> list[Demonstrator]:
    scripted = find_experts(benchmark)
    check_experts(names, scripted, benchmark.card.name, models.prompt if models else None)
    demonstrators = []
    for name in names:
        if scripted and scripted.has(name):
            demonstrators.append(scripted.demonstrator(benchmark, name, seed=seed))
        elif models:
            demonstrators.append(models.demonstrator(benchmark, name, split, budget=budget))
        else:
            raise ParamsError(
                f"expert {name!r} is a language model; 02_expert plays it, as in expert: {name}"
            )
    return demonstrators


def first_tasks(benchmark: Benchmark, split: str, n: int | None) -> Sequence[str]:
    """Return the first `n` tasks of a split, or all of them for None; fewer tasks are always among more.

    The order of a split does not follow the difficulty of its tasks, so the first ones are a fair sample.

    Raises:
        ParamsError: the split has fewer.
    """
    tasks = benchmark.tasks(split)
    if n is not None and not 1 <= n <= len(tasks):
        raise ParamsError(
            f"tasks {n}: expected 1 to {len(tasks)} of the {split} tasks; ask for more in sizes"
        )
    return tasks[:n]


def judged(trajectories: Iterable[Trajectory]) -> list[Trajectory]:
    """Leave out trajectories that ended by a failure of a model, its endpoint or the environment; raise if none is left.

    Raises:
        DataError: there is none.
    """
    played = list(trajectories)
    kept = [t for t in played if not t.stop.infrastructure]
    if not kept and played:
        raise DataError(
            f"02_expert: all {len(played)} demonstrations ended by a failure of the model or its endpoint: "
            f"{played[0].reason or played[0].stop.value}; see to it, and run this again under another seed"
        )
    return kept


OUTCOMES = ("expert", "split", "outcome", "trajectories", "reasons")
"""The columns of `count_outcomes`."""


def count_outcomes(**splits: Iterable[Trajectory]) -> list[list[Value]]:
    """Return how often each expert's episodes ended in each way, by split; failures of a model with their reasons."""
    counts, reasons = (
        Counter[tuple[str, str, str]](),
        defaultdict[tuple[str, str, str], dict[str, None]](dict),
    )
    for split, trajectories in splits.items():
        for t in trajectories:
            key = (t.source, split, t.outcome)
            counts[key] += 1
            if t.reason:
                reasons[key][t.reason] = None
    return [[*key, n, "; ".join(list(reasons[key])[:3])] for key, n in counts.items()]


def read_demonstrations(file: str, benchmark: Benchmark) -> ExpertData:
    """Read the trajectories of a file, or of several joined by ` + `: our own JSONL, or any foreign format we know.

    A foreign record belongs to the benchmark's task that asks for the same in words, whatever its number; so does one
    that `eef data import` wrote, or that was played in another environment. Its price clause, which the official engine
    draws anew each time, makes it a variant of that task (`protocols.Variants`), so that o_0 is the recorded one. A
    record that belongs to no task keeps its own id: it can be cloned, and is refused for exploration. A foreign record
    that can't be read is left out.

    Raises:
        DataError: the file is in neither format, or none of its records can be read.
    """
    read = [_read_file(stages.workspace() / one.strip(), benchmark) for one in file.split(" + ")]
    return ExpertData(
        [t for data in read for t in data.trajectories], [r for data in read for r in data.refused]
    )


def recorded_pages(file: str) -> list[str]:
    """Return all observations in a file of trajectories, or in several joined by ` + `, whether or not they have rewards."""
    pages: list[str] = []
    for path in (stages.workspace() / one.strip() for one in file.split(" + ")):
        if _is_ours(path):
            trajectories = read_records(path, Trajectory).list
            pages += [s.observation for t in trajectories for s in t.history.steps]
        else:
            pages += chain.from_iterable(e.observations for e in parse_file(path).episodes)
    return pages


TaskOf = Callable[[str, str], str]
"""Return the task of a record, from its own id and its first observation."""


def _task_by_content(benchmark: Benchmark) -> TaskOf:
    """Return a function that finds a record's task by what its first observation asks for."""
    by_request = defaultdict[str, list[str]](list)
    for task in chain.from_iterable(map(benchmark.tasks, SPLITS)):
        by_request[instruction_key(benchmark.instruction(task))].append(task)
    env = benchmark.make()
    first_observation = cache(env.reset)

    def task_of(own_id: str, observation: str) -> str:
        lines = [instruction_key(line) for line in _LINE_END.split(observation)]
        request = next((line for line in lines if line in by_request), None)
        if request is None:
            return own_id
        tasks = by_request[request]
        if isinstance(benchmark, Variants):
            own_id, tasks = benchmark.original(own_id), [benchmark.variant(t, observation) for t in tasks]
        if len(tasks) == 1:
            return tasks[0]
        # Several tasks ask for the same: that of the record's own id, or the first that begins as the record does.
        own = [t for t in tasks if original_task(benchmark, t) == own_id]
        return next((t for t in (*own, *tasks) if first_observation(t) == observation), (own or tasks)[0])

    return task_of


_LINE_END = re.compile(r"\n|\[SEP\]|(?:Instruction|Task):")
"""What ends a line of a first observation, or opens its wish."""


def _read_file(path: Path, benchmark: Benchmark) -> ExpertData:
    task_of = _task_by_content(benchmark)
    if not _is_ours(path):
        read = import_foreign(path, task_id=lambda episode: task_of(episode.id, episode.observations[0]))
        return ExpertData(read.trajectories, read.refused)
    header, trajectories = read_records(path, Trajectory)
    # A task's id is the hash of its content: what was played in an equal environment has our ids already.
    if header.card is not None and header.card.name == benchmark.card.name:
        return ExpertData(trajectories, [])
    return ExpertData(_with_task_ids(trajectories, task_of, imported=header.card is None), [])


def _is_ours(path: Path) -> bool:
    """Return whether a path is a file of records that this package wrote."""
    if not path.is_file():
        return False
    with path.open("rb") as start:
        return start.readline().startswith(b'{"eefcore":')


def _with_task_ids(
    trajectories: Iterable[Trajectory], task_of: TaskOf, *, imported: bool
) -> list[Trajectory]:
    """Return the trajectories under the benchmark's task ids, samples numbered in order as `read_foreign` does."""
    out, samples = [], Counter[str]()
    for t in trajectories:
        task = task_of(t.task_id, t.history.at(0).observation)
        if imported or task != t.task_id:
            history = msgspec.structs.replace(t.history, task_id=task)
            t = msgspec.structs.replace(t, history=history, sample=samples[task])
        samples[task] += 1
        out.append(t)
    return out


def _require_training_tasks(file: str, trajectories: Sequence[Trajectory], benchmark: Benchmark) -> None:
    """Refuse expert data without a training task: a later stage would find that there is nothing to explore."""
    if attempted_tasks(trajectories, benchmark):
        return
    split_of = {task: split for split in SPLITS for task in benchmark.tasks(split)}
    splits = [split_of.get(original_task(benchmark, t.task_id)) for t in trajectories]
    held_out = Counter(split for split in splits if split)
    unknown = [t for t, split in zip(trajectories, splits, strict=True) if not split]
    reasons = [f"{n} of {split} tasks, which nothing is trained on" for split, n in held_out.items()]
    if unknown:
        request = unknown[0].history.at(0).observation.strip()
        reasons.append(f"{len(unknown)} ask for what no task of it asks for, such as {request[:120]!r}")
    raise DataError(
        f"02_expert: file {file}: none of its {len(trajectories)} trajectories is of a training task of "
        f"{benchmark.card.name}: {'; '.join(reasons) or 'it holds none'}. Tasks are known by what they ask for in "
        "words: check that benchmark, data, sizes and world_seed are those that it was recorded with, or name another "
        "file; with only_clone: true it is cloned, and nothing is explored"
    )


def attempted_tasks(experts: Iterable[Trajectory], benchmark: Benchmark) -> list[str]:
    """Return the benchmark's training tasks that experts attempted, in order: C_train of trajectories from elsewhere.

    A task that the benchmark does not hold can be cloned, and not explored.
    """
    training_tasks = set(benchmark.tasks("train"))
    attempted = dict.fromkeys(t.task_id for t in experts)
    return [task for task in attempted if original_task(benchmark, task) in training_tasks]


def original_task(benchmark: Benchmark, task_id: str) -> str:
    """Return the benchmark's own task of which `task_id` is a variant, or `task_id`."""
    return benchmark.original(task_id) if isinstance(benchmark, Variants) else task_id


def without_held_out(experts: Iterable[Trajectory], benchmark: Benchmark) -> list[Trajectory]:
    """Return the trajectories that are of no dev or test task."""
    held_out = {t for split in SPLITS[1:] for t in benchmark.tasks(split)}
    return [t for t in experts if original_task(benchmark, t.task_id) not in held_out]


def held_out_starts(benchmark: Benchmark) -> list[History]:
    """Return s_0 of every dev and test task, for the check that nothing of them is trained on."""
    return [s for split in SPLITS[1:] for s in task_starts(benchmark, benchmark.tasks(split))]


def task_starts(benchmark: Benchmark, tasks: Iterable[str]) -> list[History]:
    """Return s_0 of each task."""
    return [History(t, benchmark.instruction(t)) for t in tasks]


def expert_names(experts: Iterable[Trajectory]) -> list[str]:
    """Return the names of the experts in the data, in order of appearance."""
    return list(dict.fromkeys(t.source for t in experts))


def by_expert(experts: Iterable[Trajectory], name: str) -> list[Trajectory]:
    """Return the trajectories of one expert."""
    return [t for t in experts if t.source == name]


def first_samples(experts: Iterable[Trajectory]) -> list[Trajectory]:
    """Return the first trajectory of each expert on each task, for shares of tasks."""
    first: dict[tuple[str, str], Trajectory] = {}
    for t in experts:
        first.setdefault((t.source, t.task_id), t)
    return [*first.values()]


def choose_expert(experts: Sequence[Trajectory], name: str | None) -> list[Trajectory]:
    """Return the trajectories of one expert, or all if `name` is None: EEF GPT-3 & 4 clones one and explores both.

    Raises:
        ParamsError: there is no expert of that name.
    """
    if name is None:
        return list(experts)
    if name not in (names := expert_names(experts)):
        raise ParamsError(f"there is no expert {name!r} here; there are {', '.join(names)}")
    return by_expert(experts, name)


def expert_cost(experts: Iterable[Trajectory]) -> Cost:
    """Return what the demonstrations cost: dollars, and the tokens of language models."""
    played = list(experts)
    return Cost(
        money=sum(t.money for t in played),
        tokens_read=sum(t.tokens_read for t in played),
        tokens_written=sum(t.tokens_written for t in played),
    )


def expert_table(experts: Sequence[Trajectory], skills: Mapping[str, Skill]) -> list[dict[str, object]]:
    """Return a row for each expert (EEF Tables 1 and 4): trajectories, wins, length, navigation skills used and won by."""
    return [
        {
            "expert": name,
            "trajectories": len(own),
            "positive": sum(t.win for t in own),
            "mean length": round(sum(map(len, own)) / len(own), 2),
            "money": round(sum(t.money for t in own), 2),
            **{
                f"{skill} {what}": sum(bool(uses(t.history)) for t in rows)
                for skill, uses in skills.items()
                for what, rows in (("used", own), ("won by", [t for t in own if t.win]))
            },
        }
        for name in expert_names(experts)
        for own in [by_expert(experts, name)]
    ]
