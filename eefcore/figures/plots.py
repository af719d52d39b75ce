"""Draw matplotlib figures that keep their data, in one style, and write them as PNG, SVG and CSV.

    canvas, line_chart, method_axis    the empty figure, a chart with a line a method, method names along the y axis
    render_files                       PNG, SVG, and the numbers drawn as CSV
    inline_svg                         a figure as part of an HTML page

The colours are those of Okabe and Ito, which colour-blind readers can distinguish; shape or fill repeats what a colour
says. The background is transparent and the ink mid-grey, so that one file is legible in print and on a dark page.
Nothing here uses pyplot or changes matplotlib's global state.
"""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, TypeVar

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eefcore.evaluation.stats import Estimate

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

X = TypeVar("X", bound=float)
Style = dict[str, Any]
"""Keywords of matplotlib."""

INK = "#7b7b7b"  # 4.2 : 1 on white, 4.3 : 1 on #121212
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
MARKERS = "osD^vP"
_STYLE: dict[RcKeyType, Any] = {
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
    "svg.hashsalt": "eefcore",  # equal figures give equal files
}

styled = rc_context(_STYLE)
"""Decorate a function that draws a figure: it draws in our style and leaves matplotlib's settings as they were."""


class Plot(Figure):
    """A figure and the numbers that it draws, one mapping a row of the CSV file."""

    data: Sequence[Mapping[str, object]]

    def _repr_png_(self) -> bytes:
        """Return the picture that a notebook shows."""
        return _picture(self, "png", text="path")


def canvas(height: float, *, width: float = 7.0, columns: int = 1) -> tuple[Plot, list[Axes]]:
    """Return an empty figure of that size in inches, and its panels from left to right."""
    plot = Plot(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(plot)
    return plot, list(plot.subplots(1, columns, squeeze=False)[0])


def with_data(plot: Plot, data: Sequence[Mapping[str, object]]) -> Plot:
    """Return the finished figure with the numbers that it draws."""
    plot.data = data
    return plot


def render_files(figure: Figure) -> dict[str, bytes]:
    """Render a figure as files, by suffix: `png`, `svg`, and `csv` where the figure keeps its data."""
    out = {suffix: _picture(figure, suffix, text="path") for suffix in ("png", "svg")}
    if isinstance(figure, Plot):
        text = io.StringIO()
        columns = dict.fromkeys(key for row in figure.data for key in row)
        writer = csv.DictWriter(text, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(figure.data)
        out["csv"] = text.getvalue().encode()
    return out


def inline_svg(plot: Plot, name: str, label: str) -> str:
    """Return the figure as SVG for an HTML page, with ink in the page's text colour and ids prefixed by `name`.

    Args:
        label: what a screen reader says in place of the figure.
    """
    svg = _picture(plot, "svg", text="none").decode()
    box = re.findall(r'viewBox="[^"]*"', svg)[0]
    width = plot.get_figwidth() * 72
    body = svg[svg.index("</metadata>") + len("</metadata>") :].replace(INK, "currentColor")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box} role="img" '
        f'aria-label="{escape(label)}" style="width: 100%; max-width: {width:.0f}pt">{body}'
    )


def line_chart(
    series: Mapping[str, Mapping[X, Estimate]],
    x: str,
    y: str = "win rate, % (95 % interval)",
    *,
    of: str = "method",
    at: str = "",
    ticks: bool = False,
) -> tuple[Plot, Axes]:
    """Draw one line a method, in per cent with intervals; points at the same x are shifted so that no interval hides another.

    Args:
        x, y: the labels of the axes.
        of, at: the columns of the CSV file with the name of a line and the place of a point, which is `x` by default.
        ticks: mark the places of the points, and no others, on the x axis.
    """
    plot, (axes,) = canvas(3.3)
    axes.grid(axis="y")
    axes.grid(visible=False, axis="x")
    places = sorted({place for line in series.values() for place in line})
    shift = 0.012 * max(places, default=1)
    for k, (name, line) in enumerate(series.items()):
        points = dict(sorted(line.items()))
        again = k >= len(COLOURS)  # a colour's second line is hollow and dashed
        colour = COLOURS[k % len(COLOURS)]
        axes.errorbar(
            [place + shift * (k - (len(series) - 1) / 2) for place in points],
            [100 * estimate.value for estimate in points.values()],
            yerr=whiskers(*points.values()),
            label=name,
            color=colour,
            marker=MARKERS[k % len(MARKERS)],
            linestyle="--" if again else "-",
            markerfacecolor="none" if again else colour,
            linewidth=1.8,
            elinewidth=1,
            clip_on=False,  # a point at 0 is drawn whole
        )
    axes.set_ylim(bottom=0)
    axes.set(xlabel=x, ylabel=y)
    if ticks:
        axes.set_xticks(places)
    if len(series) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    plot.data = [
        {of: name, at or x: place, **line[place]._asdict()}
        for name, line in series.items()
        for place in sorted(line)
    ]
    return plot, axes


def method_axis(axes: Axes, names: Iterable[str]) -> None:
    """Write method names along the y axis, the first on top."""
    names = ["\n".join(textwrap.wrap(name, 24)) for name in names]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def write_beside(axes: Axes, text: str, x: float, y: float, distance: float = 5, **style: Any) -> None:
    """Write `text` to the right of a point, `distance` points away."""
    axes.annotate(text, (x, y), (distance, 0), textcoords="offset points", va="center", **style)


def whiskers(*estimates: Estimate) -> list[list[float]]:
    """Return the distances in per cent from each value down and up to its interval, in the shape [2, n] of matplotlib."""
    return [
        [max(100 * (e.value - e.low), 0.0) for e in estimates],
        [max(100 * (e.high - e.value), 0.0) for e in estimates],
    ]


def percent(share: float) -> float:
    """Return a share in per cent to draw; a share of nothing judged (NaN) is drawn at 0."""
    return 0.0 if math.isnan(share) else 100 * share


def win_rate_label(rate: Estimate) -> str:
    """Return the number to write beside a win rate."""
    return "nothing judged" if math.isnan(rate.value) else f"{100 * rate.value:.1f}"


def _picture(figure: Figure, format: str, *, text: str) -> bytes:
    out = io.BytesIO()
    with rc_context({**_STYLE, "svg.fonttype": text}):
        # No date: figures of equal data are equal files.
        figure.savefig(out, format=format, dpi=160, metadata={"Date": None} if format == "svg" else None)
    return out.getvalue()
