"""Real servers and programs that a machine may lack: how a test asks for one."""

import contextlib
import os
from collections.abc import Iterator

import pytest

from streams.servers.debian import Program, find_program
from streams.servers.errors import PartUnavailableError


@contextlib.contextmanager
def needed_part() -> Iterator[None]:
    """Skip a test whose dependency is unavailable, naming it; in CI the test fails instead."""
    try:
        yield
    except PartUnavailableError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(str(missing))


def program_or_skip(name: str) -> Program:
    """Return a real program, or skip the test with a line that says how to install it."""
    with needed_part():
        return find_program(name)
