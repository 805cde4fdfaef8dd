"""Who may do what on the broker: one principal per stage, derived from the declared topics.

A stage may write where `topic.yaml` names it a producer, and read where it names it a consumer; nobody else
may. This keeps a sender of events from forging measurements, windows or outages: stages trust each other's
topics and can verify only part of their content.
"""

from typing import Final, NamedTuple

from streams.kafka.topics import declared_topics
from streams.model.topics import LOOKUPS

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "measure": ("portallink-measure",),
    "detect": ("portallink-detect",),
    "record": ("portallink-record",),
    "collect": ("portallink-collect",),
}
DESCRIBES: Final[dict[str, tuple[str, ...]]] = {"detect": (LOOKUPS,)}
"""Topics whose offsets and partitions a stage queries without reading records."""
OWN_TOPICS: Final[dict[str, str]] = {"detect": "portallink-detect-"}
"""Prefix of the topics that Faust creates for itself; it needs all rights on them."""
OBSERVED_GROUPS: Final[dict[str, tuple[str, ...]]] = {"detect": ("portallink-measure",)}
"""Groups whose commits a stage reads."""


class Grant(NamedTuple):
    """A right of a principal on one resource, in Kafka's terms."""

    principal: str
    operation: str
    resource: str
    name: str
    pattern: str = "literal"

    def command(self, prefix: str = "portallink-") -> str:
        """Return the arguments for Kafka's `kafka-acls` that grant the right."""
        return (
            f"--add --allow-principal User:{prefix}{self.principal} --operation {self.operation} "
            f"--{self.resource} {self.name} --resource-pattern-type {self.pattern}"
        )


def grants() -> list[Grant]:
    """Return every right that is needed, by principal; deny everything else."""
    found = set()
    for name, topic in declared_topics().items():
        found |= {Grant(principal, "Write", "topic", name) for principal in topic.producers}
        found |= {Grant(principal, "Read", "topic", name) for principal in topic.consumers}
    for stage, topics in DESCRIBES.items():
        found |= {Grant(stage, "Describe", "topic", name) for name in topics}
    found |= {Grant(stage, "All", "topic", name, "prefixed") for stage, name in OWN_TOPICS.items()}
    for stage, groups in GROUPS.items():
        found |= {Grant(stage, "Read", "group", name) for name in groups}
    for stage, groups in OBSERVED_GROUPS.items():
        found |= {Grant(stage, "Describe", "group", name) for name in groups}
    return sorted(found)
