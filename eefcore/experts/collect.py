"""Expert data D_e for a benchmark: who demonstrates what, and what it amounts to.

A scripted expert is known by its strength and belongs to its environment (`experts.scripted`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from eefcore.errors import DataError, ParamsError
from eefcore.experts import registry
from eefcore.experts.allocation import bought
from eefcore.experts.foreign.importing import read_foreign
from eefcore.protocols import Benchmark, Skill
from eefcore.selection.leakage import asked_for
from eefcore.storage.cost import Cost
from eefcore.storage.records import read_records
from eefcore.types import History, Trajectory

SPLITS = ("train", "dev", "test")


def given(
    benchmark: Benchmark, names: Sequence[str], file: str, *, seed: int, budget: float, allocation: str
) -> list[Trajectory]:
    """D_e as it is asked for: what `file` holds, or else what the experts in `names` are paid for.

    Raises:
        ParamsError: a budget for what was bought elsewhere; and see `demonstrations`.
        DataError: no trajectory of `file` is of a training task; and see `imported`.
    """
    if not file:
        return demonstrations(benchmark, names, "train", seed=seed, budget=budget, allocation=allocation)
    if budget:
        raise ParamsError(
            f"02_expert: the trajectories of `file` are there already; set budget {budget:g} to 0"
        )
    experts = imported(file, benchmark)
    _require_tasks(file, experts, benchmark)
    return experts


def demonstrations(
    benchmark: Benchmark,
    names: Sequence[str],
    split: str,
    *,
    seed: int,
    budget: float = 0.0,
    allocation: str = "each",
) -> list[Trajectory]:
    """τ_e of the experts in `names` on tasks of `split`, as far as `budget` goes: by default each on each, in order.

    Raises:
        ParamsError: nobody scripted an expert for this benchmark, or not this one; the budget or the allocation does
            not do.
    """
    scripts = registry.of(benchmark)
    for name in names:
        if name not in scripts.strengths:
            raise ParamsError(
                f"no expert {name!r} for {benchmark.card.name}; choose one of {', '.join(scripts.strengths)}"
            )
    offers = [scripts.offer(benchmark, name, seed=seed) for name in names]
    return bought(offers, benchmark.tasks(split), budget=budget, allocation=allocation)


def tried(experts: Iterable[Trajectory], benchmark: Benchmark) -> list[str]:
    """The training tasks of the benchmark that experts tried, in order: C_train of trajectories from elsewhere.

    What they tried and the benchmark does not hold can be cloned, and not explored.
    """
    known = set(benchmark.tasks("train"))
    return [task for task in dict.fromkeys(t.task_id for t in experts) if task in known]


def sources(experts: Iterable[Trajectory]) -> list[str]:
    """The experts' names, in order of appearance."""
    return list(dict.fromkeys(t.source for t in experts))


def by(experts: Iterable[Trajectory], source: str) -> list[Trajectory]:
    """What one of them did."""
    return [t for t in experts if t.source == source]


def expert_cost(experts: Iterable[Trajectory]) -> Cost:
    """What the demonstrations were paid."""
    return Cost(money=sum(t.money for t in experts))


def table(experts: Sequence[Trajectory], skills: Mapping[str, Skill]) -> list[dict[str, object]]:
    """Table 1 and Table 4 of each expert: how many, how many won, how long, which skills it used and won by."""
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
        for name in sources(experts)
        for own in [by(experts, name)]
    ]


def of(experts: Sequence[Trajectory], source: str) -> list[Trajectory]:
    """Those of `source` alone, or all of them if it is empty: EEF GPT-3 & 4 clones one expert and explores both.

    Raises:
        ParamsError: `source` is none of them.
    """
    if source and source not in (known := sources(experts)):
        raise ParamsError(f"there is no expert {source!r} here; there are {', '.join(known)}")
    return [t for t in experts if source in ("", t.source)]


