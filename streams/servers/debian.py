"""Find a server program on this machine, or unpack it from Debian's packages without root rights.

A program on PATH is used as it is. Otherwise, if `apt-get` and `dpkg-deb` exist, its package and missing
dependencies are downloaded and unpacked into the cache. Package lists are kept there too: nothing outside the
cache is changed.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from streams.servers import paths
from streams.servers.errors import PartUnavailableError
from streams.servers.relocate import relocate

# The line that a simulated installation prints for each package that it would unpack.
WOULD_INSTALL = re.compile(r"^Inst (\S+) (?:\[[^]]*\] )?\((\S+) ", re.MULTILINE)
# Replacing the C library under a running loader would crash every program.
NEVER_UNPACKED = frozenset({"libc6", "libc-bin"})
APT_TIMEOUT_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Program:
    """A program that can be run: its path, and the variables to add to the caller's environment."""

    path: Path
    extra_env: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The full environment to run it in."""
        return {**os.environ, **self.extra_env}

    def run(
        self, *arguments: str | Path, cwd: Path | None = None, stdin: str = "", timeout_seconds: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end and return exit code and output; kill it after the time-out."""
        return subprocess.run(
            [self.path, *arguments],
            cwd=cwd,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
        )


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a program comes from: its names on PATH, Debian's packages, and its path inside them."""

    names: tuple[str, ...]
    packages: tuple[str, ...]
    place: str
    dependencies: bool


# Prometheus and Alertmanager are written in Go and need only the C library.
_PROMETHEUS, _ALERTMANAGER, _POSTGRES = ("prometheus",), ("prometheus-alertmanager",), ("postgresql",)
_SOURCES = {
    "prometheus": _Source(("prometheus",), _PROMETHEUS, "usr/bin/prometheus", False),
    "promtool": _Source(("promtool",), _PROMETHEUS, "usr/bin/promtool", False),
    "alertmanager": _Source(
        ("alertmanager", "prometheus-alertmanager"), _ALERTMANAGER, "usr/bin/prometheus-alertmanager", False
    ),
    "amtool": _Source(("amtool",), _ALERTMANAGER, "usr/bin/amtool", False),
    "postgres": _Source(("postgres",), _POSTGRES, "usr/lib/postgresql/*/bin/postgres", True),
    "chromium": _Source(
        ("chromium", "chromium-browser", "google-chrome"),
        # DejaVu contains the Vietnamese letters.
        ("chromium", "fonts-dejavu-core"),
        "usr/lib/chromium/chromium",
        True,
    ),
}

# Debian's Alertmanager looks for its templates only here.
_RELOCATED = {
    "prometheus-alertmanager": ("usr/bin/prometheus-alertmanager", "/usr/share/prometheus/alertmanager"),
}


def find_program(name: str, *, console: Console | None = None) -> Program:
    """Return a program by its upstream name: on this machine, in the cache, or from Debian's packages.

    Raises PartUnavailableError, which says how to install it, if none of these has it.
    """
    source = _SOURCES[name]
    if found := _installed(source):
        # Resolve links, because some programs look for files next to the real one.
        return Program(found.resolve())
    home = paths.cache_dir() / "debian" / source.packages[0]
    if not home.exists():
        with _one_at_a_time(home.parent):
            if not home.exists():
                _unpack(name, source, home, console or Console(stderr=True, markup=False))
    return Program(max(home.glob(source.place)), _environment(home))


