"""How `detect` reports an error that ends its worker, and which errors make it start again."""

from typing import Final

from aiokafka.errors import KafkaError

from streams import telemetry
from streams.kafka.clients import describe
from streams.kafka.publish import PublishError

BROKER_AWAY: Final = (KafkaError, OSError, PublishError)
"""Errors after which a worker starts again once the broker answers."""


def tell(error: Exception) -> None:
    """Report that the broker is away, or else what went wrong."""
    told = telemetry.BrokerAway if isinstance(error, BROKER_AWAY) else telemetry.StageFailed
    telemetry.emit(told(describe(error)))
