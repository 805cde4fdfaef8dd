"""Follows access logs into Kafka, and saves the position after the broker's confirmation.

One process follows a log; a lock on the file of positions keeps out a second one. While the broker is away
the follower waits; then it restarts from the saved position, as after a crash.
"""

import asyncio
import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from streams.ingest.gateway.files import naming_lines
from streams.ingest.gateway.following import BUFFER_MS, Following, FollowState, NoteRejected
from streams.ingest.mapping.mapper import Mapper
from streams.ingest.tail import Tail
from streams.kafka.publish import Publisher, PublishError
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS

POLL_SECONDS: Final = 0.5
PIECES_AT_ONCE: Final = 16
FIRST_WAIT_SECONDS: Final = 1.0
LONGEST_WAIT_SECONDS: Final = 30.0

_state: Final = msgspec.json.Decoder(FollowState)

Tell = Callable[[str], None]


class FollowError(RuntimeError):
    """Following cannot begin; the message says why."""


def hold_back_ms(mapper: Mapper, settings: MeasureSettings) -> int:
    """Return how long (ms) events must be held back so that none arrives behind the watermark."""
    return max(0, mapper.said.lookup_timeout_ms + BUFFER_MS - settings.out_of_orderness_ms)


class Followed:
    """Follows some logs: their paths, the map, the topics' names, the file of positions."""

    def __init__(
        self,
        paths: Sequence[Path],
        mapper: Callable[[], Mapper],
        hold_ms: int,
        state_file: Path,
        topic_names: Mapping[str, str],
        tell: Tell,
        note: NoteRejected,
    ) -> None:
        self._paths, self._mapper, self._hold_ms = list(paths), mapper, hold_ms
        self._state_file, self._names, self._tell, self._note = state_file, topic_names, tell, note
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End after the current step, once its records are confirmed and the position is saved."""
        self._stop.set()

    async def run(self, connection: Mapping[str, Any]) -> None:
        """Follow until `stop`.

        Raises:
            FollowError: another process follows these logs, or the file of positions cannot be used.
            ImportFileError: the map does not fit the log.
            PublishError: the broker could not be reached at the start.
        """
        with _locked(self._state_file):
            wait_seconds = 0.0
            while not self._stop.is_set():
                try:
                    await self._session(connection)
                except PublishError as error:
                    if not wait_seconds and not self._was_connected:
                        raise
                    wait_seconds = min(LONGEST_WAIT_SECONDS, max(FIRST_WAIT_SECONDS, 2 * wait_seconds))
                    self._tell(f"{error}; retrying in {wait_seconds:.0f} s")
                    with suppress(TimeoutError):
                        await asyncio.wait_for(self._stop.wait(), wait_seconds)

    _was_connected = False

    async def _session(self, connection: Mapping[str, Any]) -> None:
        """Follow from the saved position on, over one connection."""
        state = read_state(self._state_file)
        mapper = self._mapper()
        with ExitStack() as stack:
            async with Publisher(connection, topic_names=self._names) as publisher:
                topics = [LOOKUPS] if mapper.said.submissions is None else [LOOKUPS, SUBMISSIONS]
                counts = [await publisher.partitions_of(self._names[topic]) for topic in topics]
                if len(set(counts)) > 1:
                    raise FollowError(f"{' and '.join(topics)} do not have the same number of partitions")
                self._was_connected = True
                following = Following(mapper, counts[0], self._hold_ms, state, self._note)
                tails = [self._tail(path, mapper, following, state, stack) for path in self._paths]
                while not self._stop.is_set():
                    await self._step(following, tails, publisher)

    def _tail(
        self, path: Path, mapper: Mapper, following: Following, state: FollowState, stack: ExitStack
    ) -> Tail:
        position = state.positions.get(str(path))
        naming = naming_lines(mapper.said)
        tail = Tail(path, position, naming)
        stack.callback(tail.close)
        if position is not None and position.line > 1 and naming > 1:
            with suppress(FileNotFoundError), path.open("rb") as file:
                following.prime(file.readline())
        return tail

    async def _step(self, following: Following, tails: Sequence[Tail], publisher: Publisher) -> None:
        """Read new lines, send the events due, save the position; wait if there was nothing to do."""
        caught_up = True
        now_ms = time.time_ns() // 1_000_000
        for tail in tails:
            for _ in range(PIECES_AT_ONCE):
                piece = tail.read(time.monotonic())
                if piece is None:
                    break
                following.take(piece, now_ms)
            else:
                caught_up = False
            caught_up = caught_up and not tail.lingers
            for told in tail.notes:
                self._tell(told)
            tail.notes.clear()
        if following.began:
            write_state(self._state_file, following.confirmed())
        sent = False
        while records := following.due(now_ms, caught_up=caught_up):
            for record in records:
                await publisher.append(record)
            await publisher.flush()
            write_state(self._state_file, following.confirmed())
            sent = True
            if self._stop.is_set():
                return
        if caught_up and not sent:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), POLL_SECONDS)


def read_state(path: Path) -> FollowState:
    """Return the saved state, or a new one if there is none. Raises `FollowError` if it is damaged."""
    try:
        return _state.decode(path.read_bytes())
    except FileNotFoundError:
        return FollowState(follower=f"follow-{uuid.uuid4().hex[:12]}")
    except (OSError, msgspec.DecodeError) as error:
        raise FollowError(
            f"{path}: the file of positions cannot be read: {error}; without it the logs are read from their "
            "beginning"
        ) from error


def write_state(path: Path, state: FollowState) -> None:
    """Save the state atomically."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(msgspec.json.encode(state))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Keep out other followers that use the same file of positions."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_name(path.name + ".lock").open("w")
    except OSError as error:
        raise FollowError(f"{path}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise FollowError(f"{path}: another process follows these logs") from error
        yield
