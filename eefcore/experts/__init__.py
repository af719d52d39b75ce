"""Expert data: scripted experts of WebShop and ScienceWorld, language models, files, and a budget between experts.

`expert_data` returns D_e for a benchmark. `register_experts` adds scripted experts to an environment of your own: a
`ScriptedExpert` answers a history, and `demonstrator` gives it a price. `foreign` reads and writes other formats.
`calibrate` sets a scripted expert beside the published figures (`PUBLISHED`) of the expert that it stands for.

Names are loaded when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
