"""The pages that people read: README, docs/ and the guides at the top of the repository."""

from __future__ import annotations

import re
from pathlib import Path

from helpers.paths import ROOT

README = ROOT / "README.md"
GUIDES = [README, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
EVIDENCE = [README, *sorted((ROOT / "docs" / "evidence").glob("*.md"))]
PUBLISHED = ROOT / "results" / "published"
PAPER_MAP = ROOT / "docs" / "paper_map.md"

NAME = re.compile(r"`(eefcore(?:\.\w+)+)`")
FILE = re.compile(r"`((?:params|tests|notebooks|docs|results|eefcore|\.ci)/[\w./*-]+)`")
LINK = re.compile(r"\]\((?![a-z]+:)([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def place(path: Path) -> str:
    """Return the path of a page in the repository, as the id of a test case."""
    return path.relative_to(ROOT).as_posix()


def pairs(pattern: re.Pattern[str]) -> list[tuple[str, str]]:
    """Return the matches of `pattern` in the guides, as (page, match), each once."""
    return sorted(
        {(place(path), found) for path in GUIDES for found in pattern.findall(path.read_text("utf-8"))}
    )


def anchor(heading: str) -> str:
    """Return the anchor that GitHub and MkDocs give a heading of letters, digits and spaces."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
