"""Simulate how long the papers' suites would take on many GPUs, from the plans that `eef suite` would run.

    python docs/scale.py          prints the tables of docs/evidence/scale.md
    python docs/scale.py --write  writes them into that page

Nothing is trained or played. The stages, what they wait for, and their tokens are those of the committed params files, as
`eef suite … --dry-run` estimates them; how fast a GPU reads, writes and trains is assumed (`GPU`, `MODELS`). Stages are put on GPUs by
list scheduling: whenever GPUs are free, the stage with the longest way to the end of the suite begins. A stage has as many
GPUs as its model needs and is not split further, as in this version.
"""

from __future__ import annotations

import heapq
import os
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from eefcore.runs.estimate import PLAYING, episode, work
from eefcore.runs.notebook import read_notebooks
from eefcore.runs.plan import Node, list_methods, methods_by_stage
from eefcore.runs.suite import plan_suite, read_suite

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "evidence" / "scale.md"
SUITES = ("eef_webshop_11k", "eef_webshop_3k", "eef_sciworld_2k")
COUNTS = (1, 8, 64)
"""Numbers of GPUs."""


class Accelerator(NamedTuple):
    """What one GPU does, by its data sheet, and which share of it is reached."""

    name: str
    flops: float  # dense bfloat16, a second
    bandwidth: float  # bytes a second
    dollars: float  # an hour
    training: float  # share of `flops` that training reaches
    reading: float  # share of `flops` that reading a prompt reaches
    writing: float  # share of `bandwidth` that writing tokens reaches


class Model(NamedTuple):
    """A language model in bfloat16 and the adapter that is trained."""

    name: str
    parameters: float
    key_values: int  # bytes of keys and values for a token
    adapter: float  # parameters of the adapter
    gpus: int  # that one stage needs


GPU = Accelerator("H100 80 GB", 989e12, 3.35e12, dollars=2.5, training=0.35, reading=0.5, writing=0.6)
MODELS = (
    Model("8B", 8.03e9, key_values=2 * 2 * 32 * 1024, adapter=168e6, gpus=1),
    Model("70B", 70.6e9, key_values=2 * 2 * 80 * 1024, adapter=828e6, gpus=4),
)
"""Llama-3-8B and 70B with an adapter of rank 64 on all linear layers."""

STEPS = {"webshop": 20_000.0, "sciworld": 119.0}
"""Environment steps that one process answers a second (docs/evidence/speed.md)."""

START_UP = 60.0
"""Seconds in which a stage's kernel starts and loads its model."""

BYTES = 4.0
"""Of a token in a record of a trajectory."""


class Need(NamedTuple):
    """What one stage takes: seconds on the GPUs of its model by what they do, and bytes on disk."""

    seconds: Mapping[str, float]
    disk: float

    @property
    def time(self) -> float:
        """Seconds from its start to its end."""
        return sum(self.seconds.values())


def need(node: Node, model: Model, slots: int | None) -> Need:
    """Return what a stage takes; stages that neither play nor train take a moment of a CPU. `slots` replaces the plan's."""
    done, kind = work(node), node.notebook.stage
    if kind in PLAYING:
        typical, at_once = done.typical, slots or node.integer("slots")
        context = (episode(node).read + episode(node).written) / 2  # of a slot, on average over an episode
        read = (
            2 * model.parameters + at_once * context * model.key_values
        )  # bytes, to write a token in each slot
        world = next(rate for name, rate in STEPS.items() if str(node.params["benchmark"]).startswith(name))
        seconds = {
            "start": START_UP,
            "read": 2 * model.parameters * typical.read / (model.gpus * GPU.flops * GPU.reading),
            "write": typical.written / at_once * read / (model.gpus * GPU.bandwidth * GPU.writing),
            "environment": typical.steps / world,
        }
        return Need(seconds, BYTES * (typical.read + typical.written))
    if done.rows:
        tokens = done.tokens_trained * (
            1 + episode(node).read / episode(node).written
        )  # rows have their prompts
        # The forward pass, again for the backward pass, and the gradients of what lies between: 2 FLOPs a parameter each.
        flops = 6 * model.parameters * tokens
        seconds = {"start": START_UP, "train": flops / (model.gpus * GPU.flops * GPU.training)}
        return Need(seconds, 4 * model.adapter)
    return Need({}, 0.0)


def read_by(nodes: Sequence[Node]) -> dict[Node, list[Node]]:
    """Return the stages that wait for each stage."""
    readers: dict[Node, list[Node]] = {node: [] for node in nodes}
    for node in nodes:
        for read in set(node.inputs.values()):
            readers[read].append(node)
    return readers


