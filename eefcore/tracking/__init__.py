"""Record a stage at work: its folder, metrics, W&B run, identity and provenance.

The stage's folder is the record; what is sent to W&B is a copy. `Stage` is the whole interface for notebooks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
