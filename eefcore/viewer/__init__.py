"""Every trajectory and search tree of a run or a stage as one page, which needs no network and runs nothing of what it shows.

`run_page` writes it (`eef view RUN`), and `TrajectoriesView` shows it in a notebook (`stage.trajectories()`). Names are
loaded when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
