"""Write a report as a W&B Report: `write` makes its JSON spec offline, and `publish` saves it to W&B once there is a key.

Text, tables and case studies are in the spec itself. A W&B Report shows only pictures that W&B has: each figure is a panel
over what the report's own stage logged, which `eef sync` uploads first. The library has no public way to and from JSON, so
this module uses `Report._to_model` and `_from_model`, and a test makes the round trip.
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
from eefcore.reports.document.blocks import Block, Document, read_document
from eefcore.reports.document.cells import markdown_table
from eefcore.reports.document.markdown import fact_lines, plain_text
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
    document = blocks.without_surrogates(document)
    own = _runset(wr, "the report's stage", f"Group == '{run}' and JobType in ['07_report', '10_suite']")
    everything = _runset(wr, "all stages", f"Group in {list(groups)!r}")
    parts = [wr.P(text=document.headline)]
    if document.details:
        parts.append(wr.UnorderedList(items=list(document.details)))
    parts.append(wr.TableOfContents())
    for section in document.sections:
        parts.append(wr.H2(text=section.heading))
        parts += [part for block in section.blocks for part in _parts(wr, block, own)]
    parts += [wr.H2(text="Cost"), _grid(wr, "costs", everything, _costs(wr))]
    if charts := _charts(wr, {table.name for table in blocks.tables(document)}):
        parts.append(_grid(wr, "charts", own, charts))
    return wr.Report(
        project=wandb_run.PROJECT,
        entity="",
        title=document.title[:_TITLE],
        description=document.headline,
        width="fluid",
        blocks=parts,
    )


def _parts(wr: Any, block: Block, own: Any) -> Iterator[Any]:
    """Yield the parts of a W&B Report that show a block: its title, its caption, and what it holds."""
    match block:
        case blocks.Table(title=title) | blocks.CaseStudy(title=title) | blocks.Facts(title=title) if title:
            yield wr.H3(text=title.strip())
    match block:
        case (
            blocks.Drawing(caption=caption)
            | blocks.Dialogue(caption=caption)
            | blocks.CaseStudy(rule=caption)
        ):
            yield wr.P(text=caption)
    match block:
        case blocks.Prose(text):
            yield wr.P(text=text)
        case blocks.Points(lines):
            yield wr.UnorderedList(items=list(lines))
        case blocks.Table():
            yield wr.MarkdownBlock(text=markdown_table(block))
            if block.note:
                yield wr.BlockQuote(text=block.note)
        case blocks.Picture(name, caption):
            layout = wr.Layout(w=24, h=14)
            panel = wr.MediaBrowser(title=name, media_keys=[f"figures/{name}"], num_columns=1, layout=layout)
            yield _grid(wr, name, own, [panel])
            yield wr.P(text=caption)
        case blocks.Facts(facts):
            yield wr.MarkdownBlock(text=fact_lines(facts, bold=True))
        case _:
            yield wr.CodeBlock(code=plain_text(block), language="markdown")


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


_CHARTS = {
    "methods": (
        "wandb/scatter/v0",
        {"x": "tokens trained", "y": "win rate"},
        {"title": "win rate against trained tokens"},
    ),
    "budget": (
        "wandb/lineseries/v0",
        {"step": "simulations a task", "lineVal": "win rate", "lineKey": "line"},
        {"title": "win rate against simulations a task", "xname": "simulations a task"},
    ),
}
"""The kind, fields and texts of the charts over logged tables, by the name of the table."""


def _charts(wr: Any, names: set[str]) -> list[Any]:
    """Return charts of win rate against cost over those of the logged tables that are among `names`."""
    charts = []
    for table, (kind, fields, strings) in _CHARTS.items():
        if table not in names:
            continue
        chart = wr.CustomChart.from_table(f"tables/{table}", chart_fields=fields, chart_strings=strings)
        chart.chart_name = kind
        chart.layout = wr.Layout(x=12 * len(charts), w=12, h=10)
        charts.append(chart)
    return charts


def _runset(wr: Any, name: str, filters: str) -> Any:
    # With an entity and a project the library would ask W&B about them; `publish` sets both.
    return wr.Runset(name=name, filters=filters)


def _grid(wr: Any, name: str, runset: Any, panels: Sequence[Any]) -> Any:
    grid = wr.PanelGrid(runsets=[copy.copy(runset)], panels=list(panels), hide_run_sets=True)
    for i, part in enumerate([*grid.runsets, *grid.panels]):  # the library draws ids at random
        part._id = hashlib.sha256(f"{name} {i}".encode()).hexdigest()[:11]
    return grid


def _spec(report: Any) -> bytes:
    with warnings.catch_warnings(action="ignore"):  # pydantic warns of the library's own types
        model = json.loads(report._to_model().model_dump_json(by_alias=True))
    return json.dumps(model, indent=1, ensure_ascii=False).encode()


def _loaded(path: Path) -> Any:
    wr = _library()
    from wandb_workspaces.reports.v2 import internal

    with warnings.catch_warnings(action="ignore"):
        model = internal.ReportViewspec.model_validate_json(read_bytes(path))
        report = wr.Report._from_model(model)
    report.width = model.spec.width  # the library does not restore it
    return report


def _library() -> Any:
    with warnings.catch_warnings(action="ignore"):  # the library uses deprecated parts of pydantic
        import wandb_workspaces.reports.v2 as wr  # loads wandb, which takes seconds

    return wr
