"""How to reach the Kafka broker, from the environment: one place for every client of the project.

| variable | meaning | default |
|---|---|---|
| KAFKA_BOOTSTRAP_SERVERS | host:port, comma-separated | the embedded broker, if it runs |
| KAFKA_SECURITY_PROTOCOL | PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL | PLAINTEXT |
| KAFKA_SASL_MECHANISM | PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512 | PLAIN |
| KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD | credentials of the SASL protocols | - |
| KAFKA_SSL_CAFILE | certificates to trust, PEM | the system's |
| KAFKA_SSL_CERTFILE, KAFKA_SSL_KEYFILE, KAFKA_SSL_PASSWORD | the client's own certificate | none |
"""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiokafka.helpers import create_ssl_context

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")


class ConnectionSettingsError(ValueError):
    """A connection setting is wrong or missing; the message names the variable."""


def kafka_connection(
    bootstrap_servers: str | None = None, environment: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the keyword arguments by which any aiokafka client connects.

    An explicit `bootstrap_servers` (a command's option) overrides the variable; without either, the embedded
    broker is used. Raises ConnectionSettingsError if a variable is wrong, which the message names, or if no
    broker is named and none is running.
    """
    settings = os.environ if environment is None else environment
    protocol = _one_of(settings, "KAFKA_SECURITY_PROTOCOL", PROTOCOLS)
    arguments: dict[str, Any] = {
        "bootstrap_servers": bootstrap_servers
        or settings.get("KAFKA_BOOTSTRAP_SERVERS")
        or _embedded_broker(),
        "security_protocol": protocol,
    }
    if protocol.startswith("SASL"):
        arguments["sasl_mechanism"] = _one_of(settings, "KAFKA_SASL_MECHANISM", MECHANISMS)
        arguments["sasl_plain_username"] = _required(settings, "KAFKA_SASL_USERNAME", protocol)
        arguments["sasl_plain_password"] = _required(settings, "KAFKA_SASL_PASSWORD", protocol)
    if protocol.endswith("SSL"):
        arguments["ssl_context"] = _ssl_context(settings)
    return arguments


def _one_of(settings: Mapping[str, str], name: str, allowed: tuple[str, ...]) -> str:
    value = settings.get(name) or allowed[0]
    if value not in allowed:
        raise ConnectionSettingsError(f"{name}={value!r} is not one of {', '.join(allowed)}")
    return value


def _required(settings: Mapping[str, str], name: str, protocol: str) -> str:
    value = settings.get(name)
    if not value:
        raise ConnectionSettingsError(f"{name} must be set for KAFKA_SECURITY_PROTOCOL={protocol}")
    return value


def _ssl_context(settings: Mapping[str, str]) -> ssl.SSLContext:
    files = {
        name: settings.get(name) for name in ("KAFKA_SSL_CAFILE", "KAFKA_SSL_CERTFILE", "KAFKA_SSL_KEYFILE")
    }
    for name, path in files.items():
        if path and not Path(path).is_file():
            raise ConnectionSettingsError(f"{name}={path!r} is not a file")
    try:
        context: ssl.SSLContext = create_ssl_context(
            cafile=files["KAFKA_SSL_CAFILE"],
            certfile=files["KAFKA_SSL_CERTFILE"],
            keyfile=files["KAFKA_SSL_KEYFILE"],
            password=settings.get("KAFKA_SSL_PASSWORD"),
        )
    except (ssl.SSLError, OSError) as error:
        named = ", ".join(f"{name}={path}" for name, path in files.items() if path)
        raise ConnectionSettingsError(f"cannot read the certificates in {named}: {error}") from error
    return context


def _embedded_broker() -> str:
    # Imported only here, so that clients of another broker never load it.
    from streams.servers.kafka import EmbeddedKafka  # noqa: PLC0415

    address = EmbeddedKafka().status().bootstrap_servers
    if address is None:
        raise ConnectionSettingsError(
            "no Kafka broker: set KAFKA_BOOTSTRAP_SERVERS, or start the embedded one with "
            "`portallink kafka start`"
        )
    return address
