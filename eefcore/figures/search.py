"""What search makes of a policy and of its critic, drawn.

budget_and_critic    tasks solved within k simulations, and Q̃ by Q̂
reliability          Q̃ by the Q̂ of a critic before and after it was tuned
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from eefcore.figures.plots import BLUE, INK, ORANGE, Plot, canvas, done, drawing
from eefcore.search.calibration import Bin


@drawing
def budget_and_critic(solved: Mapping[int, float], bins: Sequence[Bin], agreement: float) -> Plot:
    """pass@k by k; and of explored actions Q̃ by what the critic said of them, on the diagonal if it knew."""
    figure, (left, right) = canvas(2.8, columns=2)
    left.plot(
        list(solved),
        [100 * share for share in solved.values()],
        color=BLUE,
        linewidth=1.4,
        marker="o",
        markersize=3,
    )
    left.set(xlabel="k simulations of a task", ylabel="solved within k, % of tasks", ylim=(0, 100))
    right.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
    right.plot(
        [b.q_hat for b in bins],
        [b.q_tilde for b in bins],
        color=ORANGE,
        linewidth=1.4,
        marker="s",
        markersize=4,
    )
    for b in bins:
        right.annotate(f"{b.edges}", (b.q_hat, b.q_tilde), (3, 4), textcoords="offset points", fontsize=7.5)
    told = "" if math.isnan(agreement) else f": rank correlation {agreement:.2f}"
    right.set_title(f"critic and outcome{told}", loc="left", fontsize=9)
    right.set(xlabel="Q̂, of the critic", ylabel="Q̃, found by search", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    for axes in (left, right):
        axes.grid(axis="y")
    rows = [{"what": "solved", "x": float(k), "y": share, "n": 0} for k, share in solved.items()]
    rows += [{"what": "critic", "x": b.q_hat, "y": b.q_tilde, "n": b.edges} for b in bins]
    return done(figure, rows)


@drawing
def reliability(before: Sequence[Bin], after: Sequence[Bin], agreement: Sequence[float]) -> Plot:
    """Of explored actions Q̃ by what the critic said of them, before and after it learnt; on the diagonal if it knew."""
    figure, (axes,) = canvas(2.8)
    axes.plot([0, 1], [0, 1], color=INK, linewidth=0.8)
    curves = [("before", before, BLUE, "o"), ("after", after, ORANGE, "s")]
    for (name, bins, color, marker), rank in zip(curves, agreement, strict=True):
        told = name if math.isnan(rank) else f"{name}: rank correlation {rank:.2f}"
        axes.plot(
            [b.q_hat for b in bins],
            [b.q_tilde for b in bins],
            color=color,
            linewidth=1.4,
            marker=marker,
            markersize=4,
            label=told,
        )
    axes.legend(fontsize=8)
    axes.set(xlabel="Q̂, of the critic", ylabel="Q̃, found by search", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    axes.grid(axis="y")
    rows = [
        {"what": name, "x": b.q_hat, "y": b.q_tilde, "n": b.edges} for name, bins, *_ in curves for b in bins
    ]
    return done(figure, rows)
