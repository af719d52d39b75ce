"""Other projects' trajectory formats: `read_foreign` reads ReAct, AgentGym, ETO, OpenAI and AgentLite files.

`export_foreign` writes the same formats, with the same masks as ours.
"""

from eefcore.experts.foreign.exporting import chat_messages, export_foreign
from eefcore.experts.foreign.formats import FORMATS, Episode, ParsedFile, RefusedRecord, parse_file
from eefcore.experts.foreign.importing import Imported, import_foreign, read_foreign, read_rewards

__all__ = [
    "FORMATS",
    "Episode",
    "Imported",
    "ParsedFile",
    "RefusedRecord",
    "chat_messages",
    "export_foreign",
    "import_foreign",
    "parse_file",
    "read_foreign",
    "read_rewards",
]
