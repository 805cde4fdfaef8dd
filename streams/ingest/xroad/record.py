"""One record of X-Road's operational monitoring: checked, reduced to what is needed, personal fields gone.

Field names as in PR-OPMON, Annex B, with the names older security servers use. Only the fields declared in
`_Fields` are decoded at all: `messageUserId`, `messageIssue`, `representedParty*` and `restPath` are skipped
in the decoder and never become a value here. `faultString` is looked at for the word timeout, then dropped.
"""

from functools import cache
from hashlib import blake2b
from sys import intern
from typing import Final, Literal

import msgspec
from msgspec import Raw, Struct

from streams.ingest.xroad.outcome import (
    canonical_fault,
    outcome_of_fault,
    outcome_of_status,
    raised_by_consumer_gateway,
)
from streams.model.events import Outcome

Side = Literal["client", "producer"]

UNKNOWN: Final = "unknown"
EARLIEST_MS: Final = 946_684_800_000  # 2000-01-01
LATEST_MS: Final = 4_102_444_800_000  # 2100-01-01
NAME_LENGTH: Final = 90
"""Two names, ` > ` and the mark of metaservices stay within the 200 characters of an identifier."""
SERVICE_LENGTH: Final = 200
METASERVICE_MARK: Final = " [metaservices]"

METASERVICES: Final = frozenset(
    {
        # PR-META, PR-MREST, PR-OPMON, PR-ENVMONMES: a security server about itself.
        "listmethods",
        "allowedmethods",
        "getwsdl",
        "getopenapi",
        "listclients",
        "listcentralservices",
        "getsecurityserveroperationaldata",
        "getsecurityserverhealthdata",
        "getsecurityservermetrics",
        # PR-MSERV: security servers and the central server among themselves.
        "authcertreg",
        "authcertdeletion",
        "clientreg",
        "clientdeletion",
        "clientdisable",
        "clientenable",
        "clientrename",
        "ownerchange",
        "addresschange",
        "maintenancemodeenable",
        "maintenancemodedisable",
    }
)

Scalar = str | int | float | bool | None


class RejectedRecordError(ValueError):
    """A record that cannot be used; the message says why and never repeats a value."""


class NotXRoadError(RejectedRecordError):
    """A record with none of the fields of operational monitoring."""


class _Fields(Struct, rename="camel", gc=False):
    security_server_type: Scalar = None
    security_server_internal_ip: Scalar = None
    x_request_id: Scalar = None
    message_id: Scalar = None
    request_in_ts: Scalar = None
    request_out_ts: Scalar = None
    response_in_ts: Scalar = None
    response_out_ts: Scalar = None
    client_member_code: Scalar = None
    client_subsystem_code: Scalar = None
    service_member_code: Scalar = None
    service_subsystem_code: Scalar = None
    service_code: Scalar = None
    service_version: Scalar = None
    status_code: Scalar = None
    succeeded: Scalar = None
    fault_code: Scalar = None
    fault_string: Scalar = None
    soap_fault_code: Scalar = None
    soap_fault_string: Scalar = None


_decoder: Final = msgspec.json.Decoder(_Fields)


class XRoadRecord(Struct, frozen=True, gc=False):
    """One side of one call, times in epoch milliseconds; `side` is None where the record does not tell."""

    side: Side | None
    server: str
    request_id: str
    message_id: str
    request_in_ms: int
    request_out_ms: int | None
    response_in_ms: int | None
    response_out_ms: int
    consumer: str
    provider: str
    service: str
    fault: str
    timed_out: bool
    status_code: int | None
    succeeded: bool | None

    @property
    def known_fields(self) -> int:
        """How much the record says: of two about the same call the fuller one is kept."""
        return sum(value not in (None, "", UNKNOWN) for value in msgspec.structs.astuple(self))

    def fingerprint(self, *, with_side: bool = True) -> bytes:
        """Return a digest of what the record says; repeated records have the same."""
        said = msgspec.structs.astuple(self)
        return blake2b(repr(said if with_side else said[1:]).encode(), digest_size=16).digest()

    def outcome(self) -> Outcome:
        """Return what became of the call as this side saw it."""
        if self.fault:
            return outcome_of_fault(self.fault, timed_out=self.timed_out)
        if self.status_code is not None and (self.status_code >= 400 or self.succeeded is None):
            return outcome_of_status(self.status_code)
        if self.succeeded:
            return "ok"
        if self.side == "producer" or self.response_in_ms is not None:
            return "provider_error"
        return "unreachable"  # the request went out, nothing came back, and nothing else is said


@cache
def is_metaservice(service: str) -> bool:
    """Say whether a service (`code/version`) is X-Road's own, not a business service."""
    return service.partition("/")[0].lower() in METASERVICES


