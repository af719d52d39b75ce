"""Figures from computed values, as `Plot`s: a matplotlib Figure that knows its data and shows itself in a notebook.

    win_rates       Table 3 as points with intervals
    navigation      Figure 2, with the attempts of Table 4
    curve           dev win rate over iterations
    budget          Figure 3: win rate against what it cost
    state_line      one expert trajectory as Fig. 1 draws it

Colours are Okabe and Ito's, told apart by the colour-blind; shape or fill says the same once more. The ground is
transparent and the ink mid-grey, so that one file reads in print and on a dark page. No pyplot, no global state.
"""

from __future__ import annotations

import csv
import io
import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from eefcore.metrics import Skill, is_thought
from eefcore.stats import Estimate
from eefcore.types import Trajectory

INK = "#7b7b7b"  # 4.2 : 1 on white, 4.3 : 1 on #121212
BLUE, ORANGE, GREEN, RED, SKY, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7"
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY, RED)
MARKERS = "osD^vP"
_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
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


class Plot(Figure):
    """A figure and the numbers it draws, one mapping a row."""

    data: list[dict[str, object]]

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return _bytes(self, "png", text="path")


class Saved(NamedTuple):
    """The three files of a figure."""

    png: Path
    svg: Path
    csv: Path


def save(plot: Plot, path: Path) -> Saved:
    """The figure as PNG and SVG, and its data as CSV, beside each other: `path` names them without a suffix."""
    out = Saved(*(path.with_name(f"{path.name}.{suffix}") for suffix in ("png", "svg", "csv")))
    out.png.write_bytes(_bytes(plot, "png", text="path"))
    out.svg.write_bytes(_bytes(plot, "svg", text="path"))
    with out.csv.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(key for row in plot.data for key in row)))
        writer.writeheader()
        writer.writerows(plot.data)
    return out


def inline_svg(plot: Plot, name: str) -> str:
    """The figure to put into a page: ink in the page's own text colour, ids made the page's own by `name`."""
    svg = _bytes(plot, "svg", text="none").decode()
    box = re.search(r'viewBox="[^"]*"', svg)[0]
    width = plot.get_figwidth() * 72
    body = svg[svg.index("</metadata>") + len("</metadata>") :].replace(INK, "currentColor")
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'(url\(#|href="#)', rf"\g<1>{name}-", body)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box} role="img" '
        f'style="width: 100%; max-width: {width:.0f}pt">{body}'
    )


@rc_context(_STYLE)
def win_rates(estimates: Mapping[str, Estimate]) -> Plot:
    """Win rate of each method with its interval, first on top."""
    figure, (axes,) = _new(0.9 + 0.34 * len(estimates))
    for y, estimate in enumerate(estimates.values()):
        axes.errorbar(
            100 * estimate.value, y, xerr=_whisker(estimate), fmt="o", color=BLUE, markersize=6.5, linewidth=2
        )
        label = "nothing judged" if math.isnan(estimate.value) else f"{100 * estimate.value:.1f}"
        axes.annotate(label, (_percent(estimate.high), y), (6, 0), textcoords="offset points", va="center")
    _names_down(axes, estimates)
    axes.set_xlim(0, min(108, 12 + max(_percent(e.high) for e in estimates.values())))
    axes.set_xlabel("win rate, % of tasks (95 % interval)")
    return _done(figure, [{"method": m, **e._asdict()} for m, e in estimates.items()])


