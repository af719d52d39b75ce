"""Judge episodes as Agent Q §6 does: a vision-language model sees the goal, what the agent did, and the last page.

verdict   a verdict read from an answer, and the record of it
prompt    what the judge is asked; all that the site and the agent wrote is fenced as data
judge     the judge behind an OpenAI-compatible endpoint
panel     the verdicts on an evaluation set, and their agreement with the exact grader
reward    a benchmark whose reward is the judge's verdict
"""

from eefcore.judge.judge import Judge, judge_counts, judging_cost, load_judge
from eefcore.judge.panel import agreement_metrics, judge_panel, panel_agreement
from eefcore.judge.reward import reward_by_judge
from eefcore.judge.verdict import Judgement, Verdict

__all__ = [
    "Judge",
    "Judgement",
    "Verdict",
    "agreement_metrics",
    "judge_counts",
    "judge_panel",
    "judging_cost",
    "load_judge",
    "panel_agreement",
    "reward_by_judge",
]
