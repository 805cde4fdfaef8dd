"""What a fault code or a status says about the link."""

import pytest
from xroad_samples import client, parsed, producer

from streams.model.events import fault_domain_of


@pytest.mark.parametrize(
    ("code", "outcome", "domain"),
    [
        ("Client.InvalidHttpMethod", "denied", "client"),
        ("Server.ClientProxy.NetworkError", "unreachable", "link"),
        ("server.clientproxy.network_error", "unreachable", "link"),
        ("Server.ClientProxy.IOError", "reset", "link"),
        ("Server.ClientProxy.SslAuthenticationFailed", "tls_error", "link"),
        ("Server.ClientProxy.CertValidation", "tls_error", "link"),
        ("Server.ClientProxy.OutdatedGlobalConf", "protocol_error", "link"),
        ("Signer.CannotSign", "protocol_error", "link"),
        ("Server.ServerProxy.AccessDenied", "denied", "client"),
        ("Server.ServerProxy.UnknownService", "provider_error", "provider"),
        ("Server.ServerProxy.ServiceFailed.SslAuthenticationFailed", "provider_error", "provider"),
        ("Server.ServerProxy.ServiceFailed.NetworkError", "provider_error", "provider"),
        ("SOAP-ENV:Server", "provider_error", "provider"),
        ("soap:Client", "denied", "client"),
        ("env:Sender.NotFound", "denied", "client"),
    ],
)
def test_fault_code_tells_whose_fault(code, outcome, domain):
    """The prefix of a fault code says whose fault it was, in the old field and in the new one."""
    for name in ("faultCode", "soapFaultCode"):
        record = parsed(client(succeeded=False, statusCode=500, **{name: code}))
        assert record.outcome() == outcome
        assert fault_domain_of(outcome) == domain


AT_ONCE = {"requestOutTs": None, "responseInTs": None, "statusCode": None}
UNANSWERED = {"responseInTs": None, "statusCode": None}
BLAME = [
    # the provider's gateway in announced maintenance: in the spelling of X-Road 7.7, and of 8
    ("Server.ClientProxy.MaintenanceMode", "", AT_ONCE, "provider_error"),
    ("server.clientproxy.maintenance_mode", "", AT_ONCE, "provider_error"),
    # the consumer's own certificate, told by its text or because nothing was sent
    ("Server.ClientProxy.SslAuthenticationFailed", "Client (SUBSYSTEM:VN/GOV/H29) has none", {}, "denied"),
    ("Server.ClientProxy.SslAuthenticationFailed", "", AT_ONCE, "denied"),
    ("server.clientproxy.ssl_authentication_failed", "", AT_ONCE, "denied"),
    # the certificate of the other gateway
    ("Server.ClientProxy.SslAuthenticationFailed", "the provider's has none", UNANSWERED, "tls_error"),
    # a consumer that is not registered, and a provider that is not
    ("Server.ClientProxy.UnknownMember", "Client 'SUBSYSTEM:VN/GOV/H29' is not here", AT_ONCE, "denied"),
    ("Server.ClientProxy.InternalError", "Client 'SUBSYSTEM:VN/GOV/H29' is not here", AT_ONCE, "denied"),
    ("Server.ClientProxy.UnknownMember", "no address of the provider is known", AT_ONCE, "provider_error"),
    ("Server.ServerProxy.UnknownMember", "Client 'SUBSYSTEM:VN/GOV/G01' is not here", {}, "provider_error"),
    # a consumer that hung up, once its answer was there
    ("Server.ClientProxy.IOError", "", {"statusCode": 200}, "cancelled"),
    ("Server.ClientProxy.NetworkError", "", {"statusCode": 404}, "cancelled"),
    ("Server.ClientProxy.IOError", "Broken pipe", {"statusCode": None}, "cancelled"),
    # a line that broke off before, or while, the answer came
    ("Server.ClientProxy.IOError", "Broken pipe", UNANSWERED, "reset"),
    ("Server.ClientProxy.IOError", "", {"statusCode": None}, "reset"),
    # a name that is not resolved: of the provider's gateway, and of the system behind it
    ("Server.ClientProxy.UnknownHost", "", UNANSWERED, "unreachable"),
    ("Server.ClientProxy.NetworkError", "name or service not known", UNANSWERED, "unreachable"),
    ("Server.ServerProxy.ServiceFailed.UnknownHost", "", {}, "provider_error"),
]


@pytest.mark.parametrize(("code", "text", "rest", "outcome"), BLAME)
def test_where_a_code_leaves_two_parties_the_rest_of_the_record_tells(code, text, rest, outcome):
    """Each fault is blamed on whose it was, by code, text and how far the call had come."""
    record = parsed(client(succeeded=False, faultCode=code, faultString=text, **rest))
    assert record.outcome() == outcome


def test_a_client_that_went_away_is_nobodys_fault():
    """What was cancelled counts against nobody, by X-Road's codes and by nginx's status."""
    assert fault_domain_of("cancelled") is None
    assert parsed(client(statusCode=499, succeeded=False)).outcome() == "cancelled"


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, "ok"),
        (304, "ok"),
        (401, "denied"),
        (403, "denied"),
        (404, "not_found"),
        (409, "denied"),
        (429, "throttled"),
        (500, "provider_error"),
        (504, "provider_error"),
    ],
)
def test_rest_status_is_no_link_fault(status, outcome):
    """Without a fault code the status decides, and no status blames the link."""
    record = parsed(client(statusCode=status, succeeded=status < 400))
    assert record.outcome() == outcome
    assert fault_domain_of(outcome) != "link"


def test_timeout_is_told_by_the_fault_text_which_is_not_kept():
    """A consumer's gateway that timed out gives `timeout`; the text itself is dropped."""
    text = "Read timed out for 079090001234"
    record = parsed(client(succeeded=False, faultCode="Server.ClientProxy.NetworkError", faultString=text))
    assert record.outcome() == "timeout"
    assert "079090001234" not in repr(record)


def test_failure_without_a_word_is_judged_by_what_came_back():
    """Unsuccessful, no code: nothing came back to the consumer is the link, an answer is the provider."""
    silent = {"succeeded": False, "statusCode": None}
    gone = parsed(client(responseInTs=None, **silent))
    answered = parsed(client(**silent))
    provider = parsed(producer(responseInTs=None, **silent))
    assert [record.outcome() for record in (gone, answered, provider)] == [
        "unreachable",
        "provider_error",
        "provider_error",
    ]