@rc_context(_STYLE)
def navigation(skills: Mapping[str, Mapping[str, Skill]]) -> Plot:
    """Figure 2: of each method, the tasks won by using each skill (full) and those where it was used (outline)."""
    names = list(next(iter(skills.values())))
    figure, panels = _new(1.0 + 0.42 * len(skills), columns=len(names))
    for axes, skill, colour in zip(panels, names, (BLUE, ORANGE) * len(names), strict=False):
        found = [of[skill] for of in skills.values()]
        for y, (success, attempt) in enumerate(found):
            axes.barh(y, _percent(attempt.value), 0.62, facecolor="none", edgecolor=colour, linewidth=1.1)
            axes.barh(y, _percent(success.value), 0.62, color=colour)
            axes.errorbar(
                100 * success.value, y, xerr=_whisker(success), fmt="none", ecolor=INK, linewidth=1.3
            )
            end = max(_percent(attempt.value), _percent(success.high))
            label = f"{_percent(success.value):.1f} of {_percent(attempt.value):.1f}"
            axes.annotate(label, (end, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
        top = max(max(_percent(s.success.high), _percent(s.attempt.value)) for s in found)
        axes.set_xlim(0, max(4, 1.38 * top))
        axes.set_title(skill, loc="left", fontsize=10.5, fontweight="bold")
        axes.set_xlabel("% of tasks: won by using it, of used")
        _names_down(axes, skills)
        axes.label_outer(remove_inner_ticks=False)
    rows = [
        {"method": method, "skill": skill, "measure": measure, **estimate._asdict()}
        for method, of in skills.items()
        for skill, found in of.items()
        for measure, estimate in found._asdict().items()
    ]
    return _done(figure, rows)


@rc_context(_STYLE)
def curve(curves: Mapping[str, Mapping[int, Estimate]]) -> Plot:
    """Win rate on the dev panel over iterations, one line a method; 0 is behaviour cloning."""
    figure, axes = _lines(curves)
    axes.set_xticks(sorted({i for line in curves.values() for i in line}))
    axes.set_xlabel("iteration (0 is behaviour cloning)")
    axes.set_ylabel("dev win rate, % (95 % interval)")
    return _done(figure, _line_rows(curves, "iteration"))


@rc_context(_STYLE)
def budget(series: Mapping[str, Mapping[float, Estimate]], *, cost: str = "simulations per task") -> Plot:
    """Figure 3: win rate against `cost`, one line a method, a point a setting (N of RFT×N, M of EEF)."""
    figure, axes = _lines(series)
    axes.set_xlabel(cost)
    axes.set_ylabel("win rate, % (95 % interval)")
    return _done(figure, _line_rows(series, cost))


@rc_context(_STYLE)
def state_line(
    expert: Trajectory,
    outcomes: Mapping[int, bool],
    *,
    kept: Sequence[tuple[int, int]] = (),
    recovery: int | None = None,
) -> Plot:
    """τ_e = [s_0, a_0, s_1, …] as Fig. 1 draws it.

    Args:
        outcomes: i of each explored s_i, and whether the policy won from there (`cases.outcomes_along`).
        kept: the stretches (i, j) of expert actions a_i … a_{j-1} that are trained on (`cases.kept`).
        recovery: i*, if there is one.
    """
    figure, (axes,) = _new(2.3, width=max(7.0, 1.2 + 0.62 * len(expert)))
    axes.hlines(0, 0, len(expert), color=INK, linewidth=1.2, zorder=1)
    for start, stop in kept:
        axes.hlines(0, start, stop, color=GREEN, linewidth=7, alpha=0.45, zorder=2)
    for i, action in enumerate(expert.actions):
        in_kept = any(start <= i < stop for start, stop in kept)
        axes.annotate(
            _short(action),
            (i + 0.5, -0.16),
            rotation=-38,
            ha="left",
            va="top",
            rotation_mode="anchor",
            fontsize=8,
        ).set(color=GREEN if in_kept else INK, alpha=0.75 if is_thought(action) else 1)
    for i in range(len(expert) + 1):
        explored = i in outcomes
        axes.annotate(f"s{str(i).translate(_SUBSCRIPT)}", (i, 0.2), ha="center", alpha=1 if explored else 0.6)
        if not explored and i < len(expert):
            axes.plot(i, 0, "o", color=INK, markersize=3.5, zorder=3)
    won, lost = ([i for i in outcomes if outcomes[i] is is_won] for is_won in (True, False))
    axes.plot(won, [0] * len(won), "o", color=GREEN, markersize=11, zorder=4, label="policy wins from here")
    axes.plot(lost, [0] * len(lost), "X", color=RED, markersize=10, zorder=4, label="policy loses from here")
    axes.plot(len(expert), 0, "s", color=GREEN if expert.win else RED, markersize=9, zorder=4)
    axes.annotate(
        f"R = {expert.reward:.2f}", (len(expert), 0), (10, 0), textcoords="offset points", va="center"
    )
    if kept:
        axes.plot([], [], color=GREEN, linewidth=7, alpha=0.45, label="expert actions kept")
    if recovery is not None:
        axes.plot(
            recovery,
            0,
            "o",
            markersize=19,
            markerfacecolor="none",
            markeredgecolor=ORANGE,
            markeredgewidth=2.2,
        )
        axes.plot(
            [], [], "o", markersize=9, markerfacecolor="none", markeredgecolor=ORANGE, label="to recover from"
        )
    axes.set(xlim=(-0.5, len(expert) + 1.6), ylim=(-1.5, 0.45))
    axes.axis("off")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8.5, handletextpad=0.5)
    in_kept = [any(a <= i < b for a, b in kept) for i in range(len(expert))]
    rows = [
        {
            "step": i,
            "action": a,
            "policy_wins": outcomes.get(i, ""),
            "kept": in_kept[i],
            "recovery": i == recovery,
        }
        for i, a in enumerate(expert.actions)
    ]
    return _done(figure, rows)


@rc_context(_STYLE)
def losses(values: Sequence[float]) -> Plot:
    """The training loss of each optimiser step, and its running mean."""
    figure, (axes,) = _new(2.6)
    window = max(1, len(values) // 20)
    mean = [
        sum(values[max(0, i - window) : i + 1]) / len(values[max(0, i - window) : i + 1])
        for i in range(len(values))
    ]
    axes.plot(values, color=INK, alpha=0.35, linewidth=0.8)
    axes.plot(mean, color=BLUE, linewidth=1.8)
    axes.set(xlabel="optimiser step", ylabel="L_SFT per trained token", yscale="log")
    return _done(figure, [{"step": i, "loss": value} for i, value in enumerate(values)])


@rc_context(_STYLE)
def win_rate_by_step(rates: Mapping[int, Estimate]) -> Plot:
    """From which step of the expert's the policy wins: win rate of τ_{s_i} by i; 0 is the task's start."""
    figure, axes = _lines({"simulations": {float(i): rate for i, rate in rates.items()}})
    axes.set_xlabel("i: simulations start from s_i of an expert trajectory")
    axes.set_ylabel("win rate, % (95 % interval)")
    return _done(figure, [{"step": i, **rate._asdict()} for i, rate in rates.items()])


def _new(height: float, *, width: float = 7.0, columns: int = 1) -> tuple[Plot, list[Axes]]:
    plot = Plot(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(plot)
    return plot, list(plot.subplots(1, columns, squeeze=False)[0])


def _done(plot: Plot, data: list[dict[str, object]]) -> Plot:
    plot.data = data
    return plot


def _bytes(plot: Plot, format: str, *, text: str) -> bytes:
    out = io.BytesIO()
    with rc_context({**_STYLE, "svg.fonttype": text}):
        # No date: a figure of equal data is an equal file.
        plot.savefig(out, format=format, dpi=160, metadata={"Date": None} if format == "svg" else None)
    return out.getvalue()


def _lines(series: Mapping[str, Mapping[float, Estimate]]) -> tuple[Plot, Axes]:
    plot, (axes,) = _new(3.3)
    axes.grid(axis="y")
    axes.grid(visible=False, axis="x")
    shift = 0.012 * max((x for line in series.values() for x in line), default=1)
    for k, (method, line) in enumerate(series.items()):
        xs = sorted(line)
        style = {"color": COLOURS[k % len(COLOURS)], "marker": MARKERS[k % len(MARKERS)]}
        # Beside each other, so that no interval hides another.
        at = [x + shift * (k - (len(series) - 1) / 2) for x in xs]
        errors = [[e[side][0] for e in (_whisker(line[x]) for x in xs)] for side in (0, 1)]
        axes.errorbar(
            at,
            [100 * line[x].value for x in xs],
            yerr=errors,
            label=method,
            linewidth=1.8,
            elinewidth=1,
            **style,
        )
    axes.set_ylim(bottom=0)
    if len(series) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return plot, axes


def _line_rows(series: Mapping[str, Mapping[float, Estimate]], x: str) -> list[dict[str, object]]:
    return [{"method": m, x: at, **line[at]._asdict()} for m, line in series.items() for at in sorted(line)]


def _names_down(axes: Axes, names: Iterable[str]) -> None:
    names = ["\n".join(textwrap.wrap(name, 24)) for name in names]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_axisbelow(True)


def _whisker(estimate: Estimate) -> list[list[float]]:
    """Distances in per cent from the value down and up, as matplotlib wants them."""
    low, high = 100 * (estimate.value - estimate.low), 100 * (estimate.high - estimate.value)
    return [[max(low, 0.0)], [max(high, 0.0)]]


def _percent(share: float) -> float:
    return 0.0 if math.isnan(share) else 100 * share


def _short(action: str) -> str:
    """`click[{"button": "Next >"}]` as `click Next >`; a thought as `think`."""
    if is_thought(action):
        return "think"
    words = re.sub(r'\[\{?"?\w+"?: "|\[|"\}?\]$|\]$', " ", action)
    return textwrap.shorten(words, 20, placeholder="…")
