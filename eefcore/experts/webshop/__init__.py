"""Scripted WebShop experts of several strengths, and the base skills on which a tiny base is pretrained.

`make_shopper` returns the `Shopper` of a strength; `MistakeRates` says which mistakes an imperfect one makes, and how often.
`CompositeShopper` writes the same in composite actions (Agent Q Appendix A).
"""

from eefcore.experts.webshop.composite import CompositeShopper
from eefcore.experts.webshop.experts import COMPOSITE_EXPERTS, EXPERTS
from eefcore.experts.webshop.shopper import STRENGTHS, Habits, MistakeRates, Shopper, make_shopper

__all__ = [
    "COMPOSITE_EXPERTS",
    "EXPERTS",
    "STRENGTHS",
    "CompositeShopper",
    "Habits",
    "MistakeRates",
    "Shopper",
    "make_shopper",
]
