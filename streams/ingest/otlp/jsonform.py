"""Reads the spans of an export in JSON, decoding each separately.

OTLP's JSON has names in camel case, ids in hexadecimal, 64-bit numbers as text, and enumerations as numbers.
Names of enumerations and plain numbers are accepted as well, since some senders write those.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from streams.ingest.otlp.fields import (
    EXCEPTION,
    EXCEPTION_TYPE,
    LONGEST_VALUE,
    URLS,
    Wanted,
    host_in,
    kind_of,
    status_of,
)
from streams.ingest.otlp.found import MOST_SPAN_BYTES, Found, Source, source_of
from streams.ingest.otlp.names import KINDS, STATUSES, renewed
from streams.ingest.values import RejectedRecordError

Number = int | str


class NotOtlpJsonError(ValueError):
    """A text that is not an export in JSON; the message says why."""


class _Camel(Struct, rename="camel", gc=False):
    """Base of the types whose names are in camel case in JSON."""


class _Array(_Camel):
    values: list["_Any"] = []


class _Any(_Camel):
    string_value: str | None = None
    int_value: Number | None = None
    double_value: float | str | None = None
    bool_value: bool | None = None
    array_value: _Array | None = None


class _Attribute(_Camel):
    key: str = ""
    value: _Any | None = None


class _StatusSaid(_Camel):
    code: Number = 0
    message: str = ""


class _Noted(_Camel):
    name: str = ""
    attributes: list[_Attribute] = []


class _Span(_Camel):
    trace_id: str = ""
    span_id: str = ""
    parent_span_id: str = ""
    name: str = ""
    kind: Number = 0
    start_time_unix_nano: Number = 0
    end_time_unix_nano: Number = 0
    attributes: list[_Attribute] = []
    events: list[_Noted] = []
    status: _StatusSaid | None = None


class _Scope(_Camel):
    spans: list[Raw] = []


class _Resource(_Camel):
    attributes: list[_Attribute] = []


class _ResourceSpans(_Camel):
    resource: _Resource | None = None
    scope_spans: list[_Scope] = []


class _Export(_Camel):
    resource_spans: list[_ResourceSpans]


_export: Final = msgspec.json.Decoder(_Export)
_span: Final = msgspec.json.Decoder(_Span)


def spans(data: bytes, wanted: Wanted) -> Iterator[Found]:
    """Yield the spans of an export, each unusable one with its error.

    Raises:
        NotOtlpJsonError: the text is not an export.
    """
    try:
        export = _export.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise NotOtlpJsonError(_reason(error)) from error
    except RecursionError:
        raise NotOtlpJsonError("nested too deep") from None
    for of_resource in export.resource_spans:
        source, base = _resource(of_resource.resource, wanted)
        for scope in of_resource.scope_spans:
            for raw in scope.spans:
                try:
                    yield Found(source, *_values(_decoded(raw), base, wanted))
                except RejectedRecordError as error:
                    yield Found(source, error=error)


def _reason(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "a text in it is not UTF-8"
    return str(error).removeprefix("JSON is malformed: ")


def _decoded(raw: Raw) -> _Span:
    data = memoryview(raw)
    if len(data) > MOST_SPAN_BYTES:
        raise RejectedRecordError(f"the span is longer than {MOST_SPAN_BYTES:,} bytes")
    try:
        return _span.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RejectedRecordError(f"the span is not a span in JSON: {_reason(error)}") from error
    except RecursionError:
        raise RejectedRecordError("the span is nested too deep") from None


def _resource(resource: _Resource | None, wanted: Wanted) -> tuple[Source, list[Any]]:
    """Return the sender of the spans, and the values that all of them share."""
    attributes = {one.key: _plain(one.value) for one in resource.attributes} if resource else {}
    return source_of(attributes), wanted.base(attributes)


def _values(span: _Span, base: list[Any], wanted: Wanted) -> tuple[str, list[Any]]:
    """Return a span's identity and values."""
    values = base.copy()
    kind = _numbered(span.kind, KINDS)
    attributes, old_ones = wanted.attributes, wanted.old[kind if 0 <= kind < len(wanted.old) else 0]
    for one in span.attributes:
        place = attributes.get(one.key)
        if place is not None:
            values[place] = _plain(one.value)
        elif one.key in old_ones:
            place = old_ones[one.key]
            if values[place] is base[place]:  # a value under the new name takes precedence
                values[place] = renewed(one.key, _plain(one.value))
    if wanted.host is not None and values[wanted.host] is None:
        addresses = (_plain(one.value) for one in span.attributes if one.key in URLS)
        values[wanted.host] = next(filter(None, map(host_in, addresses)), None)
    if wanted.error is not None and values[wanted.error] is None and span.events:
        values[wanted.error] = _exception(span)
    trace_id, span_id = span.trace_id.lower(), span.span_id.lower()
    if not (_is_id(trace_id, 32) and _is_id(span_id, 16)):
        raise RejectedRecordError("the span has no valid trace id and span id")
    for name, place in wanted.own.items():
        values[place] = _OWN[name](span)
    return f"{trace_id}-{span_id}", values


def _is_id(text: str, length: int) -> bool:
    if len(text) != length or not text.isascii() or not text.isalnum():
        return False
    try:
        return int(text, 16) != 0
    except ValueError:
        return False


def _numbered(value: Number, names: tuple[str, ...]) -> int:
    """Return the number of an enumeration's value, which may be given by name."""
    if isinstance(value, int):
        return value
    name = value.removeprefix("SPAN_KIND_").removeprefix("STATUS_CODE_").lower()
    return names.index(name) if name in names else 0


def _status(span: _Span) -> str:
    return status_of(0 if span.status is None else _numbered(span.status.code, STATUSES))


def _whole(value: Number) -> Number:
    """Return a 64-bit number, which JSON carries as text; other text is returned unchanged."""
    digits = value.removeprefix("-") if isinstance(value, str) else ""
    return int(value) if digits.isdecimal() and len(digits) < 25 else value


def _exception(span: _Span) -> Any:
    for noted in reversed(span.events):
        if noted.name == EXCEPTION:
            return next((_plain(one.value) for one in noted.attributes if one.key == EXCEPTION_TYPE), None)
    return None


def _plain(value: _Any | None) -> Any:
    """Return a value as a Python object, None for bytes and objects."""
    if value is None:
        return None
    if value.string_value is not None:
        return value.string_value[:LONGEST_VALUE]
    if value.int_value is not None:
        return _whole(value.int_value)
    if value.bool_value is not None:
        return value.bool_value
    if value.double_value is not None:
        return value.double_value
    if value.array_value is not None:
        return [_plain(one) for one in value.array_value.values[:100]]
    return None


_OWN: Final[dict[str, Callable[[_Span], Any]]] = {
    "trace_id": lambda span: span.trace_id.lower(),
    "span_id": lambda span: span.span_id.lower(),
    "parent_span_id": lambda span: span.parent_span_id.lower()[:16],
    "span.name": lambda span: span.name[:LONGEST_VALUE],
    "span.kind": lambda span: kind_of(_numbered(span.kind, KINDS)),
    "span.status": _status,
    "span.status_message": lambda span: "" if span.status is None else span.status.message[:LONGEST_VALUE],
    "start_time_unix_nano": lambda span: _whole(span.start_time_unix_nano),
    "end_time_unix_nano": lambda span: _whole(span.end_time_unix_nano),
}
