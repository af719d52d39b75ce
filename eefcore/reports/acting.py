"""How a method acts at test time: at once or after a search, what that search knew, and what an episode of it takes.

read         stages of a test panel, one a seed -> Acting
columns      of a table of results: a cost stands beside every score
drawn        win rates and what an episode costs as one figure (Agent Q Figure 1, which has no costs)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eefcore.evaluation.stats import Estimate
from eefcore.figures import acting as acting_figures
from eefcore.figures import evaluation
from eefcore.reports.comparison import Columns, MethodRow
from eefcore.reports.document import cells
from eefcore.reports.document.cells import BLANK, Cell, Column
from eefcore.reports.sections import Drawn
from eefcore.search.settings import Signal
from eefcore.storage import cost, stages

AT_ONCE = "at once"


class Acting(NamedTuple):
    """How a method acts, and what an episode of its test panel takes on average; seconds are of the whole machine's work.

    Attributes:
        how: `at once`, `beams × 4`, `best of 6`, `MCTS × 6`.
        before: simulations before each action: those of a tree, 0 for all that grows none.
        signal: what the search knew of an ending: `critic`, `reward`, or nothing.
        simulations: that an episode takes, beside itself.
        written: tokens that are sampled for it, by policy and critic.
        read: tokens that they read.
        seconds: of the stage, by its episodes.
    """

    how: str
    before: int
    signal: str
    simulations: float
    written: float
    read: float
    seconds: float

    @property
    def searched(self) -> bool:
        """Whether it does anything but act."""
        return self.how != AT_ONCE


def read(folders: Sequence[Path], episodes: int) -> Acting:
    """Of the stages of a test panel, one a seed, all asked alike; `episodes` is how many they hold together."""
    records = [stages.read_record(folder) for folder in folders]
    asked = records[0].params
    way, n = asked.get("how", ""), int(asked.get("simulations", 0))
    spent = cost.total_cost(record.cost for record in records)
    # An episode that was searched for is played once more for good; beams and what acts at once only play it.
    rehearsed = {"mcts": spent.episodes - episodes, "best_of": spent.episodes}.get(way, 0)
    words = {"beam": f"beams × {n}", "best_of": f"best of {n}", "mcts": f"MCTS × {n}"}
    each = 1 / max(1, episodes)
    return Acting(
        how=words.get(way, AT_ONCE),
        before=n if way == "mcts" else 0,
        signal=str(asked.get("signal", Signal.CRITIC)) if way in ("mcts", "best_of") else "",
        simulations=rehearsed * each,
        written=spent.tokens_written * each,
        read=spent.tokens_read * each,
        seconds=spent.seconds * each,
    )


def columns(of: Mapping[str, Acting]) -> Columns:
    """How each method acts and what an episode takes; no columns where all act at once."""
    if not any(a.searched for a in of.values()):
        return []

    def column(
        name: str, key: str, cell: Callable[[Acting], Cell], *, words: bool = False
    ) -> tuple[Column, Callable[[MethodRow], Cell]]:
        heading = Column(name, "An episode at test time", key, words)
        return heading, lambda row: cell(of[row.method]) if row.method in of else BLANK

    return [
        column("acts", "acts", lambda a: cells.words(a.how), words=True),
        column("its search knew", "search knew", lambda a: cells.words(_KNEW[a.signal]), words=True),
        column("simulations", "episode simulations", lambda a: cells.count(a.simulations, digits=1)),
        column("tokens", "episode tokens", lambda a: cells.amount(a.written, read=(a.read, "read"))),
        column("seconds", "episode seconds", lambda a: cells.count(a.seconds, digits=2)),
    ]


def drawn(rates: Mapping[str, Estimate], of: Mapping[str, Acting], *, name: str = "win_rates") -> Drawn:
    """Win rates as bars beside what an episode costs; as points where all act at once."""
    if not any(a.searched for a in of.values()):
        return Drawn(name, "Win rate with 95 % intervals.", evaluation.win_rates(rates))
    knew = " and ".join(sorted({_KNEW[a.signal] for a in of.values() if a.signal})) or "nothing of its ending"
    caption = (
        "Win rate with 95 % intervals, and what an episode at test time costs (Agent Q Figure 1). Hatched: searches before "
        f"it acts, knowing {knew}. Simulations are those beside the episode itself."
    )
    costs, searched = ({m: how(a) for m, a in of.items()} for how in (_costs, lambda a: a.searched))
    return Drawn(name, caption, acting_figures.acting(rates, costs, searched))


def _costs(acting: Acting) -> dict[str, float]:
    return {
        "simulations\nan episode": acting.simulations,
        "tokens written\nan episode": acting.written,
        "seconds\nan episode": acting.seconds,
    }


NOTE = (
    "MCTS × n: n simulations before each action; best of n: so many episodes are rehearsed. An episode at test time: "
    "simulations beside the episode itself, and tokens of policy and critic; seconds are the "
    "stage’s by its episodes, many of which are played at a time, on a machine that may have had other work."
)
_KNEW = {"": "–", "critic": "the critic’s opinion", "reward": "the reward"}
