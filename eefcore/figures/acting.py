"""Acting at once and searching, drawn: win rates beside what an episode costs, budgets, and what searches solved.

acting    Agent Q Figure 1, and what an episode costs
gap       win rate over the simulations before each action, a line a model
solved    pass@k over k, a line a round of search
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from eefcore.evaluation.stats import Estimate
from eefcore.figures.plots import (
    BLUE,
    INK,
    ORANGE,
    Plot,
    canvas,
    done,
    drawing,
    lines,
    names_down,
    percent,
    whisker,
)


@drawing
def acting(
    rates: Mapping[str, Estimate], costs: Mapping[str, Mapping[str, float]], searched: Mapping[str, bool]
) -> Plot:
    """Win rates as bars with intervals, and beside them what an episode costs, a panel a kind of cost.

    Args:
        costs: of each method by what is counted; who has none was not asked, as an expert.
        searched: whether it did more than act at once; drawn in another colour, and hatched.
    """
    kinds = list(next(iter(costs.values())))
    figure, panels = canvas(1.15 + 0.34 * len(rates), width=9.4, columns=1 + len(kinds))
    panels[0].get_gridspec().set_width_ratios([2.6, *[1] * len(kinds)])
    axes, *rest = panels
    for y, (method, rate) in enumerate(rates.items()):
        known = method in searched
        axes.barh(
            y,
            percent(rate.value),
            0.64,
            color=INK if not known else ORANGE if searched[method] else BLUE,
            alpha=0.6 if known else 0.3,
            hatch="///" if known and searched[method] else "",
            edgecolor="#ffffff66",
            linewidth=0,
        )
        axes.errorbar(100 * rate.value, y, xerr=whisker(rate), fmt="none", ecolor=INK, linewidth=1.8)
        label = "nothing judged" if math.isnan(rate.value) else f"{100 * rate.value:.1f}"
        axes.annotate(label, (percent(rate.high), y), (5, 0), textcoords="offset points", va="center")
    axes.set_xlim(0, min(115, 12 + max(percent(r.high) for r in rates.values())))
    axes.set_xlabel("win rate, % of tasks (95 % interval)")
    for panel, kind in zip(rest, kinds, strict=True):
        there = {y: costs[method][kind] for y, method in enumerate(rates) if method in costs}
        panel.barh(list(there), list(there.values()), 0.5, color=INK, alpha=0.6)
        for y, value in there.items():
            panel.annotate(
                _amount(value), (value, y), (4, 0), textcoords="offset points", va="center", fontsize=8.5
            )
        panel.set_xlim(0, 1.55 * max([*there.values(), 1e-9]))
        panel.set_xticks([0])
        panel.set_xlabel(kind)
    for panel in panels:
        names_down(panel, rates)
        panel.label_outer(remove_inner_ticks=False)
    rows = [{"method": m, **r._asdict(), **costs.get(m, {})} for m, r in rates.items()]
    return done(figure, rows)


@drawing
def gap(rates: Mapping[str, Mapping[int, Estimate]]) -> Plot:
    """Win rate over the simulations before each action; 0 is acting at once. One line a model."""
    figure, axes = lines(rates)
    axes.set_xticks(sorted({n for line in rates.values() for n in line}))
    axes.set_xlabel("simulations before each action (0: at once)")
    axes.set_ylabel("win rate, % (95 % interval)")
    return done(figure, _rows(rates, "model", "simulations before each action"))


@drawing
def solved(rates: Mapping[str, Mapping[int, Estimate]]) -> Plot:
    """pass@k: the share of training tasks of which one of the first k simulations won. One line a round of search."""
    figure, axes = lines(rates)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("k simulations of a task")
    axes.set_ylabel("solved within k, % of tasks (95 % interval)")
    return done(figure, _rows(rates, "search", "k"))


def _rows(series: Mapping[str, Mapping[int, Estimate]], of: str, x: str) -> list[dict[str, object]]:
    return [{of: name, x: at, **line[at]._asdict()} for name, line in series.items() for at in sorted(line)]


def _amount(value: float) -> str:
    return "0" if not value else f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
