"""Which ports the pods open, and who may connect to them."""

from typing import Final

from streams.collect.shell import GRPC_PORT, HTTP_PORT
from tools.kubernetes_operators import APP, Document, named

METRICS_PORT: Final = 9100
PAGE_PORT: Final = 8080
COLLECT: Final = "collect"
OTLP_PORTS: Final = {"otlp-http": HTTP_PORT, "otlp-grpc": GRPC_PORT}


def network() -> list[Document]:
    """Return the policies: only scrapers may connect to metrics, and only readers to the page."""
    ours = {"matchLabels": {"app.kubernetes.io/part-of": APP}}
    page = {"matchLabels": {"app.kubernetes.io/name": "serve"}}
    scrapers = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
    return [
        _policy("portallink-metrics", ours, [{"from": [scrapers], "ports": [{"port": METRICS_PORT}]}]),
        _policy("portallink-page", page, [{"ports": [{"port": PAGE_PORT}]}]),
    ]


def otlp_network() -> list[Document]:
    """Return the policy that lets senders of spans, who need a token, reach `collect`."""
    selector = {"matchLabels": {"app.kubernetes.io/name": COLLECT}}
    return [
        _policy("portallink-otlp", selector, [{"ports": [{"port": port} for port in OTLP_PORTS.values()]}])
    ]


def _policy(name: str, selector: Document, rules: list[Document]) -> Document:
    spec = {"podSelector": selector, "policyTypes": ["Ingress"], "ingress": rules}
    return named("NetworkPolicy", "networking.k8s.io/v1", name, spec=spec)
