"""Many runs of the command line for the price of one start: a process that imports all, and forks for each.

Each run is what a shell would start, in every respect that a command can notice: descriptors, working folder,
environment, locale, exit code. Commands run in the C locale, which has letters of seven bits.
"""

import gc
import importlib
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, Self

COLUMNS = 60
LOCALE = {
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "COLUMNS": str(COLUMNS),
    "NO_COLOR": "1",
}
LONGEST_RUN_SECONDS = 120


@dataclass(frozen=True)
class Run:
    """A command line: where its output goes, and how many bytes a file may have before the disk is full.

    With ``killed`` the process dies in the middle of the write that would pass that bound.
    """

    words: list[str]
    folder: str
    output: Literal["read", "closed", "full"] = "read"
    file_bytes: int | None = None
    killed: bool = False
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """What became of a run; ``code`` is negative for the number of a signal."""

    code: int
    output: bytes
    errors: bytes


class Commands:
    """Runs command lines; as a context manager it ends the process behind it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | LOCALE,
        )

    def __enter__(self) -> Self:
        """Return the runner."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._process.communicate(timeout=LONGEST_RUN_SECONDS)

    def __call__(self, run: Run) -> Ended:
        """Run a command line to its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(run)).encode() + b"\n")
        self._process.stdin.flush()
        told = json.loads(self._process.stdout.readline())
        return Ended(told["code"], *(bytes.fromhex(told[name]) for name in ("output", "errors")))


def _main() -> None:
    """Run what comes by standard input, a line each, and answer by a line."""
    from streams.cli import COMMANDS
    from streams.cli.stages.run import APART

    for apart in set(APART.values()):
        importlib.import_module(apart)
    for entry in COMMANDS.values():
        importlib.import_module(f"streams.cli.{entry.target.partition(':')[0]}")
    for slow in ("matplotlib.backends.backend_svg", "matplotlib.figure", "polars", "duckdb"):
        importlib.import_module(slow)
    gc.freeze()  # what is imported stays as it is in every fork
    asked, answers = os.fdopen(os.dup(0), "rb"), os.dup(1)
    os.dup2(2, 1)
    for line in asked:
        ended = _run(Run(**json.loads(line)))
        told = {"code": ended.code, "output": ended.output.hex(), "errors": ended.errors.hex()}
        os.write(answers, json.dumps(told).encode() + b"\n")


def _run(run: Run) -> Ended:
    (read_out, out), (read_error, error) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(read_error)
        _become(run, read_out, out, error)
    os.close(out)
    os.close(error)
    got = _read({read_out: bytearray(), read_error: bytearray()})
    _, status = os.waitpid(child, 0)
    return Ended(os.waitstatus_to_exitcode(status), got[0], got[1])


def _become(run: Run, read_out: int, out: int, error: int) -> None:
    """Turn the forked process into a run, and end it as the interpreter would."""
    os.close(read_out)
    if run.output == "full":
        out = os.open("/dev/full", os.O_WRONLY)
    if run.output == "closed":
        read_out, out = os.pipe()
        os.close(read_out)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for here, there in ((nothing, 0), (out, 1), (error, 2)):
        os.dup2(here, there)
    os.closerange(3, 256)
    # Streams of its own, made as the interpreter makes them in this locale.
    sys.stdout = os.fdopen(1, "w", encoding="ascii", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="ascii", errors="backslashreplace", buffering=1, closefd=False)
    os.chdir(run.folder)
    os.environ.update(run.settings)
    signal.alarm(LONGEST_RUN_SECONDS)
    if run.file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (run.file_bytes, run.file_bytes))
    if run.killed:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    from streams.cli import main

    sys.argv = ["portallink", *run.words]
    code: object = 1
    try:
        main()
    except SystemExit as ended:
        code = 0 if ended.code is None else ended.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = 120  # what the interpreter ends with where its output is lost
    os._exit(code if isinstance(code, int) else 1)


def _read(pipes: dict[int, bytearray]) -> list[bytes]:
    """Return what comes out of pipes until all are closed."""
    with selectors.DefaultSelector() as ready:
        for pipe in pipes:
            ready.register(pipe, selectors.EVENT_READ)
        while ready.get_map():
            for key, _ in ready.select():
                piece = os.read(key.fd, 1 << 16)
                pipes[key.fd] += piece
                if not piece:
                    ready.unregister(key.fd)
                    os.close(key.fd)
    return [bytes(got) for got in pipes.values()]


if __name__ == "__main__":
    _main()
