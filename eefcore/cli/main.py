"""Define the command `eef`. Heavy packages are imported by the subcommand that needs them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator, Sequence
from contextlib import chdir, contextmanager
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eefcore.cli.data import data
from eefcore.cli.model import model
from eefcore.cli.play import play
from eefcore.errors import EefError

if TYPE_CHECKING:
    from eefcore.runs.plan import Node

app = typer.Typer(
    name="eef",
    help="Tune LLM agents on an expert's trajectories, failed ones included. Start with: eef run params/quickstart.yaml",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data, name="data")
app.add_typer(model, name="model")
app.command()(play)

_CORES = "one a core; one where there is a GPU"
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Stages side by side.", show_default=_CORES)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check all, print the plan, start nothing.")]
Runs = Annotated[list[str], typer.Argument(metavar="RUN…", help="Names of runs: folders under results/.")]


@app.command()
def run(
    params: Annotated[
        Path, typer.Argument(metavar="PARAMS.yaml", help="A file such as params/quickstart.yaml.")
    ],
    jobs: Jobs = None,
    dry_run: DryRun = False,
) -> None:
    """Run the stages that a params file asks for; those that are finished are skipped.

    Stop it whenever you like: the same command goes on where it stopped.
    """
    from eefcore.runs.planning import plan_run

    command, shell = f"eef run {params}", Path.cwd()
    with _in_workspace_of(params) as path:
        _run(plan_run(path), jobs, dry_run, command, shell)


@app.command()
def suite(
    suite: Annotated[
        Path, typer.Argument(metavar="SUITE.yaml", help="A file such as params/suites/fast.yaml.")
    ],
    jobs: Jobs = None,
    dry_run: DryRun = False,
    fast: Annotated[bool, typer.Option("--fast", help="Only what its file keeps under `fast`.")] = False,
    seeds: Annotated[str, typer.Option(help="Only these of its seeds, as 0,1.", show_default="all")] = "",
    runs: Annotated[
        str,
        typer.Option(
            help="Only these of its params files, as mini_methods,mini_budgets.", show_default="all"
        ),
    ] = "",
) -> None:
    """Run params files times seeds, seed by seed; continues like `run`. `eef report` shows it half done."""
    from eefcore.runs.planning import plan_suite_file

    try:
        chosen = [int(seed) for seed in seeds.split(",")] if seeds else []
    except ValueError as error:
        raise typer.BadParameter(
            f"whole numbers and commas, as 0,1; got {seeds!r}", param_hint="--seeds"
        ) from error
    only = [stem.strip() for stem in runs.split(",") if stem.strip()]
    options = {"--fast": fast, f"--seeds {seeds}": seeds, f"--runs {runs}": runs}
    command = " ".join(["eef suite", str(suite), *(option for option, given in options.items() if given)])
    shell = Path.cwd()
    with _in_workspace_of(suite) as path:
        _run(plan_suite_file(path, fast=fast, seeds=chosen, only=only), jobs, dry_run, command, shell)


@app.command()
def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name of a run: a folder under results/.")],
) -> None:
    """Print the stages of a run, what they cost and what they measured."""
    from eefcore.runs.run_tables import show_run

    show_run(run)


@app.command()
def view(runs: Runs) -> None:
    """Write a page with every trajectory and search tree of a run or a suite: filter, search, compare, link."""
    from eefcore.evaluation.formatting import compact
    from eefcore.viewer import run_page

    for written in map(run_page, runs):
        size = compact(written.path.stat().st_size)
        typer.echo(
            f"Trajectories: {os.path.relpath(written.path)}, {written.episodes:,} episodes and {written.trees:,} trees, {size}B"
        )


@app.command()
def verify(runs: Runs) -> None:
    """Read every file of finished stages again, and print those that are not what their stage wrote."""
    from eefcore.storage.outputs import verify_run

    found = [verified for run in runs for verified in verify_run(run)]
    damaged = [v for v in found if v.problem or v.damages]
    for verified in damaged:
        typer.echo(f"damaged: {os.path.relpath(verified.folder)}")
        for line in filter(None, (verified.problem, *map(str, verified.damages))):
            typer.echo(f"    {line}")
        typer.echo("    copy it again, or move this folder away and run again: the stage is computed again")
    for verified in found:
        if not verified.files and not verified.problem:
            typer.echo(f"not checked: {os.path.relpath(verified.folder)} was recorded without hashes")
        for name in verified.unknown:
            typer.echo(f"not written by the stage: {os.path.relpath(verified.folder / name)}")
    typer.echo(f"{len(found)} stages, {sum(v.files for v in found)} files, {len(damaged)} stages damaged")
    if damaged:
        raise typer.Exit(1)


@app.command()
def report(
    runs: Runs,
    wandb: Annotated[
        bool, typer.Option("--wandb", help="Write it as a W&B Report as well, which `eef sync` publishes.")
    ] = False,
    publish: Annotated[
        bool,
        typer.Option(
            "--publish",
            help="Copy its text, tables and figures to results/published/, and pool other seeds and runs that are there.",
        ),
    ] = False,
) -> None:
    """Build the HTML reports of finished runs once more, from their records; of a suite, over what is finished."""
    from eefcore.reports import pooling
    from eefcore.reports.document import wandb_report
    from eefcore.runs.planning import plan_report
    from eefcore.runs.runner import run_again

    for found in [plan_report(run) for run in runs]:
        run_again(found.report)
        for part, methods in groupby(found.missing, key=lambda name: name.rpartition("/")[0]):
            left = {name.rpartition("/")[2]: found.missing[name] for name in methods}
            typer.echo(f"not finished: {part}, {sum(left.values())} stages of {', '.join(left)}")
        _print_report(found.report.run, Path.cwd())
        if wandb:
            path = wandb_report.write_for_run(found.report.run)
            typer.echo(f"W&B Report: {os.path.relpath(path)}, published by `eef sync`")
        if publish:
            published = pooling.publish(found.report.run, found.report.folder)
            for folder in published.folders:
                typer.echo(f"Published: {os.path.relpath(folder)}")
            for note in published.notes:
                typer.echo(f"not as before: {note}")


@app.command()
def sync(
    runs: Runs,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be uploaded.")] = False,
) -> None:
    """Upload to Weights & Biases what was recorded offline, each finished stage once, and reports made for it."""
    from eefcore.reports.document import wandb_report
    from eefcore.storage import stages
    from eefcore.tracking.wandb_run import sync

    report = sync(runs, dry_run=dry_run)
    for what, folders in report._asdict().items():
        for folder in folders:
            typer.echo(f"{what:>10}  {folder}")
    typer.echo(", ".join(f"{len(folders)} {what}" for what, folders in report._asdict().items()))
    for path in (stages.run_folder(run) / wandb_report.FILE for run in runs):
        if path.exists():
            where = "when there is a W&B key" if dry_run else wandb_report.publish(path)
            typer.echo(f"{'report':>10}  {os.path.relpath(path)}: {where}")
    if report.failed:
        raise typer.Exit(1)


@app.command()
def push(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="The model of a stage, as results/<run>/train.1-0a1b2c3d/model."
        ),
    ],
    repository: Annotated[
        str, typer.Argument(metavar="NAME", help="A repository of the hub, as owner/name.")
    ],
    merge: Annotated[
        bool, typer.Option("--merge", help="Merge an adapter into its base, and push one whole model.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="A repository that is made now is public.")
    ] = False,
) -> None:
    """Push a trained model or adapter with its card to the Hugging Face hub, or to the one that HF_ENDPOINT names."""
    from eefcore.sharing.hub import push_model

    typer.echo(push_model(folder, repository, merge=merge, private=not public))


@contextmanager
def _in_workspace_of(params: Path) -> Generator[Path]:
    """Work in the workspace that holds a params file, whichever folder the shell is in; yield the file as seen from there.

    A file outside of any workspace belongs to that of the shell, and is named as it was given.
    """
    from eefcore.storage.stages import workspace_of

    path = Path(os.path.abspath(params))
    own = workspace_of(path.parent)
    if own is None or own == workspace_of(Path.cwd()):
        yield params
        return
    with chdir(own):
        yield path


def _run(nodes: Sequence[Node], jobs: int | None, dry_run: bool, command: str, shell: Path) -> None:
    """Run the stages, or print the plan; reports are named as seen from the folder of the shell."""
    if dry_run:
        from eefcore.runs.tables import show_plan

        show_plan(nodes)
        return
    from eefcore.runs import estimate
    from eefcore.runs.runner import run

    if device := estimate.device_memory():
        for line in estimate.misfits(estimate.memory(nodes, cache(estimate.model_shape)), device):
            typer.secho(f"May not fit. {line}", fg="yellow", err=True)
    try:
        run(nodes, resume=command, jobs=jobs)
    except KeyboardInterrupt:
        typer.echo(f"Stopped. What is finished is kept; go on with: {command}", err=True)
        raise typer.Exit(130) from None
    names = dict.fromkeys(n.run for n in nodes)
    for name in names:
        _print_report(name, shell)
    if len(names) == 1:  # of a suite they are many, which its report has
        from eefcore.runs.run_tables import chosen_models

        for methods, model in chosen_models(*names).items():
            typer.echo(f"Model of {methods}: {model}")


def _print_report(run: str, shell: Path) -> None:
    """Print where the report of a run is, from the folder of the shell."""
    from eefcore.storage.stages import run_folder

    path = run_folder(run) / "report.html"  # written by the report stage
    if path.exists():
        typer.echo(f"Report: {os.path.relpath(path, shell)}")


def main() -> None:
    """Run the command `eef`: with one thread a process, and with the library's errors as one clear line."""
    # two threads a stage beside other work are several times slower than one; what the shell has set wins
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("MKL_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for stream in (
        sys.stdout,
        sys.stderr,
    ):  # a terminal of ASCII or Latin-1 shows ? for a sign that it does not have
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        app()
    except EefError as error:
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        sys.exit(1)
