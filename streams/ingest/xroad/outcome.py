"""The outcome of an X-Road call, in the vocabulary of lookups.

X-Road calls a REST answer of 4xx unsuccessful and prefixes each fault with the component that raised it
(`ErrorCodes` in nordic-institute/X-Road). Whose fault it was determines whether it counts against a link:

| fault code | what happened | outcome |
|---|---|---|
| `Client.*` | the consumer's gateway refused the request it was given | denied |
| `Server.ClientProxy.*`, hint `consumer` | its system has no certificate or no registration | denied |
| `….IOError`, `.NetworkError`, hint `answered` | the consumer hung up | cancelled |
| `Server.ClientProxy.MaintenanceMode` | the provider announced it (X-Road 7.7) | provider_error |
| other `Server.ClientProxy.UnknownMember` | the provider is registered with no gateway | provider_error |
| `Server.ClientProxy.*` with a timeout | no answer in time | timeout |
| `Server.ClientProxy.NetworkError`, `.UnknownHost` | no way through to the provider's gateway | unreachable |
| `Server.ClientProxy.IOError` | the connection broke | reset |
| `….SslAuthenticationFailed`, certificates | the gateways do not trust each other | tls_error |
| other `Server.ClientProxy.*`, `Signer.*` | the gateway failed: it is part of the link | protocol_error |
| `Server.ServerProxy.AccessDenied` | the consumer has no right | denied |
| other `Server.ServerProxy.*` | the provider's gateway, or the system behind it | provider_error |
| `...Client`, `...Sender` (SOAP) | the provider's system: the request was wrong | denied |
| any other code | the provider's system | provider_error |

X-Road 8 writes the same codes in lower case with underscores; both spellings are read. Without a fault code
the HTTP status decides.
"""

from typing import Final, Literal

from streams.model.events import Outcome

Hint = Literal["", "timeout", "consumer", "answered"]
"""The cause of a fault according to the rest of its record, if the code alone leaves two possible parties.

`timeout`: no answer in time; `consumer`: the consumer's own system; `answered`: the connection to the
consumer, as the answer had arrived.
"""

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
BROKEN_OFF: Final = frozenset({"ioerror", "networkerror"})
UNREACHABLE: Final = frozenset({"networkerror", "unknownhost", "unknownhostexception"})
ABOUT_CONSUMER: Final = frozenset({"sslauthenticationfailed", "unknownmember", "internalerror"})


def canonical_fault(code: str) -> str:
    """Return a fault code in its canonical spelling.

    >>> canonical_fault("Server.ClientProxy.NetworkError")
    'server.clientproxy.networkerror'
    >>> canonical_fault("server.clientproxy.network_error")
    'server.clientproxy.networkerror'
    """
    return code.strip().lower().replace("_", "")


def raised_by_consumer_gateway(fault: str) -> bool:
    """Return whether only the consumer's gateway can have recorded this canonical fault code."""
    return fault.startswith(("server.clientproxy", "client."))


def hint_of(fault: str, text: str, *, went_out: bool, answered: bool, status: int | None) -> Hint:
    """Return the hint that a record gives about its canonical fault code; its text is not kept.

    ``went_out`` says whether the request left the consumer's gateway, ``answered`` whether an answer came,
    ``status`` is that of the answer. The gateway checks its consumer before it sends anything, records the
    time of the answer when it begins and its status once it is complete (`ClientRestMessageProcessor`,
    `ClientAuthenticationService` in nordic-institute/X-Road).

        >>> hint_of("server.clientproxy.ioerror", "", went_out=True, answered=True, status=200)
        'answered'
    """
    text = text.lower()
    if fault.startswith("server.clientproxy"):
        last = fault.rpartition(".")[2]
        about_client = text.startswith(("client (", "client '"))
        if about_client and last in ABOUT_CONSUMER:
            return "consumer"
        if not went_out and last == "sslauthenticationfailed":
            return "consumer"
    if "timeout" in text or "timed out" in text:
        return "timeout"
    if fault.startswith("server.clientproxy") and answered and fault.rpartition(".")[2] in BROKEN_OFF:
        whole = status is not None and status < 500
        return "answered" if whole or "broken pipe" in text else ""
    return ""


def outcome_of_fault(fault: str, hint: Hint = "") -> Outcome:
    """Return the outcome for a canonical fault code.

    >>> outcome_of_fault("server.serverproxy.servicefailed.sslauthenticationfailed")
    'provider_error'
    """
    if fault.startswith(("server.clientproxy", "signer")):
        return _outcome_on_the_way(fault.split("."), hint)
    if fault.startswith("server.serverproxy"):
        return "denied" if fault.startswith("server.serverproxy.accessdenied") else "provider_error"
    # SOAP faults of the provider's own system carry a namespace: `soap:Client`, `SOAP-ENV:Client.Auth`.
    local = fault.rpartition(":")[2]
    return "denied" if local.split(".")[0] in ("client", "sender") else "provider_error"


def _outcome_on_the_way(parts: list[str], hint: Hint) -> Outcome:
    if hint == "consumer":
        return "denied"
    if hint == "answered":
        return "cancelled"
    if "maintenancemode" in parts or "unknownmember" in parts:
        return "provider_error"
    if hint == "timeout" or any("timeout" in part for part in parts):
        return "timeout"
    if not UNREACHABLE.isdisjoint(parts):
        return "unreachable"
    if "ioerror" in parts:
        return "reset"
    return "tls_error" if not TLS_CODES.isdisjoint(parts) else "protocol_error"
