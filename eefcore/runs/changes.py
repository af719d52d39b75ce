"""Explain why a stage is computed again: which parameter, input or module changed since one of its kind finished."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from eefcore.runs.plan import Node
from eefcore.storage import stages
from eefcore.storage.stages import StageRecord
from eefcore.tracking.identity import code_of, identity

SHOWN = 3  # changes named of each kind; the rest is counted


def why_again(node: Node, records: Sequence[StageRecord], planned: Collection[str]) -> str:
    """Return what differs between a planned stage and the nearest finished one of its kind; nothing if there is none.

    Args:
        node: a stage that is not finished.
        records: the finished stages of its run.
        planned: the identities of the whole plan: a finished stage that it still contains was not replaced.
    """
    earlier = [
        r
        for r in records
        if (r.label, r.notebook) == (node.label, node.notebook.name) and r.identity not in planned
    ]
    if not earlier:
        return ""
    identities = {name: read.identity for name, read in node.inputs.items()}
    changes = [
        {
            "parameter": _differing(record.params, node.params),
            "input": _differing(record.inputs, identities),
            "code of": _differing(record.code, node.code),
        }
        for record in reversed(earlier)  # of equally near ones the newest
    ]
    nearest = min(changes, key=lambda change: sum(map(len, change.values())))
    return (
        "; ".join(_named(what, names) for what, names in nearest.items() if names)
        or "its model's files changed"
    )


def changes_since_planning(node: Node) -> str:
    """Return which of the code and model files that a stage follows from changed after it was planned, or nothing."""
    code = code_of(node.notebook.name, node.params)
    inputs = {name: read.identity for name, read in node.inputs.items()}
    if identity(node.notebook.name, node.params, inputs, code) == node.identity:
        return ""
    names = _differing(node.code, code)
    return _named("code of", names) if names else "its model's files changed"


def _differing(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """Return the names whose values are not the same in both."""
    return [name for name in {**before, **now} if name not in before or before[name] != now.get(name, ...)]


def _named(what: str, names: Sequence[str]) -> str:
    """Return `code of a, b, c and 4 more changed`."""
    shown = ", ".join(name.removeprefix("eefcore.") for name in names[:SHOWN])
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{what} {shown}{more} changed"


def reasons(nodes: Sequence[Node]) -> dict[Node, str]:
    """Return why each unfinished stage of a plan is computed again; stages that were never computed have no reason."""
    planned = {node.identity for node in nodes}
    records = {run: stages.finished_stages(run) for run in {node.run for node in nodes}}
    found = ((n, why_again(n, records[n.run], planned)) for n in nodes if not n.finished)
    return {node: why for node, why in found if why}
