"""A real PostgreSQL on this machine, for tests and benchmarks, whose data are not kept."""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.servers.debian import Program, find_program
from streams.servers.errors import PartError, PartUnavailableError
from streams.servers.process import LOOPBACK, LeashedProcess, free_port

USER = "portallink"
START_TIMEOUT_SECONDS = 60.0
NOBODY = 65534
# The data need not survive a crash, so nothing waits for the disk.
DEFAULT_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class Postgres:
    """A database cluster in `directory`, on a free loopback port; it ends with the process that started it.

    PostgreSQL refuses to run as root, so under root it runs as user "nobody", with the one capability that
    lets it access its files wherever `directory` is. `settings` are server settings by name. Entering the
    context starts it. Raises PartUnavailableError if it is unavailable, PartError with the end of its log if
    it does not become ready.
    """

    def __init__(self, directory: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / "postgres.log"
        self._settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self._password = secrets.token_urlsafe(16)
        self._port: int | None = None
        self._process: LeashedProcess | None = None

    def url(self, database: str = "postgres", *, driver: str | None = None) -> str:
        """Return a database's URL, `postgresql[+driver]://…`; raise PartError if the server is stopped."""
        if self._port is None:
            raise PartError("PostgreSQL is not running")
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://{USER}:{self._password}@{LOOPBACK}:{self._port}/{database}"

    def __enter__(self) -> Self:
        server = find_program("postgres")
        data = self.directory / "data"
        data.mkdir(parents=True, exist_ok=True)
        prefix = _unprivileged_prefix()
        if prefix:
            os.chown(data, NOBODY, NOBODY)
        if not (data / "PG_VERSION").exists():
            self._initialise(server, data, prefix)
        port = free_port()
        process = LeashedProcess(
            [*prefix, server.path, "-D", data, *self._options(port)],
            log=self.log,
            env=server.env,
            cwd=self.directory,
            stop_signal=signal.SIGINT,  # ends open sessions; SIGTERM would wait for them
        )
        ready = server.path.with_name("pg_isready")
        process.wait_until_ready(
            lambda: _succeeds([ready, "-q", "-h", LOOPBACK, "-p", str(port)], server),
            what="PostgreSQL",
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

    def _initialise(self, server: Program, data: Path, prefix: list[str]) -> None:
        initdb = Program(Path(prefix[0]) if prefix else server.path.with_name("initdb"), server.extra_env)
        rest = [*prefix[1:], str(server.path.with_name("initdb"))] if prefix else []
        with tempfile.NamedTemporaryFile("w", dir=self.directory) as password:
            password.write(self._password)
            password.flush()
            done = initdb.run(
                *rest,
                *("-D", data, "--username", USER, "--pwfile", password.name),
                *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
                cwd=self.directory,
            )
        if done.returncode != 0:
            raise PartError(f"initdb failed: {done.stderr.strip() or done.stdout[-2000:]}")

    def _options(self, port: int) -> list[str]:
        settings = {
            "port": str(port),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
            **self._settings,
        }
        return [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]


def _unprivileged_prefix() -> list[str]:
    """Return a command prefix that drops root rights; empty for other users."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise PartUnavailableError(
            "PostgreSQL refuses to run as root and `setpriv` is missing: install util-linux or run as a user"
        )
    return [
        setpriv,
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--pdeathsig=KILL",  # the kernel clears the leash's setting when the user changes
        "--",
    ]


def _succeeds(argv: list[str | Path], program: Program) -> bool:
    return subprocess.run(argv, env=program.env, check=False, capture_output=True).returncode == 0
