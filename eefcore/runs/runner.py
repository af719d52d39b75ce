"""Run the stages of a plan: several notebooks side by side, a kernel each.

A finished stage is left as it is; one that fails stops what reads it and nothing else. One that another `eef run`
executes is waited for. Interrupted or killed at any instant, no kernel is left behind, and the same call goes on where
this one stopped.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

from eefcore.errors import EefError, StageBusy, StageFailed
from eefcore.policies.loading import model_path
from eefcore.runs.board import Board, State
from eefcore.runs.changes import changes_since_planning
from eefcore.runs.kernels import KernelServer, gpu
from eefcore.runs.losses import list_losses
from eefcore.runs.notebook import modules
from eefcore.runs.plan import Node, name_folders
from eefcore.runs.servers import RunServers, asks_for_server
from eefcore.storage import stages
from eefcore.tracking import wandb_run
from eefcore.tracking.identity import MODELS
from eefcore.training.model_store import find_model, is_stored
from eefcore.variables import expand_variables

TICK_SECONDS = 0.5

LATER = {
    "eefcore.policies": ("eefcore.policies.loading", "eefcore.policies.hf_engine.policy"),
    "eefcore.training": ("eefcore.training.sft", "eefcore.training.dpo", "eefcore.training.models"),
}
"""What a package that a notebook imports loads only when it is used, and nearly every stage uses."""


def run(nodes: Sequence[Node], *, resume: str, jobs: int | None = None) -> None:
    """Run every stage of `nodes` that is not finished, `jobs` at a time; each comes after what it reads.

    Args:
        resume: how to go on after a failure, as a command or in words.
        jobs: None: one a core, but one alone where they would share a GPU.

    Raises:
        StageFailed: which stages failed, in which cell, where the executed copies are, how to go on.
        PolicyError: a model of the store can't be fetched; nothing has started.
    """
    jobs = jobs or _default_jobs()
    todo = _most_urgent_first([n for n in nodes if not n.finished])
    _fetch_models(todo)
    waiting = list(todo)
    failures: dict[Node, EefError] = {}
    running: dict[Future[None], Node] = {}
    # without imports there is no server: each kernel starts before it would be ready
    kernels = KernelServer(imports(todo) if len(todo) > jobs else ())
    with Board(nodes, jobs) as board, RunServers(todo) as servers, kernels, ThreadPoolExecutor(jobs) as pool:
        try:
            for node in set(nodes) - set(waiting):
                if _copy(node).exists():  # a killed run left it; another run's is its own affair
                    with suppress(StageBusy), stages.StageLock(node.folder, executing=True):
                        _keep_copy(node, whole=False)
                board.set(node, State.FINISHED)
            while True:
                busy, look_again = set(running.values()), False
                ready = [n for n in waiting if all(i.finished and i not in busy for i in n.inputs.values())]
                for node in ready:
                    if len(running) == jobs:
                        break
                    try:
                        claim = stages.StageLock(node.folder, executing=True)
                    except StageBusy:
                        look_again = True
                        board.set(node, State.ELSEWHERE)
                        continue
                    waiting.remove(node)
                    if node.finished:  # by another run, after this one began
                        claim.release()
                        look_again = True
                        board.set(node, State.FINISHED)
                        continue
                    board.set(node, State.RUNNING)
                    if gpu() and not asks_for_server(node):
                        servers.stop_idle()  # the stage may need the memory, to train for example
                    running[pool.submit(_run, node, claim, kernels, servers.environment)] = node
                if not running:
                    if not look_again:
                        break
                    time.sleep(TICK_SECONDS)
                for future in wait(running, TICK_SECONDS, FIRST_COMPLETED).done:
                    node, error = running.pop(future), future.exception()
                    if isinstance(error, EefError):
                        failures[node] = error
                    elif error:
                        raise error
                    board.set(node, State.FAILED if error else State.DONE)
                board.refresh()
            for node in waiting:
                board.set(node, State.BLOCKED)
        except BaseException:
            from eefcore.runs.execute import kill_kernels

            while not all(future.done() for future in running):
                kill_kernels()  # again and again: a thread may be about to start one
                wait(running, TICK_SECONDS)
            raise
    print("".join(f"{line}\n" for line in list_losses(n for n in todo if n.finished)), end="")
    _warn_untracked([n for n in todo if n.finished])
    if failures:
        raise StageFailed(_report(failures, blocked=len(waiting), resume=resume))


def _fetch_models(nodes: Sequence[Node]) -> None:
    """Fetch the models of the store that stages start from, so that what can't be fetched is known first."""
    named = {str(expand_variables(node.params.get(name) or "")) for node in nodes for name in MODELS}
    for path in sorted({str(model_path(spec)) for spec in named if spec}):
        if is_stored(path):
            find_model(path)


