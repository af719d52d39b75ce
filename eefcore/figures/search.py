"""Draw the effect of search on a policy and its critic: win rates, costs, pass@k, and how well the critic ranks.

win_rates_and_costs        Agent Q Figure 1, and what an episode costs beside it
win_rate_by_simulations    win rate over the simulations before each action, one line a model
pass_at_k                  training tasks solved within k simulations, one line a round of search
budget_and_critic          pass@k of one search, and Q̃ by Q̂
reliability                Q̃ by Q̂ for a critic before and after it was tuned
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from eefcore.evaluation.stats import Estimate
from eefcore.figures.plots import (
    BLUE,
    INK,
    ORANGE,
    Plot,
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
from eefcore.search.calibration import Bin


@styled
def win_rates_and_costs(
    rates: Mapping[str, Estimate], costs: Mapping[str, Mapping[str, float]], searches: Mapping[str, bool]
) -> Plot:
    """Draw win rates as bars with intervals, and the costs of an episode beside them, one panel for each kind of cost.

    Args:
        costs: by method and kind of cost; a method without costs, such as an expert, gets no cost bar.
        searches: whether a method searches before it acts; it is then drawn in another colour, and hatched.
    """
    kinds = list(next(iter(costs.values())))
    figure, panels = canvas(1.15 + 0.34 * len(rates), width=9.4, columns=1 + len(kinds))
    if grid := panels[0].get_gridspec():
        grid.set_width_ratios([2.6, *[1] * len(kinds)])
    axes, *rest = panels
    for y, (method, rate) in enumerate(rates.items()):
        has_cost = method in searches
        axes.barh(
            y,
            percent(rate.value),
            0.64,
            color=INK if not has_cost else ORANGE if searches[method] else BLUE,
            alpha=0.6 if has_cost else 0.3,
            hatch="///" if has_cost and searches[method] else "",
            edgecolor="#ffffff66",
            linewidth=0,
        )
        axes.errorbar(100 * rate.value, y, xerr=whiskers(rate), fmt="none", ecolor=INK, linewidth=1.8)
        write_beside(axes, win_rate_label(rate), percent(rate.high), y)
    axes.set_xlim(0, min(115, 12 + max(percent(r.high) for r in rates.values())))
    axes.set_xlabel("win rate, % of tasks (95 % interval)")
    for panel, kind in zip(rest, kinds, strict=True):
        bars = {y: costs[method][kind] for y, method in enumerate(rates) if method in costs}
        panel.barh(list(bars), list(bars.values()), 0.5, color=INK, alpha=0.6)
        for y, value in bars.items():
            write_beside(panel, _amount(value), value, y, 4, fontsize=8.5)
        panel.set_xlim(0, 1.55 * max([*bars.values(), 1e-9]))
        panel.set_xticks([0])
        panel.set_xlabel(kind)
    for panel in panels:
        method_axis(panel, rates)
        panel.label_outer(remove_inner_ticks=False)
    return with_data(figure, [{"method": m, **r._asdict(), **costs.get(m, {})} for m, r in rates.items()])


@styled
def win_rate_by_simulations(rates: Mapping[str, Mapping[int, Estimate]]) -> Plot:
    """Draw win rate over the simulations before each action, one line a model; at 0 the agent acts without search."""
    at = "simulations before each action"
    return line_chart(rates, f"{at} (0: at once)", of="model", at=at, ticks=True)[0]


@styled
def pass_at_k(rates: Mapping[str, Mapping[int, Estimate]]) -> Plot:
    """Draw pass@k, the share of training tasks that one of the first k simulations won, one line a round of search."""
    labels = "k simulations of a task", "solved within k, % of tasks (95 % interval)"
    figure, axes = line_chart(rates, *labels, of="search", at="k")
    if isinstance(locator := axes.xaxis.get_major_locator(), MaxNLocator):
        locator.set_params(integer=True)
    return figure


@styled
def budget_and_critic(solved: Mapping[int, float], bins: Sequence[Bin], agreement: float) -> Plot:
    """Draw pass@k by k, and Q̃ of explored actions by the critic's Q̂, which a perfect critic puts on the diagonal."""
    figure, (left, right) = canvas(2.8, columns=2)
    shares = [100 * share for share in solved.values()]
    left.plot(list(solved), shares, color=BLUE, linewidth=1.4, marker="o", markersize=3)
    left.set(xlabel="k simulations of a task", ylabel="solved within k, % of tasks", ylim=(0, 100))
    _diagonal(right)
    _calibration(right, bins, ORANGE, "s")
    for b in bins:
        right.annotate(f"{b.edges}", (b.q_hat, b.q_tilde), (3, 4), textcoords="offset points", fontsize=7.5)
    suffix = "" if math.isnan(agreement) else f": rank correlation {agreement:.2f}"
    right.set_title(f"critic and outcome{suffix}", loc="left", fontsize=9)
    for axes in (left, right):
        axes.grid(axis="y")
    rows = [{"what": "solved", "x": float(k), "y": share, "n": 0} for k, share in solved.items()]
    rows += [{"what": "critic", "x": b.q_hat, "y": b.q_tilde, "n": b.edges} for b in bins]
    return with_data(figure, rows)


@styled
def reliability(before: Sequence[Bin], after: Sequence[Bin], agreement: Sequence[float]) -> Plot:
    """Draw Q̃ of explored actions by the critic's Q̂ before and after the critic was tuned; a perfect one is the diagonal."""
    figure, (axes,) = canvas(2.8)
    _diagonal(axes)
    curves = [("before", before, BLUE, "o"), ("after", after, ORANGE, "s")]
    for (name, bins, color, marker), rank in zip(curves, agreement, strict=True):
        label = name if math.isnan(rank) else f"{name}: rank correlation {rank:.2f}"
        _calibration(axes, bins, color, marker, label)
    axes.legend(fontsize=8)
    axes.grid(axis="y")
    rows = [
        {"what": name, "x": b.q_hat, "y": b.q_tilde, "n": b.edges} for name, bins, *_ in curves for b in bins
    ]
    return with_data(figure, rows)


def _diagonal(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
    axes.set(xlabel="Q̂, of the critic", ylabel="Q̃, found by search", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))


def _calibration(axes: Axes, bins: Sequence[Bin], color: str, marker: str, label: str | None = None) -> None:
    q_hat, q_tilde = [b.q_hat for b in bins], [b.q_tilde for b in bins]
    axes.plot(q_hat, q_tilde, color=color, linewidth=1.4, marker=marker, markersize=4, label=label)


def _amount(value: float) -> str:
    return "0" if not value else f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
