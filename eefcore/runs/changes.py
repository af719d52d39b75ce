"""Explain why a stage is computed again: which parameter, input or module changed since one of its kind finished."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from eefcore.runs.plan import Node
from eefcore.storage import stages
from eefcore.storage.stages import StageRecord
from eefcore.tracking.identity import code_of, identity

SHOWN = 3  # changes named of each kind; the rest is counted


def reasons(nodes: Sequence[Node]) -> dict[Node, str]:
    """Return why unfinished stages of a plan are computed again: how each differs from the nearest finished one.

    It is compared with stages of its label that the plan no longer contains; without one it has no reason.
    """
    planned = {node.identity for node in nodes}
    records = {run: stages.finished_stages(run)[::-1] for run in {node.run for node in nodes}}  # newest first
    found: dict[Node, str] = {}
    for node in nodes:
        place = (node.label, node.notebook.name)
        replaced = [
            r for r in records[node.run] if (r.label, r.notebook) == place and r.identity not in planned
        ]
        if replaced and not node.finished:
            changes = [_changes(record, node) for record in replaced]
            nearest = min(changes, key=lambda change: sum(map(len, change.values())))
            parts = [_phrase(what, names) for what, names in nearest.items() if names]
            found[node] = "; ".join(parts) or "its model's files changed"
    return found


def changes_since_planning(node: Node) -> str:
    """Return which of the code and model files that a stage follows from changed after it was planned, or nothing."""
    code = code_of(node.notebook.name, node.params)
    if identity(node.notebook.name, node.params, _identities(node), code) == node.identity:
        return ""
    names = _differing(node.code, code)
    return _phrase("code of", names) if names else "its model's files changed"


def _changes(record: StageRecord, node: Node) -> dict[str, list[str]]:
    """Return the names of the parameters, inputs and modules that differ between a finished and a planned stage."""
    return {
        "parameter": _differing(record.params, node.params),
        "input": _differing(record.inputs, _identities(node)),
        "code of": _differing(record.code, node.code),
    }


def _identities(node: Node) -> dict[str, str]:
    return {name: read.identity for name, read in node.inputs.items()}


def _differing(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    return [name for name in {**before, **now} if name not in before or before[name] != now.get(name, ...)]


def _phrase(what: str, names: Sequence[str]) -> str:
    """Return `code of a, b, c and 4 more changed`."""
    listed = ", ".join(name.removeprefix("eefcore.") for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what} {listed}{more} changed"
