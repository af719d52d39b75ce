"""Kernels forked from a server: processes of their own, as they would have started, that outlive nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from helpers.paths import TESTS
from helpers.workspaces import write_params

from eefcore.runs import kernels, runner
from eefcore.runs.kernels import Forked, Kernels
from eefcore.runs.notebook import modules, read_notebook
from eefcore.runs.open_stage import planned
from eefcore.storage import stages

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or kernels.gpu(), reason="kernels are forked on Linux without a GPU"
)

CONNECTION = {
    "transport": "ipc",
    "signature_scheme": "hmac-sha256",
    "key": "k",
    **{f"{name}_port": i for i, name in enumerate(("shell", "iopub", "stdin", "hb", "control"), 1)},
}


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def forked(server: Kernels, folder: Path) -> Forked:
    """A kernel in `folder`, once the server is ready."""
    (folder / "connection.json").write_text(json.dumps({**CONNECTION, "ip": str(folder / "socket")}))
    found: list[Forked] = []

    def ask() -> bool:
        with open(folder / "said", "wb") as said:
            kernel = server.fork(
                ["-f", str(folder / "connection.json")],
                cwd=folder,
                env=os.environ | {"EEF_TEST_WORD": "given"},
                said=said.fileno(),
            )
        found.extend([kernel] if kernel else [])
        return bool(found)

    until(ask)
    return found[0]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_kernel_is_a_process_with_a_folder_and_a_session_of_its_own(tmp_path):
    with Kernels(["json", "nowhere.to_be_found"]) as server:
        kernel = forked(server, tmp_path)
        until(lambda: list(tmp_path.glob("socket-*")))  # it listens
        process = psutil.Process(kernel.pid)
        assert Path(process.cwd()) == tmp_path
        assert os.getsid(kernel.pid) == kernel.pid
        assert kernel.poll() is None and kernel.wait(0.01) is None
        kernel.kill()
        assert kernel.wait(10) == kernels.ENDED == kernel.poll()
        kernel.kill()  # of one that has ended: nothing
        other = forked(server, tmp_path)
        assert other.pid != kernel.pid
    until(lambda: gone(other.pid), 5)


def test_without_a_server_there_is_no_kernel(tmp_path):
    with Kernels([]) as none, open(tmp_path / "said", "wb") as said:
        assert none.fork([], cwd=tmp_path, env={}, said=said.fileno()) is None


def test_a_server_that_died_forks_no_more(tmp_path):
    with Kernels(["json"]) as server:
        kernel = forked(server, tmp_path)
        psutil.Process(kernel.pid).parent().kill()
        assert kernel.wait(5) == kernels.ENDED  # with it
        with open(tmp_path / "said", "wb") as said:
            assert server.fork([], cwd=tmp_path, env={}, said=said.fileno()) is None


def test_killed_it_takes_its_server_and_its_kernels_with_it(tmp_path):
    code = f"""
import sys, time
from pathlib import Path
sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / "runs")!r}]
from test_kernels import forked
from eefcore.runs.kernels import Kernels
import psutil
with Kernels(["json"]) as server:
    kernel = forked(server, Path({str(tmp_path)!r}))
    print(kernel.pid, psutil.Process(kernel.pid).ppid(), flush=True)
    time.sleep(600)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2 and not any(map(gone, pids))
    process.kill()
    process.wait()
    until(lambda: all(map(gone, pids)), 0.5)
    process.stdout.close()


def test_a_run_with_forked_kernels_leaves_the_records_of_one_without(demo, monkeypatch):
    path = write_params(demo.parents[1], "run: a\nmethods: {EEF: {iterations: 2}}")
    started: list[Forked | None] = []
    fork = Kernels.fork

    def counted(self: Kernels, *arguments: object, **named: object) -> Forked | None:
        started.append(fork(self, *arguments, **named))
        return started[-1]

    def records(results: str) -> dict[str, object]:
        monkeypatch.setenv("EEF_RESULTS", results)
        nodes = planned(path)
        runner.run(nodes, resume="", jobs=1)
        return {n.folder.name: (stages.record(n.folder).identity, told(n.folder)) for n in nodes}

    monkeypatch.setattr(Kernels, "fork", counted)
    warm = records("warm")
    assert sum(kernel is not None for kernel in started) > len(started) / 2
    monkeypatch.setattr(Kernels, "fork", lambda self, *arguments, **named: None)
    assert records("cold") == warm


def told(folder: Path) -> tuple[str, list[str]]:
    """What a stage computed, and what its cells printed or showed."""
    cells = json.loads((folder / "notebook.ipynb").read_text())["cells"]
    outputs = [
        o.get("name", o["output_type"])
        for c in cells
        for o in c.get("outputs", [])
        if "stderr" not in o.values()
    ]
    return (folder / "value.json").read_text(), outputs


def test_what_a_notebook_imports(tmp_path):
    import nbformat

    cells = [
        "import os, json.decoder",
        "from eefcore.figures import evaluation\nfrom .here import it",
        "%matplotlib inline\nimport lost",
        "if True:\n    from pathlib import Path as P",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    book.cells.append(nbformat.v4.new_markdown_cell("import nothing"))
    nbformat.write(book, tmp_path / "01_x.ipynb")
    assert modules(read_notebook(tmp_path / "01_x.ipynb")) == {
        "os",
        "json.decoder",
        "eefcore.figures",
        "eefcore.figures.evaluation",
        "here",
        "here.it",
        "pathlib",
        "pathlib.Path",
    }
