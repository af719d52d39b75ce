"""Say what finished stages left out or could not read, where the run is seen and not only in their notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from eefcore.runs.plan import Node
from eefcore.storage import stages
from eefcore.storage.metrics_log import Metric

SHOWN = 3  # stages named for each kind of loss; the rest is counted


class Loss(NamedTuple):
    """What a metric above 0 says that a stage lost, and what it means or how to avoid it."""

    what: str
    advice: str


_FAILED = "they are in no denominator; run the stage again when the model or the environment answers"

LOSSES: Mapping[str, Loss] = {
    "expert/unread": Loss("records of `file` can't be read", "tables/refused.csv of the stage says where and why"),
    "expert/refused": Loss(
        "expert trajectories do not replay",
        "they are cloned and never explored from; tables/refused.csv of the stage says why",
    ),
    "expert/unjudged": Loss("demonstrations ended by a failure of the model", _FAILED),
    "expert/panel_unpaid": Loss("test tasks that the budget did not pay for", "raise `budget` of 02_expert to go on"),
    "train/refused": Loss(
        "examples left out", "they are longer than `context`, which can be raised, or can't be written in `format`"
    ),
    "explore/unjudged": Loss("simulations ended by a failure", _FAILED),
    "preferences/refused": Loss(
        "pairs left out", "a side is longer than `context`, which can be raised, or can't be written in `format`"
    ),
    "search/unparseable": Loss("of the critic's answers name no action", "such actions are neutral; see `critic`"),
    "search/failed": Loss("simulations ended by a failure", _FAILED),
    "search/violations": Loss("actions that can't be undone were done outside of a snapshot", "this must be 0"),
    "tune/refused": Loss("questions left out", "they are longer than `context`, which can be raised"),
    "decide/unparseable": Loss("answers of the critic name no action", "such actions are neutral; see `critic`"),
    "decide/violations": Loss("actions that can't be undone were done outside of a snapshot", "this must be 0"),
    "eval/n_unjudged": Loss("episodes ended by a failure", _FAILED),
}  # fmt: skip
"""By the key of results/README.md: numbers of things, or shares between 0 and 1."""


def losses(node: Node) -> dict[str, str]:
    """Return what the finished stage `node` lost, a few words by the metric that says so."""
    metrics = stages.read_record(node.folder).metrics
    found = {key: metrics[key] for key in LOSSES if metrics.get(key)}
    return {key: f"{_amount(value)} {LOSSES[key].what}" for key, value in found.items()}


def list_losses(nodes: Iterable[Node]) -> list[str]:
    """Return a line for each kind of loss of the finished stages `nodes`, with the stages and what it means."""
    found: dict[str, dict[str, str]] = {}
    for node in nodes:
        for key, text in losses(node).items():
            found.setdefault(key, {})[f"{node.run}/{node.folder.name}"] = text
    lines = []
    for key in [key for key in LOSSES if key in found]:
        named = [f"{text} ({stage})" for stage, text in [*found[key].items()][:SHOWN]]
        rest = len(found[key]) - len(named)
        more = f", and {rest} more stages" if rest > 0 else ""
        lines.append(f"{key}: {', '.join(named)}{more}; {LOSSES[key].advice}")
    return lines


def _amount(value: Metric) -> str:
    return f"{100 * value:.2g} %" if isinstance(value, float) else str(value)
