"""Resources that need an operator: topics and users (Strimzi), scraping and rules, scaling (KEDA)."""

from typing import Any, Final

import yaml

from streams.kafka.acls import GROUPS, grants
from streams.kafka.topics import Topic, declared_topics

Document = dict[str, Any]
APP: Final = "portallink"
CLUSTER: Final = "portallink-kafka"
LEAST_MEASURE: Final = 2
"""The least number of processes of `measure`."""


def named(kind: str, version: str, name: str, **rest: Any) -> Document:
    """Return a resource with our labels."""
    labels = {"app.kubernetes.io/part-of": APP, "app.kubernetes.io/name": name}
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels}, **rest}


def topic(declared: Topic) -> Document:
    """Return a topic as `schemas/` declares it."""
    document = named(
        "KafkaTopic",
        "kafka.strimzi.io/v1beta2",
        declared.name.replace("_", "-"),
        spec={
            "topicName": declared.name,
            "partitions": declared.partitions,
            "replicas": 3,
            "config": {**declared.config, "min.insync.replicas": "2"},
        },
    )
    document["metadata"]["labels"]["strimzi.io/cluster"] = CLUSTER
    return document


PRINCIPALS: Final = {"portal": ("simulate", "ingest", "emit"), "operator": ("cli", "replay")}
"""Users that are not stages: one sends events, the other writes rules and exclusions and replays topics."""
_PATTERNS: Final = {"literal": "literal", "prefixed": "prefix"}
"""Strimzi's words for Kafka's ways to match a name."""


def user(name: str) -> Document:
    """Return a user with the rights that `streams.kafka.acls` gives to its principals."""
    own = PRINCIPALS.get(name, (name,))
    rights: dict[tuple[str, str, str], list[str]] = {}
    for grant in grants():
        if grant.principal in own:
            operations = rights.setdefault((grant.resource, grant.name, grant.pattern), [])
            if grant.operation not in operations:
                operations.append(grant.operation)
    acls = [
        {
            "resource": {"type": kind, "name": resource, "patternType": _PATTERNS[pattern]},
            "operations": operations,
        }
        for (kind, resource, pattern), operations in rights.items()
    ]
    document = named(
        "KafkaUser",
        "kafka.strimzi.io/v1beta2",
        f"portallink-{name}",
        spec={
            "authentication": {"type": "scram-sha-512"},
            "authorization": {"type": "simple", "acls": acls},
        },
    )
    document["metadata"]["labels"]["strimzi.io/cluster"] = CLUSTER
    return document


def pod_monitor() -> Document:
    """Return the resource that scrapes every stage."""
    return named(
        "PodMonitor",
        "monitoring.coreos.com/v1",
        APP,
        spec={
            "selector": {"matchLabels": {"app.kubernetes.io/part-of": APP}},
            "podMetricsEndpoints": [
                {
                    "port": "metrics",
                    "interval": "15s",
                    "relabelings": [{"targetLabel": "job", "replacement": APP}],
                }
            ],
        },
    )


def prometheus_rule(rules: dict[str, str]) -> Document:
    """Return the generated rule files as one resource."""
    groups = [group for text in rules.values() for group in yaml.safe_load(text)["groups"]]
    return named("PrometheusRule", "monitoring.coreos.com/v1", APP, spec={"groups": groups})


def scaled() -> Document:
    """Return the scaling of `measure`: one process for each partition at most."""
    # What a stage writes itself it looks up, and is no work that waits for it.
    topics = [
        topic
        for topic in declared_topics().values()
        if "measure" in topic.consumers and "measure" not in topic.producers
    ]
    return named(
        "ScaledObject",
        "keda.sh/v1alpha1",
        "measure",
        spec={
            "scaleTargetRef": {"name": "measure"},
            "minReplicaCount": LEAST_MEASURE,
            "maxReplicaCount": max(topic.partitions for topic in topics),
            "cooldownPeriod": 300,
            "triggers": [
                {
                    "type": "kafka",
                    "metadata": {
                        "bootstrapServersFromEnv": "KAFKA_BOOTSTRAP_SERVERS",
                        "consumerGroup": GROUPS["measure"][0],
                        "topic": topic.name,
                        "lagThreshold": "100000",
                    },
                }
                for topic in topics
            ],
        },
    )
