"""Draw results of evaluations: win rates, navigation skills, curves over iterations and budgets, and how methods differ.

Among them are EEF Table 3 as points (`win_rates`), EEF Figure 2 (`navigation`), EEF Figure 3 (`budget`), and one expert
trajectory in the manner of EEF Figure 1 (`state_line`). `eefcore.figures.plots` has the `Plot` that each function returns.
"""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.axes import Axes

from eefcore.actions import is_thought
from eefcore.evaluation import formatting
from eefcore.evaluation.navigation import SkillRates
from eefcore.evaluation.stats import Difference, Estimate
from eefcore.figures.plots import (
    BLUE,
    COLOURS,
    GREEN,
    INK,
    MARKERS,
    ORANGE,
    RED,
    Plot,
    Style,
    canvas,
    line_chart,
    method_axis,
    percent,
    styled,
    whiskers,
    win_rate_label,
    with_data,
    write_beside,
)
from eefcore.types import Trajectory

if TYPE_CHECKING:
    from eefcore.experts.calibration import Calibration

_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo")
_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@styled
def win_rates(estimates: Mapping[str, Estimate]) -> Plot:
    """Draw the win rate of each method with its interval, the first on top."""
    figure, (axes,) = canvas(0.9 + 0.34 * len(estimates))
    for y, estimate in enumerate(estimates.values()):
        axes.errorbar(
            100 * estimate.value, y, xerr=whiskers(estimate), fmt="o", color=BLUE, markersize=6.5, linewidth=2
        )
        write_beside(axes, win_rate_label(estimate), percent(estimate.high), y, 6)
    method_axis(axes, estimates)
    axes.set_xlim(0, min(108, 12 + max(percent(e.high) for e in estimates.values())))
    axes.set_xlabel("win rate, % of tasks (95 % interval)")
    return with_data(figure, [{"method": m, **e._asdict()} for m, e in estimates.items()])


@styled
def navigation(skills: Mapping[str, Mapping[str, SkillRates]]) -> Plot:
    """Draw EEF Figure 2: for each method, the tasks won by using each skill (full bars) and those that used it (outlines)."""
    names = list(next(iter(skills.values())))
    height = 1.0 + 0.42 * len(skills)
    figure, panels = canvas(height, width=max(7.0, 3.5 * len(names)), columns=max(1, len(names)))
    if not names:
        panels[0].axis("off")
        panels[0].set_title("This environment counts no navigation skill.", loc="left", fontsize=10.5)
    for axes, skill, colour in zip(panels, names, (BLUE, ORANGE) * len(names), strict=False):
        found = [of[skill] for of in skills.values()]
        for y, (success, attempt) in enumerate(found):
            axes.barh(y, percent(attempt.value), 0.62, facecolor="none", edgecolor=colour, linewidth=1.1)
            axes.barh(y, percent(success.value), 0.62, color=colour)
            axes.errorbar(
                100 * success.value, y, xerr=whiskers(success), fmt="none", ecolor=INK, linewidth=1.3
            )
            end = max(percent(attempt.value), percent(success.high))
            label = f"{percent(success.value):.1f} of {percent(attempt.value):.1f}"
            write_beside(axes, label, end, y, fontsize=8.5)
        top = max(max(percent(s.success.high), percent(s.attempt.value)) for s in found)
        axes.set_xlim(0, max(4, 1.38 * top))
        axes.set_title(skill, loc="left", fontsize=10.5, fontweight="bold")
        axes.set_xlabel("% of tasks: won by using it, of used")
        method_axis(axes, skills)
        axes.label_outer(remove_inner_ticks=False)
    rows = [
        {"method": method, "skill": skill, "measure": measure, **estimate._asdict()}
        for method, of in skills.items()
        for skill, found in of.items()
        for measure, estimate in found._asdict().items()
    ]
    return with_data(figure, rows)


@styled
def curve(curves: Mapping[str, Mapping[int, Estimate]]) -> Plot:
    """Draw the win rate on the dev set over iterations, one line a method; iteration 0 is behaviour cloning."""
    labels = "iteration (0 is behaviour cloning)", "dev win rate, % (95 % interval)"
    return line_chart(curves, *labels, at="iteration", ticks=True)[0]


@styled
def budget(series: Mapping[str, Mapping[float, Estimate]], *, cost: str = "simulations per task") -> Plot:
    """Draw EEF Figure 3: win rate against `cost`, one line a method and one point a setting (N of RFT×N, M of EEF)."""
    return line_chart(series, cost)[0]


