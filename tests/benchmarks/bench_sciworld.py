"""ScienceWorld at work: start-up, memory, steps and restores, beside the package's own environment in the same run.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_sciworld.py --out sciworld.json

The episodes are those of `tests/golden/sciworld_gold.jsonl`. What is measured:

    start-up          until a new Java process shows its first o_0
    loads             tasks loaded; `load` is what one takes
    steps             actions, loads left out; the package's `env.step`, which lists all valid actions too
    restore           to a state 20 actions in that is not cached: a new task, replayed and compared
    restore, known    to a state 20 actions in that was seen on the way elsewhere, and one new action there
    memory            of the Java process, after all of it, with 128 idle tasks

Java compiles what it runs often, for thousands of steps: each process, the package's too, plays `--warm-up` steps
before anything is timed, and the two then play in turns. Rates and milliseconds count the processor's seconds of
this process and of Java, its compiler and collector included, so that other work on the machine disturbs little; wall
figures stand beside them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import cycle
from pathlib import Path

import psutil
from measuring import MB, Row, Took, each, told
from scienceworld import ScienceWorldEnv

sys.path.insert(0, str(Path(__file__).parents[1]))  # tests/, for its helpers
from helpers.sciworld_gold import GOLDEN_FILE, Gold, read

from eefcore.envs.sciworld.simulator import Simulator
from eefcore.envs.sciworld.simulator_pool import ResponseCache, SimulatorPool, SimulatorState

DEPTH = 20
IDLE_TASKS = 128  # of a pool, by default


def main() -> None:
    """Measures, prints the table, and writes it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="times that the episodes are played")
    parser.add_argument("--warm-up", type=int, default=1500, help="steps of each process before it is timed")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    args = parser.parse_args()
    episodes = list(read(GOLDEN_FILE))
    rows = [
        *side_by_side(episodes, args.rounds, args.warm_up),
        *restores(episodes, args.rounds, args.warm_up),
    ]
    told(rows, "package", args.out)


def side_by_side(episodes: Sequence[Gold], rounds: int, warm_up: int) -> list[Row]:
    """Start-up, loads and steps: an episode here, the same in the package's environment, and so on.

    In turns, so that what else the machine does disturbs both.
    """
    asked = time.perf_counter()
    simulator = Simulator()
    simulator.load(*episodes[0].task)
    start = time.perf_counter() - asked
    process = psutil.Process(simulator.jvm.pid)
    with Package(episodes[0]) as package:
        warm = repeated(episodes, warm_up)
        each(lambda e: play(simulator, e, process), warm)
        each(package.play, warm)
        running = []
        loads = timed(
            process,
            lambda: running.extend(simulator.load(*e.task) for _ in range(rounds) for e in episodes),
        )
        each(simulator.forget, running)
        pairs = [(play(simulator, e, process), package.play(e)) for _ in range(rounds) for e in episodes]
    steps, theirs = (total(took) for took in zip(*pairs, strict=True))
    n = rounds * sum(len(e.actions) for e in episodes)
    simulator.close()
    return [
        Row("start-up", start, "s", peer=package.start),
        Row("loads", len(running) / loads.cpu, "/s", len(running) / loads.wall),
        Row("load", 1e3 * loads.cpu / len(running), "ms", 1e3 * loads.wall / len(running)),
        Row("steps", n / steps.cpu, "/s", n / steps.wall, n / theirs.cpu, ">= 10x"),
        Row("memory, package", package.resident, "MB"),
    ]


