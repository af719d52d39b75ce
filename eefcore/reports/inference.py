"""Report how a method acts at test time: with or without search, what the search knew, and what an episode costs.

read_inference       stages of a test set, one a seed -> Inference
inference_columns    columns for a table of results, so that a cost stands beside every score
win_rate_figure      win rates, and what an episode costs, as one figure (Agent Q Figure 1, which has no costs)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eefcore.evaluation.stats import Estimate
from eefcore.figures import evaluation, search
from eefcore.reports.comparison import Columns, MethodRow
from eefcore.reports.document import cells
from eefcore.reports.document.blocks import Figure
from eefcore.reports.document.cells import BLANK, Cell, Column
from eefcore.search.settings import Signal
from eefcore.storage import cost, stages

AT_ONCE = "at once"


class Inference(NamedTuple):
    """How a method acts, and what an episode of its test set costs on average.

    Attributes:
        how: `at once`, `beams × 4`, `best of 6`, `MCTS × 6`.
        simulations_per_action: simulations of the tree before each action; 0 for every way that grows no tree.
        signal: what the search knew of an ending: `critic`, `reward`, or nothing.
        simulations: simulations an episode, beside the episode itself.
        tokens_written: tokens an episode, sampled by policy and critic.
        tokens_read: tokens an episode, read by them.
        seconds: wall time of the stage divided by its episodes.
    """

    how: str
    simulations_per_action: int
    signal: str
    simulations: float
    tokens_written: float
    tokens_read: float
    seconds: float

    @property
    def searches(self) -> bool:
        """Whether the method searches before it acts."""
        return self.how != AT_ONCE


def read_inference(folders: Sequence[Path], episodes: int) -> Inference:
    """Read how a method acts from its test stages, one a seed with equal parameters; `episodes` is their number of episodes."""
    records = [stages.read_record(folder) for folder in folders]
    params = records[0].params
    way, n = params.get("how", ""), int(params.get("simulations", 0))
    spent = cost.total_cost(record.cost for record in records)
    # MCTS plays each episode itself after its simulations; beams and acting at once play nothing else.
    simulations = {"mcts": spent.episodes - episodes, "best_of": spent.episodes}.get(way, 0)
    words = {"beam": f"beams × {n}", "best_of": f"best of {n}", "mcts": f"MCTS × {n}"}
    each = 1 / max(1, episodes)
    return Inference(
        how=words.get(way, AT_ONCE),
        simulations_per_action=n if way == "mcts" else 0,
        signal=str(params.get("signal", Signal.CRITIC)) if way in ("mcts", "best_of") else "",
        simulations=simulations * each,
        tokens_written=spent.tokens_written * each,
        tokens_read=spent.tokens_read * each,
        seconds=spent.seconds * each,
    )


def inference_columns(inferences: Mapping[str, Inference]) -> Columns:
    """Return the columns of how each method acts and what an episode costs; none where all methods act at once."""
    if not any(i.searches for i in inferences.values()):
        return []

    def column(
        name: str, key: str, cell: Callable[[Inference], Cell], *, words: bool = False
    ) -> tuple[Column, Callable[[MethodRow], Cell]]:
        heading = Column(name, "An episode at test time", key, words)
        return heading, lambda row: cell(inferences[row.method]) if row.method in inferences else BLANK

    return [
        column("acts", "acts", lambda i: cells.words(i.how), words=True),
        column("its search knew", "search knew", lambda i: cells.words(_KNEW[i.signal]), words=True),
        column("simulations", "episode simulations", lambda i: cells.count(i.simulations, digits=1)),
        column(
            "tokens", "episode tokens", lambda i: cells.amount(i.tokens_written, read=(i.tokens_read, "read"))
        ),
        column("seconds", "episode seconds", lambda i: cells.count(i.seconds, digits=2)),
    ]


def win_rate_figure(
    rates: Mapping[str, Estimate], inferences: Mapping[str, Inference], *, name: str = "win_rates"
) -> Figure:
    """Draw win rates as bars beside what an episode costs; as points where all methods act at once."""
    if not any(i.searches for i in inferences.values()):
        return Figure(name, "Win rate with 95 % intervals.", evaluation.win_rates(rates))
    signals = sorted({_KNEW[i.signal] for i in inferences.values() if i.signal})
    knew = " and ".join(signals) or "nothing of its ending"
    caption = (
        "Win rate with 95 % intervals, and what an episode at test time costs (Agent Q Figure 1). Hatched: searches before "
        f"it acts, knowing {knew}. Simulations are those beside the episode itself."
    )
    costs = {m: _costs(i) for m, i in inferences.items()}
    searches = {m: i.searches for m, i in inferences.items()}
    return Figure(name, caption, search.win_rates_and_costs(rates, costs, searches))


def _costs(inference: Inference) -> dict[str, float]:
    return {
        "simulations\nan episode": inference.simulations,
        "tokens written\nan episode": inference.tokens_written,
        "seconds\nan episode": inference.seconds,
    }


NOTE = (
    "MCTS × n: n simulations before each action. Best of n: n rehearsed episodes, of which the best is played. An episode "
    "at test time: simulations beside the episode itself, and tokens of policy and critic. Seconds are the time of the "
    "stage divided by its episodes, many of which are played at once, on a machine that may have had other work."
)
_KNEW = {"": "–", "critic": "the critic’s opinion", "reward": "the reward"}
