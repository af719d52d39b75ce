"""Draw the log-likelihoods that a policy gives preference pairs, before and while it learns from them.

likelihoods    log π_ref a token of both sides of each pair: which side the policy prefers before it learns
drift          how far the trainer's log-likelihoods lie from those that were stored
learning       the loss, and the implicit rewards of both sides, at each optimiser step
"""

from __future__ import annotations

from collections.abc import Sequence

from eefcore.figures.plots import BLUE, GREEN, INK, ORANGE, RED, Plot, canvas, styled, with_data
from eefcore.types import Preference


@styled
def likelihoods(preferences: Sequence[Preference]) -> Plot:
    """Draw a point for each pair: mean log-likelihoods a token of both sides; above the line the chosen side is likelier."""
    points = [
        (sum(p.rejected_logps) / len(p.rejected_logps), sum(p.chosen_logps) / len(p.chosen_logps))
        for p in preferences
    ]
    figure, (axes,) = canvas(3.6, width=4.2)
    leans = {True: (BLUE, "o", "leans to the chosen"), False: (ORANGE, "s", "leans to the rejected")}
    for way, (colour, marker, label) in leans.items():
        side = [(rejected, chosen) for rejected, chosen in points if (chosen > rejected) is way]
        axes.scatter(
            [rejected for rejected, _ in side],
            [chosen for _, chosen in side],
            s=14,
            color=colour,
            marker=marker,
            alpha=0.7,
            linewidths=0,
            label=f"{label}: {len(side)}",
        )
    axes.axline((0.0, 0.0), slope=1.0, color=INK, linewidth=0.8)
    axes.set(xlabel="log π_ref a token, rejected", ylabel="log π_ref a token, chosen")
    axes.grid(axis="y")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, handletextpad=0.1, columnspacing=1.0)
    rows = [
        {"task": p.chosen.trajectory.task_id, "rejected": rejected, "chosen": chosen}
        for p, (rejected, chosen) in zip(preferences, points, strict=True)
    ]
    return with_data(figure, rows)


@styled
def drift(differences: Sequence[float]) -> Plot:
    """Draw a histogram of Δ = recomputed − stored log-likelihood of each token, its counts on a logarithmic scale."""
    figure, (axes,) = canvas(2.4, width=4.2)
    counts, edges, _ = axes.hist(differences or [0.0], bins=41, color=BLUE)
    axes.axvline(0.0, color=INK, linewidth=0.8)
    axes.set(xlabel="Δ log π a token, trainer − stored", ylabel="tokens", yscale="log")
    axes.grid(axis="y")
    bins = zip(edges[:-1], edges[1:], counts, strict=True)
    return with_data(figure, [{"from": a, "to": b, "tokens": int(n)} for a, b, n in bins])


@styled
def learning(losses: Sequence[float], chosen: Sequence[float], rejected: Sequence[float]) -> Plot:
    """Draw L_DPO and β log π/π_ref of both sides; if even the chosen side falls, the policy unlearns what it should do."""
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
    return with_data(
        figure, [{"step": i, "loss": l, "chosen": c, "rejected": r} for i, (l, c, r) in enumerate(steps)]
    )
