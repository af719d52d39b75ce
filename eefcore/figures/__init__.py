"""Matplotlib figures of evaluations, searches, preferences and whole reports, and search trees as SVG.

Each function returns a `Plot`, a figure that keeps the numbers it draws and is written as PNG, SVG and CSV. The names are
loaded when they are first used, so importing this package does not load matplotlib.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
