"""Kernels forked from a server are processes of their own, as they would have started, and outlive nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import psutil
import pytest
from helpers.paths import ROOT, TESTS
from helpers.workspaces import FINISH, KNOBS, OPEN, PLAY, WORK, write_notebook, write_params

from eefcore.runs import kernels, runner
from eefcore.runs.kernels import ForkedKernel, KernelServer
from eefcore.runs.notebook import modules, read_notebook
from eefcore.runs.planning import plan_run
from eefcore.storage import stages
from eefcore.tracking import wandb_run
from eefcore.tracking.wandb_run import sync

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


def forked(server: KernelServer, folder: Path) -> ForkedKernel:
    """A kernel in `folder`, once the server is ready."""
    (folder / "connection.json").write_text(json.dumps({**CONNECTION, "ip": str(folder / "socket")}))
    found: list[ForkedKernel] = []

    def ask() -> bool:
        with open(folder / "output", "wb") as output:
            kernel = server.fork(
                ["-f", str(folder / "connection.json")],
                cwd=folder,
                env=os.environ | {"EEF_TEST_WORD": "given"},
                output=output.fileno(),
            )
        found.extend([kernel] if kernel else [])
        return bool(found)

    until(ask)
    return found[0]


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_kernel_is_a_process_with_a_folder_and_a_session_of_its_own(tmp_path):
    with KernelServer(["json", "nowhere.to_be_found"]) as server:
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
    with KernelServer([]) as none, open(tmp_path / "output", "wb") as output:
        assert none.fork([], cwd=tmp_path, env={}, output=output.fileno()) is None


def test_a_server_that_died_forks_no_more(tmp_path):
    with KernelServer(["json"]) as server:
        kernel = forked(server, tmp_path)
        psutil.Process(kernel.pid).parent().kill()
        assert kernel.wait(5) == kernels.ENDED  # with it
        with open(tmp_path / "output", "wb") as output:
            assert server.fork([], cwd=tmp_path, env={}, output=output.fileno()) is None


def test_a_killed_process_takes_its_server_and_its_kernels_with_it(tmp_path):
    code = f"""
import sys, time
from pathlib import Path
sys.path[:0] = [{str(TESTS)!r}, {str(TESTS / "runs")!r}]
from test_kernels import forked
from eefcore.runs.kernels import KernelServer
import psutil
with KernelServer(["json"]) as server:
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


@pytest.mark.slow
def test_a_run_with_forked_kernels_leaves_the_records_of_one_without(demo, monkeypatch):
    path = write_params(demo.parents[1], "run: a\nmethods: {EEF: {iterations: 2}}")
    started: list[ForkedKernel | None] = []
    fork = KernelServer.fork

    def counted(self: KernelServer, *arguments: object, **named: object) -> ForkedKernel | None:
        started.append(fork(self, *arguments, **named))
        return started[-1]

    def records(results: str) -> dict[str, object]:
        monkeypatch.setenv("EEF_RESULTS", results)
        nodes = plan_run(path)
        runner.run(nodes, resume="", jobs=1)
        return {
            n.folder.name: (stages.read_record(n.folder).identity, value_and_outputs(n.folder)) for n in nodes
        }

    monkeypatch.setattr(KernelServer, "fork", counted)
    warm = records("warm")
    assert sum(kernel is not None for kernel in started) > len(started) / 2
    monkeypatch.setattr(KernelServer, "fork", lambda self, *arguments, **named: None)
    assert records("cold") == warm


def value_and_outputs(folder: Path) -> tuple[str, list[str]]:
    """What a stage computed, and what its cells printed or showed."""
    cells = json.loads((folder / "notebook.ipynb").read_text())["cells"]
    outputs = [
        o.get("name", o["output_type"])
        for c in cells
        for o in c.get("outputs", [])
        if "stderr" not in o.values()
    ]
    return (folder / "value.json").read_text(), outputs


