"""What a report says, as plain data that a file can hold: sections of sentences, tables, figures, case studies.

    Document > Section > Prose, Table, Picture, Drawing, Story, Dialogue, Facts, Listing
    write, read          the file, so that a report can be rendered once more without its run
    tables, stories      its tables and its case studies

It is rendered as a page (`page`), as text for a README (`markdown`) and as a W&B Report (`wandb_report`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import msgspec

from eefcore.errors import StoreError
from eefcore.figures.plots import Plot, inline_svg
from eefcore.reports.document.cells import Table
from eefcore.storage.disk import read_bytes as read_bytes
from eefcore.storage.disk import write_atomically


class Prose(msgspec.Struct, frozen=True, tag=True):
    """Sentences."""

    text: str
    soft: bool = False  # in smaller print


class Points(msgspec.Struct, frozen=True, tag=True):
    """Sentences, one a line."""

    lines: tuple[str, ...]


class Picture(msgspec.Struct, frozen=True, tag=True):
    """A figure: `name` is its files', `svg` what a page shows."""

    name: str
    caption: str
    svg: str


class Drawing(msgspec.Struct, frozen=True, tag=True):
    """What is too large for a figure, as a search tree: a page shows `svg` and can be scrolled, all else `text`."""

    caption: str
    svg: str
    text: str


class Turn(msgspec.Struct, frozen=True):
    """a_i, what it was answered, and the navigation skills it uses."""

    index: int
    action: str
    answer: str
    thought: bool
    skills: tuple[str, ...] = ()


class Side(msgspec.Struct, frozen=True):
    """A trajectory of a case study: whose, and how it ended."""

    name: str
    outcome: str
    reward: float

    @property
    def badge(self) -> str:
        """How it ended, in words."""
        return f"{self.outcome} · reward {self.reward:.2f}"


class Abreast(NamedTuple):
    """Turns beside each other; None where that side has none."""

    left: Turn | None
    right: Turn | None
    same: bool


class Story(msgspec.Struct, frozen=True, tag=True):
    """A case study: two trajectories aligned, `rows[parts]` the first in which something different is done."""

    task: str
    title: str
    rule: str
    left: Side
    right: Side
    rows: tuple[Abreast, ...]
    parts: int | None
    expert: Side | None = None  # who tried it too
    expert_turns: tuple[Turn, ...] = ()


class Segment(NamedTuple):
    """A stretch of a training row: its text, whether it carries the loss, and how many tokens it is."""

    text: str
    trained: bool
    tokens: int


class Dialogue(msgspec.Struct, frozen=True, tag=True):
    """A training row and what of it carries the loss."""

    caption: str
    segments: tuple[Segment, ...]


class Facts(msgspec.Struct, frozen=True, tag=True):
    """Names and what they stand for."""

    facts: dict[str, str]
    title: str = ""


class Listing(msgspec.Struct, frozen=True, tag=True):
    """A command, or another text to copy."""

    text: str


FILE = "report.json"
"""In a run's folder, beside the page."""

Block = Prose | Points | Table | Picture | Drawing | Story | Dialogue | Facts | Listing


class Section(msgspec.Struct, frozen=True):
    """A heading and what is below it. `id` is the page's anchor, `short` its name among the links on top."""

    id: str
    heading: str
    blocks: tuple[Block, ...]
    short: str = ""


class Document(msgspec.Struct, frozen=True):
    """A report. `headline` and `details` are sentences computed from the data."""

    title: str
    headline: str
    details: tuple[str, ...]
    sections: tuple[Section, ...]


def picture(name: str, caption: str, plot: Plot) -> Picture:
    """The figure as a page shows it; its files are written by who has the plot (`plots.files`)."""
    return Picture(name, caption, inline_svg(plot, name))


def tables(document: Document) -> list[Table]:
    """All of its tables, in order."""
    return [block for section in document.sections for block in section.blocks if isinstance(block, Table)]


def stories(document: Document) -> list[Story]:
    """All of its case studies, in order."""
    return [block for section in document.sections for block in section.blocks if isinstance(block, Story)]


def write(path: Path, document: Document) -> None:
    """The document in a file, any text in it kept: half of a surrogate pair included, which msgspec refuses."""
    write_atomically(path, json.dumps(msgspec.to_builtins(document), indent=1).encode())


def read(path: Path) -> Document:
    """The document of a file.

    Raises:
        StoreError: not there, or not a report of this version.
    """
    try:
        return msgspec.convert(json.loads(read_bytes(path)), Document)
    except (ValueError, msgspec.ValidationError) as error:
        raise StoreError(
            f"{path}: expected a report of ours, got: {error}; make it again with `eef report`"
        ) from error
