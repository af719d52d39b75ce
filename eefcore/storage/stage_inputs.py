"""Name the inputs of a stage, and find them by what their names say.

model, experts, examples, …            what a stage of one method reads
simulations1, model2, dev2, …          the same of iteration 1, 2, …; `earlier1` is the round before the newest
EEF/model2                             what a report reads of the method EEF
seed0/mini_methods/EEF/model2          what a suite's report reads of a run of seed 0
"""

from __future__ import annotations

import re
from typing import TypeVar

T = TypeVar("T")
_NUMBERED = re.compile(r"([a-z_]+)(\d+)")


class StageInputs(dict[str, T]):
    """The inputs of a stage by name, in the order in which the plan adds them; `T` is a planned stage or a folder."""

    @staticmethod
    def of_iteration(kind: str, i: int) -> str:
        """Return the name of an input of iteration i: `of_iteration("model", 2)` is `model2`."""
        return f"{kind}{i}"

    @staticmethod
    def kind(name: str) -> str:
        """Return what an input is, without its iteration: `kind("model2")` is `model`."""
        return m[1] if (m := _NUMBERED.fullmatch(name)) else name

    def by_iteration(self, kind: str) -> dict[int, T]:
        """Return the inputs of one kind, model1, model2, …, by iteration, in order."""
        found = ((_NUMBERED.fullmatch(name), value) for name, value in self.items())
        return dict(sorted((int(m[2]), value) for m, value in found if m and m[1] == kind))

    def under(self, *folders: str) -> StageInputs[T]:
        """Return the same inputs with `folders` before their names: `model1` becomes `EEF/model1`."""
        return StageInputs({"/".join((*folders, name)): value for name, value in self.items()})

    def by_folder(self) -> dict[str, StageInputs[T]]:
        """Return the inputs of each method, by the folders before their names: `EEF`, or `seed0/mini_methods/EEF`."""
        found: dict[str, StageInputs[T]] = {}
        for name, value in self.items():
            folder, slash, own = name.rpartition("/")
            if slash:
                found.setdefault(folder, StageInputs())[own] = value
        return found

    @staticmethod
    def seed_folder(seed: int) -> str:
        """Return the folder of a seed in a suite's inputs: `seed0`."""
        return f"seed{seed}"

    @staticmethod
    def seed_of(folder: str) -> int:
        """Return the seed of a folder `seed0`; the inverse of `seed_folder`."""
        return int(folder.removeprefix("seed"))
