"""Other projects' trajectory formats: `read_foreign` reads ReAct, AgentGym, ETO, OpenAI and AgentLite files.

`export_foreign` writes the same formats, with the same masks as ours.

Names are loaded when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
