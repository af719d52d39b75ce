"""A Java process that answers calls, is made as deterministic as it can be, and never outlives this process.

    hash codes   every object's identity hash is 1 (`-XX:hashCode=2`), because the simulator keeps objects in hash
                 sets and an agent reads them in that order. Checked at each start
    memory       256 MB of heap hold some two hundred tasks; with the rest of Java that is about 350 MB
    its end      it exits when our pipe to it closes, however we end. In a session of its own, Ctrl-C does not reach
                 it. A forked child closes its end of the pipe, and starts a process of its own when it needs one

It is called by one thread at a time (`Jvm.exclusive`): calls from several threads at once corrupt the simulator's
global state.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Generator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

from eefcore.errors import SimulatorError

PACKAGE = "scienceworld"
FLAGS = (
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:+UnlockExperimentalVMOptions",
    "-XX:hashCode=2",
    "--add-opens=java.base/java.util=ALL-UNNAMED",  # to read the state of `Random`, which each task has for itself
)
CALL_TIMEOUT = 300.0  # seconds; the longest call, a gold path on a busy machine, takes about twenty


def missing_dependency() -> str:
    """Say what this machine lacks to run the simulator, and how to get it; empty if nothing."""
    if find_spec(PACKAGE) is None or find_spec("py4j") is None:
        return f"no {PACKAGE} package here; `make setup`, or `pip install {PACKAGE} py4j`"
    if _java() is None:
        return "no Java here; `apt-get install default-jre-headless`, or see .ci/run"
    return ""


def simulator_version() -> str:
    """Return the version of the installed package; raise SimulatorError if it, or Java, is not installed."""
    if missing := missing_dependency():
        raise SimulatorError(missing)
    return version(PACKAGE)


class JavaError(Exception):
    """An exception that the simulator threw, in its own words."""


class Jvm:
    """One Java process with the simulator's classes.

    Attributes:
        pid: of the Java process.
        classes: packages and classes by name, as py4j gives them.

    Raises:
        SimulatorError: it did not start, or would not be deterministic.
    """

    def __init__(self, flags: tuple[str, ...] = FLAGS) -> None:
        if missing := missing_dependency():
            raise SimulatorError(missing)
        from py4j.java_gateway import GatewayConnection, GatewayParameters, JavaGateway

        # py4j calls this method when Ctrl-C comes in a call, and does not have it.
        setattr(GatewayConnection, "shutdown_socket", lambda connection, *ports: connection.close())  # noqa: B010
        self._process, port, token = _start(flags)
        self.pid, self._lock = self._process.pid, threading.RLock()
        self._end = weakref.finalize(self, _end, self._process, os.getpid())
        # Only `release` forgets objects: py4j's collector would send messages at any time, from any thread.
        self._gateway: Any = JavaGateway(
            gateway_parameters=GatewayParameters(
                port=port, auth_token=token, enable_memory_management=False, read_timeout=CALL_TIMEOUT
            )
        )
        self._hang_up = weakref.finalize(self, _hang_up, self._gateway, os.getpid())
        self.classes: Any = self._gateway.jvm
        _running.add(self)
        with self.exclusive():
            self._check_hash_codes(flags)
            # The simulator prints a page a step, which nothing reads.
            io = self.classes.java.io
            self.classes.java.lang.System.setOut(io.PrintStream(io.OutputStream.nullOutputStream()))

    @property
    def alive(self) -> bool:
        """Whether the Java process can be called."""
        return self in _running and self._process.poll() is None

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Lock the process so that only this thread calls it.

        Calls and answers are matched by their order, so whatever interrupts one, Ctrl-C too, ends the process.

        Raises:
            SimulatorError: the process has ended, stopped answering, or ran out of memory, after which nothing that it
                answers can be trusted.
            JavaError: the called method has thrown an exception.
        """
        from py4j.protocol import Py4JError, Py4JJavaError

        with self._lock:
            if not self.alive:
                raise SimulatorError(f"the simulator {self.pid} has ended; load the task anew")
            try:
                yield
            except Py4JJavaError as error:
                exception = error.java_exception.toString()
                if "OutOfMemoryError" in exception:
                    self.close()
                    raise SimulatorError(
                        f"the simulator {self.pid} ran out of memory and was ended; load the task anew"
                    ) from None
                raise JavaError(exception) from None
            except JavaError:
                raise
            except BaseException as error:
                self.close()
                if isinstance(error, (Py4JError, OSError)):
                    raise SimulatorError(f"the simulator {self.pid} stopped answering: {error}") from error
                raise

    def release(self, reference: Any) -> None:
        """Forget a Java object, if the process still has it."""
        with suppress(SimulatorError), self.exclusive():
            self._gateway.detach(reference)

    def close(self) -> None:
        """End the process, if it has not ended. All objects in it are gone."""
        with self._lock:
            _running.discard(self)
            self._hang_up()
            self._end()

    def _check_hash_codes(self, flags: tuple[str, ...]) -> None:
        java = self.classes.java.lang
        codes = [java.System.identityHashCode(java.Object()) for _ in range(2)]
        if codes != [1, 1]:
            raise SimulatorError(
                f"identity hash codes are {codes}, expected [1, 1]: this Java does not heed -XX:hashCode=2, and "
                f"episodes would not repeat; started with {' '.join(flags)}; unset _JAVA_OPTIONS, or use OpenJDK 17"
            )

    def _abandon(self) -> None:
        """Close our end of the pipe without a message, in a forked child: the process is its parent's."""
        self._lock = threading.RLock()
        assert self._process.stdin is not None
        self._process.stdin.close()


def _start(flags: tuple[str, ...]) -> tuple[subprocess.Popen[bytes], int, str]:
    """Start the process; return it with the port and the token to connect with."""
    from py4j.java_gateway import find_jar_path

    spec = find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None  # `missing_dependency` found it
    # py4j's own file comes first: the simulator's holds an older copy of it.
    jars = [find_jar_path(), str(Path(spec.origin).with_name(f"{PACKAGE}.jar"))]
    command = [str(_java()), *flags, "-cp", os.pathsep.join(jars), "py4j.GatewayServer"]
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [*command, "--die-on-broken-pipe", "--enable-auth", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=os.path.abspath(os.sep),  # no file of ours is read there, and no folder is kept in use
            start_new_session=True,
        )
        assert process.stdout is not None
        output = []
        for line in process.stdout:  # a Java may print other lines before the port
            output.append(line.decode(errors="replace").strip())
            if output[-1].isdecimal():
                return process, int(output[-1]), process.stdout.readline().decode().strip()
        _end(process, os.getpid())
        errors.seek(0)
        output += errors.read().decode(errors="replace").splitlines()
    raise SimulatorError(
        f"{' '.join(command)} did not start: {' '.join(output)[-500:]!r}; it needs Java 11 or newer"
    )


def _hang_up(gateway: Any, owner: int) -> None:
    if os.getpid() == owner:  # in a forked child the connection is its parent's
        gateway.close()


def _end(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:  # a forked child ends, and the process is its parent's
        return
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):
            if pipe is not None:
                pipe.close()


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return which("java", path=str(Path(home) / "bin")) if home else which("java")


_running: weakref.WeakSet[Jvm] = weakref.WeakSet()


def _abandon_all() -> None:
    for jvm in list(_running):
        jvm._abandon()
    _running.clear()


os.register_at_fork(after_in_child=_abandon_all)
