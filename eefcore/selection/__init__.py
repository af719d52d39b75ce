"""Select what to train on: EEF Algorithm 1, lines 3 and 8-14.

`algorithm` finds important states and their solutions as pure functions of trajectories, `orders` chooses among several
solutions, and `leakage` keeps test tasks out of the training set.
"""

from eefcore.selection.algorithm import (
    Repository,
    TrainingSet,
    cloning_set,
    competing_solutions,
    count_selection,
    explored_steps,
    illustrative_expert,
    important_states,
    keep_of,
    known_outcomes,
    outcomes,
    recovery_state,
    solution,
    training_set,
)
from eefcore.selection.best_model import best_on_dev
from eefcore.selection.leakage import refuse_leaks
from eefcore.selection.orders import Order, load_order

__all__ = [
    "Order",
    "Repository",
    "TrainingSet",
    "best_on_dev",
    "cloning_set",
    "competing_solutions",
    "count_selection",
    "explored_steps",
    "illustrative_expert",
    "important_states",
    "keep_of",
    "known_outcomes",
    "load_order",
    "outcomes",
    "recovery_state",
    "refuse_leaks",
    "solution",
    "training_set",
]