def restores(episodes: Sequence[Gold], rounds: int, warm_up: int) -> list[Row]:
    """Restores, and the memory of a process with all the idle tasks that it may keep."""
    long = [e for e in episodes if len(e.actions) > DEPTH]
    places = [SimulatorState(e.task, tuple(e.actions[:DEPTH])) for e in long]
    empty, process = warmed(SimulatorPool(max_idle=0), repeated(episodes, warm_up))
    new = [
        timed(process, lambda p=p: empty.response(p, ResponseCache())) for _ in range(rounds) for p in places
    ]
    empty.close()

    memory = ResponseCache()
    full, process = warmed(SimulatorPool(), repeated(episodes, warm_up))
    each(lambda e: full.response(SimulatorState(e.task, tuple(e.actions)), memory), episodes)
    known = [timed(process, lambda p=p: on(full, p, memory)) for p in places]
    everywhere = [
        SimulatorState(e.task, tuple(e.actions[:i])) for e in episodes for i in range(len(e.actions))
    ]
    each(lambda place: full.response(place, ResponseCache()), everywhere[-2 * IDLE_TASKS :])
    resident = process.memory_info().rss / MB
    full.close()
    return [
        milliseconds("restore, mean", new, mean, "<= 200 ms"),
        milliseconds("restore, p95", new, p95),
        milliseconds("restore, known", known, mean),
        Row("memory", resident, "MB", asked="<= 400 MB"),
    ]


class Package:
    """The package's own environment; `start` seconds to its first o_0, `resident` megabytes in the end."""

    def __init__(self, first: Gold) -> None:
        asked = time.perf_counter()
        self.env = ScienceWorldEnv("", envStepLimit=10**6)
        self.env.load(*first.task, "")
        self.env.reset()
        self.start = time.perf_counter() - asked
        self.process = psutil.Process(self.env._gateway.java_process.pid)
        self.resident = 0.0

    def __enter__(self) -> Package:
        return self

    def __exit__(self, *_: object) -> None:
        self.resident = self.process.memory_info().rss / MB
        self.env.close()

    def play(self, episode: Gold) -> Took:
        """What the actions of an episode took, the load left out."""
        self.env.load(*episode.task, "")
        return timed(self.process, lambda: each(self.env.step, episode.actions))


def repeated(episodes: Sequence[Gold], steps: int) -> list[Gold]:
    """The episodes, over and over, until they have that many steps."""
    some: list[Gold] = []
    for episode in cycle(episodes):
        if sum(len(e.actions) for e in some) >= steps:
            break
        some.append(episode)
    return some


def play(simulator: Simulator, episode: Gold, process: psutil.Process) -> Took:
    """What the actions of an episode took, with the answers that are on file."""
    world, answers = simulator.load(*episode.task), []
    took = timed(process, lambda: answers.extend(simulator.step(world, a) for a in episode.actions))
    simulator.forget(world)
    if [a.observation for a in answers] != episode.observations:
        raise RuntimeError(f"{episode.task}: not what is in {GOLDEN_FILE.name}")
    return took


def warmed(simulators: SimulatorPool, episodes: Iterable[Gold]) -> tuple[SimulatorPool, psutil.Process]:
    """`simulators` in which all the episodes were played, and their Java process."""
    each(lambda e: simulators.response(SimulatorState(e.task, tuple(e.actions)), ResponseCache()), episodes)
    return simulators, psutil.Process(simulators.pids[0])


def on(simulators: SimulatorPool, place: SimulatorState, memory: ResponseCache) -> None:
    """At a place that is remembered, and one action on."""
    simulators.response(place, memory)
    simulators.response(SimulatorState(place.task, (*place.commands, "look around")), memory)


def timed(process: psutil.Process, work: Callable[[], object]) -> Took:
    """What `work` took here and in `process`."""
    before, wall = spent(process), time.perf_counter()
    work()
    return Took(spent(process) - before, time.perf_counter() - wall)


def total(took: Iterable[Took]) -> Took:
    cpu, wall = zip(*took, strict=True)
    return Took(sum(cpu), sum(wall))


def spent(process: psutil.Process) -> float:
    there = process.cpu_times()
    return time.process_time() + there.user + there.system


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def p95(values: Sequence[float]) -> float:
    return sorted(values)[int(0.95 * len(values))]


def milliseconds(
    what: str, took: Sequence[Took], of: Callable[[Sequence[float]], float], asked: str = ""
) -> Row:
    """One figure of many times."""
    return Row(what, 1e3 * of([t.cpu for t in took]), "ms", 1e3 * of([t.wall for t in took]), asked=asked)


if __name__ == "__main__":
    main()
