"""X-Road records as security servers write them, made by the tests."""

import json
import uuid
from random import Random

from streams.ingest.xroad.shapes import parse_records

T0 = 1_686_531_600_000  # 2023-06-12 08:00 Asia/Ho_Chi_Minh
PARTIES = {
    "clientXRoadInstance": "VN",
    "clientMemberClass": "GOV",
    "clientMemberCode": "H29",
    "clientSubsystemCode": "portal",
    "serviceXRoadInstance": "VN",
    "serviceMemberClass": "GOV",
    "serviceMemberCode": "G01",
    "serviceSubsystemCode": "npd",
    "serviceCode": "verifyCitizen",
    "serviceVersion": "v1",
}
LINK = "H29/portal > G01/npd"
NETWORK_ERROR = {
    "succeeded": False,
    "faultCode": "Server.ClientProxy.NetworkError",
    "faultString": "Could not connect to any target host",
}


def client(at_ms=T0, request_id="", **changes):
    """Return the consumer's record of a call of 160 ms, `None` taking a field out."""
    record = {
        "monitoringDataTs": at_ms // 1000 + 5,
        "securityServerInternalIp": "10.0.0.1",
        "securityServerType": "Client",
        "requestInTs": at_ms,
        "requestOutTs": at_ms + 10,
        "responseInTs": at_ms + 150,
        "responseOutTs": at_ms + 160,
        **PARTIES,
        "messageId": f"m-{request_id or at_ms}",
        "messageUserId": "VN079090001234",
        "messageIssue": "H29.12-230612-0001",
        "representedPartyCode": "079090001234",
        "serviceType": "REST",
        "restMethod": "GET",
        "restPath": "/citizens/079090001234",
        "succeeded": True,
        "statusCode": 200,
        "requestSize": 206,
        "responseSize": 1408,
    }
    if request_id:
        record["xRequestId"] = request_id
    return without_none(record | changes)


def producer(at_ms=T0, request_id="", **changes):
    """Return the provider's record of the same call: 80 ms of them its own."""
    times = {
        "securityServerInternalIp": "10.0.0.2",
        "securityServerType": "Producer",
        "requestInTs": at_ms + 35,
        "requestOutTs": at_ms + 40,
        "responseInTs": at_ms + 120,
        "responseOutTs": at_ms + 130,
    }
    return without_none(client(at_ms, request_id) | times | changes)


def network_error(at_ms, request_id):
    """Return the consumer's record of a call that found no way through."""
    return client(at_ms, request_id, responseInTs=None, statusCode=None, **NETWORK_ERROR)


def parsed(document):
    """Return the one record that a document holds."""
    [record] = parse_records(json.dumps(document).encode())
    return record


def without_none(record):
    """Return the record without the fields set to None."""
    return {name: value for name, value in record.items() if value is not None}


def request_id(random: Random) -> str:
    """Return a request id as the security server makes one."""
    return str(uuid.UUID(int=random.getrandbits(128), version=4))
