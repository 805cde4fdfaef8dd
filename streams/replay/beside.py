"""Meter a log file in a second process while this one judges the measurements.

The other process runs `main` of this module. It writes frames to its standard output: the length (four
bytes, big-endian), then a `Batch` or a `Failure` as MessagePack. A thread here reads them ahead, so that
neither process waits for the other.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Thread
from traceback import format_exc
from typing import BinaryIO, Final

import msgspec
from msgspec import Struct

from streams.logs.file import LogFileError, seldom_collected
from streams.logs.read import read_partitions
from streams.model.settings import MeasureSettings
from streams.replay.metering import Batch, metered

AHEAD: Final = 256
"""Frames read ahead: about ten kilobytes each, so little memory, but much more than a pipe holds."""
_HEAD: Final = 4
_LOOKUPS_ONLY: Final = "lookups-only"
_PROGRAM: Final = "import sys; from streams.replay.beside import main; sys.exit(main())"


class Failure(Struct, array_like=True, tag="failure"):
    """Why the log cannot be metered; ``line`` is None if the log is not at fault."""

    reason: str
    path: str | None = None
    line: int | None = None


class WorkerError(RuntimeError):
    """The metering process ended for a reason unrelated to the log."""


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Batch | Failure).decode


def metered_beside(path: Path, settings: MeasureSettings, *, lookups_only: bool = False) -> Iterator[Batch]:
    """Yield the batches of a log file, metered (see `metered`) in a second process.

    Raises `LogFileError` if the log cannot be read, `WorkerError` if the process fails otherwise.
    """
    here = str(Path(__file__).parents[2])
    paths = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
    command = [
        sys.executable,
        "-c",
        _PROGRAM,
        str(path),
        msgspec.json.encode(settings).decode(),
        *([_LOOKUPS_ONLY] if lookups_only else []),
    ]
    process = subprocess.Popen(  # noqa: S603 - the same interpreter, with arguments of our own
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.stdout is not None
    frames: SimpleQueue[bytes | None] = SimpleQueue()
    room = BoundedSemaphore(AHEAD)
    reader = Thread(target=_read_ahead, args=(process.stdout, frames, room), daemon=True)
    reader.start()
    try:
        while (frame := frames.get()) is not None:
            room.release()
            told = _decode(frame)
            if isinstance(told, Failure):
                if told.path is not None and told.line is not None:
                    raise LogFileError(Path(told.path), told.line, told.reason)
                raise WorkerError(told.reason)
            yield told
            if told.partitions is not None:
                return
        raise WorkerError(f"the process that meters {path} ended with exit code {process.wait()}")
    finally:
        process.kill()
        while reader.is_alive():  # it may be waiting for room
            try:
                if frames.get(timeout=0.01) is not None:
                    room.release()
            except Empty:
                continue
        process.stdout.close()
        process.wait()


def _read_ahead(pipe: BinaryIO, frames: "SimpleQueue[bytes | None]", room: BoundedSemaphore) -> None:
    """Put each whole frame into the queue while there is room, and None at the end."""
    while len(head := pipe.read(_HEAD)) == _HEAD:
        size = int.from_bytes(head, "big")
        frame = pipe.read(size)
        if len(frame) < size:
            break
        room.acquire()
        frames.put(frame)
    frames.put(None)


def work(path: Path, settings: MeasureSettings, pipe: BinaryIO, *, lookups_only: bool = False) -> bool:
    """Meter a log file and send its frames; on failure, send the reason and return False."""
    try:
        for batch in metered(read_partitions(path), settings, lookups_only=lookups_only):
            _send(pipe, batch)
    except LogFileError as error:
        _send(pipe, Failure(error.reason, str(error.path), error.line))
    except BrokenPipeError:
        return False  # the reader has gone
    except Exception:  # noqa: BLE001 - any failure must be reported to the other process
        _send(pipe, Failure(format_exc()))
    else:
        return True
    return False


def _send(pipe: BinaryIO, told: Batch | Failure) -> None:
    frame = _encode(told)
    pipe.write(len(frame).to_bytes(_HEAD, "big") + frame)
    pipe.flush()


def main() -> int:
    """Meter the log file named by the arguments."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the calling process reports the interruption
    path, settings = Path(sys.argv[1]), msgspec.json.decode(sys.argv[2], type=MeasureSettings)
    with seldom_collected():
        done = work(path, settings, sys.stdout.buffer, lookups_only=_LOOKUPS_ONLY in sys.argv[3:])
    return 0 if done else 1