def parse_record(document: Raw | bytes) -> XRoadRecord:
    """Return the record that a JSON object holds.

    Raise `NotXRoadError` if it has nothing of X-Road, `RejectedRecordError` saying why if it is unusable.
    """
    try:
        fields = _decoder.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        if isinstance(error, msgspec.ValidationError) and "$" in str(error):
            raise RejectedRecordError(str(error)) from error
        raise NotXRoadError(f"not a JSON object: {error}") from error
    if fields == _Fields():
        raise NotXRoadError("none of the fields of an operational-monitoring record is there")
    return _reduce(fields)


def _reduce(fields: _Fields) -> XRoadRecord:
    request_in = _time(fields.request_in_ts, "requestInTs")
    response_in = _time(fields.response_in_ts, "responseInTs")
    response_out = _time(fields.response_out_ts, "responseOutTs")
    if request_in is None:
        raise RejectedRecordError("requestInTs is missing")
    end = response_out if response_out is not None else response_in
    if end is None:
        raise RejectedRecordError("responseOutTs is missing")
    if end < request_in:
        raise RejectedRecordError("responseOutTs is before requestInTs, by the same server's clock")
    fault = canonical_fault(_text(fields.fault_code) or _text(fields.soap_fault_code))
    said = (_text(fields.fault_string) or _text(fields.soap_fault_string)).lower()
    status = _status(fields.status_code)
    succeeded = _flag(fields.succeeded)
    if succeeded is None and status is None and not fault:
        raise RejectedRecordError("no outcome: succeeded, faultCode and statusCode are all missing")
    service, version = _text(fields.service_code), _text(fields.service_version)
    return XRoadRecord(
        side=_side(fields.security_server_type, fault),
        server=intern(_text(fields.security_server_internal_ip)),
        request_id=_text(fields.x_request_id).lower(),
        message_id=_text(fields.message_id),
        request_in_ms=request_in,
        request_out_ms=_time(fields.request_out_ts, "requestOutTs"),
        response_in_ms=response_in,
        response_out_ms=end,
        consumer=_party(fields.client_member_code, fields.client_subsystem_code),
        provider=_party(fields.service_member_code, fields.service_subsystem_code),
        service=intern(_fit("/".join(part for part in (service, version) if part), SERVICE_LENGTH)),
        fault=intern(fault),
        timed_out="timeout" in said or "timed out" in said,
        status_code=status,
        succeeded=succeeded,
    )


def _text(value: Scalar) -> str:
    return "" if value is None or isinstance(value, bool) else str(value).strip()


def _party(member: Scalar, subsystem: Scalar) -> str:
    return intern(_fit("/".join(part for part in (_text(member), _text(subsystem)) if part), NAME_LENGTH))


def _fit(name: str, length: int) -> str:
    """Shorten a name, its end replaced by a digest so that long names stay apart."""
    if len(name) <= length:
        return name or UNKNOWN
    return f"{name[: length - 9]}~{blake2b(name.encode(), digest_size=4).hexdigest()}"


def _time(value: Scalar, name: str) -> int | None:
    """Return epoch milliseconds, None where a record has no such time (-1 and 0 stand for none)."""
    if value is None or value in ("", "-1", "0"):
        return None
    if isinstance(value, str) and value.strip().lstrip("-").isdecimal() and value.isascii():
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise RejectedRecordError(f"{name} is not a whole number of milliseconds")
    if value in (0, -1):
        return None
    if EARLIEST_MS // 1000 <= value < LATEST_MS // 1000:
        raise RejectedRecordError(f"{name} is in seconds, not in milliseconds")
    if not EARLIEST_MS <= value < LATEST_MS:
        raise RejectedRecordError(f"{name} is outside the years 2000 to 2099")
    return value


def _status(value: Scalar) -> int | None:
    if value is None or value == "":
        return None
    try:
        status = int(value)
    except (ValueError, OverflowError):
        status = 0
    if isinstance(value, bool) or not 100 <= status <= 599:
        raise RejectedRecordError("statusCode is not an HTTP status")
    return status


def _flag(value: Scalar) -> bool | None:
    if value is None or value == "":
        return None
    flag = {"true": True, "1": True, "false": False, "0": False}.get(str(value).strip().lower())
    if flag is None:
        raise RejectedRecordError("succeeded is neither true nor false")
    return flag


def _side(value: Scalar, fault: str) -> Side | None:
    side = _text(value).lower()
    if side in ("client", "producer"):
        return "client" if side == "client" else "producer"
    if side:
        raise RejectedRecordError("securityServerType is neither Client nor Producer")
    return "client" if raised_by_consumer_gateway(fault) else None
