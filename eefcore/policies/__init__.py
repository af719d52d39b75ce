"""Policies: models that write the next action, from a language model of any size to a script.

`load_policy` loads the one that a parameter names. Names are loaded when they are first used, so importing this package
loads neither torch nor transformers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
