"""One record of one source partition, wherever it was read: Kafka, a log file or a test."""

from typing import NamedTuple


class Record(NamedTuple):
    """A record as it lies in the log; ``logged_at_ms`` is the broker's time, or the original's on replay."""

    topic: str
    partition: int
    offset: int
    logged_at_ms: int
    key: bytes | None
    value: bytes
