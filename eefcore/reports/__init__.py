"""The report of a run or a suite: tables, sections and case studies, built from what the stages left on disk.

`build_report` makes it of the methods that `read_run` or `read_suite` return; `reports.document` renders it. Names are
loaded when they are first used, so importing this package does not load matplotlib.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
