"""The command line's manners: defaults are visible; no pipe, disk or locale brings a traceback."""

import errno
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import worked_month as month
from typer.testing import CliRunner

from streams.cli import app, outcome
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from tools.command_docs import leaves

LEAVES = dict(leaves())
FRAME = re.compile(r"[│╭╮╰╯─┌┐└┘|+]|\s+")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the address of a ledger of the worked month."""
    url = sqlite_url(tmp_path_factory.mktemp("finish") / "ledger.db")
    engine = open_ledger(url, create=True)
    apply_records(engine, month.records())
    engine.dispose()
    return url


def plain(text: str) -> str:
    """Return a help without its frames, spaces and line breaks."""
    return FRAME.sub("", text)


@pytest.mark.parametrize("path", LEAVES)
@pytest.mark.parametrize("columns", [60, 200])
def test_every_help_shows_every_default(path: str, columns: int, monkeypatch) -> None:
    """Each command's help says all of each option: its words, brackets included, and its default."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERMINAL_WIDTH", str(columns))
    shown = CliRunner().invoke(app, [*path.split(), "--help"], prog_name="portallink")
    assert shown.exit_code == 0, shown.output
    said = plain(shown.output)
    for one in LEAVES[path].params:
        if one.param_type_name != "option" or one.hidden or one.name == "help":
            continue
        assert plain(one.help or "") in said, one.name
        default = one.default
        if isinstance(default, str | int | float | Path) and not isinstance(default, bool) and default != "":
            assert f"default:{plain(str(default))}" in said, one.name


def portallink(*words: str, **settings):
    """Run the command line as a process."""
    return subprocess.run(
        [sys.executable, "-m", "streams", *words],
        check=False,
        timeout=120,
        stderr=subprocess.PIPE,
        **settings,
    )


def printing(ledger: str) -> list[tuple[str, ...]]:
    """Return commands that print a result of each kind: tables, documents, files, help."""
    asked = ("--month", "2025-04", "--ledger", ledger)
    return [
        ("outages", "summary", *asked),
        ("outages", "list", "--json", *asked),
        ("outages", "report", "--format", "pdf", *asked),
        ("links", "list", "--ledger", ledger),
        ("topics", "asyncapi"),
        ("outages", "list", "--help"),
    ]


@pytest.mark.parametrize("number", range(6))
def test_a_closed_pipe_ends_a_command_quietly(ledger: str, number: int) -> None:
    """Where the reader has left, a command ends without a word, as a pipe's end does."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as out:
        done = portallink(*printing(ledger)[number], stdout=out)
    assert done.stderr == b""
    assert done.returncode in (1, 141)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("number", range(6))
def test_a_full_disk_is_told(ledger: str, number: int) -> None:
    """Where the output cannot be written, one line says so and the exit code is 1."""
    with Path("/dev/full").open("wb") as out:
        done = portallink(*printing(ledger)[number], stdout=out)
    assert done.returncode == 1
    assert done.stderr.decode() == f"error: the output could not be written: {os.strerror(errno.ENOSPC)}\n"


@pytest.mark.parametrize("number", range(6))
def test_any_locale_will_do(ledger: str, number: int) -> None:
    """In the C locale, with an encoding of seven bits, every command prints, letters as escapes at worst."""
    environment = os.environ | {
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "COLUMNS": "60",
        "PYTHONUTF8": "0",
    }
    done = portallink(*printing(ledger)[number], stdout=subprocess.PIPE, env=environment)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    assert done.stdout


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch) -> None:
    """Where writing fails half way, the file that was there stays, and nothing is left beside it."""
    path = tmp_path / "report.pdf"
    path.write_bytes(b"before")

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    with pytest.raises(outcome.typer.Exit) as ended:
        outcome.write_whole(path, b"afterwards")
    monkeypatch.undo()
    assert ended.value.exit_code == 1
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    outcome.write_whole(path, b"afterwards")
    assert path.read_bytes() == b"afterwards"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """A path in a folder that is not there is refused by its name."""
    with pytest.raises(outcome.typer.Exit) as ended:
        outcome.write_whole(tmp_path / "none" / "report.pdf", b"x")
    assert ended.value.exit_code == 2
