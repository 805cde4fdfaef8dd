"""How a command starts and ends, whatever becomes of where it prints: no traceback for what is nobody's bug.

A reader that went away ends a command quietly, as `head` expects; a full disk is told; letters that a
terminal cannot show are written as escapes.
"""

import logging
import os
import sys
from collections.abc import Callable
from typing import Any, Final

READER_GONE: Final = 141
"""What a shell reports of a program that a closed pipe ended: 128 and SIGPIPE's number."""
FAILED: Final = 1


def run(command: Callable[[], None]) -> None:
    """Call a command line and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    # What the Kafka client tells its log the command tells as well; without a handler it would go to stderr.
    logging.getLogger("aiokafka").addHandler(logging.NullHandler())
    try:
        command()
        code: Any = 0
    except SystemExit as ended:
        code = ended.code
    except OSError as error:
        if not _is_about_output(error):
            raise
        code = _lost(error)
    try:
        sys.stdout.flush()
    except OSError as error:
        code = _lost(error)
    sys.exit(code)


def _is_about_output(error: OSError) -> bool:
    """Say whether a stream failed: an error of a file names the file, and is the command's own to tell."""
    return error.filename is None and error.errno is not None


def _lost(error: OSError) -> int:
    """Say that output was lost, unless its reader left by himself; let the interpreter end in peace."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        return READER_GONE
    sys.stderr.write(f"error: the output could not be written: {error.strerror}\n")
    return FAILED
