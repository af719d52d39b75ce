"""Make preference pairs, and replay those of earlier rounds.

`demonstrations` compares an expert with the policy (ETO; beneficial actions of EEF), `trees` compares what a search tried
(Agent Q §5.2), and `replay_buffer` collects the pairs of several rounds.
"""

from eefcore.preferences.demonstrations import (
    PairCounts,
    beneficial_pairs,
    count_pairs,
    demonstration_pairs,
    show_pair,
    trajectory_pairs,
)
from eefcore.preferences.replay_buffer import replay_pairs, widest_margins
from eefcore.preferences.trees import node_pairs, outcome_pairs

__all__ = [
    "PairCounts",
    "beneficial_pairs",
    "count_pairs",
    "demonstration_pairs",
    "node_pairs",
    "outcome_pairs",
    "replay_pairs",
    "show_pair",
    "trajectory_pairs",
    "widest_margins",
]
