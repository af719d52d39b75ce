"""Render a report as Markdown, for a README and for the folder of published results."""

from __future__ import annotations

import re
from pathlib import Path

from eefcore.evaluation.formatting import outcome
from eefcore.reports.document.blocks import (
    Block,
    CaseStudy,
    Dialogue,
    Document,
    Drawing,
    Facts,
    Listing,
    Picture,
    Points,
    Prose,
    Section,
    Side,
    Turn,
)
from eefcore.reports.document.cells import Table, markdown_table
from eefcore.storage.disk import write_atomically


def write_markdown(path: Path, content: Document, *, pictures: str = "figures") -> Path:
    """Write the report to `path` and return it; its figures are PNG files in the folder `pictures` beside it."""
    write_atomically(path, render(content, pictures).encode("utf-8", "replace"))
    return path


def render(content: Document, pictures: str) -> str:
    """Return the whole report as Markdown."""
    parts = [f"# {content.title}", f"**{content.headline}**", *content.details]
    return "\n\n".join([*parts, *(section(s, pictures) for s in content.sections)]) + "\n"


def section(content: Section, pictures: str) -> str:
    """Return a section and its blocks as Markdown."""
    return "\n\n".join([f"## {content.heading}", *(block(b, pictures) for b in content.blocks)])


def block(content: Block, pictures: str) -> str:
    """Return one block as Markdown."""
    match content:
        case Prose(text):
            return text
        case Points(lines):
            return "\n".join(f"- {line}" for line in lines)
        case Table():
            heading = f"### {content.title}\n\n" if content.title else ""
            note = f"\n\n<sub>{content.note}</sub>" if content.note else ""
            return f"{heading}{markdown_table(content)}{note}"
        case Picture(name, caption):
            return f"![{caption}]({pictures}/{name}.png)\n\n*{caption}*"
        case Drawing(caption, _, text):
            return f"{caption}\n\n{fenced(text)}"
        case CaseStudy():
            return f"### {content.title.strip()}\n\n{content.rule}\n\n{fenced(case_study_text(content))}"
        case Dialogue(caption, segments):
            row = "".join(f"«{s.text}»" if s.trained else s.text for s in segments)
            return f"{caption}\n\n{fenced(row)}"
        case Facts(facts, title):
            rows = "\n".join(f"- {name}: {value}" for name, value in facts.items())
            return f"### {title}\n\n{rows}" if title else rows
        case Listing(text):
            return fenced(text)


def case_study_text(study: CaseStudy) -> str:
    """Return a case study as plain text: first what both do, then what each does after they part, last the expert."""
    cut = len(study.rows) if study.parting is None else study.parting
    lines: list[str] = []
    for row in study.rows[:cut]:
        if row.same and row.left:
            lines += _turn("both", row.left)
        else:
            for side, turn in ((study.left, row.left), (study.right, row.right)):
                lines += _turn(side.name, turn) if turn else []
    if study.parting is not None:
        lines.append("---- here they part ----")
    for side, turns in (
        (study.left, [row.left for row in study.rows[cut:]]),
        (study.right, [row.right for row in study.rows[cut:]]),
    ):
        lines += [line for turn in turns if turn for line in _turn(side.name, turn)]
        lines.append(f"---- {_ending(side)} ----")
    if study.expert:
        lines += [line for turn in study.expert_turns for line in _turn("expert", turn)]
        lines.append(f"---- the expert tried it too: {_ending(study.expert)} ----")
    return "\n".join(lines)


def fenced(text: str) -> str:
    """Return a text in a code fence longer than any run of backticks in it."""
    ticks = "`" * max(3, 1 + max((len(run) for run in _runs(text)), default=0))
    return f"{ticks}text\n{text}\n{ticks}"


def _turn(name: str, turn: Turn) -> list[str]:
    action = f"{name} {turn.index:>2} > {turn.action}"
    if turn.thought and turn.answer.strip() == "OK":
        return [action]
    return [action, *(f"      {line}" for line in turn.answer.splitlines())]


def _ending(side: Side) -> str:
    return f"{side.name}: {outcome(side.badge)}"


def _runs(text: str) -> list[str]:
    return re.findall("`+", text)
