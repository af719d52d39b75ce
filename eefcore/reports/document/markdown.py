"""Render a report as Markdown, for a README and for the folder of published results."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from eefcore.evaluation.formatting import outcome
from eefcore.reports.document import blocks
from eefcore.reports.document.blocks import Block, CaseStudy, Document, Section, Side, Turn
from eefcore.reports.document.cells import markdown_table
from eefcore.reports.document.escaping import escape, escape_line
from eefcore.storage.disk import write_atomically


def write_markdown(path: Path, content: Document, *, pictures: str = "figures") -> Path:
    """Write the report to `path` and return it; its figures are PNG files in the folder `pictures` beside it."""
    write_atomically(path, render(content, pictures).encode("utf-8", "replace"))
    return path


def render(content: Document, pictures: str) -> str:
    """Return the whole report as Markdown."""
    title, headline = escape_line(content.title), escape_line(content.headline)
    parts = [f"# {title}", f"**{headline}**", *map(escape, content.details)]
    return "\n\n".join([*parts, *(section(s, pictures) for s in content.sections)]) + "\n"


def section(content: Section, pictures: str) -> str:
    """Return a section and its blocks as Markdown."""
    return "\n\n".join([f"## {escape_line(content.heading)}", *(block(b, pictures) for b in content.blocks)])


def block(content: Block, pictures: str) -> str:
    """Return one block as Markdown."""
    match content:
        case blocks.Prose(text):
            return escape(text)
        case blocks.Points(lines):
            return "\n".join(f"- {escape_line(line)}" for line in lines)
        case blocks.Table(title=title, note=note):
            heading = f"### {escape_line(title)}\n\n" if title else ""
            below = f"\n\n<sub>{escape_line(note)}</sub>" if note else ""
            return f"{heading}{markdown_table(content)}{below}"
        case blocks.Picture(name, caption):
            shown = escape_line(caption)
            return f"![{shown}]({pictures}/{name}.png)\n\n*{shown}*"
        case blocks.Facts(facts, title):
            rows = fact_lines(facts)
            return f"### {escape_line(title)}\n\n{rows}" if title else rows
        case blocks.CaseStudy(title=title, rule=rule):
            return f"### {escape_line(title)}\n\n{escape(rule)}\n\n{fenced(plain_text(content))}"
        case blocks.Drawing(caption=caption) | blocks.Dialogue(caption=caption):
            return f"{escape(caption)}\n\n{fenced(plain_text(content))}"
        case blocks.Listing(text):
            return fenced(text)


def fact_lines(facts: Mapping[str, object], *, bold: bool = False) -> str:
    """Return facts as a Markdown list of names and values."""
    mark = "**" * bold
    return "\n".join(f"- {mark}{escape_line(k)}{mark}: {escape_line(str(v))}" for k, v in facts.items())


REFUSED = "no action in the last answer:"


def plain_text(content: blocks.CaseStudy | blocks.Drawing | blocks.Dialogue | blocks.Listing) -> str:
    """Return what a block holds as plain text; in a training row, what carries the loss is between « and »."""
    match content:
        case blocks.CaseStudy():
            return case_study_text(content)
        case blocks.Dialogue(segments=segments):
            return "".join(f"«{s.text}»" if s.trained else s.text for s in segments)
        case _:
            return content.text


def case_study_text(study: CaseStudy) -> str:
    """Return a case study as plain text: first what both do, then what each does after they part, last the expert."""
    cut = len(study.rows) if study.parting is None else study.parting
    lines: list[str] = []
    for row in study.rows[:cut]:
        if row.same and row.left:
            lines += _turns("both", row.left)
        else:
            lines += [*_turns(study.left.name, row.left), *_turns(study.right.name, row.right)]
    if study.parting is not None:
        lines.append("---- here they part ----")
    rest = study.rows[cut:]
    for side, turns in ((study.left, [r.left for r in rest]), (study.right, [r.right for r in rest])):
        lines += [*_turns(side.name, *turns), *refused_lines(side.refused_answer)]
        lines.append(f"---- {_ending(side)} ----")
    if study.expert:
        lines += [*_turns("expert", *study.expert_turns), *refused_lines(study.expert.refused_answer)]
        lines.append(f"---- the expert tried it too: {_ending(study.expert)} ----")
    return "\n".join(lines)


def fenced(text: str) -> str:
    """Return a text in a code fence longer than any run of backticks in it."""
    ticks = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{ticks}text\n{text}\n{ticks}"


def _turns(name: str, *turns: Turn | None) -> list[str]:
    lines = []
    for turn in filter(None, turns):
        lines.append(f"{name} {turn.index:>2} > {turn.action}")
        if not turn.thought or turn.answer.strip() != "OK":
            lines += [f"      {line}" for line in turn.answer.splitlines()]
    return lines


def refused_lines(answer: str) -> list[str]:
    """Return an answer that held no action as lines of a transcript; none if there was no such answer."""
    shown = answer if answer.strip() else "(blank)"
    return [REFUSED, *(f"      {line}" for line in shown.splitlines())] if answer else []


def _ending(side: Side) -> str:
    return f"{side.name}: {outcome(side.badge)}"
