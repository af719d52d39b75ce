"""No held-out task is trained on, whatever it is called."""

from __future__ import annotations

import pytest
from helpers.instructions import instructions, tellings
from hypothesis import given
from hypothesis import strategies as st

from eefcore.errors import LeakageError
from eefcore.selection.leakage import refuse_leaks
from eefcore.types import Example, History, Trajectory


def example(task: str, asks: str) -> Example:
    history = History(task, asks).then("click[x]", "shopping is finished.")
    return Example(Trajectory(history=history, reward=1.0))


HELD = [History("t9", "i need a red hat, and price lower than 40.00 dollars")]


@pytest.mark.parametrize(
    "task, asks, leaks",
    [
        ("t1", "i need a blue hat, and price lower than 40.00 dollars", False),
        ("t9", "i need a blue hat, and price lower than 40.00 dollars", True),  # its id
        ("t1", "i need a red hat, and price lower than 40.00 dollars", True),  # its words
        ("t1", "I need a red hat., and price lower than 60.00 dollars", True),  # at another price
        ("t1", "i need a red hat and a scarf, and price lower than 40.00 dollars", False),
    ],
)
def test_a_leak_is_found_by_task_id_and_by_instruction(task, asks, leaks):
    if leaks:
        with pytest.raises(LeakageError, match="held out"):
            refuse_leaks([example(task, asks)], HELD)
    else:
        refuse_leaks([example(task, asks)], HELD)


@given(instructions(), st.data())
def test_an_instruction_with_other_spacing_or_case_leaks(words, data):
    told, again = (History(task, data.draw(tellings(words))) for task in ("t1", "t2"))
    with pytest.raises(LeakageError, match="held out"):
        refuse_leaks([example("t3", again.observation)], [told])
