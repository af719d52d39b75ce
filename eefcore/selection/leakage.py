"""Refuse to train on a held-out task. Tasks are compared by content, not by number alone (DESIGN 4.4)."""

from __future__ import annotations

from collections.abc import Iterable

from eefcore.errors import LeakageError
from eefcore.instructions import instruction_key
from eefcore.types import Example, History


def refuse_leaks(examples: Iterable[Example], held_out: Iterable[History]) -> None:
    """Raise a LeakageError if an example shows a held-out task, recognised by its id or by the words of its instruction.

    `held_out` is s_0 of the dev and test tasks.
    """
    starts = list(held_out)
    ids, instructions = {h.task_id for h in starts}, {instruction_key(h.observation) for h in starts}
    for example in examples:
        start = example.trajectory.history.at(0)
        if start.task_id in ids or instruction_key(start.observation) in instructions:
            raise LeakageError(
                f"task {start.task_id} ({start.observation!r}) is held out for testing and would be trained on; "
                "leave it out of the expert data, or split by other sizes or another seed"
            )
