"""A report as a W&B Report: its JSON spec, made offline, and its publication once there is a key.

    of_run, write      document -> results/<run>/report.wandb.json
    publish            that file -> a report in the W&B project, the same one each time

Tables, sentences, case studies and training rows are in the spec itself. Figures can't be: a report shows
pictures that W&B has, so each is a panel over what the report's own stage logged (`figures/<name>`), which
`eef sync` uploads first. Beside them stand panels over the logged costs of all stages, and over the tables
`tables/methods` and `tables/budget`, so that the cost curves can be explored.

The library has no public way to and from JSON; `Report._to_model` and `_from_model` are it, and a test makes
the round trip. Ids, which the library draws, are made from names here: equal documents, equal specs.
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
from eefcore.reports.document.blocks import FILE as DOCUMENT
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
    Story,
    tables,
)
from eefcore.reports.document.blocks import read as read_document
from eefcore.reports.document.cells import Table, markdown_table
from eefcore.reports.document.markdown import told
from eefcore.storage import stages
from eefcore.storage.disk import read_bytes, write_atomically
from eefcore.tracking import wandb_run

FILE = "report.wandb.json"
"""In a run's folder."""

COSTS = ("seconds", "env_steps", "tokens_trained")
"""Logged costs that are summed over the stages of each kind."""

_TITLE = 128  # characters that W&B allows


def of_run(run: str) -> Path:
    """The spec of the report that `run` made last; its costs are those of the run's stages, of a suite all its seeds'.

    Raises:
        StoreError: no report was made, or one of another version.
    """
    folder = stages.run_folder(run)
    groups = [name for name in stages.list_runs() if name == run or name.startswith(f"{run}/")]
    return write(folder / FILE, read_document(folder / DOCUMENT), run, groups)


def write(path: Path, document: Document, run: str, groups: Sequence[str]) -> Path:
    """The spec of `document` at `path`; it keeps the id of a report that was published from there before.

    Args:
        run: whose report stage logged the figures.
        groups: the runs whose stages cost something: of a suite one a seed.
    """
    report = made(document, run, groups)
    if path.exists():
        report.id = _loaded(path).id
    write_atomically(path, _spec(report))
    return path


def publish(path: Path) -> str:
    """Save the spec at `path` as a report of the W&B project, and return its address.

    Raises:
        TrackingError: there is no key; W&B refuses.
    """
    if not wandb_run.has_key():
        raise TrackingError(
            f"{path}: not published, there is no W&B key; `wandb login` or WANDB_API_KEY, then `eef sync` again"
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
        kept = _loaded(path)
        kept.id = report.id
        write_atomically(path, _spec(kept))
        return str(report.url)
    except Exception as error:
        if not type(error).__module__.startswith(("wandb", "requests", "pydantic")):
            raise
        raise TrackingError(
            f"{path}: W&B did not take the report ({type(error).__name__}: {error}); the file is as it was, "
            "`eef sync` tries again"
        ) from error


def made(document: Document, run: str, groups: Sequence[str]) -> Any:
    """The `wandb_workspaces` Report of `document`, unsaved; nothing is asked of W&B."""
    wr = _library()
    own = _runset(wr, "the report's stage", f"Group == '{run}' and JobType in ['07_report', '10_suite']")
    everything = _runset(wr, "all stages", f"Group in {list(groups)!r}")
    blocks = [wr.P(text=_text(document.headline))]
    if document.details:
        blocks.append(wr.UnorderedList(items=[_text(line) for line in document.details]))
    blocks.append(wr.TableOfContents())
    for section in document.sections:
        blocks.append(wr.H2(text=section.heading))
        blocks += [shown for block in section.blocks for shown in _blocks(wr, block, own)]
    blocks += [wr.H2(text="Cost"), _grid(wr, "costs", everything, _costs(wr))]
    if charts := _charts(wr, {table.name for table in tables(document)}):
        blocks.append(_grid(wr, "charts", own, charts))
    return wr.Report(
        project=wandb_run.PROJECT,
        entity="",
        title=_text(document.title)[:_TITLE],
        description=_text(document.headline),
        width="fluid",
        blocks=blocks,
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
        case Story():
            yield wr.H3(text=_text(block.title.strip()))
            yield wr.P(text=_text(block.rule))
            yield wr.CodeBlock(code=_text(told(block)), language="markdown")
        case Dialogue(caption, parts):
            said = "".join(f"«{part.text}»" if part.trained else part.text for part in parts)
            yield wr.P(text=_text(caption))
            yield wr.CodeBlock(code=_text(said), language="markdown")
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


def _charts(wr: Any, there: set[str]) -> list[Any]:
    """Win rate against cost, over the logged tables."""
    out = []
    if "methods" in there:
        chart = wr.CustomChart.from_table(
            "tables/methods",
            chart_fields={"x": "tokens trained", "y": "win rate"},
            chart_strings={"title": "win rate against trained tokens"},
        )
        chart.chart_name = "wandb/scatter/v0"
        out.append(chart)
    if "budget" in there:
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
    # With an entity and a project W&B would be asked about them: `publish` names both.
    return wr.Runset(name=name, filters=filters)


def _grid(wr: Any, name: str, runset: Any, panels: Sequence[Any]) -> Any:
    grid = wr.PanelGrid(runsets=[copy.copy(runset)], panels=list(panels), hide_run_sets=True)
    for i, part in enumerate([*grid.runsets, *grid.panels]):
        part._id = hashlib.sha256(f"{name} {i}".encode()).hexdigest()[:11]
    return grid


def _spec(report: Any) -> bytes:
    with warnings.catch_warnings():  # pydantic's, of the library's own types
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
    report.width = model.spec.width  # which the library forgets
    return report


def _library() -> Any:
    with warnings.catch_warnings():  # of what the library takes from pydantic
        warnings.simplefilter("ignore")
        import wandb_workspaces.reports.v2 as wr  # wandb with it: seconds

    return wr


def _text(text: str) -> str:
    """What JSON can hold: observations have anything, half of a surrogate pair included."""
    return text.encode("utf-8", "replace").decode()
