"""How commands print and end: results on stdout, everything said about them on stderr, and the exit codes.

0 done, 1 failed, 2 bad usage or input.

Whatever is printed is data: square brackets are no markup, `:name:` is no emoji, and an escape sequence is
shown, not obeyed. All consoles, columns and styled words come from here; `tests/style` holds it.
"""

import errno
import json
import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console, ConsoleDimensions
from rich.progress import Task, TextColumn
from rich.text import Text

from streams.logs.whole import whole_file
from streams.model.text import visible

FAILED = 1
BAD_USAGE = 2
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What a disk says that takes no more: nothing that was asked is wrong."""


WHOLE_COLUMNS = 10_000
"""The width where no terminal limits it: tables take the room that they need."""


class Screen(Console):
    """A console that takes every string as data, in tables, titles and lines alike.

    `COLUMNS` sets the width. Without it a terminal's own width holds, and what is piped or written to a file
    is printed whole.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        # The width is asked for at each print: COLUMNS would otherwise hold as it was at import.
        environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False, _environ=environment)

    @property  # type: ignore[misc]  # rich's setter fixes a size for good, which nobody here does
    def size(self) -> ConsoleDimensions:
        """Return the width and height to print for, in characters."""
        columns = os.environ.get("COLUMNS", "")
        own = super().size
        if columns.isdecimal() and int(columns) > 0:
            return ConsoleDimensions(int(columns), own.height)
        return own if self.is_terminal or self.stderr else ConsoleDimensions(WHOLE_COLUMNS, own.height)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **settings: Any) -> None:
        """Print; lines of text are left to the terminal to wrap, so that no time or path is broken."""
        if soft_wrap is None:
            soft_wrap = all(isinstance(one, str | Text) for one in objects)
        super().print(*objects, soft_wrap=soft_wrap, **settings)

    def render_str(self, text: str, **settings: Any) -> Text:
        """Return a string as it is shown."""
        return super().render_str(visible(text), **settings)


class Words(TextColumn):
    """A column of a progress bar, as a format of its task."""

    def render(self, task: Task) -> Text:
        """Return what the column says of a task."""
        return Text(visible(self.text_format.format(task=task)), justify=self.justify)


results = Screen()
"""Where results go that people read."""
notes = Screen(stderr=True)
"""Where progress, remarks and errors go, so that stdout holds results alone."""


def styled(text: str, style: str) -> Text:
    """Return data in a style, for a cell or as a part of a line."""
    return Text(visible(text), style)


def say(*words: str | Text) -> None:
    """Print a line of a result, as long as it is; words are set apart by spaces."""
    results.print(*words)


def print_json(result: Any) -> None:
    """Print a result for programs: one JSON document."""
    print_document(json.dumps(result, indent=2, ensure_ascii=False))


def print_document(text: str) -> None:
    """Print a text in a language of programs (JSON, YAML, PEM) as it is, ended by a line feed."""
    sys.stdout.write(visible(text).removesuffix("\n") + "\n")


def write_whole(path: Path, content: bytes) -> None:
    """Write a file, which appears whole or not at all; end the command where it cannot be written."""
    try:
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        not_written(path, error)


def not_written(path: Path | None, error: OSError) -> NoReturn:
    """End the command because something cannot be written: a full disk is a failure, a bad path bad usage.

    Without a ``path`` the file that the error names is meant.
    """
    end = fail if error.errno in FULL else refuse
    name = path or error.filename
    end(f"{name}: {error.strerror}" if name and error.strerror else error)


def fail(error: Exception | str) -> NoReturn:
    """End the command because it could not be done."""
    _end(error, FAILED)


def refuse(error: Exception | str) -> NoReturn:
    """End the command because of what it was given."""
    _end(error, BAD_USAGE)


def _end(error: Exception | str, code: int) -> NoReturn:
    notes.print(f"error: {error}", style="red", soft_wrap=True)
    raise typer.Exit(code)