@styled
def state_line(
    expert: Trajectory,
    outcomes: Mapping[int, bool],
    *,
    trained: Sequence[tuple[int, int]] = (),
    recovery: int | None = None,
) -> Plot:
    """Draw one expert trajectory τ_e = [s_0, a_0, s_1, …] in the manner of EEF Figure 1.

    Args:
        outcomes: whether the policy won from each explored state s_i, by i (`case_studies.explored_outcomes`).
        trained: the segments (i, j) of expert actions a_i … a_{j-1} that are trained on (`case_studies.trained_segments`).
        recovery: i* of the recovery state, if there is one.
    """
    figure, (axes,) = canvas(2.3, width=max(7.0, 1.2 + 0.62 * len(expert)))
    end = len(expert)
    kept = [any(start <= i < stop for start, stop in trained) for i in range(end)]
    axes.hlines(0, 0, end, color=INK, linewidth=1.2, zorder=1)
    for start, stop in trained:
        axes.hlines(0, start, stop, color=GREEN, linewidth=7, alpha=0.45, zorder=2)
    for i, action in enumerate(expert.actions):
        label: Style = {"rotation": -38, "rotation_mode": "anchor", "ha": "left", "va": "top", "fontsize": 8}
        label |= {"color": GREEN if kept[i] else INK, "alpha": 0.75 if is_thought(action) else 1}
        axes.annotate(_short(action), (i + 0.5, -0.16), **label)
    for i in range(end + 1):
        explored = i in outcomes
        axes.annotate(f"s{str(i).translate(_SUBSCRIPT)}", (i, 0.2), ha="center", alpha=1 if explored else 0.6)
        if not explored and i < end:
            axes.plot(i, 0, "o", color=INK, markersize=3.5, zorder=3)
    won, lost = ([i for i in outcomes if outcomes[i] is is_won] for is_won in (True, False))
    axes.plot(won, [0] * len(won), "o", color=GREEN, markersize=11, zorder=4, label="policy wins from here")
    axes.plot(lost, [0] * len(lost), "X", color=RED, markersize=10, zorder=4, label="policy loses from here")
    axes.plot(end, 0, "s", color=GREEN if expert.win else RED, markersize=9, zorder=4)
    write_beside(axes, f"R = {expert.reward:.2f}", end, 0, 10)
    if trained:
        axes.plot([], [], color=GREEN, linewidth=7, alpha=0.45, label="expert actions kept")
    if recovery is not None:
        ring: Style = {"markerfacecolor": "none", "markeredgecolor": ORANGE}
        axes.plot(recovery, 0, "o", markersize=19, markeredgewidth=2.2, **ring)
        axes.plot([], [], "o", markersize=9, label="to recover from", **ring)
    axes.set(xlim=(-0.5, end + 1.6), ylim=(-1.5, 0.45))
    axes.axis("off")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, fontsize=8.5, handletextpad=0.5)
    columns = "step", "action", "policy_wins", "kept", "recovery"
    rows = [(i, a, outcomes.get(i, ""), kept[i], i == recovery) for i, a in enumerate(expert.actions)]
    return with_data(figure, [dict(zip(columns, row, strict=True)) for row in rows])


