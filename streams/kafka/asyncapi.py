"""An AsyncAPI 3 document of all topics, generated from their declarations."""

from typing import Any

import yaml

from streams import __version__
from streams.kafka.topics import Topic, declared_topics

ASYNCAPI_VERSION = "3.0.0"
KAFKA_BINDING_VERSION = "0.5.0"
HEADER = "# Written by `portallink topics asyncapi --out schemas/asyncapi.yaml`; edit the topics instead.\n"


def asyncapi_document() -> str:
    """Return the document as YAML; references to schemas are relative to `schemas/`."""
    topics = list(declared_topics().values())
    document = {
        "asyncapi": ASYNCAPI_VERSION,
        "info": {
            "title": "portallink",
            "version": __version__,
            "description": (
                "The topics through which the stability of the link between public-service portals and "
                "the national population database is measured. Fields ending in _ms are integer epoch "
                "milliseconds, UTC. Unknown extra fields are ignored; a record that lacks a required field "
                "or has a wrong one goes to pipeline.dead_letters."
            ),
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "{bootstrap_server}",
                "protocol": "kafka",
                "description": "The embedded Apache Kafka, or the one KAFKA_BOOTSTRAP_SERVERS names.",
                "variables": {"bootstrap_server": {"default": "127.0.0.1:9092"}},
            }
        },
        "channels": {topic.name: _channel(topic) for topic in topics},
        "operations": dict(operation for topic in topics for operation in _operations(topic)),
        "components": {
            "messages": {
                _message_name(topic, version): _message(topic, version)
                for topic in topics
                for version in topic.versions
            }
        },
    }
    return HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _channel(topic: Topic) -> dict[str, Any]:
    return {
        "address": topic.name,
        "title": topic.title,
        "description": topic.description,
        "messages": {
            f"v{version}": {"$ref": f"#/components/messages/{_message_name(topic, version)}"}
            for version in topic.versions
        },
        "bindings": {
            "kafka": {
                "partitions": topic.partitions,
                "topicConfiguration": _topic_configuration(topic),
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
    }


def _topic_configuration(topic: Topic) -> dict[str, Any]:
    """Return the settings that the Kafka binding defines, with its types."""
    known: dict[str, Any] = {
        "cleanup.policy": lambda text: [text],
        "retention.ms": int,
        "max.message.bytes": int,
    }
    return {name: known[name](value) for name, value in topic.config.items() if name in known}


def _operations(topic: Topic) -> list[tuple[str, dict[str, Any]]]:
    sides = [("send", room) for room in topic.producers] + [("receive", room) for room in topic.consumers]
    return [
        (
            f"{room}.{action}.{topic.name}",
            {"action": action, "channel": {"$ref": f"#/channels/{topic.name}"}, "tags": [{"name": room}]},
        )
        for action, room in sides
    ]


def _message_name(topic: Topic, version: int) -> str:
    return f"{topic.name}.v{version}"


def _message(topic: Topic, version: int) -> dict[str, Any]:
    return {
        "name": topic.name,
        "title": topic.title,
        "contentType": "application/json",
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": {"$ref": f"./{topic.value_of}/v{version}.schema.json"},
        },
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": topic.key},
                "bindingVersion": KAFKA_BINDING_VERSION,
            }
        },
        "examples": [{"name": example.name, "payload": example.value} for example in topic.examples()],
    }
