"""The files an embedded broker starts from: properties, storage identity, logging."""

import base64
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from streams.servers.process import LOOPBACK

NODE_ID = 1
MAX_RECORD_BYTES = 8 * 1024 * 1024  # a dead letter contains a record of 1 MB in base64, and more


class Listener(NamedTuple):
    """An additional address of the broker; its clients are redirected to `advertised_port`."""

    name: str
    port: int
    protocol: str = "PLAINTEXT"
    advertised_port: int | None = None


def server_properties(
    log_dir: Path,
    port: int,
    controller_port: int,
    listeners: Sequence[Listener],
    settings: Mapping[str, object],
) -> str:
    """Return `server.properties`; ``settings`` override the broker's own of the same names."""
    usual = _settings(log_dir, port, controller_port) | _listeners(listeners, port, controller_port)
    return _properties(usual | dict(settings))


def meta_properties() -> str:
    """Return `meta.properties` of a new storage folder, with an identity of its own."""
    return _properties(_identity())


def _listeners(further: Sequence[Listener], port: int, controller_port: int) -> dict[str, object]:
    if not further:
        return {}
    own = [Listener("PLAINTEXT", port), *further]
    every = [*own, Listener("CONTROLLER", controller_port)]
    return {
        "listeners": ",".join(f"{one.name}://{LOOPBACK}:{one.port}" for one in every),
        "advertised.listeners": ",".join(
            f"{one.name}://{LOOPBACK}:{one.advertised_port or one.port}" for one in own
        ),
        "listener.security.protocol.map": ",".join(f"{one.name}:{one.protocol}" for one in every),
        "inter.broker.listener.name": "PLAINTEXT",
    }


def _identity() -> dict[str, object]:
    return {
        "version": 1,
        "cluster.id": _kafka_uuid(),
        "node.id": NODE_ID,
        "directory.id": _kafka_uuid(),
    }


def _kafka_uuid() -> str:
    """Return a random identifier in Kafka's format: 16 bytes in unpadded URL-safe base64."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _settings(log_dir: Path, port: int, controller_port: int) -> dict[str, object]:
    return {
        "process.roles": "broker,controller",
        "node.id": NODE_ID,
        "controller.quorum.voters": f"{NODE_ID}@{LOOPBACK}:{controller_port}",
        "listeners": f"PLAINTEXT://{LOOPBACK}:{port},CONTROLLER://{LOOPBACK}:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://{LOOPBACK}:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": log_dir,
        # Topics are created from `schemas/`, with their settings; a misspelt name must not create one.
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_RECORD_BYTES,
        "replica.fetch.max.bytes": MAX_RECORD_BYTES,
        # One node, so internal topics have one replica; few partitions start and stop faster.
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "transaction.state.log.num.partitions": 2,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "share.coordinator.state.topic.num.partitions": 1,
        # Do not wait for further members when a group starts.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
    }


def _properties(settings: dict[str, object]) -> str:
    # In this format a backslash starts an escape.
    return "".join(f"{name}={str(value).replace(chr(92), chr(92) * 2)}\n" for name, value in settings.items())


LOGGING = """\
Configuration:
  status: warn
  shutdownHook: disable
  Appenders:
    Console:
      name: console
      PatternLayout:
        pattern: "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %p %c{1} %m%n"
  Loggers:
    Root:
      level: warn
      AppenderRef:
        ref: console
    Logger:
      - name: kafka.server.KafkaConfig
        level: error
      - name: org.apache.kafka
        level: warn
"""
