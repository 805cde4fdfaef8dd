"""A span as read from either form."""

from typing import Any, Final, NamedTuple

from streams.ingest.values import RejectedRecordError

MOST_SPAN_BYTES: Final = 256 * 1024
"""Longer spans are rejected; a call's is never this long."""


class Source(NamedTuple):
    """The sender of spans: a service, and one of its processes."""

    service: str
    instance: str


class Found(NamedTuple):
    """A span's identity and the values that maps need; or the reason why it cannot be used."""

    source: Source
    identity: str = ""
    values: list[Any] | None = None
    error: RejectedRecordError | None = None


def source_of(attributes: dict[str, Any]) -> Source:
    """Return the sender according to the attributes of the resource."""
    named = [str(attributes.get(name) or "")[:200] for name in ("service.namespace", "service.name")]
    instance = attributes.get("service.instance.id") or [
        attributes.get(name) for name in ("k8s.pod.uid", "host.name", "process.pid")
    ]
    return Source("/".join(filter(None, named)) or "unknown", str(instance)[:200])
