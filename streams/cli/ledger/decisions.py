"""What all commands have in common that record a person's decision: who and why, and where it is sent."""

import asyncio
import getpass
import time
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer
from aiokafka.errors import KafkaError
from msgspec import ValidationError

from streams.cli.outcome import fail, refuse
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.topics import Topics
from streams.model.exclusion import Exclusion
from streams.model.retirement import Retirement
from streams.record.send import send_decision

Decision = TypeVar("Decision", Exclusion, Retirement)

Author = Annotated[str | None, typer.Option(help="Who decides [default: your account's name].")]
Reason = Annotated[str, typer.Option(help="Why, in the words that reports will show.")]
Suffix = Annotated[str, typer.Option(help="Suffix of the topic names.")]
Servers = Annotated[str | None, typer.Option(help="Broker [default: KAFKA_BOOTSTRAP_SERVERS].")]


def decided(author: str | None, make: Callable[[str, int], Decision]) -> Decision:
    """Return the decision that ``make`` makes of its author and the present time, in epoch milliseconds.

    A decision that cannot be made (ValueError) ends the command.
    """
    try:
        return make(author or getpass.getuser(), int(time.time() * 1000))
    except (ValidationError, ValueError) as error:
        refuse(error)


def send(decision: Exclusion | Retirement, suffix: str, bootstrap_servers: str | None) -> None:
    """Publish a decision; where the broker does not take it the command ends."""
    try:
        asyncio.run(send_decision(kafka_connection(bootstrap_servers), decision, Topics().suffixed(suffix)))
    except ConnectionSettingsError as error:
        refuse(error)
    except KafkaError as error:
        fail(f"the broker did not accept it: {error!r}")
