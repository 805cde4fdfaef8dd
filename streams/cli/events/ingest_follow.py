"""`portallink ingest http --follow`: access logs into Kafka while they are written."""

import asyncio
import signal
from hashlib import blake2b
from pathlib import Path
from typing import Final

from streams.cli.outcome import fail, notes, refuse
from streams.ingest.follow import Followed, FollowError, hold_back_ms
from streams.ingest.gateway.formats import Format
from streams.ingest.mapping.mapper import Mapper
from streams.ingest.mapping.places import MapError
from streams.ingest.shell import load_mapper
from streams.ingest.tally import ImportFileError
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.publish import PublishError
from streams.model.located import LocatedError
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS
from streams.servers.paths import data_dir

SHOWN_REJECTS: Final = 20


def mapper_named(name: str) -> Mapper:
    """Return what applies a map; what is wrong with it ends the command."""
    try:
        return load_mapper(name)
    except LocatedError as error:
        refuse(error)


def follow_logs(
    files: list[str],
    map_name: str,
    suffix: str,
    settings: MeasureSettings,
    state: Path | None,
    hold_back_seconds: float | None,
) -> None:
    """Follow logs until the process is asked to end; a broker that is not there at first is a failure."""
    mapper = mapper_named(map_name)
    try:
        Format(mapper.said, mapper.fields)
    except MapError as error:
        refuse(f"the map cannot read lines: {error}")
    paths = [Path(name).absolute() for name in files]
    hold_ms = hold_back_ms(mapper, settings) if hold_back_seconds is None else round(hold_back_seconds * 1000)
    state_file = state or _state_file(paths, suffix)
    names = {topic: f"{topic}-{suffix}" if suffix else topic for topic in (LOOKUPS, SUBMISSIONS)}
    told = _Rejected()
    followed = Followed(paths, lambda: mapper_named(map_name), hold_ms, state_file, names, _tell, told.note)
    try:
        connection = kafka_connection()
    except ConnectionSettingsError as error:
        refuse(error)
    _tell(f"following {', '.join(map(str, paths))}, {hold_ms / 1000:g} s behind; positions in {state_file}")

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, followed.stop)
        await followed.run(connection)

    try:
        asyncio.run(run())
    except (FollowError, ImportFileError) as error:
        refuse(error)
    except (PublishError, OSError) as error:
        fail(error)


def _state_file(paths: list[Path], suffix: str) -> Path:
    name = blake2b("\n".join([*map(str, paths), suffix]).encode(), digest_size=8).hexdigest()
    return data_dir() / "follow" / f"{name}.json"


def _tell(text: str) -> None:
    notes.print(text)


class _Rejected:
    """Shows the first lines that could not be used, and then counts them by the thousand."""

    def __init__(self) -> None:
        self._count = 0

    def note(self, path: str, line: int, reason: str) -> None:
        """Take in one."""
        self._count += 1
        if self._count <= SHOWN_REJECTS:
            _tell(f"rejected: {path}: line {line}: {reason}")
        elif self._count % 1_000 == 0:
            _tell(f"rejected so far: {self._count:,} lines")
