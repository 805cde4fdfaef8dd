"""Reads the spans of an export in protobuf, decoding each separately and only as far as maps need.

`Span` is redeclared with only the fields that are read; its attributes, events and status are bytes. Most
spans of a portal have byte-identical attributes, so decoded attributes are cached by their bytes. Attributes
that no map needs are recognised by their key and skipped.
"""

from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from streams.ingest.mapping.places import remember
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
LONGEST_REMEMBERED_BYTES: Final = 2_048
"""Longer attributes and resources are decoded each time."""
MOST_PASSED_OVER: Final = 4_096
KEY_TAG: Final = b"\x0a"
URL_HEADS: Final = tuple(KEY_TAG + bytes([len(name)]) + name.encode() for name in URLS)
"""The first bytes of attributes that hold a URL."""
OLD: Final = -1
"""Used instead of a place: the attribute has an old name, whose meaning depends on the span's kind."""
READ: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "name",
    "kind",
    "start_time_unix_nano",
    "end_time_unix_nano",
    "attributes",
    "events",
    "status",
)
"""Fields of `Span` that are read."""


def _reduced_span() -> Any:
    """Return a message class with the fields of `Span` that are read, and nested messages as bytes."""
    file = FileDescriptorProto(name="portallink/span.proto", package="portallink", syntax="proto3")
    reduced = file.message_type.add(name="Span")
    for name in READ:
        field = Span.DESCRIPTOR.fields_by_name[name]
        kind = field.type
        if kind == FieldDescriptor.TYPE_MESSAGE:
            kind = FieldDescriptorProto.TYPE_BYTES
        elif kind == FieldDescriptor.TYPE_ENUM:
            kind = FieldDescriptorProto.TYPE_INT32
        repeated = FieldDescriptorProto.LABEL_REPEATED if field.is_repeated else None
        reduced.field.add(name=name, number=field.number, type=kind, label=repeated)
    pool = DescriptorPool()
    pool.Add(file)
    return GetMessageClass(pool.FindMessageTypeByName("portallink.Span"))


_Span: Final = _reduced_span()


