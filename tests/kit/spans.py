"""Exports of spans, made for a test, in both forms of OTLP."""

import json
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

T0_NS = 1_750_032_000_000_000_000
CLIENT = {"http.request.method": "GET", "server.address": "npd.example", "http.response.status_code": 200}
KINDS = {"internal": 1, "server": 2, "client": 3}


def span(n: int = 1, attributes: dict[str, Any] | None = None, **own: Any) -> dict[str, Any]:
    """Return a span of the nth second, of 90 ms; its attributes are those of a call that was answered."""
    start_ns = own.pop("start_ns", T0_NS + n * 1_000_000_000)
    about = {
        "trace_id": n.to_bytes(16, "big"),
        "span_id": n.to_bytes(8, "big"),
        "kind": "client",
        "name": "GET",
        "start_ns": start_ns,
        "end_ns": start_ns + 90_000_000,
        "attributes": CLIENT if attributes is None else attributes,
        "status": 0,
        "message": "",
        "exception": None,
    }
    return about | own


RESOURCE = {"service.name": "portal", "service.instance.id": "one"}


def as_protobuf(spans: list[dict[str, Any]], resource: dict[str, Any] = RESOURCE) -> bytes:
    """Return an export as protobuf."""
    request = ExportTraceServiceRequest()
    of_resource = request.resource_spans.add()
    of_resource.resource.attributes.extend(_attributes(resource))
    scope = of_resource.scope_spans.add()
    for one in spans:
        made = scope.spans.add()
        made.trace_id, made.span_id, made.name = one["trace_id"], one["span_id"], one["name"]
        made.kind = KINDS[one["kind"]]
        made.start_time_unix_nano, made.end_time_unix_nano = one["start_ns"], one["end_ns"]
        made.attributes.extend(_attributes(one["attributes"]))
        made.status.code, made.status.message = one["status"], one["message"]
        if one["exception"]:
            event = made.events.add()
            event.name = "exception"
            event.attributes.extend(_attributes({"exception.type": one["exception"]}))
    return request.SerializeToString()


def _attributes(values: dict[str, Any]) -> list[KeyValue]:
    made = []
    for key, value in values.items():
        one = KeyValue(key=key)
        if isinstance(value, bool):
            one.value.bool_value = value
        elif isinstance(value, int):
            one.value.int_value = value
        elif isinstance(value, float):
            one.value.double_value = value
        else:
            one.value.string_value = value
        made.append(one)
    return made


def as_json(spans: list[dict[str, Any]], resource: dict[str, Any] = RESOURCE) -> bytes:
    """Return an export as OTLP writes JSON."""
    made = [
        {
            "traceId": one["trace_id"].hex(),
            "spanId": one["span_id"].hex(),
            "name": one["name"],
            "kind": KINDS[one["kind"]],
            "startTimeUnixNano": str(one["start_ns"]),
            "endTimeUnixNano": str(one["end_ns"]),
            "attributes": _json_attributes(one["attributes"]),
            "status": {"code": one["status"], "message": one["message"]},
            "events": [
                {"name": "exception", "attributes": _json_attributes({"exception.type": one["exception"]})}
            ]
            if one["exception"]
            else [],
            "droppedAttributesCount": 0,
        }
        for one in spans
    ]
    scope = {"scope": {"name": "test"}, "spans": made}
    return json.dumps(
        {"resourceSpans": [{"resource": {"attributes": _json_attributes(resource)}, "scopeSpans": [scope]}]}
    ).encode()


def _json_attributes(values: dict[str, Any]) -> list[dict[str, Any]]:
    kinds = {bool: "boolValue", int: "intValue", float: "doubleValue", str: "stringValue"}
    return [
        {"key": key, "value": {kinds[type(value)]: str(value) if type(value) is int else value}}
        for key, value in values.items()
    ]
