"""Render a report as one self-contained HTML file.

The page loads nothing from outside (its content policy forbids it), follows the reader's light or dark theme, and prints
well. All text of environments and models is escaped; only the figures are markup.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from eefcore.evaluation import formatting
from eefcore.reports.document.blocks import Block, Document
from eefcore.reports.document.cells import Table
from eefcore.storage.disk import write_atomically


class ColumnGroup(NamedTuple):
    """A heading over neighbouring columns, and how many there are."""

    name: str
    columns: int


def write_html(path: Path, content: Document) -> Path:
    """Write the page to `path`, whole or not at all, and return `path`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("eefcore.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(outcome=formatting.outcome, markup=Markup)
    functions = {"kind": _kind, "groups": _groups, "firsts": _firsts}
    page = environment.get_template("report.html.jinja", globals=functions).render(document=content)
    # An observation may hold half of a surrogate pair.
    write_atomically(path, page.encode("utf-8", "xmlcharrefreplace"))
    return path


def _kind(block: Block) -> str:
    return type(block).__name__


def _groups(table: Table) -> list[ColumnGroup]:
    """Return the upper row of headings; empty if no column has one."""
    groups = [ColumnGroup(name, len(list(run))) for name, run in groupby(table.columns, lambda c: c.group)]
    return groups if any(group.name for group in groups) else []


def _firsts(table: Table) -> set[int]:
    """Return the indices of the columns that begin a group."""
    return {i for i, c in enumerate(table.columns) if i and c.group != table.columns[i - 1].group}
