"""What a policy makes of preference pairs, drawn: before it learns from them, and while it does.

likelihoods    log π_ref a token of both sides of each pair: which way the policy leans before it learns
learning       loss, and the implicit rewards of both sides, of each optimiser step
"""

from __future__ import annotations

from collections.abc import Sequence

from eefcore.figures.plots import BLUE, GREEN, INK, ORANGE, RED, Plot, canvas, done, drawing
from eefcore.types import Preference


@drawing
def likelihoods(preferences: Sequence[Preference]) -> Plot:
    """A point a pair; above the line the chosen side is the likelier one, a token, already."""
    data = [
        {
            "task": p.chosen.trajectory.task_id,
            "rejected": sum(p.rejected_logps) / len(p.rejected_logps),
            "chosen": sum(p.chosen_logps) / len(p.chosen_logps),
        }
        for p in preferences
    ]
    figure, (axes,) = canvas(3.6, width=4.2)
    leans = {True: (BLUE, "o", "leans to the chosen"), False: (ORANGE, "s", "leans to the rejected")}
    for way, (colour, marker, label) in leans.items():
        points = [row for row in data if (row["chosen"] > row["rejected"]) is way]
        axes.scatter(
            [row["rejected"] for row in points],
            [row["chosen"] for row in points],
            s=14,
            color=colour,
            marker=marker,
            alpha=0.7,
            linewidths=0,
            label=f"{label}: {len(points)}",
        )
    axes.axline((0.0, 0.0), slope=1.0, color=INK, linewidth=0.8)
    axes.set(xlabel="log π_ref a token, rejected", ylabel="log π_ref a token, chosen")
    axes.grid(axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handletextpad=0.1, columnspacing=1.0)
    return done(figure, data)


@drawing
def learning(losses: Sequence[float], chosen: Sequence[float], rejected: Sequence[float]) -> Plot:
    """L_DPO and β log π/π_ref of both sides; where even the chosen falls, the policy unlearns what it should do."""
    figure, (left, right) = canvas(2.8, columns=2)
    left.plot(losses, color=GREEN, linewidth=1.4)
    left.set(xlabel="optimiser step", ylabel="L_DPO a pair")
    right.plot(chosen, color=BLUE, linewidth=1.4, label="chosen")
    right.plot(rejected, color=RED, linewidth=1.4, linestyle="--", label="rejected")
    right.axhline(0.0, color=INK, linewidth=0.8)
    right.set(xlabel="optimiser step", ylabel="β log π/π_ref")
    right.legend()
    for axes in (left, right):
        axes.grid(axis="y")
    steps = zip(losses, chosen, rejected, strict=True)
    return done(
        figure, [{"step": i, "loss": l, "chosen": c, "rejected": r} for i, (l, c, r) in enumerate(steps)]
    )
