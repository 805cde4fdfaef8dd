"""OTLP over gRPC: the single method of the three services, on undecoded bytes."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

import grpc
from grpc.aio import Server, ServicerContext

from streams import telemetry
from streams.collect.answers import GRPC_CODES, SIGNALS, Signal, retry_details
from streams.collect.receiver import Receiver, RefusedError

SERVICES: Final[dict[Signal, str]] = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
}
STATUSES: Final = {code.value[0]: code for code in grpc.StatusCode}
RETRY_LATER: Final = frozenset({429, 503})
MOST_CONNECTED: Final = 200


async def start_grpc(receiver: Receiver, host: str, port: int) -> tuple[Server, int]:
    """Start listening; return the server and the port; raise OSError if the port is in use."""
    server = grpc.aio.server(
        options=[
            ("grpc.max_receive_message_length", receiver.most_body_bytes),
            ("grpc.max_metadata_size", 16 * 1024),
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=MOST_CONNECTED,
    )
    for signal in SIGNALS:
        export = _export(receiver, signal)
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(export)
        service = grpc.method_handlers_generic_handler(SERVICES[signal], {"Export": handler})
        server.add_generic_rpc_handlers([service])
    try:
        bound = server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error}") from error
    await server.start()
    return server, bound


def _export(
    receiver: Receiver, signal: Signal
) -> Callable[[bytes, ServicerContext[Any, Any]], Awaitable[bytes]]:
    async def export(body: bytes, context: ServicerContext[Any, Any]) -> bytes:
        status, reason = 200, ""
        try:
            shown = dict(context.invocation_metadata() or ()).get("authorization", "")
            receiver.admit(shown if isinstance(shown, bytes) else shown.encode("utf-8", "replace"))
            receiver.held.take(len(body))
            try:
                return await receiver.take(signal, "protobuf", "", body)
            finally:
                receiver.held.give(len(body))
        except RefusedError as error:
            status, reason = error.status, error.reason
        finally:
            telemetry.emit(telemetry.ExportAnswered("grpc", signal, status, reason))
        details = (
            [("grpc-status-details-bin", retry_details(status, reason))] if status in RETRY_LATER else []
        )
        await context.abort(STATUSES[GRPC_CODES[status]], reason, tuple(details))
        raise AssertionError("abort raises")

    return export