def seconds_to_the_end(nodes: Sequence[Node], seconds: Mapping[Node, float]) -> dict[Node, float]:
    """Return the seconds from the start of each stage to the end of the longest chain of stages that wait for it."""
    readers, rest = read_by(nodes), dict[Node, float]()
    for node in reversed(nodes):
        rest[node] = seconds[node] + max((rest[r] for r in readers[node]), default=0.0)
    return rest


def longest_chain(nodes: Sequence[Node], seconds: Mapping[Node, float]) -> str:
    """Return the methods of the last training stage of the longest chain."""
    rest, readers, serves = (
        seconds_to_the_end(nodes, seconds),
        read_by(nodes),
        methods_by_stage(n.inputs for n in nodes),
    )
    here, methods = max(nodes, key=rest.__getitem__), ""
    while readers[here]:
        here = max(readers[here], key=rest.__getitem__)
        methods = list_methods(serves[here]) if here.notebook.stage in ("train", "dpo") else methods
    return methods


def makespan(nodes: Sequence[Node], seconds: Mapping[Node, float], lanes: int | None) -> float:
    """Return the seconds until all stages have ended on `lanes` that take one stage each; None: as many as are ready.

    Args:
        nodes: each after what it reads.
    """
    rest = seconds_to_the_end(nodes, seconds)
    if lanes is None:
        return max(rest.values())
    readers = read_by(nodes)
    waits = {node: len(set(node.inputs.values())) for node in nodes}
    order = {node: i for i, node in enumerate(nodes)}
    ready = [(-rest[node], order[node]) for node in nodes if not waits[node]]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < lanes:
            _, i = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[nodes[i]], i))
        now, i = heapq.heappop(running)
        for reader in readers[nodes[i]]:
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, (-rest[reader], order[reader]))
    return now


def plans() -> dict[str, list[Node]]:
    """Return the stages of each suite, for its first seed; files of data are named and not read."""
    for name in ("EEF_WEBSHOP_DATA", "EEF_GPT4", "EEF_GPT3", "EEF_AGENTTRAJ"):
        os.environ.setdefault(name, "not-read")
    notebooks = read_notebooks(ROOT / "notebooks")
    return {
        suite: plan_suite(
            read_suite(ROOT / "params" / "suites" / f"{suite}.yaml", notebooks, seeds=[0]), notebooks
        )
        for suite in SUITES
    }


def tables() -> str:
    """Return the tables of the page, in Markdown."""
    times = [
        "| suite, one seed | model | slots | GPU-hours | read / write / train / else | disk, GB | $ |",
        "|---|---|---|---|---|---|---|",
    ]
    spans = [
        f"| suite, one seed | model | slots | {' | '.join(f'{n} GPUs, h' for n in COUNTS)} | longest chain, h | of | busy at 64 |",
        "|---|---|---|" + "---|" * (len(COUNTS) + 3),
    ]
    spans[0] = spans[0].replace("| 1 GPUs", "| 1 GPU")
    for suite, nodes in plans().items():
        for model in MODELS:
            for slots in (None, 128):
                needs = {node: need(node, model, slots) for node in nodes}
                seconds = {node: needs[node].time for node in nodes}
                kinds = sum((Counter(n.seconds) for n in needs.values()), Counter())
                whole = sum(kinds.values())
                hours = whole * model.gpus / 3600
                head = f"| `{suite}` | {model.name} | {slots or 16} "
                shares = [
                    kinds["read"],
                    kinds["write"],
                    kinds["train"],
                    kinds["start"] + kinds["environment"],
                ]
                times.append(
                    f"{head}| {hours:,.0f} | {' / '.join(f'{s / whole:.0%}' for s in shares)} "
                    f"| {sum(n.disk for n in needs.values()) / 1e9:,.0f} | {hours * GPU.dollars:,.0f} |"
                )
                ends = {
                    n: makespan(nodes, seconds, n // model.gpus) if n >= model.gpus else None for n in COUNTS
                }
                chain = makespan(nodes, seconds, None)
                cells = ["–" if end is None else f"{end / 3600:,.1f}" for end in ends.values()]
                last = ends[COUNTS[-1]] or chain
                busy = hours * 3600 / (last * COUNTS[-1])
                spans.append(
                    f"{head}| {' | '.join(cells)} | {chain / 3600:,.1f} | {longest_chain(nodes, seconds)} | {busy:.0%} |"
                )
    return "\n".join([*times, "", *spans])


def page(text: str) -> str:
    """Return the page with the tables in place of those that it holds."""
    return re.sub(
        r"(<!-- tables -->\n).*?(<!-- /tables -->)",
        lambda m: f"{m[1]}{tables()}\n{m[2]}",
        text,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(PAGE.read_text("utf-8")), encoding="utf-8")
    else:
        print(tables())
