"""The files that pages refer to: style, script and sign, each under an address that changes with it."""

import hashlib
from functools import cache
from importlib.resources import files


@cache
def static_file(name: str) -> bytes:
    """Return a file that pages refer to."""
    return files("streams.serve").joinpath("static", name).read_bytes()


@cache
def static_address(name: str) -> str:
    """Return the address of a file, which changes when the file does."""
    return f"/static/{name}?{hashlib.sha256(static_file(name)).hexdigest()[:12]}"
