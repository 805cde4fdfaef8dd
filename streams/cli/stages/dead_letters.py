"""`portallink dead-letters`: what could not be used, and what becomes of it."""

import asyncio
from base64 import b64decode
from collections import Counter
from typing import Annotated, Any, Final

import typer
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec import DecodeError, to_builtins
from msgspec.structs import replace

from streams.cli.ledger.decisions import Servers, Suffix
from streams.cli.ledger.ledger_options import AsJson
from streams.cli.outcome import fail, notes, print_json, refuse
from streams.cli.table import Column, show_table
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.read import RereadError, topic_batches
from streams.kafka.topics import Topics
from streams.measure.letters import Letter, letter_decoder, letter_key
from streams.model.canonical import encode
from streams.model.record import LOGGED_AT_HEADER
from streams.model.short import UnclearIdError, meant
from streams.model.times import local_time

app = typer.Typer(no_args_is_help=True, help="Records that could not be used: list, show, retry, forget.")

SHOWN: Final = 50
MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
Place = tuple[str, int, int]
SEE: Final = "portallink dead-letters list"
Record = Annotated[
    str, typer.Argument(help="TOPIC/PARTITION@OFFSET, as `list` shows it, or the beginning of it.")
]
Chosen = Annotated[
    list[str] | None,
    typer.Argument(help="TOPIC/PARTITION@OFFSET of each, as `list` shows it, or the beginning of it."),
]
ByReason = Annotated[str | None, typer.Option(help="Only those with this reason.")]


@app.command(name="list")
def list_command(
    *,
    reason: ByReason = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    as_json: AsJson = False,
) -> None:
    """List the dead letters that are neither retried nor forgotten. Times are Asia/Ho_Chi_Minh."""
    letters = _open_letters(_read(suffix, bootstrap_servers), None, reason)
    if as_json:
        print_json([_without_value(letter) for letter in letters.values()])
        return
    show_table(
        [Column("record"), Column("reason", 1), Column("logged", 3), Column("detail", 2, wrapped=True)],
        [
            (_name(place), letter.reason, local_time(letter.logged_at_ms), letter.detail)
            for place, letter in list(letters.items())[:SHOWN]
        ],
    )
    counts = Counter(letter.reason for letter in letters.values())
    notes.print(", ".join(f"{count:,} {why}" for why, count in counts.most_common()) or "no dead letters")
    if len(letters) > SHOWN:
        notes.print(f"{SHOWN} of {len(letters):,} are shown; --json has all")


@app.command()
def show(
    record: Record,
    *,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
) -> None:
    """Print one dead letter as JSON, with its value as text."""
    letters = _open_letters(_read(suffix, bootstrap_servers), [record], None)
    for letter in letters.values():
        value = b64decode(letter.value_base64)
        print_json(_without_value(letter) | {"value": value.decode("utf-8", "backslashreplace")})


@app.command()
def retry(
    records: Chosen = None,
    *,
    reason: ByReason = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
) -> None:
    """Send records to their topic again, unchanged and with their original time, and settle them.

    Fix the cause first; otherwise they come back as new dead letters.
    """
    letters = _chosen(records, reason, suffix, bootstrap_servers)
    cut = [_name(place) for place, letter in letters.items() if letter.value_bytes is not None]
    if cut:
        refuse(f"the dead letter holds only the first bytes of {', '.join(cut)}: replay it from its topic")
    _settle(letters, "retried", suffix, bootstrap_servers)


@app.command()
def forget(
    records: Chosen = None,
    *,
    reason: ByReason = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
) -> None:
    """Settle dead letters without sending their records again. They stay on the topic until they expire."""
    _settle(_chosen(records, reason, suffix, bootstrap_servers), "forgotten", suffix, bootstrap_servers)


def _chosen(
    records: list[str] | None, reason: str | None, suffix: str, servers: str | None
) -> dict[Place, Letter]:
    if bool(records) == (reason is not None):
        refuse("name records, or give --reason")
    return _open_letters(_read(suffix, servers), records, reason)


def _open_letters(
    letters: list[Letter], records: list[str] | None, reason: str | None
) -> dict[Place, Letter]:
    """Return the letters that are not settled, by place; of several that tell of one record, the first."""
    found: dict[Place, Letter] = {}
    settled = {_place(letter) for letter in letters if letter.settled}
    for letter in letters:
        place = _place(letter)
        if place not in settled and (reason is None or letter.reason == reason):
            found.setdefault(place, letter)
    if records is None:
        return found
    by_name = {_name(place): place for place in found}
    try:
        names = [meant(typed, list(by_name), "open dead letter", SEE) for typed in records]
    except UnclearIdError as error:
        refuse(error)
    return {by_name[name]: found[by_name[name]] for name in names}


def _place(letter: Letter) -> Place:
    return letter.source.topic, letter.source.partition, letter.source.offset


def _name(place: Place) -> str:
    return f"{place[0]}/{place[1]}@{place[2]}"


def _without_value(letter: Letter) -> dict[str, Any]:
    shown: dict[str, Any] = to_builtins(letter)
    del shown["value_base64"]
    return shown | {"record": _name(_place(letter))}


def _read(suffix: str, servers: str | None) -> list[Letter]:
    async def read() -> list[Letter]:
        letters = []
        async for batch in topic_batches(kafka_connection(servers), [Topics().suffixed(suffix).dead_letters]):
            for record in batch:
                try:
                    letters.append(letter_decoder.decode(record.value))
                except (DecodeError, RecursionError):
                    notes.print(f"{record.topic}/{record.partition}@{record.offset} is not a dead letter")
        return letters

    try:
        return asyncio.run(read())
    except ConnectionSettingsError as error:
        refuse(error)
    except (RereadError, KafkaError) as error:
        fail(error)


def _settle(letters: dict[Place, Letter], how: str, suffix: str, servers: str | None) -> None:
    """Send the records again where they are to be retried, then mark their letters as settled."""
    topic = Topics().suffixed(suffix).dead_letters

    async def send() -> None:
        options = {
            "enable_idempotence": True,
            "max_request_size": MAX_REQUEST_BYTES,
            **kafka_connection(servers),
        }
        async with AIOKafkaProducer(**options) as producer:
            for (source, partition, _), letter in letters.items():
                if how == "retried":
                    await producer.send_and_wait(
                        source,
                        b64decode(letter.value_base64),
                        key=None if letter.key_base64 is None else b64decode(letter.key_base64),
                        partition=partition,
                        headers=[(LOGGED_AT_HEADER, b"%d" % letter.logged_at_ms)],
                    )
                mark = encode(replace(letter, settled=how, value_base64=""))
                await producer.send_and_wait(topic, mark, key=letter_key(source, partition))

    try:
        asyncio.run(send())
    except ConnectionSettingsError as error:
        refuse(error)
    except KafkaError as error:
        fail(error)
    notes.print(f"{len(letters):,} {how}")
