"""Define the content of a report as plain data: a `Document` of sections, and their blocks of text, tables, figures and case studies.

`chapter` makes a section whose figures are still matplotlib plots. `write_document` writes the file from which a report is
rendered again without its run: as a page (`html`), as text for a README (`markdown`), as a W&B Report (`wandb_report`).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import msgspec

from eefcore.errors import UNDECODABLE, StoreError
from eefcore.figures.plots import Plot, inline_svg
from eefcore.reports.document.cells import Table
from eefcore.storage.disk import read_bytes, write_atomically


class Prose(msgspec.Struct, frozen=True, tag=True):
    """A paragraph of text in a report."""

    text: str


class Points(msgspec.Struct, frozen=True, tag=True):
    """A list with one sentence an item."""

    lines: tuple[str, ...]


class Picture(msgspec.Struct, frozen=True, tag=True):
    """A figure: `name` is the stem of its files, `svg` what a page shows."""

    name: str
    caption: str
    svg: str


class Drawing(msgspec.Struct, frozen=True, tag=True):
    """A drawing too large for a figure, such as a search tree: a page shows `svg` in a scrolled box, other renderings `text`."""

    caption: str
    svg: str
    text: str


class Turn(msgspec.Struct, frozen=True):
    """One action a_i, the environment's answer, and the navigation skills that the action uses."""

    index: int
    action: str
    answer: str
    thought: bool
    skills: tuple[str, ...] = ()


class Side(msgspec.Struct, frozen=True):
    """One trajectory of a case study: the method's name, and how the episode ended."""

    name: str
    outcome: str
    reward: float
    refused_answer: str = ""  # the last answer, if it held no action

    @property
    def badge(self) -> str:
        """The ending in words."""
        return f"{self.outcome} · reward {self.reward:.2f}"


class CaseRow(NamedTuple):
    """Two turns beside each other; None where one side has no turn."""

    left: Turn | None
    right: Turn | None
    same: bool


class CaseStudy(msgspec.Struct, frozen=True, tag="Story"):
    """Two trajectories of one task, aligned; `rows[parting]` is the first row in which they do something different."""

    task: str
    title: str
    rule: str
    left: Side
    right: Side
    rows: tuple[CaseRow, ...]
    parting: int | None = msgspec.field(name="parts")
    expert: Side | None = None  # the expert that tried the same, if there is one
    expert_turns: tuple[Turn, ...] = ()


class Span(NamedTuple):
    """Neighbouring tokens of a training row: their text, whether they carry the loss, and how many there are."""

    text: str
    trained: bool
    tokens: int


class Dialogue(msgspec.Struct, frozen=True, tag=True):
    """A training row, divided into what carries the loss and what does not."""

    caption: str
    segments: tuple[Span, ...]


class Facts(msgspec.Struct, frozen=True, tag=True):
    """A list of names with their values or meanings."""

    facts: dict[str, str]
    title: str = ""


class Listing(msgspec.Struct, frozen=True, tag=True):
    """A command or another text to copy."""

    text: str


FILE = "report.json"
"""The document's file in a run's folder, beside the page."""

Block = Prose | Points | Table | Picture | Drawing | CaseStudy | Dialogue | Facts | Listing


class Section(msgspec.Struct, frozen=True):
    """A heading and the blocks below it. `id` is the anchor on the page, `short` the name among the links on top."""

    id: str
    heading: str
    blocks: tuple[Block, ...]
    short: str = ""


class Document(msgspec.Struct, frozen=True):
    """A whole report. `headline` and `details` are sentences computed from the data."""

    title: str
    headline: str
    details: tuple[str, ...]
    sections: tuple[Section, ...]


class Figure(NamedTuple):
    """A figure while it is still a plot: the stem of its files, its caption, and the plot."""

    name: str
    caption: str
    plot: Plot


class Chapter(NamedTuple):
    """A section, and the plots behind its pictures by the stems of their files."""

    section: Section
    plots: dict[str, Plot]


def chapter(id: str, heading: str, *blocks: Block | Figure, short: str = "") -> Chapter:
    """Return a section of `blocks` in which each figure has become a picture, with the plots kept beside it."""
    contents = tuple(
        Picture(block.name, block.caption, inline_svg(block.plot, block.name, block.caption))
        if isinstance(block, Figure)
        else block
        for block in blocks
    )
    plots = {block.name: block.plot for block in blocks if isinstance(block, Figure)}
    return Chapter(Section(id, heading, contents, short), plots)


def tables(document: Document) -> list[Table]:
    """Return all tables of a document, in order."""
    return [block for section in document.sections for block in section.blocks if isinstance(block, Table)]


def case_studies(document: Document) -> list[CaseStudy]:
    """Return all case studies of a document, in order."""
    return [
        block for section in document.sections for block in section.blocks if isinstance(block, CaseStudy)
    ]


def write_document(path: Path, document: Document) -> None:
    """Write the document to `path`; json keeps any text, also half of a surrogate pair, which msgspec refuses."""
    write_atomically(path, json.dumps(msgspec.to_builtins(document), indent=1).encode())


def read_document(path: Path) -> Document:
    """Read the document at `path`.

    Raises:
        StoreError: the file is not there, or is not a report of this version.
    """
    try:
        return msgspec.convert(json.loads(read_bytes(path)), Document)
    except UNDECODABLE as error:
        raise StoreError(
            f"{path}: expected a report written by eefcore, got: {error}; write it again with `eef report`"
        ) from error


def without_surrogates(document: Document) -> Document:
    """Return the document with a question mark for each half of a surrogate pair, which an observation may have."""
    text = json.dumps(msgspec.to_builtins(document), ensure_ascii=False).encode("utf-8", "replace")
    return msgspec.convert(json.loads(text), Document)