@styled
def losses(values: Sequence[float]) -> Plot:
    """Draw the training loss of each optimiser step, and its running mean."""
    figure, (axes,) = canvas(2.6)
    window = max(1, len(values) // 20)
    mean = [statistics.fmean(values[max(0, i - window) : i + 1]) for i in range(len(values))]
    axes.plot(values, color=INK, alpha=0.35, linewidth=0.8)
    axes.plot(mean, color=BLUE, linewidth=1.8)
    axes.set(xlabel="optimiser step", ylabel="L_SFT per trained token", yscale="log")
    return with_data(figure, [{"step": i, "loss": value} for i, value in enumerate(values)])


@styled
def win_rate_by_step(rates: Mapping[int, Estimate]) -> Plot:
    """Draw the win rate of simulations τ_{s_i} by i, the expert step that they start from; 0 is the start of the task."""
    series = {"simulations": {float(i): rate for i, rate in rates.items()}}
    figure, _ = line_chart(series, "i: simulations start from s_i of an expert trajectory")
    return with_data(figure, [{"step": i, **rate._asdict()} for i, rate in rates.items()])


@styled
def models(estimates: Mapping[str, Mapping[str, Estimate]]) -> Plot:
    """Draw the win rate of each method (outer key) on each model (inner key), one colour and marker a model."""
    names = list(dict.fromkeys(model for of in estimates.values() for model in of))
    figure, (axes,) = canvas(1.2 + 0.22 * len(names) * len(estimates) + 0.12 * len(estimates))
    step = min(0.24, 0.6 / len(names))
    for k, model in enumerate(names):
        rows = [(y, of[model]) for y, of in enumerate(estimates.values()) if model in of]
        at = [y + step * (k - (len(names) - 1) / 2) for y, _ in rows]
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        _points_across(axes, [e for _, e in rows], at, label=model, color=colour, marker=marker)
    method_axis(axes, estimates)
    axes.set_xlim(left=0)
    axes.set_xlabel("win rate, % of tasks (95 % interval)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    data = [
        {"method": method, "model": model, **e._asdict()}
        for method, of in estimates.items()
        for model, e in of.items()
    ]
    return with_data(figure, data)


@styled
def finders(points: Mapping[str, tuple[Estimate, Estimate]]) -> Plot:
    """Draw for each finder the simulations a task from expert states, and the share of unsolved tasks that it newly solved."""
    figure, (axes,) = canvas(3.3, width=5.6)
    for k, (name, (spent, newly)) in enumerate(points.items()):
        axes.errorbar(
            spent.value,
            100 * newly.value,
            xerr=[[side / 100 for side in ends] for ends in whiskers(spent)],
            yerr=whiskers(newly),
            fmt=MARKERS[k % len(MARKERS)],
            color=COLOURS[k % len(COLOURS)],
            markersize=7,
            linewidth=1.4,
            label=name,
        )
    axes.grid(axis="y")
    axes.set(xlim=(0, 1.1 * max(spent.high for spent, _ in points.values()) or 1), ylim=(0, 105))
    axes.set_xlabel("simulations a task, from expert states (95 % interval)")
    axes.set_ylabel("newly solved, % (95 % interval)")
    axes.legend(loc="lower right")
    rows = [
        {"method": name, "measure": measure, **e._asdict()}
        for name, pair in points.items()
        for measure, e in zip(("simulations a task", "newly solved"), pair, strict=True)
    ]
    return with_data(figure, rows)


@styled
def by_difficulty(rates: Mapping[str, Mapping[int, Estimate]], what: str) -> Plot:
    """Draw win rate over `what`, harder tasks further right, one line a method."""
    figure, axes = line_chart(rates, f"{what} (tasks)", at=what)
    groups = sorted({group for line in rates.values() for group in line})
    sizes = {group: max(line[group].n for line in rates.values() if group in line) for group in groups}
    axes.set_xticks(groups, [f"{group}\n({sizes[group]:,})" for group in groups])
    return figure


@styled
def origins(parts: Mapping[str, Mapping[str, float]]) -> Plot:
    """Draw for each method the share of training tasks solved, as one bar divided by how they were first solved."""
    kinds = list(dict.fromkeys(kind for of in parts.values() for kind in of))
    figure, (axes,) = canvas(1.3 + 0.34 * len(parts))
    styles: list[Style] = [
        {"color": colour, "hatch": hatch, "edgecolor": "#ffffff66"}
        for _, colour, hatch in zip(kinds, cycle(COLOURS), cycle(_HATCHES), strict=False)
    ]
    for y, of in enumerate(parts.values()):
        left = 0.0
        for kind, style in zip(kinds, styles, strict=True):
            width = 100 * of.get(kind, 0.0)
            axes.barh(y, width, 0.62, left=left, linewidth=0, **style)
            left += width
        write_beside(axes, f"{left:.1f}", left, y, fontsize=8.5)
    for kind, style in zip(kinds, styles, strict=True):
        axes.barh(0, 0, label=kind, **style)
    method_axis(axes, parts)
    axes.set_xlim(0, 108)
    axes.set_xlabel("% of training tasks solved, by how they first were")
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, fontsize=8.5)
    rows = [
        {"method": method, "origin": kind, "value": value}
        for method, of in parts.items()
        for kind, value in of.items()
    ]
    return with_data(figure, rows)


@styled
def calibration(calibrations: Sequence[Calibration]) -> Plot:
    """Draw how far scripted experts are from published figures, as a multiple of the sampling error: in the band both agree.

    Beside each point stand our figure and the paper's. A hollow point lies outside of the band, one that is an arrow further
    than the axis goes.
    """
    figure, (axes,) = canvas(0.9 + 0.3 * len(calibrations))
    axes.axvspan(-1, 1, color=GREEN, alpha=0.15, linewidth=0)
    axes.axvline(0, color=INK, linewidth=0.8)
    for y, c in enumerate(calibrations):
        x = max(-_FURTHEST, min(c.relative_gap, _FURTHEST))
        marker = "o" if x == c.relative_gap else ">" if x > 0 else "<"
        face = BLUE if c.agrees else "none"
        axes.plot(x, y, marker, color=BLUE, markerfacecolor=face, markersize=6.5)
        ours, published = c.in_units(c.ours.value), c.in_units(c.figure.value)
        write_beside(axes, f"{ours}, {c.figure.source}: {published}", x, y, 7, fontsize=8.5)
    method_axis(axes, [f"{c.expert}: {c.figure.quantity.name}" for c in calibrations])
    axes.set_xlim(-1.1 * _FURTHEST, 2.2 * _FURTHEST)
    axes.set_xticks(range(-_FURTHEST, _FURTHEST + 1))
    axes.set_xlabel("ours − the paper’s, in 95 % sampling errors of the difference")
    rows = [
        {
            "expert": c.expert,
            "quantity": c.figure.quantity.name,
            "source": c.figure.source,
            "published": c.figure.value,
            **c.ours._asdict(),
            "gap_in_errors": c.relative_gap,
        }
        for c in calibrations
    ]
    return with_data(figure, rows)


