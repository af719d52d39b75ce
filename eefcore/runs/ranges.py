"""Read which values a parameter may have from the brackets that end its help, so that a wrong one is refused at once.

    learning_rate: float = 1.0e-3  # peak of the learning-rate schedule (> 0, ≤ 1)
    held_out: float = 0.2  # share of the tasks that are used to measure (0 to 1)
    cloning: str = "positive"  # expert trajectories to clone (one of positive, all or conditioned)

A number is compared (>, ≥, <, ≤, several joined by commas) or lies between two, both allowed. A choice that ends in a name
such as `my_module:order` also takes a function of the user's own. Other words in brackets are words.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from functools import cache

from eefcore.errors import suggest

_BRACKETS = re.compile(r"\(([^()]*)\)$")
_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_COMPARISON = re.compile(rf"([<>≤≥]) ({_NUMBER})")
_BETWEEN = re.compile(rf"({_NUMBER}) to ({_NUMBER})")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "≥": operator.ge, "<": operator.lt, "≤": operator.le,
}  # fmt: skip

Refusal = Callable[[object], str]
"""Return why a value is refused, as words that follow "must be"; nothing if it is allowed."""


@cache
def read_range(help: str) -> Refusal | None:
    """Return what refuses the values that `help` does not allow; None if it states neither a range nor a choice.

    Raises:
        ValueError: the brackets begin like a range or a choice and can't be read as one.
    """
    stated = _BRACKETS.search(help)
    text = stated[1] if stated else ""
    if text.startswith("one of "):
        *names, last = [
            name.strip() for name in text.removeprefix("one of ").replace(" or ", ", ").split(",")
        ]
        return _choice((*names, last) if ":" not in last else (*names,), text, open=":" in last)
    between = _BETWEEN.fullmatch(text)
    if not between and (not text or text[0] not in _COMPARE):
        return None
    comparisons = f"≥ {between[1]}, ≤ {between[2]}" if between else text
    bounds = [_COMPARISON.fullmatch(part.strip()) for part in comparisons.split(",")]
    if not all(bounds):
        raise ValueError(
            f"({text}) is no range; write (> 0), (≥ 1), (> 0, ≤ 1), (0 to 1) or (one of a, b or c)"
        )
    limits = [(_COMPARE[bound[1]], float(bound[2])) for bound in bounds if bound]

    def refusal(value: object) -> str:
        allowed = isinstance(value, int | float) and all(holds(value, limit) for holds, limit in limits)
        return "" if allowed else text

    return refusal


def _choice(names: tuple[str, ...], text: str, *, open: bool) -> Refusal:
    def refusal(value: object) -> str:
        if value in names or (open and ":" in str(value)):
            return ""
        return text + suggest(str(value), names)

    return refusal
