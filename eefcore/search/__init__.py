"""Search over trees of pages, and learn from what it finds (Agent Q §5.1 and §5.3).

`mcts` has the phases and equations 6, 7 and 9 on the data of `tree`; `growth` runs them for many trees side by side.
`critic` ranks actions, `forest` grows the trees of a stage and puts failed experts into them, `test_time` acts with
search, and `ceiling` measures what a perfect judge would have won with the same proposals.

Names are loaded when they are first used.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
