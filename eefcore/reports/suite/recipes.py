"""What a method is made of, as its stages recorded it and not as it is called (EEF Table 2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from eefcore.reports import evidence
from eefcore.reports.evidence import Stages
from eefcore.storage import stages as store


class Recipe(NamedTuple):
    """What a method is made of."""

    base: str  # the model it starts from
    experts: str  # whose trajectories, joined by +
    negatives: bool  # whether trajectories that an expert lost are used
    iterations: int  # I
    samples: int  # simulations of each task from its start, per iteration; of trees all of a task's
    M: int  # simulations of each expert trajectory, per iteration, at most; of trees, states that have one
    K: int  # actions proposed at a page of its trees; 0 if it grows none
    explored: str  # the experts whose trajectories are simulated from
    finder: str  # of expert states
    signals: str  # what its search knew: of the environment, and of the critic
    learns: str  # what its later iterations learn from

    @property
    def explores(self) -> bool:
        """Whether it simulates anything to learn from."""
        return self.signals != _NONE


def read(stages: Stages, method: str, won: bool) -> Recipe:
    """What `method` is made of.

    Args:
        stages: of one seed, by `<method>/<stage>`; all seeds are made alike.
        won: whether all that behaviour cloning was trained on was won.
    """

    def params(name: str) -> list[Mapping[str, Any]]:
        return [store.read_record(f).params for f in evidence.numbered(stages, method, name).values()]

    first, *_ = models = params("model")
    *_, explored = params("simulations") or [{}]
    pairs = params("preferences")
    expert = store.read_record(stages[f"{method}/experts"]).params
    helped, experts = explored.get("M", 0) > 0, str(expert.get("file") or expert.get("expert", ""))
    return Recipe(
        base=str(first.get("base", "")),
        experts=experts,
        negatives=helped or not won or any(p.get("demonstrations") == "all" for p in pairs),
        iterations=len(models),
        samples=explored.get("samples", explored.get("simulations", 0)),
        M=explored.get("M", 0),
        K=explored.get("K", 0),
        explored=str(explored.get("explore_from") or experts) if helped else "",
        finder=str(explored.get("finder", "")) if helped else "",
        signals=_signals(explored, pairs),
        learns=_learns(len(models), pairs),
    )


_NONE = "none"


def _signals(explored: Mapping[str, Any], pairs: Sequence[Mapping[str, Any]]) -> str:
    if not explored:
        return _NONE
    if "K" in explored:  # trees
        heard = explored.get("critic", "none") != "none" and explored.get("alpha", 0.5) < 1
        return "win or loss, the critic" if heard else "win or loss"
    by_reward = any(p.get("pairs") == "trajectory" and p.get("by") == "reward" for p in pairs)
    return "reward" if by_reward else "win or loss"


def _learns(iterations: int, pairs: Sequence[Mapping[str, Any]]) -> str:
    if iterations == 1:
        return "demonstrations"
    if not pairs:
        return "solutions"
    kind = str(pairs[-1].get("kind", pairs[-1].get("pairs")))
    return {"node": "pairs of siblings", "trajectory": "pairs of trajectories"}.get(kind, f"{kind} pairs")