class ProtobufReader:
    """Reads exports, and caches decoded attributes and resources by their bytes."""

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._known: dict[bytes, tuple[int, str, Any]] = {}
        """Place, key and value of attributes, by their bytes."""
        self._passed_over: set[bytes] = set()
        """The first bytes, up to the end of the key, of attributes that no map needs."""
        self._old = frozenset[str]().union(*wanted.old)
        self._resources: dict[bytes, tuple[Source, list[Any]]] = {}
        self._own = [(place, _OWN[name]) for name, place in wanted.own.items()]

    def spans(self, data: bytes) -> Iterator[Found]:
        """Yield the spans of an `ExportTraceServiceRequest`, each unusable one with its error.

        Raises:
            NotProtobufError: the bytes are not such a message.
        """
        for start, end in parts(data, 0, len(data), RESOURCE_SPANS):
            source, base = self._resource(data, start, end)
            for scope_start, scope_end in parts(data, start, end, SCOPE_SPANS):
                for span_start, span_end in parts(data, scope_start, scope_end, SPANS):
                    try:
                        if span_end - span_start > MOST_SPAN_BYTES:
                            raise RejectedRecordError(f"the span is longer than {MOST_SPAN_BYTES:,} bytes")  # noqa: TRY301 - handled like other errors of the span
                        identity, values = self._values(_Span.FromString(data[span_start:span_end]), base)
                        yield Found(source, identity, values)
                    except DecodeError:
                        yield Found(source, error=RejectedRecordError("the span is not a protobuf message"))
                    except RejectedRecordError as error:
                        yield Found(source, error=error)

    def _resource(self, data: bytes, start: int, end: int) -> tuple[Source, list[Any]]:
        """Return the sender of the spans, and the values that all of them share."""
        pieces = [data[at : min(to, at + MOST_SPAN_BYTES)] for at, to in parts(data, start, end, RESOURCE)]
        whole = b"".join(pieces)
        known = self._resources.get(whole)
        if known is not None:
            return known
        attributes: dict[str, Any] = {}
        for piece in pieces:
            try:
                resource = Resource.FromString(piece)
            except DecodeError:
                continue
            attributes |= {one.key: _plain(one.value) for one in resource.attributes}
        found = source_of(attributes), self._wanted.base(attributes)
        if len(whole) <= LONGEST_REMEMBERED_BYTES:
            remember(self._resources, whole, found)
        return found

    def _values(self, span: Any, base: list[Any]) -> tuple[str, list[Any]]:
        """Return a span's identity and values."""
        trace_id, span_id = span.trace_id, span.span_id
        if len(trace_id) != 16 or len(span_id) != 8 or trace_id == NO_TRACE or span_id == NO_SPAN:
            raise RejectedRecordError("the span has no valid trace id and span id")
        values = base.copy()
        known, passed_over = self._known, self._passed_over
        old: list[tuple[int, str, Any]] = []
        attributes = span.attributes
        for packed in attributes:
            one = known.get(packed)
            if one is None:
                if packed and packed[: 2 + packed[1]] in passed_over:
                    continue
                one = self._attribute(packed)
                if one is None:
                    continue
            if one[0] >= 0:
                values[one[0]] = one[2]
            else:
                old.append(one)
        if old:
            self._put_old(old, span.kind, values, base)
        wanted = self._wanted
        if wanted.host is not None and values[wanted.host] is None:
            values[wanted.host] = _host(attributes)
        if wanted.error is not None and values[wanted.error] is None and span.events:
            values[wanted.error] = _exception(span.events)
        for place, own in self._own:
            values[place] = own(span)
        return f"{trace_id.hex()}-{span_id.hex()}", values

    def _attribute(self, packed: bytes) -> tuple[int, str, Any] | None:
        """Return the place, key and value of an attribute, None if no map needs it."""
        read = KeyValue.FromString(packed)
        key = read.key
        place = self._wanted.attributes.get(key, OLD)
        if place == OLD and key not in self._old:
            head = packed[: 2 + packed[1]] if len(packed) > 1 else packed
            if (
                head == KEY_TAG + bytes([len(head) - 2]) + key.encode()
                and len(self._passed_over) < MOST_PASSED_OVER
            ):
                self._passed_over.add(head)
            return None
        one = place, key, _plain(read.value)
        if len(packed) <= LONGEST_REMEMBERED_BYTES:
            remember(self._known, packed, one)
        return one

    def _put_old(
        self, old: Iterable[tuple[int, str, Any]], kind: int, values: list[Any], base: list[Any]
    ) -> None:
        """Use the values of attributes with old names, unless there is one with the new name."""
        places = self._wanted.old[kind if 0 <= kind < len(self._wanted.old) else 0]
        for _, key, value in old:
            place = places.get(key)
            if place is not None and values[place] is base[place]:
                values[place] = renewed(key, value)


def _host(attributes: Iterable[bytes]) -> str | None:
    """Return the host from the first attribute that holds a URL with one."""
    addresses = (
        _plain(KeyValue.FromString(packed).value) for packed in attributes if packed.startswith(URL_HEADS)
    )
    return next(filter(None, map(host_in, addresses)), None)


def _exception(events: Iterable[bytes]) -> Any:
    for event in map(Span.Event.FromString, reversed(list(events))):
        if event.name == EXCEPTION:
            return next((_plain(one.value) for one in event.attributes if one.key == EXCEPTION_TYPE), None)
    return None


def _plain(value: AnyValue) -> Any:
    """Return a value as a Python object, None for bytes and objects."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return value.string_value[:LONGEST_VALUE]
    if kind in ("int_value", "double_value", "bool_value"):
        return getattr(value, kind)
    if kind == "array_value":
        return [_plain(one) for one in value.array_value.values[:100]]
    return None


_OWN: Final[dict[str, Callable[[Any], Any]]] = {
    "trace_id": lambda span: span.trace_id.hex(),
    "span_id": lambda span: span.span_id.hex(),
    "parent_span_id": lambda span: span.parent_span_id.hex(),
    "span.name": lambda span: span.name[:LONGEST_VALUE],
    "span.kind": lambda span: kind_of(span.kind),
    "span.status": lambda span: status_of(Status.FromString(span.status).code if span.status else 0),
    "span.status_message": lambda span: (
        Status.FromString(span.status).message[:LONGEST_VALUE] if span.status else ""
    ),
    "start_time_unix_nano": attrgetter("start_time_unix_nano"),
    "end_time_unix_nano": attrgetter("end_time_unix_nano"),
}
