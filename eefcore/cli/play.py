"""`eef play`: a person does a task of the booking site in their own browser, and is graded as an agent is."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from eefcore.envs.booking.grading import Grade
    from eefcore.envs.booking.tasks import Task

_SIZES = "200/50/100"

Split = Annotated[str, typer.Option(help="Whose tasks: train, dev or test.")]
Number = Annotated[int, typer.Option("--number", "-n", min=1, help="Which task of the split.")]
Seed = Annotated[int, typer.Option(help="Of the world and its tasks.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="Where the site is served; 0 is any free port.")]


def play(
    site: Annotated[str, typer.Argument(metavar="SITE", help="booking or booking_mini.")],
    split: Split = "train",
    number: Number = 1,
    seed: Seed = 0,
    port: Port = 0,
) -> None:
    """Book a table yourself: serves the site, prints the task and the address, and grades the visit.

    What you type here is a question to the user. Ctrl-C ends the visit, and so does its button in the page.
    """
    from eefcore.envs.booking.benchmark import SIZES, BookingBenchmark
    from eefcore.envs.booking.database import Database
    from eefcore.envs.booking.grading import grade
    from eefcore.envs.booking.serving import PersonsVisit
    from eefcore.envs.registry import load

    if site not in SIZES:
        raise typer.BadParameter(f"{site!r}; choose one of {', '.join(SIZES)}", param_hint="SITE")
    benchmark = load(site, sizes=_SIZES, seed=seed)
    assert isinstance(benchmark, BookingBenchmark)
    tasks = benchmark.tasks(split)
    if number > len(tasks):
        raise typer.BadParameter(f"{number}; {split} has {len(tasks)} tasks", param_hint="--number")
    task = benchmark.goal(tasks[number - 1])
    database = Database(benchmark.worlds[task.world], task.setting)
    visit = PersonsVisit(database)
    with visit.served(port) as address:
        typer.echo(
            f"{task.instruction}\n\nThe site: {address}\nAsk the user by typing a question here. Ctrl-C ends the visit."
        )
        threading.Thread(target=_answer_questions, args=(task,), daemon=True).start()
        with suppress(KeyboardInterrupt):
            visit.finished.wait()
    _print_grade(grade(database.booked(), task.goal))


def _answer_questions(task: Task) -> None:
    from eefcore.envs.booking.user import answer

    for line in sys.stdin:
        if line.strip():
            typer.echo(f"User: {answer(task, line)}")


def _print_grade(result: Grade) -> None:
    for criterion, met in result._asdict().items():
        typer.echo(f"{'yes' if met else 'no':>4}  {criterion.replace('_', ' ')}")
    typer.echo(f"Reward {result.reward:g}")
