"""Execute one notebook with papermill, in a kernel of its own that ends with this process."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from subprocess import Popen
from types import MappingProxyType
from typing import Any

import papermill
from jupyter_client import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner
from jupyter_core.utils import ensure_event_loop
from papermill.exceptions import PapermillExecutionError
from papermill.iorw import papermill_io

from eefcore.errors import StageFailed
from eefcore.runs.kernels import COMMAND, ForkedKernel, KernelServer
from eefcore.runs.notebook import Notebook
from eefcore.storage.disk import explain_os_errors, write_atomically
from eefcore.types import Value

SHOWN_LINES = 6  # of an error's message
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
WAIT_SECONDS = 300.0  # for a kernel to start, on a machine busy with others

# Papermill would change the working folder around each read and write: of the whole process, under all of our threads
papermill_io.get_handler("local").cwd = lambda _: None


def execute(
    notebook: Notebook,
    values: Mapping[str, Value],
    copy: Path,
    kernels: KernelServer,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run `notebook` top to bottom with `values` as its parameters, and write the executed notebook to `copy`.

    Its kernel is forked by the server `kernels` if that is ready, else it starts from nothing; `environment` is added to
    that of this process.

    Raises:
        StageFailed: a cell raised, or the kernel died; the message says which and shows the first lines. `copy` is
            written all the same.
    """
    # jupyter_core makes an event loop for this thread and leaves it open
    with tempfile.TemporaryFile() as output, closing(ensure_event_loop()), explain_os_errors("write", copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
        try:
            papermill.execute_notebook(
                notebook.path,
                copy,
                dict(values),
                kernel_name="python3",
                progress_bar=False,
                start_timeout=WAIT_SECONDS,
                resources={"metadata": {"path": str(notebook.path.parent)}},  # as JupyterLab does
                kernel_manager_class=type(
                    "Kernel",
                    (_Kernel,),
                    {"output": output.fileno(), "kernels": kernels, "environment": environment},
                ),
            )
        except PapermillExecutionError as error:
            lines = error.evalue.strip().splitlines() or [""]
            shown = "\n    ".join([*lines[:SHOWN_LINES], *(["…"] if len(lines) > SHOWN_LINES else [])])
            raise StageFailed(
                f"cell [{error.exec_count}], {_failing_line(error)}\n    {error.ename}: {shown}"
            ) from error
        except RuntimeError as error:  # nbclient's word for a kernel that died, or never answered
            output.seek(0)
            last = output.read().decode(errors="replace").strip().splitlines()[-SHOWN_LINES:]
            raise StageFailed("\n    ".join([f"its kernel died ({error}); out of memory?", *last])) from error
        finally:
            _forget_paths(copy)


def _failing_line(error: PapermillExecutionError) -> str:
    """Return the line of the cell that raised, and its number; the first line where the traceback names none."""
    lines = error.source.splitlines() or [""]
    trace = _COLOUR.sub("", "\n".join(error.traceback))
    found = re.search(rf"Cell In\[{error.exec_count}\], line (\d+)", trace)
    number = int(found[1]) if found and int(found[1]) <= len(lines) else 1
    return f"line {number} `{lines[number - 1].strip()}`"


_started: list[Popen[bytes] | ForkedKernel] = []


def kill_kernels() -> None:
    """Kill every kernel that this process started; the threads that wait for them fail within a second or so."""
    for process in list(_started):
        process.kill()  # of one that has ended: nothing


class _Kernel(AsyncKernelManager):
    """Starts `eefcore.runs.kernels`; what it prints outside of cells goes to the file `output`, not over a table."""

    output: int
    kernels: KernelServer
    environment: Mapping[str, str]

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        return [*COMMAND, "-f", os.path.realpath(self.connection_file), *(extra_arguments or [])]

    async def _async_launch_kernel(self, kernel_cmd: list[str], **kw: Any) -> None:
        arguments, local = kernel_cmd[len(COMMAND) :], self.provisioner
        kw["env"] = {**kw["env"], **self.environment}
        assert isinstance(local, LocalProvisioner)  # the default, which no notebook changes
        forked = self.kernels.fork(arguments, cwd=kw["cwd"], env=kw["env"], output=self.output)
        if forked:
            local.process = forked  # it has what jupyter_client uses of a Popen
            local.pid = local.pgid = forked.pid  # a session of its own
            self._reconcile_connection_info(local.connection_info)
        else:
            await super()._async_launch_kernel(kernel_cmd, **kw, stdout=self.output, stderr=self.output)
        if local.process:
            _started.append(local.process)


def _forget_paths(copy: Path) -> None:
    """Remove the absolute paths of both notebooks, which papermill notes in the copy."""
    with suppress(FileNotFoundError, ValueError):  # nothing written, or torn by a full disk
        content = json.loads(copy.read_bytes())
        for key in ("input_path", "output_path"):
            content["metadata"].get("papermill", {}).pop(key, None)
        write_atomically(copy, json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n", sync=False)
