"""A report as Markdown: for a README, and for the folder that is published."""

from __future__ import annotations

from pathlib import Path

from eefcore.evaluation.formatting import outcome
from eefcore.reports.document.blocks import (
    Block,
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
    Story,
    Turn,
)
from eefcore.reports.document.cells import Table, markdown_table
from eefcore.storage.disk import write_atomically


def build(path: Path, content: Document, *, pictures: str = "figures") -> Path:
    """The report at `path`; its figures are PNG files in the folder `pictures` beside it."""
    write_atomically(path, written(content, pictures).encode("utf-8", "replace"))
    return path


def written(content: Document, pictures: str) -> str:
    """All of the report."""
    parts = [f"# {content.title}", f"**{content.headline}**", *content.details]
    return "\n\n".join([*parts, *(section(s, pictures) for s in content.sections)]) + "\n"


def section(content: Section, pictures: str) -> str:
    """A section and its blocks."""
    return "\n\n".join([f"## {content.heading}", *(block(b, pictures) for b in content.blocks)])


def block(content: Block, pictures: str) -> str:
    """One block."""
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
        case Story():
            return f"### {content.title.strip()}\n\n{content.rule}\n\n{fenced(told(content))}"
        case Dialogue(caption, segments):
            said = "".join(f"«{s.text}»" if s.trained else s.text for s in segments)
            return f"{caption}\n\n{fenced(said)}"
        case Facts(facts, title):
            rows = "\n".join(f"- {name}: {value}" for name, value in facts.items())
            return f"### {title}\n\n{rows}" if title else rows
        case Listing(text):
            return fenced(text)


def told(story: Story) -> str:
    """A case study as a text to read: what both do, and from where they part what each does; at the end the expert."""
    cut = len(story.rows) if story.parts is None else story.parts
    lines: list[str] = []
    for row in story.rows[:cut]:
        if row.same and row.left:
            lines += _turn("both", row.left)
        else:
            for side, turn in ((story.left, row.left), (story.right, row.right)):
                lines += _turn(side.name, turn) if turn else []
    if story.parts is not None:
        lines.append("---- here they part ----")
    for side, turns in (
        (story.left, [row.left for row in story.rows[cut:]]),
        (story.right, [row.right for row in story.rows[cut:]]),
    ):
        lines += [line for turn in turns if turn for line in _turn(side.name, turn)]
        lines.append(f"---- {_ended(side)} ----")
    if story.expert:
        lines += [line for turn in story.expert_turns for line in _turn("expert", turn)]
        lines.append(f"---- the expert tried it too: {_ended(story.expert)} ----")
    return "\n".join(lines)


def fenced(text: str) -> str:
    """A text to be shown as it is, whatever it holds."""
    ticks = "`" * max(3, 1 + max((len(run) for run in _runs(text)), default=0))
    return f"{ticks}text\n{text}\n{ticks}"


def _turn(who: str, turn: Turn) -> list[str]:
    said = f"{who} {turn.index:>2} > {turn.action}"
    if turn.thought and turn.answer.strip() == "OK":
        return [said]
    return [said, *(f"      {line}" for line in turn.answer.splitlines())]


def _ended(side: Side) -> str:
    return f"{side.name}: {outcome(side.badge)}"


def _runs(text: str) -> list[str]:
    return [run for run in "".join(c if c == "`" else " " for c in text).split() if run]
