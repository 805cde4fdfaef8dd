"""One line of a log file: a record of a topic, its value byte for byte.

A JSON value is written into the line as it is (the same bytes, so that digests survive the way from topic to
file and back); any other value, or one that contains a line break, is written as base64.
"""

from base64 import b64decode, b64encode
from typing import Final

import msgspec
from msgspec import Raw, Struct, field

from streams.model.border import UNREADABLE
from streams.model.digest import Entry
from streams.model.record import ByPartition, Record, original_ms


class LogLineError(ValueError):
    """A line that is not a record; the message says what is wrong with it."""


class _Line(Struct, omit_defaults=True, gc=False):
    topic: str
    partition: int
    offset: int
    logged_at_ms: int
    key: str | None = None
    key_base64: str | None = None
    value: Raw = field(default_factory=Raw)
    value_base64: str | None = None


class _Envelope(Struct, gc=False):
    """A record as `kcat -J` prints it; ``ts`` is -1 if the record has no time."""

    topic: str
    partition: int
    offset: int
    ts: int
    headers: list[str | None] = field(default_factory=list)
    key: str | None = None
    payload: str | None = None


_decoder: Final = msgspec.json.Decoder(_Line)
_envelope: Final = msgspec.json.Decoder(_Envelope)
_encoder: Final = msgspec.json.Encoder()
TOMBSTONE: Final = b""
"""The value that `streams.logs.capture` writes for a record without one."""


def decode_record(document: bytes) -> Record:
    """Return the record in a JSON object, ours or kcat's envelope; raise `LogLineError` if it is neither.

    >>> decode_record(b'{"topic": "t", "partition": 0, "offset": 7, "ts": 5, "key": null, "payload": "{}"}')
    Record(topic='t', partition=0, offset=7, logged_at_ms=5, key=None, value=b'{}')
    """
    try:
        return decode_line(document)
    except LogLineError as error:
        try:
            envelope = _envelope.decode(document)
        except UNREADABLE:
            raise LogLineError(
                f"not a record of a log: {error}; expected topic, partition, offset, logged_at_ms, key and "
                "value, or what kcat -J prints"
            ) from error
    if envelope.partition < 0 or envelope.offset < 0:
        raise LogLineError("`partition` and `offset` must not be negative")
    names, values = envelope.headers[::2], envelope.headers[1::2]
    headers = [(name or "", (value or "").encode()) for name, value in zip(names, values, strict=False)]
    return Record(
        envelope.topic,
        envelope.partition,
        envelope.offset,
        original_ms(headers, envelope.ts),
        None if envelope.key is None else envelope.key.encode(),
        TOMBSTONE if envelope.payload is None else envelope.payload.encode(),
    )


def decode_line(line: bytes) -> Record:
    """Return the record of one line; raise `LogLineError` if it is not a record."""
    try:
        return _record(_decoder.decode(line))
    except (*UNREADABLE, ValueError) as error:
        raise LogLineError(str(error)) from error


def _record(parsed: _Line) -> Record:
    value = bytes(parsed.value)
    if not value:
        if parsed.value_base64 is None:
            raise LogLineError("neither `value` nor `value_base64`")
        value = b64decode(parsed.value_base64, validate=True)
    if parsed.key is not None:
        key: bytes | None = parsed.key.encode()
    else:
        key = b64decode(parsed.key_base64, validate=True) if parsed.key_base64 is not None else None
    if parsed.partition < 0 or parsed.offset < 0:
        raise LogLineError("`partition` and `offset` must not be negative")
    return Record(parsed.topic, parsed.partition, parsed.offset, parsed.logged_at_ms, key, value)


def decode_lines(block: bytes) -> list[Record]:
    r"""Return the records of a block of whole lines: `decode_line` of each, at several times its speed.

    Raises `LogLineError` if any line is not a record, without saying which; `decode_line` finds it.

    >>> decode_lines(b'{"topic":"t","partition":0,"offset":7,"logged_at_ms":1,"value":{}}\n')
    [Record(topic='t', partition=0, offset=7, logged_at_ms=1, key=None, value=b'{}')]
    """
    try:
        return [_record(line) for line in _decoder.decode_lines(block)]
    except (*UNREADABLE, ValueError) as error:
        raise LogLineError(str(error)) from error


def decode_partitions(block: bytes) -> ByPartition:
    r"""Return a block's records by partition: `decode_lines` and grouping in one pass.

    >>> decode_partitions(b'{"topic":"t","partition":0,"offset":7,"logged_at_ms":1,"value":{}}\n')
    {('t', 0): [(7, 1, None, b'{}')]}
    """
    partitions: ByPartition = {}
    try:
        for line in _decoder.decode_lines(block):
            offset, key, value = line.offset, line.key, line.value
            entry: Entry
            if line.value_base64 is None and line.key_base64 is None and len(value) and offset >= 0:
                entry = offset, line.logged_at_ms, None if key is None else key.encode(), bytes(value)
            else:
                entry = _record(line)[2:]
            source = line.topic, line.partition
            if source in partitions:
                partitions[source].append(entry)
            else:
                _record(line)  # validates the partition number
                partitions[source] = [entry]
    except (*UNREADABLE, ValueError) as error:
        raise LogLineError(str(error)) from error
    return partitions


def encode_line(record: Record) -> bytes:
    r"""Return the line of a record, without its line break.

    >>> encode_line(Record("t", 0, 7, 1000, b"k", b'{"a":1}'))
    b'{"topic":"t","partition":0,"offset":7,"logged_at_ms":1000,"key":"k","value":{"a":1}}'
    >>> decode_line(encode_line(Record("t", 0, 7, 1000, None, b"\xff"))).value
    b'\xff'
    """
    line: dict[str, object] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "logged_at_ms": record.logged_at_ms,
        "key": None,
    }
    if record.key is not None:
        try:
            line["key"] = record.key.decode()
        except UnicodeDecodeError:
            line["key_base64"] = b64encode(record.key).decode()
    if _is_plain_json(record.value):
        line["value"] = Raw(record.value)
    else:
        line["value_base64"] = b64encode(record.value).decode()
    return _encoder.encode(line)


def _is_plain_json(value: bytes) -> bool:
    """Return whether the bytes can be written into a line and read back unchanged."""
    if not value or value[0] in b" \t\r\n" or value[-1] in b" \t\r\n" or b"\n" in value or b"\r" in value:
        return False
    try:
        msgspec.json.decode(value, type=Raw)
        value.decode()
    except UNREADABLE:
        return False
    return True
