"""The spans of an export in protobuf, each decoded alone."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

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
from streams.ingest.otlp.names import renewed
from streams.ingest.otlp.wire import parts
from streams.ingest.values import RejectedRecordError

RESOURCE_SPANS: Final = 1
RESOURCE: Final = 1
SCOPE_SPANS: Final = 2
SPANS: Final = 2
NO_TRACE: Final = bytes(16)
NO_SPAN: Final = bytes(8)


def spans(data: bytes, wanted: Wanted) -> Iterator[Found]:
    """Yield the spans of an `ExportTraceServiceRequest`; what cannot be used is an error in its place.

    Raises:
        NotProtobufError: the bytes are no such message.
    """
    for start, end in parts(data, 0, len(data), RESOURCE_SPANS):
        source, base = _resource(data, start, end, wanted)
        for scope_start, scope_end in parts(data, start, end, SCOPE_SPANS):
            for span_start, span_end in parts(data, scope_start, scope_end, SPANS):
                try:
                    if span_end - span_start > MOST_SPAN_BYTES:
                        raise RejectedRecordError(f"the span is longer than {MOST_SPAN_BYTES:,} bytes")  # noqa: TRY301 - told as what else is wrong with it
                    span = Span.FromString(data[span_start:span_end])
                    yield Found(source, *_values(span, base, wanted))
                except DecodeError:
                    yield Found(source, error=RejectedRecordError("the span is no protobuf message"))
                except RejectedRecordError as error:
                    yield Found(source, error=error)


def _resource(data: bytes, start: int, end: int, wanted: Wanted) -> tuple[Source, list[Any]]:
    """Return who sent the spans, and the values that all of them have from there."""
    attributes: dict[str, Any] = {}
    for resource_start, resource_end in parts(data, start, end, RESOURCE):
        try:
            resource = Resource.FromString(
                data[resource_start : min(resource_end, resource_start + MOST_SPAN_BYTES)]
            )
        except DecodeError:
            continue
        attributes |= {one.key: _plain(one.value) for one in resource.attributes}
    return source_of(attributes), wanted.base(attributes)


def _values(span: Span, base: list[Any], wanted: Wanted) -> tuple[str, list[Any]]:
    """Return a span's identity, and its values in their places."""
    values = base.copy()
    kind = span.kind
    attributes, old_ones = wanted.attributes, wanted.old[kind if 0 <= kind < len(wanted.old) else 0]
    for one in span.attributes:
        key = one.key
        place = attributes.get(key)
        if place is not None:
            values[place] = _plain(one.value)
        elif key in old_ones:
            place = old_ones[key]
            if values[place] is base[place]:  # the new name, where it has come, goes before
                values[place] = renewed(key, _plain(one.value))
    if wanted.host is not None and values[wanted.host] is None:
        addresses = (_plain(one.value) for one in span.attributes if one.key in URLS)
        values[wanted.host] = next(filter(None, map(host_in, addresses)), None)
    if wanted.error is not None and values[wanted.error] is None and span.events:
        values[wanted.error] = _exception(span)
    trace_id, span_id = span.trace_id, span.span_id
    if len(trace_id) != 16 or len(span_id) != 8 or trace_id == NO_TRACE or span_id == NO_SPAN:
        raise RejectedRecordError("the span has no valid trace id and span id")
    for name, place in wanted.own.items():
        values[place] = _OWN[name](span)
    return f"{trace_id.hex()}-{span_id.hex()}", values


def _exception(span: Span) -> Any:
    for event in reversed(span.events):
        if event.name == EXCEPTION:
            return next((_plain(one.value) for one in event.attributes if one.key == EXCEPTION_TYPE), None)
    return None


def _plain(value: AnyValue) -> Any:
    """Return a value as Python has it; nothing for bytes and objects."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value[:LONGEST_VALUE]
    if kind in ("int_value", "double_value", "bool_value"):
        return getattr(value, kind)
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values[:100]]
    return None


_OWN: Final[dict[str, Callable[[Span], Any]]] = {
    "trace_id": lambda span: span.trace_id.hex(),
    "span_id": lambda span: span.span_id.hex(),
    "parent_span_id": lambda span: span.parent_span_id.hex(),
    "span.name": lambda span: span.name[:LONGEST_VALUE],
    "span.kind": lambda span: kind_of(span.kind),
    "span.status": lambda span: status_of(span.status.code),
    "span.status_message": lambda span: span.status.message[:LONGEST_VALUE],
    "start_time_unix_nano": lambda span: span.start_time_unix_nano,
    "end_time_unix_nano": lambda span: span.end_time_unix_nano,
}