def test_the_names_that_a_notebook_imports(tmp_path):
    import nbformat

    cells = [
        "import os, json.decoder",
        "from eefcore.figures import evaluation\nfrom here import it",
        "%matplotlib inline\nimport lost",
        "if True:\n    from pathlib import Path as P",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    book.cells.append(nbformat.v4.new_markdown_cell("import nothing"))
    nbformat.write(book, tmp_path / "01_x.ipynb")
    assert modules(read_notebook(tmp_path / "01_x.ipynb")) == {
        "os",
        "json.decoder",
        "eefcore.figures.evaluation",
        "here.it",
        "pathlib.Path",
    }


# ------------------------------------------------------------------------------------ W&B in many kernels

SHOW = """
stage.table("values", ["i", "value"], list(enumerate(values)))
stage.text("first", "a page of text")
stage.log({"step": 1.0})
"""

BREAK = """
import wandb
def refuse(*_, **__):
    raise wandb.errors.Error("refused here")
if stage.notebook == "04_train":
    wandb.Html = refuse
"""


def offline(demo: Path, monkeypatch: pytest.MonkeyPatch, *before: str) -> Path:
    """Return the params file of a run of ten stages, each of which sends W&B media and is slow enough to overlap."""
    for name, knobs in KNOBS.items():
        cells = (OPEN.format(name=name), *before, WORK, SHOW, FINISH)
        write_notebook(demo.parents[1], name, *cells, parameters=f"{knobs}{PLAY}")
    monkeypatch.setenv("WANDB_MODE", "offline")
    return write_params(demo.parents[1], "run: ten\nmethods: {EEF: {iterations: 2}}")


def test_every_stage_of_a_run_ends_in_a_complete_wandb_run(demo, monkeypatch, capsys):
    nodes = plan_run(offline(demo, monkeypatch))
    runner.run(nodes, resume="", jobs=2)
    assert "W&B" not in capsys.readouterr().out
    report = sync(["ten"], dry_run=True)
    assert len(nodes) == 10 and [len(part) for part in report] == [10, 0, 0, 0]
    held = {p.read_text() for p in stages.run_folder("ten").glob(f"wandb/*/{wandb_run.COMPLETE}")}
    assert held == {n.folder.name for n in nodes}


def test_the_end_of_a_run_names_the_stages_that_wandb_has_no_complete_run_of(demo, monkeypatch, capsys):
    nodes = plan_run(offline(demo, monkeypatch, BREAK))
    runner.run(nodes, resume="", jobs=2)
    *lines, last = capsys.readouterr().out.splitlines()
    lost = [n.folder.name for n in nodes if n.notebook.name == "04_train"]
    assert "W&B has no complete copy of 2 of 10 stages of ten" in last
    assert all(name in last for name in lost) and len(lost) == 2 and "expert" not in last
    marked = [line.split()[1] for line in lines if line.endswith(" · no complete copy at W&B")]
    assert sorted(marked) == sorted(lost)
    assert len(sync(["ten"], dry_run=True).incomplete) == 2
    for node in nodes:
        text = (node.folder / stages.NOTEBOOK).read_text()
        assert ("refused here)" in text) == (node.folder.name in lost)
    runner.run(nodes, resume="", jobs=2)
    assert "W&B" not in capsys.readouterr().out  # nothing was run, nothing was lost


SHARED = """
import atexit, os, tempfile
kept = tempfile.TemporaryDirectory("first")
class Holder:
    kept = tempfile.TemporaryDirectory(prefix="second", dir=os.environ["EEF_TEST_ROOT"])
with tempfile.TemporaryDirectory() as short:
    pass
atexit.register(kept.cleanup)
with open(os.path.join(kept.name, "made at import"), "w") as file:
    file.write("x")
"""

FORK = """
import os, sys
sys.path.insert(0, os.environ["EEF_TEST_ROOT"])
from eefcore.runs import kernels
with kernels.noted_folders() as folders:
    import shared
mine = [shared.kept.name, shared.Holder.kept.name]
for _ in range(2):
    if not (pid := os.fork()):
        kernels.renew(folders)
        theirs = [shared.kept.name, shared.Holder.kept.name]
        assert not set(mine) & set(theirs) and all(map(os.path.isdir, [*mine, *theirs]))
        assert os.listdir(theirs[0]) == ["made at import"] and os.listdir(theirs[1]) == []
        print(*theirs, flush=True)
        sys.exit()
    assert os.waitpid(pid, 0)[1] == 0
    assert all(map(os.path.isdir, mine))
print(*mine)
"""


def test_a_folder_that_a_module_makes_at_import_outlives_the_first_kernel_that_ends(tmp_path):
    (tmp_path / "shared.py").write_text(SHARED)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK],
        capture_output=True,
        text=True,
        env=os.environ | {"EEF_TEST_ROOT": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    folders = done.stdout.split()
    assert len(set(folders)) == 6
    assert not [f for f in folders if Path(f).exists()]  # each went with its process


IMPORT = """
import json, sys, tempfile, threading
from eefcore.runs import kernels
made, make = [], tempfile.mkdtemp
def noted(*given, **named):
    made.append(make(*given, **named))
    return made[-1]
tempfile.mkdtemp = noted
with kernels.noted_folders() as folders:
    for name in sys.argv[1:]:
        kernels.import_name(name)
shared = set(made) - {folder.name for folder, *_ in folders}
assert "eefcore.runs.opening" in sys.modules, "what a package exports lazily is imported as well"
print(json.dumps([len(made), sorted(shared), [t.name for t in threading.enumerate()]]))
"""


def test_kernels_can_share_the_imports_of_our_notebooks(monkeypatch):
    """Each folder that an import makes can be renewed, and no import starts a thread, which a fork would lose."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    books = [read_notebook(path) for path in sorted((ROOT / "notebooks").glob("[0-9]*_*.ipynb"))]
    names = runner.imports([Mock(notebook=book) for book in books])
    assert {"wandb", "pandas", "eefcore.runs.open_stage"} <= set(names)
    process = subprocess.run(
        [sys.executable, "-c", IMPORT, "ipykernel.kernelapp", *names],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    made, shared, threads = json.loads(process.stdout.splitlines()[-1])
    assert made >= 1 and shared == []  # W&B's
    assert threads == ["MainThread"]
