"""CPU seconds of commands that start no stage, and as ratios to `python -c pass` in the same run.

    .venv/bin/python tests/benchmarks/bench_commands.py --params params/quickstart.yaml

Each command runs in a process of its own; the processes that it starts count as well. The finished stages are made up:
the plan of the params file with a record for each stage, so the second run of the file finds nothing to do. Each
command runs once before it counts (caches), and then the least of `--repeats` counts.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from eefcore.runs.plan import Node
from eefcore.runs.planning import plan_run
from eefcore.storage import stages
from eefcore.storage.cost import Cost

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETTINGS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "WANDB_MODE": "disabled"}


def cpu_seconds(command: list[str], results: Path) -> float:
    """Run `command` and return the CPU time of all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = os.environ | SETTINGS | {"EEF_RESULTS": str(results)}
    subprocess.run(command, env=env, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def finish(nodes: list[Node]) -> None:
    """Write the record of every stage, as if it had finished."""
    for node in nodes:
        node.folder.mkdir(parents=True)
        record = stages.StageRecord(
            label=node.label,
            notebook=node.notebook.name,
            params=dict(node.params),
            inputs={name: read.identity for name, read in node.inputs.items()},
            identity=node.identity,
            card=None,
            cost=Cost(),
            metrics={"dev/win_rate": 0.5} if node.label.startswith("evaluate") else {},
            packages={},
            seconds=1.0,
            attempts=1,
            started=NOW,
            finished=NOW,
            code=dict(node.code),
        )
        stages.write_record(node.folder, record)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--params", type=Path, default=Path("params/quickstart.yaml"))
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    eef = [sys.executable, "-c", "from eefcore.cli.main import main; main()"]
    with TemporaryDirectory() as empty, TemporaryDirectory() as full:
        os.environ["EEF_RESULTS"] = full
        nodes = plan_run(given.params)
        finish(nodes)
        commands = {
            "python -c pass": ([sys.executable, "-c", "pass"], empty),
            f"eef run {given.params} --dry-run": ([*eef, "run", str(given.params), "--dry-run"], empty),
            f"eef run {given.params}, all finished": ([*eef, "run", str(given.params)], full),
            f"eef show {nodes[-1].run}": ([*eef, "show", nodes[-1].run], full),
        }
        baseline = 0.0
        print(f"{len(nodes)} stages\n{'command':48} {'CPU s':>6} {'ratio':>7}")
        for name, (command, results) in commands.items():
            cpu_seconds(command, Path(results))
            seconds = min(cpu_seconds(command, Path(results)) for _ in range(given.repeats))
            baseline = baseline or seconds
            print(f"{name:48} {seconds:6.2f} {seconds / baseline:7.1f}", flush=True)


if __name__ == "__main__":
    main()
