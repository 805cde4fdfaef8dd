"""The common part of HTTP servers: a free port, a readiness check, an orderly end."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from streams.servers.debian import find_program
from streams.servers.errors import PartError
from streams.servers.process import LOOPBACK, LeashedProcess, answers_http, free_port

START_TIMEOUT_SECONDS = 60.0


class HttpServer(ABC):
    """A server on a free loopback port, its files in `directory`; it ends with the process that started it.

    Entering the context starts it and waits until it is ready. Raises PartUnavailableError if the program is
    unavailable, PartError with the end of its log if it does not become ready.
    """

    program: ClassVar[str]
    ready_path: ClassVar[str] = "/-/ready"

    def __init__(self, directory: Path, *, port: int | None = None) -> None:
        self.directory = directory
        self._wanted_port = port
        self._port: int | None = None
        self._process: LeashedProcess | None = None

    @property
    def log(self) -> Path:
        """The file with the server's output."""
        return self.directory / f"{self.program}.log"

    @property
    def url(self) -> str:
        """Address of the running server, without a trailing slash; raises PartError if it is not running."""
        if self._port is None:
            raise PartError(f"{self.program} is not running")
        return f"http://{LOOPBACK}:{self._port}"

    @abstractmethod
    def arguments(self, port: int) -> Sequence[str | Path]:
        """Return the command line after the program's name."""

    def __enter__(self) -> Self:
        program = find_program(self.program)
        self.directory.mkdir(parents=True, exist_ok=True)
        port = free_port(self._wanted_port)
        argv = [program.path, *self.arguments(port)]
        process = LeashedProcess(argv, log=self.log, env=program.env, cwd=self.directory)
        process.wait_until_ready(
            lambda: answers_http(f"http://{LOOPBACK}:{port}{self.ready_path}"),
            what=self.program,
            timeout_seconds=START_TIMEOUT_SECONDS,
        )
        self._process, self._port = process, port
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.stop()
        self._process, self._port = None, None
