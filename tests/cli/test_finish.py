"""Every default is visible in a help, and files are written whole."""

import re
import resource
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import app, outcome
from tools.command_docs import leaves

LEAVES = dict(leaves())
FRAME = re.compile(r"[│╭╮╰╯─┌┐└┘|+]|\s+")


def plain(text: str) -> str:
    """Return a help without its frames, spaces and line breaks."""
    return FRAME.sub("", text)


@pytest.mark.parametrize("path", LEAVES)
def test_every_help_shows_every_default(path: str, monkeypatch) -> None:
    """Each command's help says all of each option, even in 60 columns: its words, brackets, default."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERMINAL_WIDTH", "60")
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


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """Where writing fails half way, the file that was there stays, and nothing is left beside it."""
    path = tmp_path / "report.pdf"
    path.write_bytes(b"before")

    resource.setrlimit(resource.RLIMIT_FSIZE, (4, resource.RLIM_INFINITY))
    try:
        with pytest.raises(outcome.typer.Exit) as ended:
            outcome.write_whole(path, b"afterwards")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
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
