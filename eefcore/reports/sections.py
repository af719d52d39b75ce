"""What a run's report and a suite's have in common: the first sentence, and the sections that explain the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from eefcore.evaluation.formatting import interval, outcome, p_value, percent, signed
from eefcore.figures.plots import Plot
from eefcore.reports import comparison
from eefcore.reports.comparison import ResultTable
from eefcore.reports.document.blocks import (
    Block,
    Dialogue,
    Drawing,
    Facts,
    Listing,
    Prose,
    Section,
    Segment,
    picture,
)
from eefcore.reports.document.cells import TOLD, Cell, Column, Table, count
from eefcore.types import Card, StopReason

NAVIGATION = (
    "Full bars: tasks won by a trajectory that uses the skill, with 95 % intervals. Outlines: tasks where it was "
    "used at all. What lies between was tried in vain."
)
CURVE = "Win rate on the dev panel, by which the iteration was chosen; the tables are of the test panel."
_OUTCOMES = ("win", "loss", *(stop.value for stop in StopReason if stop is not StopReason.DONE))

HOW_FOUND = (
    "Found by rule, not by taste: the first task, by id, that satisfies the strongest rule any task satisfies. "
    "Thoughts are pale; where the two do something different, the step is tinted."
)
_CARD = (
    "What must be equal for two numbers to be compared: the catalogue, the goals and their prices, the interface, "
    "whatever was simplified. Two results may stand in one table only if their cards have the same key."
)
WORDS = Section(
    "words",
    "Words and statistics",
    (
        Facts(
            {
                "win rate": "Share of tasks with reward exactly 1. Interval: Wilson’s; with several seeds, at the "
                "effective sample size.",
                "reward": "Mean final reward, from 0 to 1. Interval: percentiles of a bootstrap over seeds and tasks.",
                "success, attempt": "Share of tasks won by a trajectory that uses the skill; share of tasks where it "
                "was used. Only actions count, not thoughts that speak of it.",
                "gap": "Difference on the same tasks. p: McNemar’s exact test for one seed’s wins, else a paired "
                "bootstrap over seeds and tasks.",
                "simulations": "Episodes the policy played while the method was trained, and the environment’s "
                "answers in them.",
                "tokens": "Sampled by the policy; those it only read are each counted once an episode.",
                "trained on": "Tokens with a loss, times epochs.",
            }
        ),
    ),
)


class Drawn(NamedTuple):
    """A figure to be put among the blocks of a section, and the name of its files."""

    name: str
    caption: str
    plot: Plot


class Chapter(NamedTuple):
    """A section, and the plots behind its pictures by the names of their files."""

    section: Section
    plots: dict[str, Plot]


def chapter(id: str, heading: str, *blocks: Block | Drawn, short: str = "") -> Chapter:
    """A section of `blocks`, figures among them."""
    shown = (picture(*block) if isinstance(block, Drawn) else block for block in blocks)
    plots = {block.name: block.plot for block in blocks if isinstance(block, Drawn)}
    return Chapter(Section(id, heading, tuple(shown), short), plots)


def segments(
    tokens: Sequence[int], labels: Sequence[int], decode: Callable[[list[int]], str]
) -> list[Segment]:
    """A training row (`masking.Row`) cut where the loss begins and ends."""
    pairs = zip(tokens, labels, strict=True)
    runs = (
        (trained, [t for t, _ in run]) for trained, run in groupby(pairs, lambda pair: pair[0] == pair[1])
    )
    return [Segment(decode(run), trained, len(run)) for trained, run in runs]


def headline(table: ResultTable, ours: str) -> str:
    """What the table says of `ours`, in one sentence that claims no more than p allows."""
    rows = {r.method: r for r in table.rows}
    row = rows[ours]
    n = f"{row.win_rate.n:,} tasks" + (
        f" in each of {row.win_rate.seeds} seeds" if row.win_rate.seeds > 1 else ""
    )
    if not row.win_rate.n:
        return f"No episode of {ours} could be judged: the infrastructure failed in all of them."
    wins = f"{ours} wins {percent(row.win_rate.value)} of {n}"
    if row.against is None or not row.against.wins.n:
        return f"{wins} (95 % interval {interval(row.win_rate)})."
    gap, other = row.against.wins, rows[table.baseline]
    most = not any(r.win_rate.value > other.win_rate.value for r in table.rows if r.method != ours)
    name = f"{other.method}, the best of the others" if most and len(rows) > 2 else other.method
    test = f"{p_value(gap.p)}, {'McNemar’s exact test' if gap.seeds == 1 else 'paired bootstrap over seeds and tasks'}"
    if gap.p < TOLD:
        points = f"{100 * abs(gap.value):.1f} points {'more' if gap.value > 0 else 'fewer'} than {name}"
        return f"{wins}, {points} (95 % interval {signed(gap.low)} to {signed(gap.high)}; {test})."
    needed = row.against.needed_n
    alone = " in one seed" if gap.seeds > 1 else ""
    more = f"; a gap of this size needs n ≥ {needed:,} to be told{alone}" if needed else ""
    return (
        f"{wins} and {name} {percent(other.win_rate.value)}: this panel can't tell them apart ({test}{more})."
    )


def trained(method: str, dialogue: Sequence[Segment]) -> Section:
    """One training row, to read."""
    loss, total = sum(s.tokens for s in dialogue if s.trained), sum(s.tokens for s in dialogue)
    caption = (
        f"One row of {method}’s last training set. Only the marked tokens carry the loss, {loss:,} of {total:,}; "
        "the rest is read."
    )
    return Section("dialogue", "What was trained on", (Dialogue(caption, tuple(dialogue)),))


def searched(svg: str, outline: str) -> Section:
    """A search tree, to look at."""
    caption = (
        "A tree that search grew. Nodes are pages, and show themselves where one points; an edge says its action, how "
        "often it was tried, what came of it, and what the critic thought of it. The path that search would take is bold; "
        "+n are actions that were proposed and never tried. Green ended in a win, red in anything else."
    )
    return Section("tree", "A search tree", (Drawing(caption, svg, outline),))


def ended(results: Sequence[ResultTable], ours: str) -> Section:
    """Why episodes ended."""
    rows = [row for result in results for row in result.rows]
    table = Table(
        name="outcomes",
        columns=(*(c for c, _ in comparison.named_by()), *(Column(outcome(o), key=o) for o in _OUTCOMES)),
        rows=tuple(
            (
                *(cell(row) for _, cell in comparison.named_by()),
                *(_tally(n) for n in map(row.outcomes.__getitem__, _OUTCOMES)),
            )
            for row in rows
        ),
        note="Episodes, all seeds. Environment and model failures are in no rate and no mean: they are nobody’s "
        "fault who is measured. A loss is an episode that the environment ended with a reward below 1; one cut "
        "short counts as lost.",
        marked=tuple(i for i, row in enumerate(rows) if row.method == ours),
    )
    return Section("outcomes", "How episodes ended", (table,))


def _tally(n: int) -> Cell:
    return count(n) if n else Cell("·", (), {"": 0})


def environment(cards: Sequence[Card]) -> Section:
    """What the numbers were measured in."""
    facts = (
        Facts({outcome(k): str(v) for k, v in sorted(card.facts.items())}, f"{card.name} · {card.key}")
        for card in {card.key: card for card in cards}.values()
    )
    return Section("card", "Environment card", (Prose(_CARD), *facts))


def again(command: str, versions: Mapping[str, str]) -> Section:
    """What makes it once more, and with what it was made."""
    return Section("again", "Make it again", (Listing(command), Facts(dict(versions))))
