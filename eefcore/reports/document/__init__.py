"""A report as plain data, and its renderings: an HTML page, Markdown, a W&B Report, and a small copy to publish.

`blocks` has the data (sections of text, tables, figures, case studies), `cells` its tables. Names are loaded when they are
first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
