"""The booking site at work: steps, resets and restores in process, and the same visits in Chromium.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_booking.py --out booking.json
    OMP_NUM_THREADS=1 python tests/benchmarks/bench_booking.py --tabs 1 4 8 16 --visits 8

The visits are those of the scripted expert, which wins each; they are played beforehand, so that only the site and the browser are
timed. What is measured:

    steps              actions a second, resets left out
    reset              to the first observation of a task
    snapshot           of the state after an action
    restore            to the first and to the last state of a visit that has a snapshot
    N tabs             actions a second of N visits at once in Chromium, each in a thread of its own, new contexts left out
    open               a new context, and the first page in it
    restore, browser   to a state of a visit: load, put into the fields what they held, compare
    screenshot         of what the browser shows

In process, rates and milliseconds count the processor's seconds of this process, so that other work on the machine disturbs little,
and wall figures stand beside them. In Chromium the processor's seconds are those of all its processes as well.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import psutil
from measuring import Row, Took, told

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/, for its helpers
from helpers.booking_tasks import SITE, play

from eefcore.envs.booking.env import BookingSite, SnapshotCache
from eefcore.envs.web.chromium import close_browsers, missing_dependency, open_tab
from eefcore.types import History, State


def main() -> None:
    """Measures, prints the table, and writes it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visits", type=int, default=30, help="visits that are played")
    parser.add_argument("--tabs", type=int, nargs="*", default=[1, 8], help="visits at once in Chromium")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    visits = [play(SITE.goal(task)) for task in islice(SITE.tasks("train"), args.visits)]
    rows = [*in_process(visits)]
    if missing := missing_dependency():
        print(missing)
    else:
        rows += in_chromium(visits, args.tabs)
        close_browsers()
    told(rows, "peer", args.out)


def in_process(visits: Sequence[History]) -> Iterator[Row]:
    """Yield the figures without a browser."""
    env = BookingSite(SITE.goals, SITE.worlds, SnapshotCache())
    play_again(env, visits)  # templates are compiled once
    env = BookingSite(SITE.goals, SITE.worlds, SnapshotCache())
    resets, steps, snapshots = Took(0, 0), Took(0, 0), Took(0, 0)
    for visit in visits:
        resets = plus(resets, took(lambda visit=visit: env.reset(visit.task_id)))
        for action in visit.actions:
            steps = plus(steps, took(lambda action=action: env.step(action)))
            snapshots = plus(snapshots, took(env.snapshot))
    n = sum(map(len, visits))
    yield Row("steps", n / steps.cpu, "/s", n / steps.wall, asked=">= 300")
    yield Row("reset", 1e3 * resets.cpu / len(visits), "ms", 1e3 * resets.wall / len(visits), asked="< 1")
    yield Row("snapshot", 1e3 * snapshots.cpu / n, "ms", 1e3 * snapshots.wall / n, asked="< 1")
    for name, depth in (("restore, first", 1), ("restore, last", -1)):
        states = [State(visit.task_id, visit.actions[:depth]) for visit in visits] * 20
        back = took(lambda states=states: [env.restore(state) for state in states])
        yield Row(name, 1e3 * back.cpu / len(states), "ms", 1e3 * back.wall / len(states), asked="< 1")


def in_chromium(visits: Sequence[History], tabs: Sequence[int]) -> Iterator[Row]:
    """Yield the figures with a browser."""
    env = BookingSite(SITE.goals, SITE.worlds, SnapshotCache(), open_tab)
    play_again(env, visits[:1])  # Chromium starts
    opened = took(lambda: [env.reset(visit.task_id) for visit in visits[:5]], everyone)
    yield Row("open", 1e3 * opened.cpu / 5, "ms", 1e3 * opened.wall / 5)
    shots = took(lambda: [env.screenshot() for _ in range(10)], everyone)
    yield Row("screenshot", 1e3 * shots.cpu / 10, "ms", 1e3 * shots.wall / 10)
    visit = visits[0]
    play_again(env, [visit], snapshots=True)
    states = [State(visit.task_id, visit.actions[:i]) for i in range(len(visit))]
    back = took(lambda: [env.restore(state) for state in states], everyone)
    yield Row("restore, browser", 1e3 * back.cpu / len(states), "ms", 1e3 * back.wall / len(states))
    for count in tabs:
        steps, seconds = side_by_side(visits, count)
        yield Row(
            f"{count} tabs",
            steps / seconds.cpu,
            "/s",
            steps / seconds.wall,
            asked=">= 15" if count == 8 else "",
        )


def side_by_side(visits: Sequence[History], count: int) -> tuple[int, Took]:
    """Return how many steps `count` visits at once took in all, and the time."""
    dealt = [visits[i % len(visits)] for i in range(count)]
    envs = [BookingSite(SITE.goals, SITE.worlds, SnapshotCache(), open_tab) for _ in dealt]
    for env, visit in zip(envs, dealt, strict=True):
        env.reset(visit.task_id)

    def finish(env: BookingSite, visit: History) -> None:
        for action in visit.actions:
            env.step(action)

    with ThreadPoolExecutor(count) as threads:
        seconds = took(lambda: list(threads.map(finish, envs, dealt)), everyone)
    return sum(map(len, dealt)), seconds


def play_again(env: BookingSite, visits: Sequence[History], *, snapshots: bool = False) -> None:
    """Play visits again, and check that they end as they did."""
    for visit in visits:
        observation = env.reset(visit.task_id)
        for action in visit.actions:
            if snapshots:
                env.snapshot()
            observation = env.step(action).observation
        assert observation == visit.observation


def took(function: Callable[[], object], clock: Callable[[], float] = time.process_time) -> Took:
    """Return what a call takes, in seconds of the processor as `clock` counts them, and of the wall."""
    cpu, wall = clock(), time.perf_counter()
    function()
    wall = time.perf_counter() - wall
    return Took(clock() - cpu, wall)


def everyone() -> float:
    """Return the seconds of the processor that this process and its children have used."""
    total = time.process_time()
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def plus(one: Took, other: Took) -> Took:
    """Return the sum of two."""
    return Took(one.cpu + other.cpu, one.wall + other.wall)


if __name__ == "__main__":
    main()