def run_again(node: Node) -> None:
    """Run the notebook of the finished stage `node` once more; its record stays, and what it shows is new."""
    try:
        _run(node, stages.StageLock(node.folder, executing=True), KernelServer(()), {})
    except EefError as error:
        raise StageFailed(_report({node: error}, blocked=0, resume="the same command")) from error


def _run(node: Node, claim: stages.StageLock, kernels: KernelServer, environment: Mapping[str, str]) -> None:
    """Execute the notebook of `node` and keep the copy, under `claim`, which ends with it."""
    from eefcore.runs.execute import (
        execute,
    )  # papermill, which takes seconds to load: only if a stage is to run

    values = {**node.params, "run": node.run, "label": node.label, "inputs": name_folders(node.inputs)}
    with claim:
        if not node.finished and (changes := changes_since_planning(node)):
            raise StageFailed(f"{changes} since this command planned it; start the command again")
        whole = False
        try:
            execute(node.notebook, values, _copy(node), kernels, environment)
            whole = True
        finally:
            _keep_copy(node, whole=whole)
    if not node.finished:
        raise StageFailed(
            f"it ran to its end, but {node.folder} is not there; does the notebook open the stage with "
            "`open_stage` and close it? If code was edited meanwhile, start the command again"
        )


def _copy(node: Node) -> Path:
    """Return the path that papermill writes to; the stage's folder takes its name only when the stage is finished."""
    return node.folder.with_name(f".{node.folder.name}.ipynb")


def _keep_copy(node: Node, *, whole: bool) -> None:
    """Move the executed notebook to the stage it belongs to.

    One that broke off (not `whole`) never replaces the notebook of a finished stage; it goes to the partial folder.
    """
    kept = node.folder / stages.NOTEBOOK
    if not node.finished or (kept.exists() and not whole):
        kept = stages.partial_folder(node.folder) / stages.NOTEBOOK
    if _copy(node).exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        os.replace(_copy(node), kept)


def _most_urgent_first(nodes: Sequence[Node]) -> list[Node]:
    """Return stages run by run, in a run by how long a chain waits for each: exploring goes before evaluating."""
    runs = {run: i for i, run in enumerate(dict.fromkeys(n.run for n in nodes))}
    waiting = dict.fromkeys(nodes, 0)
    for node in reversed(nodes):
        for read in node.inputs.values():
            waiting[read] = max(waiting.get(read, 0), waiting[node] + 1)
    return sorted(nodes, key=lambda n: (runs[n.run], -waiting[n]))


def imports(nodes: Sequence[Node]) -> list[str]:
    """Return the modules that the notebooks of `nodes` import, sooner or later; the kernels of a run share them."""
    notebooks = {n.notebook.name: n.notebook for n in nodes}
    found = {module for notebook in notebooks.values() for module in modules(notebook)}
    later = [
        LATER[package] for package in LATER if any(f"{name}.".startswith(f"{package}.") for name in found)
    ]
    return sorted(found.union(*later, wandb_run.modules() if found else ()))


def _warn_untracked(nodes: Sequence[Node]) -> None:
    """Print which of these finished stages W&B has no complete copy of."""
    if wandb_run.mode() == "disabled":
        return
    for run in dict.fromkeys(n.run for n in nodes):
        names = [n.folder.name for n in nodes if n.run == run]
        if lost := wandb_run.untracked(run, names):
            print(
                f"W&B has no complete copy of {len(lost)} of {len(names)} stages of {run}: {', '.join(lost)}. "
                f"Their folders have all; a warning in each {stages.NOTEBOOK} says why"
            )


def _default_jobs() -> int:
    if gpu():
        return 1
    return len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1


def _report(failures: dict[Node, EefError], *, blocked: int, resume: str) -> str:
    lines = []
    for node, error in failures.items():
        lines.append(f"{node.run}: {node.label} ({node.notebook.name}): {error}")
        copies = [f / stages.NOTEBOOK for f in (stages.partial_folder(node.folder), node.folder)]
        lines += [f"    executed copy: {copy}" for copy in copies if copy.exists()][:1]
    wait = f" ({blocked} more wait for {'it' if len(failures) == 1 else 'them'})" if blocked else ""
    return "\n".join([*lines, f"Mend it and go on{wait} with: {resume}"])
