"""The sizes of a benchmark's three panels, as params files write them: `400/100/300`."""

from __future__ import annotations

from typing import NamedTuple

from eefcore.errors import ParamsError


class PanelSizes(NamedTuple):
    """How many tasks to train on, to select models on and to test on.

    What 0 means is the benchmark's: of the official WebShop goals all that remain are trained on, and of
    ScienceWorld's splits all tasks are used.
    """

    train: int = 0
    dev: int = 0
    test: int = 0


ALL_TASKS = PanelSizes()
"""The sizes of a benchmark that asks for no smaller panels."""


def panel_sizes(sizes: str) -> PanelSizes:
    """Parse `400/100/300`: tasks to train on, to select the model on, to test on.

    Raises:
        ParamsError: `sizes` is not three numbers.
    """
    parts = sizes.split("/")
    if len(parts) != 3 or not all(p.isdecimal() for p in parts):
        raise ParamsError(f"sizes {sizes!r}: expected three numbers, train/dev/test, as in 400/100/300")
    return PanelSizes(*map(int, parts))
