"""Format numbers, actions and outcomes, in the same way in every table, sentence and figure."""

from __future__ import annotations

import math
import re

from eefcore.evaluation.stats import Estimate


def percent(share: float) -> str:
    """Format a share: 0.464 as `46.4 %`."""
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"


def interval(estimate: Estimate, scale: float = 100, digits: int = 1) -> str:
    """Format the interval of an estimate: `40.3 – 52.6`."""
    if math.isnan(estimate.low):
        return "–"
    return f"{scale * estimate.low:.{digits}f} – {scale * estimate.high:.{digits}f}"


def signed(gap: float, scale: float = 100, digits: int = 1) -> str:
    """Format a difference with its sign: 0.064 as `+6.4`."""
    return f"{scale * gap:+.{digits}f}".replace("-", "−")


def p_value(p: float) -> str:
    """Format a p-value: `p = 0.031`, `p < 0.001`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


def compact(number: float) -> str:
    """Format a large number: 1234567 as `1.23 M`."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(number) >= 0.9995 * size:  # a number that rounds to the unit is written with it
            return f"{number / size:.3g}{unit}"
    return f"{number:.3g}"


def duration(seconds: float) -> str:
    """Format seconds: 3725 as `1 h 2 min`."""
    hours, rest = divmod(round(seconds), 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def action(text: str) -> str:
    """Format an action: `click[{"button": "Next >"}]` as `click Next >`, any other text in one line."""
    return " ".join(re.sub(r'\[\{?"?\w+"?: "|\[|"?\}?\]$', " ", text.strip()).split())


def outcome(name: str) -> str:
    """Format an outcome: `turn_limit` as `turn limit`."""
    return name.replace("_", " ")