def imported(file: str, benchmark: Benchmark) -> list[Trajectory]:
    """The trajectories of `file`, or of several joined by ` + `: our own JSONL, or any foreign format that is known.

    A foreign record is a task of the benchmark's when it asks for the same in words, the price clause aside,
    which the official engine draws anew each time; so is one that `eef data import` wrote, or that was played in
    another environment. What is none keeps its own id: it can be cloned, and is refused for exploration.

    Raises:
        DataError: the file is neither.
    """
    return [t for one in file.split(" + ") for t in _read(Path(one.strip()), benchmark)]


Named = Callable[[str, str], str]
"""The task of a record: of its own id and its first observation."""


def _tasks_by_content(benchmark: Benchmark) -> Named:
    asked = {asked_for(benchmark.instruction(t)): t for split in SPLITS for t in benchmark.tasks(split)}
    known = {task: wish for wish, task in asked.items()}

    def task(own: str, observation: str) -> str:
        wishes = [asked_for(line) for line in observation.splitlines()]
        if known.get(own) in wishes:
            return own
        return next((asked[w] for w in wishes if w in asked), own)

    return task


def _read(path: Path, benchmark: Benchmark) -> list[Trajectory]:
    if path.is_file():
        with path.open("rb") as start:
            ours = start.readline().startswith(b'{"eefcore":')
        if ours:
            header, own = read_records(path, Trajectory)
            # The id of a task is the hash of its content: what was played in such a world already has ours.
            if header.card is not None and header.card.name == benchmark.card.name:
                return own
            return _renamed(own, _tasks_by_content(benchmark), imported=header.card is None)
    task = _tasks_by_content(benchmark)
    return read_foreign(path, task_id=lambda episode: task(episode.id, episode.observations[0]))


def _renamed(trajectories: Iterable[Trajectory], task: Named, *, imported: bool) -> list[Trajectory]:
    """`trajectories` as those of the benchmark's tasks, numbered as `read_foreign` does: several of a task in their order."""
    out, seen = [], Counter[str]()
    for t in trajectories:
        named = task(t.task_id, t.history.at(0).observation)
        if imported or named != t.task_id:
            history = msgspec.structs.replace(t.history, task_id=named)
            t = msgspec.structs.replace(t, history=history, sample=seen[named])
        seen[named] += 1
        out.append(t)
    return out


def _require_tasks(file: str, experts: Sequence[Trajectory], benchmark: Benchmark) -> None:
    """Refuse experts of no training task: there would be nothing to explore, which a later stage would find out."""
    if tried(experts, benchmark):
        return
    split = {task: name for name in SPLITS for task in benchmark.tasks(name)}
    held = Counter(split[t.task_id] for t in experts if t.task_id in split)
    strange = [t for t in experts if t.task_id not in split]
    reasons = [f"{n} of {name} tasks, which nothing is trained on" for name, n in held.items()]
    if strange:
        asks = strange[0].history.at(0).observation.strip()
        reasons.append(f"{len(strange)} ask for what no task of it asks for, such as {asks[:120]!r}")
    raise DataError(
        f"02_expert: file {file}: none of its {len(experts)} trajectories is of a training task of "
        f"{benchmark.card.name}: {'; '.join(reasons) or 'it holds none'}. Tasks are known by what they ask for in "
        "words: check that benchmark, data, sizes and world_seed are those that it was recorded with, or name another "
        "file"
    )


def for_training(experts: Iterable[Trajectory], benchmark: Benchmark) -> list[Trajectory]:
    """What of `experts` is about no dev or test task."""
    kept_out = {t for split in SPLITS[1:] for t in benchmark.tasks(split)}
    return [t for t in experts if t.task_id not in kept_out]


def held_out(benchmark: Benchmark) -> list[History]:
    """s_0 of every dev and test task, for the check that nothing of them is trained on."""
    return [s for split in SPLITS[1:] for s in starts(benchmark, benchmark.tasks(split))]


def starts(benchmark: Benchmark, tasks: Iterable[str]) -> list[History]:
    """s_0 of each task."""
    return [History(t, benchmark.instruction(t)) for t in tasks]
