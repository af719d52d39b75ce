"""Search over trees of pages, and learn from what it finds (Agent Q §5.1 and §5.3).

`mcts` has the phases and equations 6, 7 and 9 on the data of `tree`; `growth` runs them for many trees side by side.
`critic` ranks actions, `forest` grows the trees of a stage and puts failed experts into them, `test_time` acts with
search, and `ceiling` measures what a perfect judge would have won with the same proposals.
"""

from eefcore.search.calibration import (
    agreement,
    chance_accuracy,
    critic_accuracy,
    explored_edges,
    rank_again,
    reliability,
)
from eefcore.search.ceiling import Ceiling
from eefcore.search.critic import (
    Critic,
    RankingCritic,
    critic_from_model,
    critic_weights,
    load_critic,
    resolve_critic,
)
from eefcore.search.critic_data import answer_questions, critic_questions, split_tasks
from eefcore.search.forest import (
    count_trees,
    grow_trees,
    illustrative_tree,
    pass_at,
    plant_trees,
    search_cost,
    trajectories,
)
from eefcore.search.growth import grow
from eefcore.search.guard import Guard, count_refused, live
from eefcore.search.human import find_human
from eefcore.search.settings import SearchSettings, Signal
from eefcore.search.test_time import (
    SearchedEpisode,
    SearchMethod,
    decision_counts,
    play_with_search,
    search_card,
    write_ceilings,
)
from eefcore.search.tree import Tally, Tree

__all__ = [
    "Ceiling",
    "Critic",
    "Guard",
    "RankingCritic",
    "SearchMethod",
    "SearchSettings",
    "SearchedEpisode",
    "Signal",
    "Tally",
    "Tree",
    "agreement",
    "answer_questions",
    "chance_accuracy",
    "count_refused",
    "count_trees",
    "critic_accuracy",
    "critic_from_model",
    "critic_questions",
    "critic_weights",
    "decision_counts",
    "explored_edges",
    "find_human",
    "grow",
    "grow_trees",
    "illustrative_tree",
    "live",
    "load_critic",
    "pass_at",
    "plant_trees",
    "play_with_search",
    "rank_again",
    "reliability",
    "resolve_critic",
    "search_card",
    "search_cost",
    "split_tasks",
    "trajectories",
    "write_ceilings",
]
