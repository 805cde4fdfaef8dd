"""One record of X-Road's operational monitoring: checked, and reduced to the fields needed, none personal.

Field names are those of PR-OPMON, Annex B, and those of older security servers. Only the fields declared in
`Fields` are decoded at all: the decoder skips `messageUserId`, `messageIssue`, `representedParty*` and
`restPath`, so they never become a value here. `faultString` is used by `outcome.hint_of`, then dropped.
"""

from functools import lru_cache
from hashlib import blake2b
from sys import intern
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import Struct

from streams.ingest.status import outcome_of_status
from streams.ingest.values import UNKNOWN, RejectedRecordError, Scalar, fit, text_of
from streams.ingest.xroad.outcome import (
    Hint,
    canonical_fault,
    hint_of,
    outcome_of_fault,
    raised_by_consumer_gateway,
)
from streams.ingest.xroad.values import flag_of, status_of, time_of
from streams.model.events import Outcome

Side = Literal["client", "producer"]

NAME_LENGTH: Final = 90
"""With this limit two names, ` > ` and the mark of metaservices fit in an identifier of 200 characters."""
SERVICE_LENGTH: Final = 200
METASERVICE_MARK: Final = " [metaservices]"

METASERVICES: Final = frozenset(
    {
        # PR-META, PR-MREST, PR-OPMON, PR-ENVMONMES: information about a security server.
        "listmethods",
        "allowedmethods",
        "getwsdl",
        "getopenapi",
        "listclients",
        "listcentralservices",
        "getsecurityserveroperationaldata",
        "getsecurityserverhealthdata",
        "getsecurityservermetrics",
        # PR-MSERV: between security servers and the central server.
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


class Fields(Struct, rename="camel", gc=False):
    """The fields of a record that are read, under the names of PR-OPMON."""

    security_server_type: Scalar = None
    security_server_internal_ip: Scalar = None
    x_request_id: Scalar = None
    message_id: Scalar = None
    request_in_ts: Scalar = None
    request_out_ts: Scalar = None
    response_in_ts: Scalar = None
    response_out_ts: Scalar = None
    client_x_road_instance: Scalar = None
    client_member_class: Scalar = None
    client_member_code: Scalar = None
    client_subsystem_code: Scalar = None
    service_x_road_instance: Scalar = None
    service_member_class: Scalar = None
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


class Party(NamedTuple):
    """A member's subsystem; fields are empty if a call failed too early."""

    instance: str
    member_class: str
    member: str
    subsystem: str

    @property
    def member_key(self) -> tuple[str, str]:
        """Instance and class, which distinguish members with the same code."""
        return self.instance, self.member_class

    @property
    def short(self) -> str:
        """Member and subsystem: enough if the code belongs to only one member."""
        return "/".join(filter(None, (self.member, self.subsystem)))


class XRoadRecord(Struct, frozen=True, gc=False):
    """One side of one call; times are in epoch milliseconds; `side` is None if the record does not say."""

    side: Side | None
    server: str
    request_id: str
    message_id: str
    request_in_ms: int
    request_out_ms: int | None
    response_in_ms: int | None
    response_out_ms: int
    consumer: Party
    provider: Party
    service: str
    fault: str
    hint: Hint
    status_code: int | None
    succeeded: bool | None

    @property
    def known_fields(self) -> int:
        """The number of fields with a value; of two records of the same call the fuller one is kept."""
        values = (*msgspec.structs.astuple(self), *self.consumer, *self.provider)
        return sum(value not in (None, "", UNKNOWN) for value in values)

    def fingerprint(self, *, with_side: bool = True) -> bytes:
        """Return a digest of the record's contents; repeated records have the same."""
        said = msgspec.structs.astuple(self)
        return blake2b(repr(said if with_side else said[1:]).encode(), digest_size=16).digest()

    def outcome(self) -> Outcome:
        """Return the outcome of the call as seen by this side."""
        if self.fault:
            return outcome_of_fault(self.fault, self.hint)
        if self.status_code is not None and (self.status_code >= 400 or self.succeeded is None):
            return outcome_of_status(self.status_code)
        if self.succeeded:
            return "ok"
        if self.side == "producer" or self.response_in_ms is not None:
            return "provider_error"
        return "unreachable"  # the request was sent, no answer came, and nothing else is known


@lru_cache(maxsize=1 << 16)
def is_metaservice(service: str) -> bool:
    """Return whether a service (`code/version`) is X-Road's own, not a business service."""
    return service.partition("/")[0].lower() in METASERVICES


def reduce(fields: Fields) -> XRoadRecord:
    """Return the record made from some fields. Raises `RejectedRecordError` if that is not possible."""
    request_in = time_of(fields.request_in_ts, "requestInTs")
    request_out = time_of(fields.request_out_ts, "requestOutTs")
    response_in = time_of(fields.response_in_ts, "responseInTs")
    response_out = time_of(fields.response_out_ts, "responseOutTs")
    if request_in is None:
        raise RejectedRecordError("requestInTs is missing")
    end = response_out if response_out is not None else response_in
    if end is None:
        raise RejectedRecordError("responseOutTs is missing")
    if end < request_in:
        raise RejectedRecordError("responseOutTs is before requestInTs, by the same server's clock")
    fault = canonical_fault(text_of(fields.fault_code) or text_of(fields.soap_fault_code))
    said = text_of(fields.fault_string) or text_of(fields.soap_fault_string)
    status = status_of(fields.status_code)
    succeeded = flag_of(fields.succeeded)
    if succeeded is None and status is None and not fault:
        raise RejectedRecordError("no outcome: succeeded, faultCode and statusCode are all missing")
    went_out, answered = request_out is not None, response_in is not None
    service, version = text_of(fields.service_code), text_of(fields.service_version)
    return XRoadRecord(
        side=_side(fields.security_server_type, fault),
        server=intern(text_of(fields.security_server_internal_ip)),
        request_id=text_of(fields.x_request_id).lower(),
        message_id=text_of(fields.message_id),
        request_in_ms=request_in,
        request_out_ms=request_out,
        response_in_ms=response_in,
        response_out_ms=end,
        consumer=_party(
            fields.client_x_road_instance,
            fields.client_member_class,
            fields.client_member_code,
            fields.client_subsystem_code,
        ),
        provider=_party(
            fields.service_x_road_instance,
            fields.service_member_class,
            fields.service_member_code,
            fields.service_subsystem_code,
        ),
        service=intern(fit("/".join(filter(None, (service, version))), SERVICE_LENGTH)),
        fault=intern(fault),
        hint=hint_of(fault, said, went_out=went_out, answered=answered, status=status),
        status_code=status,
        succeeded=succeeded,
    )


@lru_cache(maxsize=1 << 16, typed=True)
def _party(instance: Scalar, member_class: Scalar, member: Scalar, subsystem: Scalar) -> Party:
    """Return a party; equal parties share one object, as there are few parties and many records."""
    return Party(*map(text_of, (instance, member_class, member, subsystem)))


def _side(value: Scalar, fault: str) -> Side | None:
    side = text_of(value).lower()
    if side in ("client", "producer"):
        return "client" if side == "client" else "producer"
    if side:
        raise RejectedRecordError("securityServerType is neither Client nor Producer")
    return "client" if raised_by_consumer_gateway(fault) else None
