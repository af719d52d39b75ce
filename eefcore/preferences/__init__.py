"""Make preference pairs, and replay those of earlier rounds.

`demonstrations` compares an expert with the policy (ETO; beneficial actions of EEF), `trees` compares what a search tried
(Agent Q §5.2), and `replay_buffer` collects the pairs of several rounds.
"""

from eefcore.preferences.demonstrations import count_pairs, demonstration_pairs, show_pair
from eefcore.preferences.replay_buffer import replay_pairs
from eefcore.preferences.trees import node_pairs, outcome_pairs

__all__ = ["count_pairs", "demonstration_pairs", "node_pairs", "outcome_pairs", "replay_pairs", "show_pair"]
