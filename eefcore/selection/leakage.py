"""That no test task is trained on, by content and not by number (DESIGN 4.4)."""

from __future__ import annotations

from collections.abc import Iterable

from eefcore.errors import LeakageError
from eefcore.types import Example, History


def refuse_leaks(examples: Iterable[Example], held_out: Iterable[History]) -> None:
    """Nothing, if no example is of a held-out task, by its id or by what it asks for in words.

    Args:
        held_out: s_0 of the dev and test tasks.

    Raises:
        LeakageError: one is.
    """
    held = list(held_out)
    ids, texts = {h.task_id for h in held}, {asked_for(h.observation) for h in held}
    for example in examples:
        start = example.trajectory.history.at(0)
        if start.task_id in ids or asked_for(start.observation) in texts:
            raise LeakageError(
                f"task {start.task_id} ({start.observation!r}) is held out for testing and would be trained on; "
                "leave it out of the expert data, or split by other sizes or another seed"
            )


def asked_for(instruction: str) -> str:
    """What an instruction asks for, the price clause and the full stop aside: the content that splits go by."""
    return instruction.lower().split(", and price lower than")[0].strip(" .\n")
