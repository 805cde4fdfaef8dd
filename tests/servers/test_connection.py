"""Connection settings come from the environment and are refused by name when they are wrong."""

import ssl

import pytest

from streams.kafka.connection import ConnectionSettingsError, kafka_connection

BROKER = {"KAFKA_BOOTSTRAP_SERVERS": "broker.example:9093"}
SASL = {"KAFKA_SASL_USERNAME": "portallink", "KAFKA_SASL_PASSWORD": "for a test"}


def test_plain_connection_needs_nothing_but_the_address():
    """The address alone gives a plain connection; a command's own option goes before the variable."""
    plain = {"bootstrap_servers": "broker.example:9093", "security_protocol": "PLAINTEXT"}
    assert kafka_connection(environment=BROKER) == plain
    assert kafka_connection("other:1", BROKER)["bootstrap_servers"] == "other:1"


def test_sasl_over_tls_takes_mechanism_credentials_and_certificates():
    """SASL_SSL gives the credentials, the mechanism and a TLS context that verifies the broker."""
    found = kafka_connection(
        environment={
            **BROKER,
            **SASL,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        }
    )
    context = found.pop("ssl_context")
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert found == {
        "bootstrap_servers": "broker.example:9093",
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "portallink",
        "sasl_plain_password": "for a test",
    }


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"KAFKA_SECURITY_PROTOCOL": "TLS"}, "KAFKA_SECURITY_PROTOCOL='TLS' is not one of PLAINTEXT"),
        ({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL"}, "KAFKA_SASL_USERNAME must be set"),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_USERNAME": "u"},
            "KAFKA_SASL_PASSWORD must be set",
        ),
        (
            {"KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT", "KAFKA_SASL_MECHANISM": "MD5", **SASL},
            "KAFKA_SASL_MECHANISM='MD5'",
        ),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": "/no/ca.pem"}, "KAFKA_SSL_CAFILE="),
        ({"KAFKA_SECURITY_PROTOCOL": "SSL", "KAFKA_SSL_CAFILE": __file__}, "cannot read the certificates"),
    ],
)
def test_wrong_setting_is_named(wrong, named):
    """A wrong or missing setting is refused with the name of its variable, never with a password."""
    with pytest.raises(ConnectionSettingsError) as refused:
        kafka_connection(environment={**BROKER, **wrong})
    assert named in str(refused.value)
    assert SASL["KAFKA_SASL_PASSWORD"] not in str(refused.value)


def test_no_broker_at_all_says_how_to_get_one(tmp_path, monkeypatch):
    """With no broker named and none running, the error gives both ways."""
    monkeypatch.setenv("PORTALLINK_DATA", str(tmp_path))
    with pytest.raises(ConnectionSettingsError, match=r"KAFKA_BOOTSTRAP_SERVERS.*portallink kafka start"):
        kafka_connection(environment={})
