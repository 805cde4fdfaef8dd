"""Jars pinned by version and digest, fetched once, kept in the cache: those of the embedded Kafka.

`kafka_jars.txt` lists every jar with its SHA-256 and size, as resolved by jgo from Kafka's published
dependencies. Only files on that list are downloaded, so every machine runs exactly the tested bytes, and
dependencies are never resolved again. `python -m streams.servers.jars VERSION` rewrites the list.
"""

import contextlib
import hashlib
import importlib.resources
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from streams.servers.errors import PartUnavailableError

LIST_NAME = "kafka_jars.txt"
PARALLEL_DOWNLOADS = 6
TIMEOUT_SECONDS = 60
# Kafka's release contains this logging backend, which its published dependencies do not name.
LOGGING_BACKEND = "org.apache.logging.log4j:log4j-slf4j-impl"
LOGGING_CORE = "log4j-core"


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned jar; `size` in bytes."""

    group: str
    artifact: str
    version: str
    sha256: str
    size: int

    @property
    def file_name(self) -> str:
        """Name of the jar's file."""
        return f"{self.artifact}-{self.version}.jar"

    def __str__(self) -> str:
        return f"{self.group}:{self.artifact}:{self.version} {self.sha256} {self.size}"


@dataclass(frozen=True, slots=True)
class JarSet:
    """Jars that belong together; `otherwise` says what to do where they cannot be fetched."""

    name: str
    title: str
    jars: tuple[Jar, ...]
    otherwise: str = ""


def pinned_jars() -> tuple[Jar, ...]:
    """Read the list of pinned jars; the first is Kafka's own."""
    text = importlib.resources.files("streams.servers").joinpath(LIST_NAME).read_text("utf-8")
    return tuple(_parse(line) for line in text.splitlines() if line and not line.startswith("#"))


def kafka_version() -> str:
    """Return the pinned version of Apache Kafka."""
    return pinned_jars()[0].version


def kafka_jars() -> JarSet:
    """Return the jars of the embedded Kafka."""
    otherwise = " or KAFKA_BOOTSTRAP_SERVERS to another broker"
    return JarSet("kafka", f"Apache Kafka {kafka_version()}", pinned_jars(), otherwise)


def fetch_jars(
    directory: Path, wanted: JarSet | None = None, *, console: Console | None = None
) -> list[Path]:
    """Return the paths of a set's jars (Kafka's), downloading them under this directory if they are missing.

    Raises PartUnavailableError without network, or if a downloaded jar is not the pinned one.
    """
    wanted = wanted or kafka_jars()
    jars = wanted.jars
    whole = "\n".join(map(str, jars)).encode()
    home = directory / f"{wanted.name}-{jars[0].version}-{hashlib.sha256(whole).hexdigest()[:8]}"
    paths = [home / jar.file_name for jar in jars]
    if all(path.exists() for path in paths):
        return paths
    directory.mkdir(parents=True, exist_ok=True)
    # Only a complete, verified set gets its final name: an interrupted download leaves nothing behind, and
    # if two processes download at once, the later one uses the result of the earlier.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=directory) as temporary:
        complete = Path(temporary) / "complete"
        complete.mkdir()
        _download(wanted, Path(temporary) / "maven", complete, console or Console(stderr=True, markup=False))
        if home.exists() and not all(path.exists() for path in paths):
            shutil.rmtree(home)
        with contextlib.suppress(OSError):
            complete.rename(home)
    return paths


def _download(wanted: JarSet, repository: Path, target: Path, console: Console) -> None:
    import requests  # noqa: PLC0415 - needed once, and slow to import

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(f"{wanted.title} (once)", total=sum(jar.size for jar in wanted.jars))
        context = _context(repository, lambda count: progress.advance(task, count))

        def fetch(jar: Jar) -> None:
            path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
            if _sha256(path) != jar.sha256:
                raise PartUnavailableError(
                    f"{jar.file_name} as downloaded is not the pinned file (its SHA-256 differs); "
                    "the mirror or a proxy changes files"
                )
            path.rename(target / jar.file_name)

        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as workers:
            try:
                for _ in workers.map(fetch, wanted.jars):
                    pass
            except (requests.RequestException, RuntimeError) as error:
                workers.shutdown(cancel_futures=True)
                if isinstance(error, PartUnavailableError):
                    raise
                raise PartUnavailableError(
                    f"{wanted.title} is not in the cache and could not be downloaded from Maven Central: "
                    f"{_first_line(error)}. Connect to the network once, or set "
                    f"PORTALLINK_MAVEN_URL to a mirror{wanted.otherwise}."
                ) from error


def _context(repository: Path, advance: Callable[[int], None]) -> Any:
    from jgo.constants import MAVEN_CENTRAL_URL  # noqa: PLC0415 - needed once, as above
    from jgo.maven import MavenContext, PythonResolver  # noqa: PLC0415

    def report(_file_name: str, _size: int) -> AbstractContextManager[Callable[[int], None]]:
        @contextlib.contextmanager
        def downloading() -> Iterator[Callable[[int], None]]:
            yield advance

        return downloading()

    return MavenContext(
        repo_cache=repository,
        remote_repos={"central": os.environ.get("PORTALLINK_MAVEN_URL", MAVEN_CENTRAL_URL)},
        resolver=PythonResolver(progress_callback=report),
        timeout=TIMEOUT_SECONDS,
    )


def resolve(version: str, repository: Path) -> list[Jar]:
    """Resolve one version of Kafka and its runtime dependencies."""
    context = _context(repository, lambda _count: None)

    def runtime(coordinate: str) -> list[tuple[str, str, str]]:
        inputs, transitive = context.resolver.resolve([context.create_dependency(coordinate)])
        wanted = [*inputs, *(dep for dep in transitive if dep.scope in ("compile", "runtime"))]
        return [(dep.groupId, dep.artifactId, dep.version) for dep in wanted]

    coordinates = runtime(f"org.apache.kafka:kafka_2.13:{version}")
    logging_version = next(version for _, name, version in coordinates if name == LOGGING_CORE)
    coordinates.append((*LOGGING_BACKEND.split(":"), logging_version))  # type: ignore[arg-type]  # a split has no length
    jars = []
    for group, name, jar_version in coordinates:
        path = context.project(group, name).at_version(jar_version).artifact().resolve()
        jars.append(Jar(group, name, jar_version, _sha256(path), path.stat().st_size))
    return [jars[0], *sorted(jars[1:], key=str)]


def _parse(line: str) -> Jar:
    coordinate, sha256, size = line.split()
    group, artifact, version = coordinate.split(":")
    return Jar(group, artifact, version, sha256, int(size))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _rewrite_list(version: str) -> None:
    with tempfile.TemporaryDirectory() as repository:
        jars = resolve(version, Path(repository))
    header = "# group:artifact:version sha256 bytes; written by python -m streams.servers.jars\n"
    Path(__file__).with_name(LIST_NAME).write_text(header + "".join(f"{jar}\n" for jar in jars), "utf-8")


if __name__ == "__main__":
    _rewrite_list(sys.argv[1])
