"""A report as one self-contained HTML file.

It asks for nothing outside itself (its content policy forbids it), follows the reader's light or dark theme,
and prints. All text of environments and models is escaped; only the figures are markup.
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


class Group(NamedTuple):
    """A heading over neighbouring columns."""

    name: str
    columns: int


def build(path: Path, content: Document) -> Path:
    """The page at `path`, whole or not there."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("eefcore.reports"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"outcome": formatting.outcome, "markup": Markup}
    environment.globals |= {"kind": _kind, "groups": _groups, "firsts": _firsts}
    page = environment.get_template("report.html.jinja").render(document=content)
    # Observations hold anything, half of a surrogate pair included.
    write_atomically(path, page.encode("utf-8", "xmlcharrefreplace"))
    return path


def _kind(block: Block) -> str:
    return type(block).__name__


def _groups(table: Table) -> list[Group]:
    """The upper row of headings; empty if no column has one."""
    found = [Group(name, len(list(run))) for name, run in groupby(table.columns, lambda c: c.group)]
    return found if any(group.name for group in found) else []


def _firsts(table: Table) -> set[int]:
    """The columns that begin a group."""
    return {i for i, c in enumerate(table.columns) if i and c.group != table.columns[i - 1].group}
