"""What became of an X-Road call, in the vocabulary of lookups.

X-Road calls a REST answer of 4xx unsuccessful and prefixes each fault with the place that raised it
(`ErrorCodes` in nordic-institute/X-Road). Whose fault it was decides what counts against a link:

| fault code | raised by | outcome |
|---|---|---|
| `Client.*` | consumer's gateway, over the request it was given | denied |
| `Server.ClientProxy.NetworkError` | consumer's gateway, no way through | unreachable |
| `Server.ClientProxy.IOError` | consumer's gateway, line broke off | reset |
| `Server.ClientProxy.SslAuthenticationFailed` and certificates | consumer's gateway | tls_error |
| `Server.ClientProxy.*` else, `Signer.*` | consumer's gateway; it is part of the link | protocol_error |
| `Server.ServerProxy.AccessDenied` | provider's gateway, consumer has no right | denied |
| `Server.ServerProxy.*` else | provider's gateway or the system behind it | provider_error |
| `…Client`, `…Sender` (SOAP) | the provider's system: the request was wrong | denied |
| any other code | the provider's system | provider_error |

A consumer's gateway that says it timed out gives `timeout` instead. X-Road 8 writes the same codes in lower
case with underscores; both spellings are read. Without a fault code the HTTP status decides.
"""

from typing import Final

from streams.model.events import Outcome

TLS_CODES: Final = frozenset(
    {
        "sslauthenticationfailed",
        "certvalidation",
        "incorrectcertificate",
        "certvaliditytime",
        "missingvalidationinfo",
        "incorrectvalidationinfo",
        "cannotcreatecertpath",
        "invalidcertpath",
    }
)
STATUS_OUTCOMES: Final[dict[int, Outcome]] = {404: "not_found", 410: "not_found", 429: "throttled"}


def canonical_fault(code: str) -> str:
    """Return a fault code in one spelling.

    >>> canonical_fault("Server.ClientProxy.NetworkError")
    'server.clientproxy.networkerror'
    >>> canonical_fault("server.clientproxy.network_error")
    'server.clientproxy.networkerror'
    """
    return code.strip().lower().replace("_", "")


def raised_by_consumer_gateway(fault: str) -> bool:
    """Say whether only the consumer's gateway can have recorded this canonical fault code."""
    return fault.startswith(("server.clientproxy", "client."))


def outcome_of_fault(fault: str, *, timed_out: bool) -> Outcome:
    """Return the outcome that a canonical fault code stands for.

    >>> outcome_of_fault("server.serverproxy.servicefailed.sslauthenticationfailed", timed_out=False)
    'provider_error'
    """
    if fault.startswith(("server.clientproxy", "signer")):
        return _outcome_on_the_way(fault, timed_out=timed_out)
    if fault.startswith("server.serverproxy"):
        return "denied" if fault.startswith("server.serverproxy.accessdenied") else "provider_error"
    # SOAP faults of the provider's own system carry a namespace: `soap:Client`, `SOAP-ENV:Client.Auth`.
    local = fault.rpartition(":")[2]
    return "denied" if local.split(".")[0] in ("client", "sender") else "provider_error"


def _outcome_on_the_way(fault: str, *, timed_out: bool) -> Outcome:
    parts = fault.split(".")
    if timed_out or any("timeout" in part for part in parts):
        return "timeout"
    if "networkerror" in parts:
        return "unreachable"
    if "ioerror" in parts:
        return "reset"
    return "tls_error" if not TLS_CODES.isdisjoint(parts) else "protocol_error"


def outcome_of_status(status: int) -> Outcome:
    """Return the outcome of an HTTP status: the link carried it, whatever it says.

    >>> [outcome_of_status(status) for status in (200, 302, 404, 403, 422, 429, 503)]
    ['ok', 'ok', 'not_found', 'denied', 'denied', 'throttled', 'provider_error']
    """
    if status < 400:
        return "ok"
    if status >= 500:
        return "provider_error"
    return STATUS_OUTCOMES.get(status, "denied")