@contextlib.contextmanager
def _one_at_a_time(directory: Path) -> Iterator[None]:
    """Lock out other processes from reading package lists and unpacking into the cache."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, however the process ends
        yield


def _installed(source: _Source) -> Path | None:
    for name in source.names:
        if path := shutil.which(name):
            return Path(path)
    # Debian keeps PostgreSQL's servers off PATH, in one folder per version.
    return max(Path("/").glob(source.place), default=None) if "*" in source.place else None


def _environment(home: Path) -> dict[str, str]:
    libraries = [
        *home.glob("usr/lib/*-linux-gnu*"),
        *home.glob("lib/*-linux-gnu*"),
        *home.glob("usr/lib/*-linux-gnu*/pulseaudio"),
    ]
    env = {}
    if libraries:
        present = os.environ.get("LD_LIBRARY_PATH")
        env["LD_LIBRARY_PATH"] = os.pathsep.join([*map(str, libraries), *([present] if present else [])])
    if (home / "fonts.conf").exists():
        env["FONTCONFIG_FILE"] = str(home / "fonts.conf")
    return env


def _unpack(name: str, source: _Source, home: Path, console: Console) -> None:
    """Fill `home` with the unpacked packages, atomically."""
    wanted = " ".join(source.packages)
    advice = (
        f"install {' or '.join(source.names)} so that it is on PATH (on Debian: apt-get install {wanted})"
    )
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise PartUnavailableError(f"{name} is not on this machine, which has no apt-get: {advice}")
    with tempfile.TemporaryDirectory(prefix=".unpack-", dir=home.parent) as temporary:
        root, archives = Path(temporary) / "root", Path(temporary) / "archives"
        root.mkdir()
        archives.mkdir()
        # As root, apt downloads as another user, who must be able to enter this folder.
        archives.chmod(0o755)
        apt = _Apt(home.parent / "apt")
        with console.status(f"{name}: reading Debian's package lists (once)"):
            trouble = apt.update()
        try:
            packages = apt.needed(source.packages) if source.dependencies else list(source.packages)
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
            with Progress(*columns, console=console) as progress:
                for package in progress.track(packages, description=f"{name} from Debian (once)"):
                    apt.unpack(package, archives, root)
        except (subprocess.SubprocessError, OSError) as error:
            raise PartUnavailableError(
                f"{name} is not on this machine and could not be fetched from Debian's packages "
                f"({trouble or _last_words(error)}): {advice}"
            ) from error
        if not any(root.glob(source.place)):
            raise PartUnavailableError(f"{name}: Debian's packages {wanted} hold no {source.place}: {advice}")
        if relocation := _RELOCATED.get(source.packages[0]):
            relocate(root, *relocation, home)
        _write_font_settings(root, home)
        root.rename(home)


def _write_font_settings(root: Path, home: Path) -> None:
    """Let the font library find the unpacked fonts in addition to the machine's own."""
    if (root / "usr/share/fonts").exists():
        (root / "fonts.conf").write_text(
            "<?xml version='1.0'?>\n<!DOCTYPE fontconfig SYSTEM 'urn:fontconfig:fonts.dtd'>\n<fontconfig>\n"
            f"  <dir>{home}/usr/share/fonts</dir>\n  <dir>/usr/share/fonts</dir>\n"
            f"  <cachedir>{home}/font-cache</cachedir>\n</fontconfig>\n",
            "utf-8",
        )


class _Apt:
    """apt-get with lists and downloads in our own folder; it only reads the machine's package status."""

    def __init__(self, state: Path) -> None:
        for folder in ("lists/partial", "cache/archives/partial"):
            (state / folder).mkdir(parents=True, exist_ok=True)
        self._settings = [
            *("-o", f"Dir::State::lists={state / 'lists'}"),
            *("-o", f"Dir::Cache={state / 'cache'}"),
            *("-o", "Debug::NoLocking=1"),
            *("-o", "APT::Sandbox::User=root"),
        ]

    def update(self) -> str | None:
        """Update the package lists; return the error if any, which matters only if a package is then missing.

        One unreachable source among several is common and often harmless.
        """
        try:
            self._run("update", "--error-on=any")
        except (subprocess.SubprocessError, OSError) as error:
            return _last_words(error)
        return None

    def needed(self, packages: Sequence[str]) -> list[str]:
        """Return `name=version` of the packages and of those dependencies that the machine lacks."""
        plan = self._run("install", "--simulate", "--no-install-recommends", *packages)
        return [
            f"{name}={version}" for name, version in WOULD_INSTALL.findall(plan) if name not in NEVER_UNPACKED
        ]

    def unpack(self, package: str, archives: Path, root: Path) -> None:
        self._run("download", package, cwd=archives)
        for archive in archives.glob("*.deb"):
            _checked(["dpkg-deb", "-x", str(archive), str(root)])
            archive.unlink()

    def _run(self, command: str, *arguments: str, cwd: Path | None = None) -> str:
        return _checked(["apt-get", *self._settings, "--quiet", command, *arguments], cwd)


def _last_words(error: Exception) -> str:
    lines = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
    return str(lines[-1]) if lines else str(error)


def _checked(argv: list[str], cwd: Path | None = None) -> str:
    return subprocess.run(
        argv,
        cwd=cwd,
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=APT_TIMEOUT_SECONDS,
        env={**os.environ, "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
    ).stdout
