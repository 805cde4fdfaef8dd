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
