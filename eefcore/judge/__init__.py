"""Judge episodes as Agent Q §6 does: a vision-language model sees the goal, what the agent did, and the last page.

verdict   a verdict read from an answer, and the record of it
prompt    what the judge is asked; all that the site and the agent wrote is fenced as data
endpoint  the check of what a judge is named by
judge     the judge behind an OpenAI-compatible endpoint
panel     the verdicts on an evaluation set, and their agreement with the exact grader
reward    a benchmark whose reward is the judge's verdict

Names are loaded when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
