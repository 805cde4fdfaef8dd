"""Finds the operational-monitoring records in a document, or the reason why it cannot be used.

Most documents are records under the names of PR-OPMON, decoded in one pass. The others are:

- fields with other spellings: columns of the database (`request_in_ts`), lower case, prefixes with dots
- values of MongoDB's extended JSON (`{"$numberLong": "..."}`)
- a wrapped record: Elasticsearch's `_source`, a message of a queue, a row of a database
- the corrector's documents, which hold the records of both sides under `client` and `producer`
- the action lines of Elasticsearch's bulk files, which are skipped
- open data, whose times are rounded to the hour, so that outages cannot be detected: refused with an
  explanation
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import Raw

from streams.ingest.values import RejectedRecordError, Scalar, text_of
from streams.ingest.xroad.record import Fields, XRoadRecord, reduce
from streams.ingest.xroad.values import NotXRoadError
from streams.intake.text import mended
from streams.model.border import UNREADABLE

WRAPPERS: Final = (
    "_source",
    "payload",
    "value",
    "message",
    "record",
    "document",
    "doc",
    "row",
    "json",
    "log",
    "data",
    "event",
    "row_to_json",
    "to_json",
    "to_jsonb",
    "_airbyte_data",
)
"""Keys under which tools put a whole record, as an object or as text."""
MAX_WRAPPERS: Final = 4
BULK_ACTIONS: Final = frozenset({"index", "create", "update"})
CONTAINERS: Final = (
    ("records",),
    ("hits", "hits"),
    ("data",),
    ("items",),
    ("results",),
    ("rows",),
    ("json_agg",),
    ("documents",),
)
"""The keys under which an answer or an export may hold its array of records."""

OPEN_DATA: Final = (
    "open data, whose times are rounded to the hour: outages cannot be detected in it; use the records of "
    "the security servers (getSecurityServerOperationalData) or of the collector's database"
)
NO_FIELDS: Final = (
    "it has none of the fields of an operational-monitoring record, such as requestInTs, responseOutTs and "
    "succeeded"
)
HOUR_MS: Final = 3_600_000

_ENCODED: Final = {field.name: field.encode_name for field in msgspec.structs.fields(Fields)}
_NAMES: Final = {encoded.lower(): name for name, encoded in _ENCODED.items()}
_NUMBERS: Final = ("$numberLong", "$numberInt", "$numberDouble", "$numberDecimal", "$date")

_record: Final = msgspec.json.Decoder(Fields)
_object: Final = msgspec.json.Decoder(dict[str, Raw])
_any: Final = msgspec.json.Decoder(Any)


def column_of(name: str) -> str | None:
    """Return the field that a name means in any of its spellings, None if it means none.

    >>> column_of("request_in_ts"), column_of("_source.requestInTs"), column_of("temperature")
    ('requestInTs', 'requestInTs', None)
    """
    known = _NAMES.get(_folded(name))
    return None if known is None else _ENCODED[known]


def _folded(name: str) -> str:
    return name.rpartition(".")[2].replace("_", "").replace("-", "").replace(" ", "").lower()


def parse_records(document: bytes | Mapping[str, str]) -> list[XRoadRecord]:
    """Return the records in a JSON object, or in a row of a table given by its column names.

    Raises `NotXRoadError` if it has no X-Road field, `RejectedRecordError` if it is unusable.
    """
    if not isinstance(document, bytes):
        return list(_records_of({name: value for name, value in document.items() if name}, 0))
    try:
        fields = _record.decode(document)
    except UNREADABLE:
        return list(_records_of(_decoded(document), 0))
    if fields.request_in_ts is None:
        return list(_records_of(_decoded(document), 0))
    try:
        return [reduce(fields)]
    except RejectedRecordError as error:
        raise _told(error, _decoded(document)) from error


def _decoded(document: bytes) -> dict[str, Raw]:
    """Return the values of a JSON object, with invalid text replaced. Raises `NotXRoadError` if none."""
    try:
        return _object.decode(document)
    except UNREADABLE as first:
        try:
            return _object.decode(mended(document))
        except UNREADABLE:
            raise NotXRoadError(f"not a JSON object: {_reason(first)}") from first


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "a text in it is not UTF-8"
    return str(error).removeprefix("JSON is malformed: ")


def _records_of(values: Mapping[str, Any], wrapped: int) -> Iterator[XRoadRecord]:
    if "client" in values and "producer" in values:
        yield from _both_sides(values)
        return
    fields = _fields_of(values)
    if fields == Fields():
        if len(values) == 1 and next(iter(values)) in BULK_ACTIONS:
            return
        yield from _unwrapped(values, wrapped)
        return
    try:
        record = reduce(fields)
    except RejectedRecordError as error:
        raise _told(error, values) from error
    yield record


def _both_sides(values: Mapping[str, Any]) -> Iterator[XRoadRecord]:
    """Yield the records of the corrector's document, in which a side without a record is null."""
    found = False
    for side in ("client", "producer"):
        held = _value(values[side])
        if isinstance(held, dict):
            found = True
            fields = _fields_of(held)
            fields.security_server_type = fields.security_server_type or side
            fields.x_request_id = fields.x_request_id or _scalar("xRequestId", values.get("xRequestId"))
            yield reduce(fields)
    if not found:
        raise NotXRoadError("a document of client and producer in which both are empty")


