"""The glossary of logged keys in results/README.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from helpers.paths import ROOT

GLOSSARY = ROOT / "results" / "README.md"


class Row(NamedTuple):
    key: str
    what: str
    paper: str


def rows(text: str) -> list[Row]:
    """Return the rows of the table `key | what it is | where in the paper`."""
    _, _, table = text.partition("| key | what it is | where in the paper |\n|---|---|---|\n")
    lines = table.split("\n\n")[0].splitlines()
    return [Row(*(cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1])) for line in lines]


def undocumented(keys: Iterable[str]) -> set[str]:
    """Return the keys that have no row in the glossary."""
    return set(keys) - {row.key for row in rows(GLOSSARY.read_text(encoding="utf-8"))}
