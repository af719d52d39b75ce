"""Scripted WebShop experts of several strengths, and the base skills on which a tiny base is pretrained.

`make_shopper` returns the `Shopper` of a strength; `MistakeRates` says which mistakes an imperfect one makes, and how often.
`CompositeShopper` writes the same in composite actions (Agent Q Appendix A).
"""

from eefcore.experts.webshop.composite import CompositeShopper, to_calls, to_composite
from eefcore.experts.webshop.experts import COMPOSITE_EXPERTS, EXPERTS, STRENGTHS, make_shopper, task_kinds
from eefcore.experts.webshop.shopper import Habits, MistakeRates, Shopper
from eefcore.experts.webshop.view import View, read_view

__all__ = [
    "COMPOSITE_EXPERTS",
    "EXPERTS",
    "STRENGTHS",
    "CompositeShopper",
    "Habits",
    "MistakeRates",
    "Shopper",
    "View",
    "make_shopper",
    "read_view",
    "task_kinds",
    "to_calls",
    "to_composite",
]
