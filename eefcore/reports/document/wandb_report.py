"""Write a report as a W&B Report: its JSON spec is made offline, and published once there is a key.

    write_for_run, write    document -> results/<run>/report.wandb.json
    publish                 that file -> a report in the W&B project, the same one each time

Tables, sentences, case studies and training rows are in the spec itself. Figures can't be, because a W&B Report shows
only pictures that W&B has: each figure is a panel over what the report's own stage logged (`figures/<name>`), which
`eef sync` uploads first. Further panels show the logged costs of all stages, and the tables `tables/methods` and
`tables/budget`, so that readers can explore the cost curves.

The library has no public way to and from JSON, so this module uses `Report._to_model` and `_from_model`, and a test makes
the round trip. The library draws ids at random; here they are made from names, so that equal documents give equal specs.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eefcore.errors import TrackingError
from eefcore.reports.document import blocks
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
    read_document,
)
from eefcore.reports.document.cells import Table, markdown_table
from eefcore.reports.document.markdown import case_study_text
from eefcore.storage import stages
from eefcore.storage.disk import read_bytes, write_atomically
from eefcore.tracking import wandb_run

FILE = "report.wandb.json"
"""The spec's file in a run's folder."""

COSTS = ("seconds", "env_steps", "tokens_trained")
"""The logged costs that a panel sums over the stages of each kind."""

_TITLE = 128  # characters that W&B allows


def write_for_run(run: str) -> Path:
    """Write the spec of the latest report of `run`; its cost panels cover the stages of the run, and of all seeds of a suite.

    Raises:
        StoreError: the run has no report, or one of another version.
    """
    folder = stages.run_folder(run)
    groups = [name for name in stages.list_runs() if name == run or name.startswith(f"{run}/")]
    return write(folder / FILE, read_document(folder / blocks.FILE), run, groups)


def write(path: Path, document: Document, run: str, groups: Sequence[str]) -> Path:
    """Write the spec of `document` to `path`, keeping the id of a report that was published from there before.

    Args:
        run: the run whose report stage logged the figures.
        groups: the runs whose stages cost something; a suite has one a seed.
    """
    report = wandb_report(document, run, groups)
    if path.exists():
        report.id = _loaded(path).id
    write_atomically(path, _spec(report))
    return path


def publish(path: Path) -> str:
    """Save the spec at `path` as a report of the W&B project, and return its address.

    Raises:
        TrackingError: there is no key, or W&B refuses the report.
    """
    if not wandb_run.has_key():
        raise TrackingError(
            f"{path}: not published, there is no W&B key; run `wandb login` or set WANDB_API_KEY, then `eef sync` again"
        )
    wandb_run.keep_home(path.parent)
    wr = _library()
    try:
        report = _loaded(path)
        empty = wr.Report(project=os.environ.get("WANDB_PROJECT", wandb_run.PROJECT))
        report.project, report.entity = empty.project, os.environ.get("WANDB_ENTITY") or empty.entity
        for block in report.blocks:
            for runset in block.runsets if isinstance(block, wr.PanelGrid) else ():
                runset.project, runset.entity = report.project, report.entity
        report.save()
        saved = _loaded(path)
        saved.id = report.id
        write_atomically(path, _spec(saved))
        return str(report.url)
    except Exception as error:
        if not type(error).__module__.startswith(("wandb", "requests", "pydantic")):
            raise
        raise TrackingError(
            f"{path}: W&B did not take the report ({type(error).__name__}: {error}); the file is unchanged, run "
            "`eef sync` to try again"
        ) from error


def wandb_report(document: Document, run: str, groups: Sequence[str]) -> Any:
    """Return the `wandb_workspaces` Report of `document`, unsaved; nothing is sent to W&B."""
    wr = _library()
    own = _runset(wr, "the report's stage", f"Group == '{run}' and JobType in ['07_report', '10_suite']")
    everything = _runset(wr, "all stages", f"Group in {list(groups)!r}")
    parts = [wr.P(text=_text(document.headline))]
    if document.details:
        parts.append(wr.UnorderedList(items=[_text(line) for line in document.details]))
    parts.append(wr.TableOfContents())
    for section in document.sections:
        parts.append(wr.H2(text=section.heading))
        parts += [part for block in section.blocks for part in _blocks(wr, block, own)]
    parts += [wr.H2(text="Cost"), _grid(wr, "costs", everything, _costs(wr))]
    if charts := _charts(wr, {table.name for table in blocks.tables(document)}):
        parts.append(_grid(wr, "charts", own, charts))
    return wr.Report(
        project=wandb_run.PROJECT,
        entity="",
        title=_text(document.title)[:_TITLE],
        description=_text(document.headline),
        width="fluid",
        blocks=parts,
    )


def _blocks(wr: Any, block: Block, own: Any) -> Iterator[Any]:
    match block:
        case Prose(text):
            yield wr.P(text=_text(text))
        case Points(lines):
            yield wr.UnorderedList(items=[_text(line) for line in lines])
        case Table():
            if block.title:
                yield wr.H3(text=_text(block.title))
            yield wr.MarkdownBlock(text=_text(markdown_table(block)))
            if block.note:
                yield wr.BlockQuote(text=_text(block.note))
        case Picture(name, caption):
            layout = wr.Layout(w=24, h=14)
            panel = wr.MediaBrowser(title=name, media_keys=[f"figures/{name}"], num_columns=1, layout=layout)
            yield _grid(wr, name, own, [panel])
            yield wr.P(text=_text(caption))
        case Drawing(caption, _, text):
            yield wr.P(text=_text(caption))
            yield wr.CodeBlock(code=_text(text), language="markdown")
        case CaseStudy():
            yield wr.H3(text=_text(block.title.strip()))
            yield wr.P(text=_text(block.rule))
            yield wr.CodeBlock(code=_text(case_study_text(block)), language="markdown")
        case Dialogue(caption, spans):
            row = "".join(f"«{span.text}»" if span.trained else span.text for span in spans)
            yield wr.P(text=_text(caption))
            yield wr.CodeBlock(code=_text(row), language="markdown")
        case Facts(facts, title):
            if title:
                yield wr.H3(text=_text(title))
            yield wr.MarkdownBlock(text=_text("\n".join(f"- **{k}**: {v}" for k, v in facts.items())))
        case Listing(text):
            yield wr.CodeBlock(code=_text(text), language="markdown")


def _costs(wr: Any) -> list[Any]:
    return [
        wr.BarPlot(
            title=f"{name.replace('_', ' ')}, by stage",
            metrics=[f"cost/{name}"],
            groupby="JobType",
            groupby_aggfunc="sum",
            layout=wr.Layout(x=8 * i, w=8, h=8),
        )
        for i, name in enumerate(COSTS)
    ]


def _charts(wr: Any, names: set[str]) -> list[Any]:
    """Return charts of win rate against cost over those of the logged tables that are among `names`."""
    out = []
    if "methods" in names:
        chart = wr.CustomChart.from_table(
            "tables/methods",
            chart_fields={"x": "tokens trained", "y": "win rate"},
            chart_strings={"title": "win rate against trained tokens"},
        )
        chart.chart_name = "wandb/scatter/v0"
        out.append(chart)
    if "budget" in names:
        chart = wr.CustomChart.from_table(
            "tables/budget",
            chart_fields={"step": "simulations a task", "lineVal": "win rate", "lineKey": "line"},
            chart_strings={"title": "win rate against simulations a task", "xname": "simulations a task"},
        )
        chart.chart_name = "wandb/lineseries/v0"
        out.append(chart)
    for i, chart in enumerate(out):
        chart.layout = wr.Layout(x=12 * i, w=12, h=10)
    return out


def _runset(wr: Any, name: str, filters: str) -> Any:
    # With an entity and a project the library would ask W&B about them; `publish` sets both.
    return wr.Runset(name=name, filters=filters)


def _grid(wr: Any, name: str, runset: Any, panels: Sequence[Any]) -> Any:
    grid = wr.PanelGrid(runsets=[copy.copy(runset)], panels=list(panels), hide_run_sets=True)
    for i, part in enumerate([*grid.runsets, *grid.panels]):
        part._id = hashlib.sha256(f"{name} {i}".encode()).hexdigest()[:11]
    return grid


def _spec(report: Any) -> bytes:
    with warnings.catch_warnings():  # pydantic warns of the library's own types
        warnings.simplefilter("ignore")
        model = json.loads(report._to_model().model_dump_json(by_alias=True))
    return json.dumps(model, indent=1, ensure_ascii=False).encode()


def _loaded(path: Path) -> Any:
    wr = _library()
    from wandb_workspaces.reports.v2 import internal

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = internal.ReportViewspec.model_validate_json(read_bytes(path))
        report = wr.Report._from_model(model)
    report.width = model.spec.width  # the library does not restore it
    return report


def _library() -> Any:
    with warnings.catch_warnings():  # the library uses deprecated parts of pydantic
        warnings.simplefilter("ignore")
        import wandb_workspaces.reports.v2 as wr  # loads wandb, which takes seconds

    return wr


def _text(text: str) -> str:
    """Return a text that JSON can hold; an observation may have half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode()
