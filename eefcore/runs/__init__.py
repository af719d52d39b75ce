"""Turn a params file into a plan of stages, and run each stage's notebook with papermill.

A notebook opens its own stage with `open_stage`; `plan_run` plans a params file, and `run` runs a plan.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
