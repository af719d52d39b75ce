"""Runs of several seeds, lined up on one panel of tasks."""

import math

import numpy as np
import pytest
from helpers.episodes import naive, spoilt

from eefcore.evaluation.metrics import win_rate
from eefcore.evaluation.panel import score_matrix

NAN = math.nan


def test_runs_are_aligned_by_task_and_not_by_position():
    values = score_matrix(
        [[naive("a", 1.0), naive("b", 0.5)], [naive("b", 0.2), spoilt("a")]], lambda t: t.reward
    )
    assert np.array_equal(values, [[1.0, 0.5], [NAN, 0.2]], equal_nan=True)


@pytest.mark.parametrize(
    "runs, message",
    [
        (([naive("a"), naive("a")],), "seed 0 holds a more than once"),
        (([naive("a")], [naive("b")]), "played different tasks, a is one"),
        ((), "no run was given"),
    ],
)
def test_runs_of_different_or_repeated_tasks_are_refused(runs, message):
    with pytest.raises(ValueError, match=message):
        win_rate(*runs)
