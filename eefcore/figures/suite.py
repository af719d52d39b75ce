"""Draw the figures that a report needs beside those of `figures.evaluation`.

models          the same methods on several models
finders         share of tasks newly solved against simulations, one point a finder
by_difficulty   win rate by difficulty (simplicity bias): by page, or by length of a solution
origins         how the training tasks came to be solved
shares          one share a method
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes

from eefcore.evaluation.stats import Estimate
from eefcore.figures.plots import (
    BLUE,
    COLOURS,
    INK,
    MARKERS,
    Plot,
    canvas,
    line_chart,
    method_axis,
    percent,
    styled,
    whisker,
    with_data,
)


@styled
def models(estimates: Mapping[str, Mapping[str, Estimate]]) -> Plot:
    """Draw the win rate of each method (outer key) on each model (inner key), one colour and marker a model."""
    names = list(dict.fromkeys(model for of in estimates.values() for model in of))
    figure, (axes,) = canvas(1.2 + 0.22 * len(names) * len(estimates) + 0.12 * len(estimates))
    step = min(0.24, 0.6 / len(names))
    for k, model in enumerate(names):
        rows = [(y, of[model]) for y, of in enumerate(estimates.values()) if model in of]
        at = [y + step * (k - (len(names) - 1) / 2) for y, _ in rows]
        _across(
            axes,
            [e for _, e in rows],
            at,
            label=model,
            color=COLOURS[k % len(COLOURS)],
            marker=MARKERS[k % len(MARKERS)],
        )
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
            xerr=[[side / 100 for side in ends] for ends in whisker(spent)],
            yerr=whisker(newly),
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
    figure, axes = line_chart(rates)
    groups = sorted({group for line in rates.values() for group in line})
    sizes = {group: max(line[group].n for line in rates.values() if group in line) for group in groups}
    axes.set_xticks(groups, [f"{group}\n({sizes[group]:,})" for group in groups])
    axes.set_xlabel(f"{what} (tasks)")
    axes.set_ylabel("win rate, % (95 % interval)")
    rows = [
        {"method": method, what: group, **line[group]._asdict()}
        for method, line in rates.items()
        for group in sorted(line)
    ]
    return with_data(figure, rows)


@styled
def origins(parts: Mapping[str, Mapping[str, float]]) -> Plot:
    """Draw for each method the share of training tasks solved, as one bar divided by how they were first solved."""
    kinds = list(dict.fromkeys(kind for of in parts.values() for kind in of))
    figure, (axes,) = canvas(1.3 + 0.34 * len(parts))
    for y, of in enumerate(parts.values()):
        left = 0.0
        for k, kind in enumerate(kinds):
            width = 100 * of.get(kind, 0.0)
            axes.barh(
                y,
                width,
                0.62,
                left=left,
                color=COLOURS[k % len(COLOURS)],
                hatch=_HATCHES[k % len(_HATCHES)],
                edgecolor="#ffffff66",
                linewidth=0,
            )
            left += width
        axes.annotate(f"{left:.1f}", (left, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
    for k, kind in enumerate(kinds):
        axes.barh(
            0,
            0,
            color=COLOURS[k % len(COLOURS)],
            hatch=_HATCHES[k % len(_HATCHES)],
            edgecolor="#ffffff66",
            label=kind,
        )
    method_axis(axes, parts)
    axes.set_xlim(0, 108)
    axes.set_xlabel("% of training tasks solved, by how they first were")
    axes.legend(loc="lower center", bbox_to_anchor=(0.45, 1.0), ncols=3, fontsize=8.5)
    rows: list[dict[str, object]] = [
        {"method": method, "origin": kind, "value": value}
        for method, of in parts.items()
        for kind, value in of.items()
    ]
    return with_data(figure, rows)


@styled
def shares(estimates: Mapping[str, Estimate], what: str) -> Plot:
    """Draw one share a method; `what` says of what."""
    figure, (axes,) = canvas(0.9 + 0.34 * len(estimates))
    _across(axes, list(estimates.values()), list(range(len(estimates))), color=BLUE, marker="o", label=what)
    for y, e in enumerate(estimates.values()):
        axes.annotate(
            f"{percent(e.value):.1f}",
            (percent(e.high), y),
            (6, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
    method_axis(axes, estimates)
    axes.tick_params(axis="y", pad=8)  # a point at 0 stands beside its name
    axes.set_xlim(0, max(1.0, 1.15 * max(percent(e.high) for e in estimates.values())))
    axes.set_xlabel(f"{what}, % (95 % interval)")
    return with_data(figure, [{"method": m, **e._asdict()} for m, e in estimates.items()])


def _across(
    axes: Axes,
    estimates: Sequence[Estimate],
    at: Sequence[float],
    *,
    color: str,
    marker: str,
    label: str,
) -> None:
    errors = [[whisker(e)[side][0] for e in estimates] for side in (0, 1)]
    axes.errorbar(
        [100 * e.value for e in estimates],
        at,
        xerr=errors,
        linestyle="none",
        color=color,
        marker=marker,
        label=label,
        markersize=6,
        linewidth=1.6,
        clip_on=False,
    )


_HATCHES = ("", "///", "...", "xxx", "\\\\\\", "ooo")
