"""Expert data: scripted experts of WebShop and ScienceWorld, trajectories from files, and a budget between experts.

`expert_data` returns D_e for a benchmark. `register_experts` adds scripted experts to an environment of your own: a
`ScriptedExpert` answers a history, and `demonstrator` gives it a price. `foreign` reads and writes other formats.
"""

from eefcore.experts.base_skills import SkillExample
from eefcore.experts.collect import (
    attempted_tasks,
    by_expert,
    choose_expert,
    demonstrations,
    expert_cost,
    expert_data,
    expert_names,
    expert_table,
    held_out_starts,
    read_demonstrations,
    task_starts,
    without_held_out,
)
from eefcore.experts.demonstrate import Demonstrator, ScriptedExpert, demonstrator
from eefcore.experts.registry import (
    Measure,
    ScriptedExperts,
    base_skill_examples,
    experts_of,
    register_experts,
)

__all__ = [
    "Demonstrator",
    "Measure",
    "ScriptedExpert",
    "ScriptedExperts",
    "SkillExample",
    "attempted_tasks",
    "base_skill_examples",
    "by_expert",
    "choose_expert",
    "demonstrations",
    "demonstrator",
    "expert_cost",
    "expert_data",
    "expert_names",
    "expert_table",
    "experts_of",
    "held_out_starts",
    "read_demonstrations",
    "register_experts",
    "task_starts",
    "without_held_out",
]
