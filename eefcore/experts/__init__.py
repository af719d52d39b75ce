"""Expert data: scripted experts of WebShop and ScienceWorld, language models, files, and a budget between experts.

`expert_data` returns D_e for a benchmark. `register_experts` adds scripted experts to an environment of your own: a
`ScriptedExpert` answers a history, and `demonstrator` gives it a price. `foreign` reads and writes other formats.
`calibrate` sets a scripted expert beside the published figures (`PUBLISHED`) of the expert that it stands for.
"""

from eefcore.experts.base_skills import SkillExample
from eefcore.experts.calibration import (
    Calibration,
    calibrate,
    play_training_tasks,
    published_figures,
)
from eefcore.experts.collect import (
    OUTCOMES,
    attempted_tasks,
    by_expert,
    choose_expert,
    count_outcomes,
    demonstrations,
    expert_cost,
    expert_data,
    expert_names,
    expert_table,
    first_samples,
    first_tasks,
    held_out_starts,
    judged,
    panel_data,
    read_demonstrations,
    task_starts,
    without_held_out,
)
from eefcore.experts.demonstrate import Demonstrator, ScriptedExpert, demonstrator
from eefcore.experts.prompted import PromptedExperts, split_experts
from eefcore.experts.published import PUBLISHED, PublishedFigure, Quantity
from eefcore.experts.registry import (
    Measure,
    ScriptedExperts,
    base_skill_examples,
    experts_of,
    register_experts,
)

__all__ = [
    "OUTCOMES",
    "PUBLISHED",
    "Calibration",
    "Demonstrator",
    "Measure",
    "PromptedExperts",
    "PublishedFigure",
    "Quantity",
    "ScriptedExpert",
    "ScriptedExperts",
    "SkillExample",
    "attempted_tasks",
    "base_skill_examples",
    "by_expert",
    "calibrate",
    "choose_expert",
    "count_outcomes",
    "demonstrations",
    "demonstrator",
    "expert_cost",
    "expert_data",
    "expert_names",
    "expert_table",
    "experts_of",
    "first_samples",
    "first_tasks",
    "held_out_starts",
    "judged",
    "panel_data",
    "play_training_tasks",
    "published_figures",
    "read_demonstrations",
    "register_experts",
    "split_experts",
    "task_starts",
    "without_held_out",
]
