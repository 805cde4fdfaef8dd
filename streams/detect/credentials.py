"""Converts a connection's security settings to Faust's form."""

from typing import Any

import faust


def faust_credentials(connection: dict[str, Any]) -> Any:
    """Return the connection's security settings as Faust's ``broker_credentials``; None for plain text."""
    protocol = connection.get("security_protocol", "PLAINTEXT")
    context = connection.get("ssl_context")
    if protocol.startswith("SASL"):
        return faust.SASLCredentials(
            username=connection["sasl_plain_username"],
            password=connection["sasl_plain_password"],
            mechanism=connection["sasl_mechanism"],
            ssl_context=context,
        )
    return faust.SSLCredentials(context) if protocol == "SSL" else None
