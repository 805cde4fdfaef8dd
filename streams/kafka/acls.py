"""Who may do what on the broker: one principal a stage, from what the topics' declarations say.

A stage may write where `topic.yaml` names it a producer, and read where it names it a consumer; nobody else
may. That is what keeps a sender of events from inventing measurements, windows or outages: the stages believe
each other's topics, and check only what can be checked.
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
"""Topics of which a stage asks the ends and the partitions, and reads nothing."""
OWN_TOPICS: Final[dict[str, str]] = {"detect": "portallink-detect-"}
"""Prefix of the topics that Faust makes for itself: it needs all rights on them."""
OBSERVED_GROUPS: Final[dict[str, tuple[str, ...]]] = {"detect": ("portallink-measure",)}
"""Groups whose commits a stage looks at."""


class Grant(NamedTuple):
    """A right of a principal on one resource, as Kafka names its parts."""

    principal: str
    operation: str
    resource: str
    name: str
    pattern: str = "literal"

    def command(self, prefix: str = "portallink-") -> str:
        """Return the arguments of Kafka's own `kafka-acls` that give the right."""
        return (
            f"--add --allow-principal User:{prefix}{self.principal} --operation {self.operation} "
            f"--{self.resource} {self.name} --resource-pattern-type {self.pattern}"
        )


def grants() -> list[Grant]:
    """Return every right that is needed, by principal; whatever is not among them is to be denied."""
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
