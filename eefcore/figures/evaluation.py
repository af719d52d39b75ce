"""Draw what an evaluation found: win rates, navigation skills, curves over iterations, budgets, one expert trajectory.

    win_rates           EEF Table 3 as points with intervals
    navigation          EEF Figure 2, with the attempts of Table 4
    curve               win rate on the dev set over iterations
    budget              EEF Figure 3: win rate against what it cost
    state_line          one expert trajectory in the manner of EEF Figure 1
    losses              the training loss of each optimiser step
    win_rate_by_step    win rate of simulations by the expert step that they start from

`eefcore.figures.plots` has the `Plot` that each function returns, its style and its files.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

from eefcore.actions import is_thought
from eefcore.evaluation import formatting
from eefcore.evaluation.navigation import SkillRates
from eefcore.evaluation.stats import Estimate
from eefcore.figures.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    RED,
    Plot,
    X,
    canvas,
    line_chart,
    method_axis,
    percent,
    styled,
    whisker,
    with_data,
)
from eefcore.types import Trajectory

_SUBSCRIPT = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@styled
def win_rates(estimates: Mapping[str, Estimate]) -> Plot:
    """Draw the win rate of each method with its interval, the first on top."""
    figure, (axes,) = canvas(0.9 + 0.34 * len(estimates))
    for y, estimate in enumerate(estimates.values()):
        axes.errorbar(
            100 * estimate.value, y, xerr=whisker(estimate), fmt="o", color=BLUE, markersize=6.5, linewidth=2
        )
        label = "nothing judged" if math.isnan(estimate.value) else f"{100 * estimate.value:.1f}"
        axes.annotate(label, (percent(estimate.high), y), (6, 0), textcoords="offset points", va="center")
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
                100 * success.value, y, xerr=whisker(success), fmt="none", ecolor=INK, linewidth=1.3
            )
            end = max(percent(attempt.value), percent(success.high))
            label = f"{percent(success.value):.1f} of {percent(attempt.value):.1f}"
            axes.annotate(label, (end, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5)
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
    figure, axes = line_chart(curves)
    axes.set_xticks(sorted({i for line in curves.values() for i in line}))
    axes.set_xlabel("iteration (0 is behaviour cloning)")
    axes.set_ylabel("dev win rate, % (95 % interval)")
    return with_data(figure, _line_rows(curves, "iteration"))


@styled
def budget(series: Mapping[str, Mapping[float, Estimate]], *, cost: str = "simulations per task") -> Plot:
    """Draw EEF Figure 3: win rate against `cost`, one line a method and one point a setting (N of RFT×N, M of EEF)."""
    figure, axes = line_chart(series)
    axes.set_xlabel(cost)
    axes.set_ylabel("win rate, % (95 % interval)")
    return with_data(figure, _line_rows(series, cost))


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
    axes.hlines(0, 0, len(expert), color=INK, linewidth=1.2, zorder=1)
    for start, stop in trained:
        axes.hlines(0, start, stop, color=GREEN, linewidth=7, alpha=0.45, zorder=2)
    for i, action in enumerate(expert.actions):
        is_trained = any(start <= i < stop for start, stop in trained)
        axes.annotate(
            _short(action),
            (i + 0.5, -0.16),
            rotation=-38,
            ha="left",
            va="top",
            rotation_mode="anchor",
            fontsize=8,
        ).set(color=GREEN if is_trained else INK, alpha=0.75 if is_thought(action) else 1)
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
    if trained:
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
    is_trained = [any(a <= i < b for a, b in trained) for i in range(len(expert))]
    rows: list[dict[str, object]] = [
        {
            "step": i,
            "action": a,
            "policy_wins": outcomes.get(i, ""),
            "kept": is_trained[i],
            "recovery": i == recovery,
        }
        for i, a in enumerate(expert.actions)
    ]
    return with_data(figure, rows)


@styled
def losses(values: Sequence[float]) -> Plot:
    """Draw the training loss of each optimiser step, and its running mean."""
    figure, (axes,) = canvas(2.6)
    window = max(1, len(values) // 20)
    mean = [
        sum(values[max(0, i - window) : i + 1]) / len(values[max(0, i - window) : i + 1])
        for i in range(len(values))
    ]
    axes.plot(values, color=INK, alpha=0.35, linewidth=0.8)
    axes.plot(mean, color=BLUE, linewidth=1.8)
    axes.set(xlabel="optimiser step", ylabel="L_SFT per trained token", yscale="log")
    return with_data(figure, [{"step": i, "loss": value} for i, value in enumerate(values)])


@styled
def win_rate_by_step(rates: Mapping[int, Estimate]) -> Plot:
    """Draw the win rate of simulations τ_{s_i} by i, the expert step that they start from; 0 is the start of the task."""
    figure, axes = line_chart({"simulations": {float(i): rate for i, rate in rates.items()}})
    axes.set_xlabel("i: simulations start from s_i of an expert trajectory")
    axes.set_ylabel("win rate, % (95 % interval)")
    return with_data(figure, [{"step": i, **rate._asdict()} for i, rate in rates.items()])


def _line_rows(series: Mapping[str, Mapping[X, Estimate]], x: str) -> list[dict[str, object]]:
    return [{"method": m, x: at, **line[at]._asdict()} for m, line in series.items() for at in sorted(line)]


def _short(action: str) -> str:
    """Return an action in few characters: `click[{"button": "Next >"}]` as `click Next >`, a thought as `think`."""
    if is_thought(action):
        return "think"
    return textwrap.shorten(formatting.action(action), 20, placeholder="…")
