"""Old names of attributes, before the HTTP conventions became stable (version 1.23), and the new names.

Maps use only the new names. If a span has both (`OTEL_SEMCONV_STABILITY_OPT_IN=http/dup`), the new one
counts. Source: the migration guide of the HTTP semantic conventions, and the attributes' registry.
"""

from typing import Final

OF_ANY_SPAN: Final = {
    "http.method": "http.request.method",
    "http.status_code": "http.response.status_code",
    "http.resend_count": "http.request.resend_count",
    "http.url": "url.full",
    "http.scheme": "url.scheme",
    "http.user_agent": "user_agent.original",
    "rpc.grpc.status_code": "rpc.response.status_code",
    "deployment.environment": "deployment.environment.name",
}
OF_CLIENT_SPANS: Final = OF_ANY_SPAN | {
    "net.peer.name": "server.address",
    "net.peer.port": "server.port",
    "http.host": "server.address",
    "net.peer.ip": "network.peer.address",
    "net.sock.peer.addr": "network.peer.address",
}
OF_SERVER_SPANS: Final = OF_ANY_SPAN | {
    "net.host.name": "server.address",
    "net.host.port": "server.port",
    "http.server_name": "server.address",
    "http.host": "server.address",
    "http.client_ip": "client.address",
    "net.sock.peer.addr": "network.peer.address",
}
HOST_WITH_PORT: Final = frozenset({"http.host"})
"""Attributes that may have a port after the name of the host."""
KINDS: Final = ("unspecified", "internal", "server", "client", "producer", "consumer")
"""`span.kind` by its number in OTLP."""
STATUSES: Final = ("unset", "ok", "error")
"""`span.status` by its number in OTLP."""
GRPC_STATUSES: Final = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
"""`rpc.response.status_code` by the number that `rpc.grpc.status_code` had."""


def old_names(kind: str) -> dict[str, str]:
    """Return the old names of the attributes of a kind of span, each with its new name.

    >>> old_names("server")["net.host.name"], old_names("client")["net.peer.name"]
    ('server.address', 'server.address')
    """
    return OF_SERVER_SPANS if kind in ("server", "consumer") else OF_CLIENT_SPANS


def renewed(old_name: str, value: object) -> object:
    """Return an old attribute's value in the form of the new attribute.

    >>> renewed("http.host", "npd.example:8443"), renewed("rpc.grpc.status_code", 14)
    ('npd.example', 'UNAVAILABLE')
    """
    if old_name in HOST_WITH_PORT and isinstance(value, str):
        host, colon, port = value.rpartition(":")
        return host if colon and port.isdigit() else value
    if old_name == "rpc.grpc.status_code" and isinstance(value, int) and 0 <= value < len(GRPC_STATUSES):
        return GRPC_STATUSES[value]
    return value
