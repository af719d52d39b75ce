"""`eef data`: generate catalogues, import and export trajectories."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eefcore.errors import ParamsError

if TYPE_CHECKING:
    from eefcore.experts.foreign.formats import RefusedRecord

data = typer.Typer(help="Generate a catalogue, import and export trajectories.", no_args_is_help=True)


@data.command()
def generate(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Where the official files are written.")],
    products: Annotated[int, typer.Option(help="Products of the catalogue, at least 10 a task.")] = 1000,
    tasks: Annotated[int, typer.Option(help="Tasks, one instruction each.")] = 100,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    two_skills: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of tasks that need Next and Back; else one in ten."),
    ] = None,
) -> None:
    """Write a WebShop catalogue and its tasks in the official file format."""
    from eefcore.envs.webshop.generate import shares_of_kinds, write_catalogue

    shares = shares_of_kinds(two_skills)
    written = write_catalogue(folder, products=products, tasks=tasks, seed=seed, shares=shares)
    kinds = ", ".join(f"{n} {kind}" for kind, n in written.kinds.items())
    typer.echo(f"{folder}: {written.products:,} products, {written.tasks:,} tasks ({kinds})")


@data.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A foreign file, or a folder of an ETO run.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="Trajectories as we keep them.")],
    format: Annotated[
        str, typer.Option(help="react, agentgym, eto, sharegpt, openai, agentlite; auto looks.")
    ] = "auto",
    environment: Annotated[
        str, typer.Option(help="Where FILE was recorded, if it matters: webshop, sciworld, alfworld.")
    ] = "",
    rewards: Annotated[
        Path | None, typer.Option(help="JSON of record ids and rewards in [0, 1], where FILE has none.")
    ] = None,
    win: Annotated[
        float | None, typer.Option(help="What FILE calls a win: 1, or 100 of AgentGym's ScienceWorld.")
    ] = None,
    source: Annotated[str, typer.Option(help="Who acted, if FILE does not say.")] = "",
    money: Annotated[float, typer.Option(help="Dollars an episode cost.")] = 0.0,
    preamble: Annotated[
        int | None, typer.Option(help="Messages of rules and examples before the task in FILE.")
    ] = None,
) -> None:
    """Read trajectories of others: ReAct logs, AgentGym and ShareGPT, ETO, OpenAI chats, AgentLite."""
    from eefcore.envs.webshop.interfaces.options import recorded_query
    from eefcore.experts.foreign.importing import import_foreign, read_rewards
    from eefcore.storage.records import write_records

    trajectories, negative, refused = import_foreign(
        file,
        format,
        rewards=read_rewards(rewards) if rewards else None,
        win=win,
        source=source,
        money=money,
        preamble=preamble,
        environment=environment,
    )
    write_records(out, trajectories, kind="trajectories", card=None)
    _write_refused(out, refused)
    wins = sum(t.win for t in trajectories)
    steps = [step for t in trajectories for step in t.history.steps]
    counts = {
        "trajectories": len(trajectories),
        "wins": wins,
        "rewards below 0, read as a loss": negative,
        "actions that are not trained, by their flags": sum(not step.trained for step in steps),
    }
    typer.echo(f"{out}: {', '.join(f'{n:,} {what}' for what, n in counts.items() if n or what == 'wins')}.")
    if query := recorded_query(step.observation for step in steps):
        typer.echo(f"Its pages are those of a shop with other options: benchmark: webshop?{query}")
    typer.echo(
        "With `expert: {file: …}` in a params file, a run takes these options where it names none. 02_expert"
    )
    typer.echo(
        "finds the tasks by content; its table `refused` says which trajectories can be explored from."
    )


def _write_refused(out: Path, refused: Sequence[RefusedRecord]) -> None:
    """Write the records that were left out beside `out`, and say so; a list of an earlier import goes."""
    from eefcore.storage.disk import write_csv

    path = out.with_name(f"{out.stem}.refused.csv")
    path.unlink(missing_ok=True)
    if refused:
        write_csv(path, ("place", "reason"), refused)
        typer.echo(f"{path}: {len(refused):,} records are left out, each with its place and the reason.")


@data.command()
def export(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE.jsonl", help="Examples, preferences, trajectories or trees of a stage."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    format: Annotated[
        str,
        typer.Option(
            help="openai, react, agentgym, eto, sharegpt, agentlite; or datasets, a table in .jsonl or .parquet."
        ),
    ] = "openai",
    text: Annotated[
        str | None,
        typer.Option(
            help="Format in which datasets holds prompts, such as agentlite, composite or my_module:format.",
            show_default="chat",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Model whose tokenizer makes training rows of them: input_ids and labels."),
    ] = None,
    template_args: Annotated[
        str | None, typer.Option(help="Arguments of its chat template in YAML, as in params files.")
    ] = None,
) -> None:
    """Write records in the format of another project with its flags of what is trained, or as a Hugging Face dataset."""
    if format == "datasets":
        _export_dataset(file, out, text, model, template_args)
        return
    if text or model or template_args:
        raise ParamsError(
            f"--format {format}: expected no --text, --model and --template-args, which belong to --format datasets"
        )
    from eefcore.experts.foreign.exporting import export_foreign
    from eefcore.storage.records import read_header, read_records
    from eefcore.types import Example, Trajectory

    kind = Trajectory if read_header(file).type == Trajectory.__name__ else Example
    records: list[Example | Trajectory] = [*read_records(file, kind).list]
    rewards = export_foreign(records, out, format)
    typer.echo(f"{out}: {len(records):,} {'trajectories' if kind is Trajectory else 'examples'}")
    if rewards:
        typer.echo(
            f"The format holds no rewards: read it back with `eef data import {out} … --rewards {rewards}`"
        )


def _export_dataset(
    file: Path, out: Path, text: str | None, model: str | None, template_args: str | None
) -> None:
    from eefcore.sharing.tables import write_dataset

    tokenizer = None
    if model:
        from eefcore.policies.loading import model_path
        from eefcore.training.models import load_tokenizer

        tokenizer = load_tokenizer(model_path(model))
    written = write_dataset(file, out, text=text, tokenizer=tokenizer, template_args=template_args)
    typer.echo(f"{out}: {written.rows:,} rows of {written.records:,} {written.kind}")


@data.command()
def sciworld(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="AgentTraj-L's sciworld_train.json.")],
    out: Annotated[Path, typer.Argument(metavar="OUT.jsonl", help="Trajectories as we keep them.")],
    benchmark: Annotated[str, typer.Option(help="sciworld, or sciworld_mini.")] = "sciworld",
    as_written: Annotated[
        bool, typer.Option("--as-written", help="Keep the spelling of the older simulator.")
    ] = False,
) -> None:
    """Play AgentTraj-L's ScienceWorld trajectories again, and count what goes otherwise today."""
    from eefcore import envs
    from eefcore.envs.sciworld import SciWorldBenchmark
    from eefcore.experts.sciworld.agenttraj import read_agenttraj
    from eefcore.storage.records import write_records

    world = envs.load(benchmark)
    if not isinstance(world, SciWorldBenchmark):
        raise ParamsError(f"--benchmark {benchmark}: expected sciworld or sciworld_mini")
    played = read_agenttraj(file, world, repair=not as_written)
    write_records(out, played.trajectories, kind="trajectories", card=world.card)
    _write_refused(out, played.refused)
    for what, n in played.counts.items():
        typer.echo(f"{n:>8,}  {what}")
    typer.echo(f"{out}: replayed, so they can be cloned and explored from: 02_expert's `file`")
