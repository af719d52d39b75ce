"""What a figure is: a matplotlib Figure that knows its data, shows itself in a notebook, and is written as files.

    canvas, lines, names_down    the grounds that figures are drawn on
    files, save                  PNG, SVG and the numbers as CSV
    inline_svg                   to put into a page

Colours are Okabe and Ito's, told apart by the colour-blind; shape or fill says the same once more. The ground is
transparent and the ink mid-grey, so that one file reads in print and on a dark page. No pyplot, no global state.
"""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
from collections.abc import Iterable, Mapping

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eefcore.evaluation.stats import Estimate

INK = "#7b7b7b"  # 4.2 : 1 on white, 4.3 : 1 on #121212
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
MARKERS = "osD^vP"
_STYLE = {
    "font.size": 9.5,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid.axis": "x",
    "grid.color": INK,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.parse_math": False,  # a method may be called $1
    "svg.hashsalt": "eefcore",  # equal figures, equal files
}

drawing = rc_context(_STYLE)
"""Decorates what draws a figure: our style, and nothing left behind in matplotlib."""


class Plot(Figure):
    """A figure and the numbers it draws, one mapping a row."""

    data: list[dict[str, object]]

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return _picture(self, "png", text="path")


def canvas(height: float, *, width: float = 7.0, columns: int = 1) -> tuple[Plot, list[Axes]]:
    """An empty figure, inches, and its panels from left to right."""
    plot = Plot(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(plot)
    return plot, list(plot.subplots(1, columns, squeeze=False)[0])


def done(plot: Plot, data: list[dict[str, object]]) -> Plot:
    """The figure, drawn, with its numbers."""
    plot.data = data
    return plot


def files(figure: Figure) -> dict[str, bytes]:
    """What is written of a figure, by suffix: `png`, `svg`, and `csv` where it knows its data."""
    out = {suffix: _picture(figure, suffix, text="path") for suffix in ("png", "svg")}
    if isinstance(figure, Plot):
        text = io.StringIO()
        columns = dict.fromkeys(key for row in figure.data for key in row)
        writer = csv.DictWriter(text, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(figure.data)
        out["csv"] = text.getvalue().encode()
    return out


def inline_svg(plot: Plot, name: str) -> str:
    """The figure to put into a page: ink in the page's own text colour, ids made the page's own by `name`."""
    svg = _picture(plot, "svg", text="none").decode()
    box = re.search(r'viewBox="[^"]*"', svg)[0]
    width = plot.get_figwidth() * 72
    body = svg[svg.index("</metadata>") + len("</metadata>") :].replace(INK, "currentColor")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box} role="img" '
        f'style="width: 100%; max-width: {width:.0f}pt">{body}'
    )


def lines(series: Mapping[str, Mapping[float, Estimate]]) -> tuple[Plot, Axes]:
    """A line a method, per cent with intervals; beside each other, so that no interval hides another."""
    plot, (axes,) = canvas(3.3)
    axes.grid(axis="y")
    axes.grid(visible=False, axis="x")
    shift = 0.012 * max((x for line in series.values() for x in line), default=1)
    for k, (method, line) in enumerate(series.items()):
        xs = sorted(line)
        style = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
        if k >= len(COLOURS):  # the second time round hollow, and dashed
            style |= {"linestyle": "--", "markerfacecolor": "none"}
        at = [x + shift * (k - (len(series) - 1) / 2) for x in xs]
        errors = [[e[side][0] for e in (whisker(line[x]) for x in xs)] for side in (0, 1)]
        axes.errorbar(
            at,
            [100 * line[x].value for x in xs],
            yerr=errors,
            label=method,
            linewidth=1.8,
            elinewidth=1,
            clip_on=False,  # a point at 0 is seen whole
            **style,
        )
    axes.set_ylim(bottom=0)
    if len(series) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return plot, axes


def names_down(axes: Axes, names: Iterable[str]) -> None:
    """Methods along the y axis, first on top."""
    names = ["\n".join(textwrap.wrap(name, 24)) for name in names]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def whisker(estimate: Estimate) -> list[list[float]]:
    """Distances in per cent from the value down and up, as matplotlib wants them."""
    low, high = 100 * (estimate.value - estimate.low), 100 * (estimate.high - estimate.value)
    return [[max(low, 0.0)], [max(high, 0.0)]]


def percent(share: float) -> float:
    """A share in per cent, to draw; what was not judged is drawn at 0."""
    return 0.0 if math.isnan(share) else 100 * share


def _picture(figure: Figure, format: str, *, text: str) -> bytes:
    out = io.BytesIO()
    with rc_context({**_STYLE, "svg.fonttype": text}):
        # No date: a figure of equal data is an equal file.
        figure.savefig(out, format=format, dpi=160, metadata={"Date": None} if format == "svg" else None)
    return out.getvalue()