_FURTHEST = 3  # sampling errors at which the axis of `calibration` ends


@styled
def shares(estimates: Mapping[str, Estimate], what: str) -> Plot:
    """Draw one share for each method; `what` is its label."""
    figure, (axes,) = canvas(0.9 + 0.34 * len(estimates))
    _points_across(axes, list(estimates.values()), range(len(estimates)), color=BLUE, marker="o", label=what)
    for y, e in enumerate(estimates.values()):
        write_beside(axes, f"{percent(e.value):.1f}", percent(e.high), y, 6, color=INK)
    method_axis(axes, estimates)
    axes.tick_params(axis="y", pad=8)  # a point at 0 stands beside its name
    axes.set_xlim(0, max(1.0, 1.15 * max(percent(e.high) for e in estimates.values())))
    axes.set_xlabel(f"{what}, % (95 % interval)")
    return with_data(figure, [{"method": m, **e._asdict()} for m, e in estimates.items()])


class GapPoint(NamedTuple):
    """A point of the map of gaps: its place along the axis, the gap in win rate there, and a share that explains it."""

    name: str
    place: float
    gap: Difference
    significant: bool
    share: Estimate


@styled
def gaps(panels: Mapping[str, Sequence[GapPoint]]) -> Plot:
    """Draw gaps in win rate as points with intervals, a panel for each axis, and beside them the shares that explain them.

    Places far apart, as 100 and 1,600, are drawn on a logarithmic axis. A full point is a significant gap.
    """
    figure, axes_of = canvas(3.4, width=max(4.0, 3.1 * len(panels)), columns=len(panels))
    for axes, (label, found) in zip(axes_of, panels.items(), strict=True):
        points = sorted(found, key=lambda point: point.place)
        places = [point.place for point in points]
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.plot(
            places, [100 * p.share.value for p in points], "--_", color=ORANGE, markersize=9, linewidth=1
        )
        for point in points:
            low, high = (100 * abs(end - point.gap.value) for end in (point.gap.low, point.gap.high))
            fill = BLUE if point.significant else "none"
            style: Style = {"fmt": "o", "color": BLUE, "markerfacecolor": fill, "markersize": 6.5}
            axes.errorbar(point.place, 100 * point.gap.value, yerr=[[low], [high]], **style)
            axes.annotate(
                point.name,
                (point.place, 100 * point.gap.value),
                (6, 5),
                textcoords="offset points",
                fontsize=8,
            )
        if places[0] > 0 and places[-1] >= 8 * places[0]:
            axes.set_xscale("log")
            axes.minorticks_off()
            axes.set_xticks(places, [f"{place:g}" for place in places])
        axes.grid(axis="y")
        axes.grid(visible=False, axis="x")
        axes.margins(x=0.15)
        axes.set_xlabel(label)
    axes_of[0].set_ylabel("gap in win rate, points (95 % interval)")
    rows = [
        {
            "axis": " ".join(label.split()),
            "cell": p.name,
            "place": p.place,
            **p.gap._asdict(),
            "only states": p.share.value,
        }
        for label, found in panels.items()
        for p in found
    ]
    return with_data(figure, rows)


def _points_across(axes: Axes, estimates: Sequence[Estimate], at: Sequence[float], **style: Any) -> None:
    """Draw points with intervals from left to right, at the heights `at`."""
    values = [100 * e.value for e in estimates]
    style |= {"linestyle": "none", "markersize": 6, "linewidth": 1.6, "clip_on": False}
    axes.errorbar(values, at, xerr=whiskers(*estimates), **style)


def _short(action: str) -> str:
    """Return an action in few characters: `click[{"button": "Next >"}]` as `click Next >`, a thought as `think`."""
    if is_thought(action):
        return "think"
    return textwrap.shorten(formatting.action(action), 20, placeholder="…")
