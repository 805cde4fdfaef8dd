"""Start, watch and end the processes of third-party servers."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.servers.errors import PartError

LEASH = Path(__file__).with_name("leash.py")
LOOPBACK = "127.0.0.1"
TAIL_LINES = 25


def free_port(preferred: int | None = None) -> int:
    """Return a free TCP port on the loopback interface: the preferred one if free, otherwise any.

    The port is not reserved: another process may take it before the caller binds it.
    """
    for port in (preferred, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            # As servers do, so that a port in TIME_WAIT counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise PartError("no free TCP port on the loopback interface")


def accepts_connections(port: int) -> bool:
    """Return whether something listens on this loopback port."""
    with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
        return True
    return False


def answers_http(url: str) -> bool:
    """Return whether a loopback server answers this address with success."""
    # Ignore proxies from the environment for local servers.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with contextlib.suppress(OSError, http.client.HTTPException), opener.open(url, timeout=5) as answer:
        return bool(200 <= answer.status < 300)
    return False


def tail(log: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a log, or a note that the log is missing."""
    try:
        kept = log.read_text("utf-8", "replace").splitlines()[-lines:]
    except FileNotFoundError:
        kept = []
    return "\n".join(kept) or f"(nothing in {log})"


def wait_until(
    ready: Callable[[], bool], *, alive: Callable[[], bool], what: str, log: Path, timeout_seconds: float
) -> None:
    """Poll until a server is ready.

    Raises PartError with the end of the server's log if it dies first or the time is over.
    """
    deadline = time.monotonic() + timeout_seconds
    while not ready():
        if not alive():
            raise PartError(f"{what} ended while starting; the last lines of {log}:\n{tail(log)}")
        if time.monotonic() > deadline:
            raise PartError(
                f"{what} did not answer within {timeout_seconds:g} s; the last lines of {log}:\n{tail(log)}"
            )
        time.sleep(0.05)


class LeashedProcess:
    """A program that ends with the process that started it, however that process ends.

    Output goes to the log file. `stop_signal` is the signal for an orderly shutdown.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        grace_seconds: float = 20.0,
    ) -> None:
        self.log = log
        self._grace_seconds = grace_seconds
        holder = [sys.executable, "-I", LEASH, os.getpid(), int(stop_signal), grace_seconds, *argv]
        with log.open("wb") as output:
            self._leash = subprocess.Popen(
                [str(part) for part in holder],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=None if env is None else dict(env),
                cwd=cwd,
                # Ctrl-C in a terminal reaches the whole group; we stop the server ourselves instead.
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id of the leash; the program is its only child."""
        return self._leash.pid

    def alive(self) -> bool:
        """Return whether the program still runs."""
        return self._leash.poll() is None

    def wait_until_ready(self, ready: Callable[[], bool], *, what: str, timeout_seconds: float) -> None:
        """Wait until the program is ready, as `wait_until`; end it if it does not become ready."""
        try:
            wait_until(ready, alive=self.alive, what=what, log=self.log, timeout_seconds=timeout_seconds)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Shut the program down and wait for it; harmless if it has already ended."""
        if self.alive():
            self._leash.terminate()
        try:
            self._leash.wait(self._grace_seconds + 10)
        except subprocess.TimeoutExpired:
            # The kernel then kills the program too.
            self._leash.kill()
            self._leash.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_detached(argv: Sequence[str | Path], *, log: Path, cwd: Path | None = None) -> int:
    """Start a program that outlives this process, with its output in the log; return its process id."""
    with log.open("wb") as output:
        started = subprocess.run(
            [sys.executable, "-I", str(LEASH), "detach", *(str(part) for part in argv)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.PIPE,
            cwd=cwd,
            check=True,
        )
    return int(started.stderr)
