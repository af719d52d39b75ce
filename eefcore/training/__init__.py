"""Train and score causal language models: rows and masks, L_SFT (EEF §3.2), L_DPO (Agent Q eq. 4, 5), one training loop.

Models are loaded and saved here and nowhere else. Names are loaded when they are first used, so importing this package
loads neither torch nor transformers.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
