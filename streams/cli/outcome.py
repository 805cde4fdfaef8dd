"""How commands end: results on stdout, everything said about them on stderr, and the exit codes.

0 done, 1 failed, 2 bad usage or input.
"""

import json
import sys
from typing import Any, NoReturn

import typer
from rich.console import Console

FAILED = 1
BAD_USAGE = 2

notes = Console(stderr=True)
"""Where progress, remarks and errors go, so that stdout holds results alone."""


def print_json(result: Any) -> None:
    """Print a result for programs: one JSON document."""
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def fail(error: Exception | str) -> NoReturn:
    """End the command because it could not be done."""
    _end(error, FAILED)


def refuse(error: Exception | str) -> NoReturn:
    """End the command because of what it was given."""
    _end(error, BAD_USAGE)


def _end(error: Exception | str, code: int) -> NoReturn:
    notes.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(code)