def _unwrapped(values: Mapping[str, Any], wrapped: int) -> Iterator[XRoadRecord]:
    for name in WRAPPERS:
        held = _value(values.get(name))
        if isinstance(held, str) and held.lstrip()[:1] == "{":
            held = _decoded(held.encode("utf-8", "replace"))
        if isinstance(held, dict) and wrapped < MAX_WRAPPERS:
            yield from _records_of(held, wrapped + 1)
            return
    raise NotXRoadError(NO_FIELDS)


def _fields_of(values: Mapping[str, Any]) -> Fields:
    """Return the fields in any spelling of their names; nothing else is decoded."""
    fields = Fields()
    for name, value in values.items():
        known = _NAMES.get(_folded(name))
        if known is not None and getattr(fields, known) is None:
            setattr(fields, known, _scalar(name, value))
    return fields


def _scalar(name: str, value: Any) -> Scalar:
    held = _value(value)
    if isinstance(held, dict):
        held = next((_scalar(name, held[kind]) for kind in _NUMBERS if kind in held), None)
        if held is None:
            raise RejectedRecordError(f"{column_of(name)} is an object")
    if isinstance(held, list):
        if len(held) != 1:  # Elasticsearch's `fields` are all lists
            raise RejectedRecordError(f"{column_of(name)} is a list")
        held = held[0]
    return held if held is None or isinstance(held, str | int | float | bool) else None


def _value(value: Any) -> Any:
    """Return a value, decoded if it is not yet. Raises `RejectedRecordError` if it cannot be decoded."""
    if not isinstance(value, Raw):
        return value
    text = bytes(value)
    if text.startswith(b"{"):  # its values stay undecoded, as some of them must not be read
        return _decoded(text)
    try:
        return _any.decode(text)
    except UNREADABLE:
        pass
    try:
        return _any.decode(mended(text))
    except UNREADABLE as error:
        raise RejectedRecordError(f"a value cannot be read: {error}") from error


def _told(error: RejectedRecordError, values: Mapping[str, Any]) -> RejectedRecordError:
    """Return a more helpful reason if the fields show that it is open data, otherwise the error itself."""
    names = {name.replace("_", "").lower() for name in values}
    if "responseoutts" not in names and {"requestindate", "totalduration"} & names:
        started = text_of(_scalar("requestInTs", values.get("requestInTs", values.get("request_in_ts"))))
        if started.isdecimal() and int(started) % HOUR_MS == 0:
            return RejectedRecordError(OPEN_DATA)
    return error
