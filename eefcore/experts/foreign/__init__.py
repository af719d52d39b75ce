"""Other projects' trajectory formats: `read_foreign` reads ReAct, AgentGym, ETO, OpenAI and AgentLite files.

`export_openai` and `to_dataset` write examples for other trainers, with the same masks as ours.
"""

from eefcore.experts.foreign.exporting import chat_messages, export_openai, to_dataset
from eefcore.experts.foreign.formats import FORMATS, Episode, ParsedFile, parse_file
from eefcore.experts.foreign.importing import first_trained_actions, read_foreign, read_rewards

__all__ = [
    "FORMATS",
    "Episode",
    "ParsedFile",
    "chat_messages",
    "export_openai",
    "first_trained_actions",
    "parse_file",
    "read_foreign",
    "read_rewards",
    "to_dataset",
]
