"""OTLP's responses: success, partial success, and errors that a client may or may not retry.

OTLP 1.x: an accepted request is answered with the signal's own response message, in the form of the request;
`partial_success` in it counts what was rejected and must not be sent again. An error is a
`google.rpc.Status`. A client retries after 429 and 503 (gRPC: RESOURCE_EXHAUSTED with `RetryInfo`,
UNAVAILABLE), once the stated time has passed.
"""

from typing import Final, Literal

import msgspec
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from streams.ingest.otlp.export import Form, Tally

Signal = Literal["traces", "metrics", "logs"]
SIGNALS: Final[tuple[Signal, ...]] = ("traces", "metrics", "logs")
CONTENT_TYPES: Final[dict[Form, str]] = {"protobuf": "application/x-protobuf", "json": "application/json"}
INVALID_ARGUMENT: Final = 3
RESOURCE_EXHAUSTED: Final = 8
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16
GRPC_CODES: Final = {
    400: INVALID_ARGUMENT,
    401: UNAUTHENTICATED,
    413: INVALID_ARGUMENT,
    415: INVALID_ARGUMENT,
    429: RESOURCE_EXHAUSTED,
    503: UNAVAILABLE,
}
"""The gRPC code that corresponds to an HTTP status."""
REASONS_TOLD: Final = 5
RETRY_SECONDS: Final = 2


def form_of(content_type: str) -> Form | None:
    """Return the OTLP form that a `Content-Type` names, None for any other type.

    >>> form_of("application/json; charset=utf-8"), form_of("text/plain")
    ('json', None)
    """
    plain = content_type.partition(";")[0].strip().lower()
    return next((form for form, name in CONTENT_TYPES.items() if name == plain), None)


def rejection_of(tally: Tally) -> str:
    """Return why spans were rejected, an empty text if none were.

    >>> rejection_of(Tally())
    ''
    """
    return "; ".join(f"{count:,} x {reason}" for reason, count in tally.reasons.most_common(REASONS_TOLD))


def accepted(signal: Signal, form: Form, tally: Tally | None = None) -> bytes:
    """Return the response to an accepted request."""
    if signal != "traces" or tally is None or not tally.rejected:
        return b"{}" if form == "json" else b""
    if form == "json":
        told = {"rejectedSpans": str(tally.rejected), "errorMessage": rejection_of(tally)}
        return msgspec.json.encode({"partialSuccess": told})
    partial = ExportTracePartialSuccess(rejected_spans=tally.rejected, error_message=rejection_of(tally))
    return ExportTraceServiceResponse(partial_success=partial).SerializeToString()


def refused(status: int, reason: str, form: Form) -> bytes:
    """Return the body of an error."""
    code = GRPC_CODES.get(status, INVALID_ARGUMENT)
    if form == "json":
        return msgspec.json.encode({"code": code, "message": reason})
    return bytes(Status(code=code, message=reason).SerializeToString())


def retry_details(status: int, reason: str) -> bytes:
    """Return the value of `grpc-status-details-bin` that asks a client to retry later."""
    told = Status(code=GRPC_CODES[status], message=reason)
    told.details.add().Pack(RetryInfo(retry_delay=Duration(seconds=RETRY_SECONDS)))
    return bytes(told.SerializeToString())
