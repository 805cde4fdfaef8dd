"""`portallink ledger`: bring the auditors' ledger up to date, rebuild it, make tokens."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Annotated

import msgspec
import sqlalchemy as sa
import typer
from aiokafka.errors import KafkaError
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

from streams.cli.ledger.heads import consistency, head, key_command, verify
from streams.cli.ledger.ledger_options import (
    AsJson,
    InLanguage,
    LedgerAddress,
    opened,
    read,
)
from streams.cli.ledger.publish_head import publish_head
from streams.cli.outcome import (
    Words,
    fail,
    notes,
    print_document,
    print_json,
    refuse,
    say,
)
from streams.cli.settings_option import SettingsFile, settings_of
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.read import RereadError
from streams.kafka.topics import Topics
from streams.ledger.proof.compare import differing_tables
from streams.ledger.store.apply import SOURCES, apply_records
from streams.ledger.store.calendars import calendars_of, keep_calendars, said_calendars
from streams.ledger.store.database import reading, sqlite_url, writing
from streams.ledger.store.rows import chunks
from streams.ledger.store.schema import positions
from streams.ledger.store.settle import settle_after_upgrade
from streams.logs.file import LogFileError
from streams.logs.read import read_log
from streams.model.record import Record
from streams.record.reread import ledger_batches
from streams.serve.access import Role, new_token
from streams.serve.texts import text, written_calendar

app = typer.Typer(no_args_is_help=True, help="The auditors' ledger: make, rebuild, sign, verify.")

Logs = Annotated[
    list[Path] | None,
    typer.Option("--log", help="Captured log to read instead of the broker; repeatable, in order."),
]
BATCH_RECORDS = 20_000


@app.command()
def migrate(*, settings: SettingsFile = None, ledger: LedgerAddress = None) -> None:
    """Upgrade the ledger to this program's version, or create an empty one.

    With --settings, the file's calendars become the ledger's own, and figures are counted by them too.
    """
    said = settings_of(settings).calendars
    with opened(ledger, create=True) as engine:
        with writing(engine) as connection:
            if said is not None:
                keep_calendars(connection, said)
            settle_after_upgrade(connection)
        notes.print("the ledger is up to date")


@app.command()
def calendars(*, language: InLanguage = "en", ledger: LedgerAddress = None, as_json: AsJson = False) -> None:
    """List the ledger's calendars with their versions."""
    with read(ledger) as connection:
        known, said = calendars_of(connection), said_calendars(connection)
    if as_json:
        own = {one.name: msgspec.to_builtins(one) for one in said}
        print_json([{"name": c.name, "version": c.version, "says": own.get(c.name)} for c in known.values()])
        return
    for calendar in known.values():
        called = written_calendar(calendar.name, language)
        name = calendar.name if called == calendar.name else f"{calendar.name} ({called})"
        say(f"{name}: {text('calendar_version', language, version=calendar.version)}")


@app.command()
def rebuild(
    *,
    log: Logs = None,
    check: Annotated[
        bool,
        typer.Option(help="Rebuild into a temporary ledger and compare; exit 1 on a difference."),
    ] = False,
    suffix: Annotated[str, typer.Option(help="Suffix of the topic names.")] = "",
    bootstrap_servers: Annotated[str | None, typer.Option(help="Broker to read from.")] = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Rebuild the ledger from the topics, or from captured logs of them.

    It writes into an empty ledger. With --check, it writes into a temporary one and compares that with this
    ledger. Signed heads are not rebuilt: keep them; they hold for the rebuilt ledger as well.
    """
    if not check:
        with opened(ledger, create=True) as engine:
            if _is_filled(engine):
                refuse("the ledger holds history already: name an empty one with --ledger, or use --check")
            records = _fill(engine, log, suffix, bootstrap_servers, None)
        print_json({"records": records}) if as_json else notes.print(
            f"built the ledger from {records} records"
        )
        return
    with opened(ledger) as engine, tempfile.TemporaryDirectory(prefix="portallink-rebuild-") as folder:
        with reading(engine) as connection:
            until = {
                (row.topic, row.partition): row.next_offset
                for row in connection.execute(sa.select(positions))
            }
        with opened(sqlite_url(Path(folder) / "ledger.db"), create=True) as again:
            with reading(engine) as connection, writing(again) as fresh:
                keep_calendars(fresh, said_calendars(connection))
            records = _fill(again, log, suffix, bootstrap_servers, until)
            differing = differing_tables(engine, again)
    if as_json:
        print_json({"records": records, "equal": not differing, "differing": differing})
    if differing:
        fail(f"the ledger is not what its topics give; these tables differ: {', '.join(differing)}")
    notes.print(f"the ledger equals one rebuilt from {records} records")


@app.command()
def token(
    name: str,
    role: Annotated[Role, typer.Option(help="viewer, auditor or operator.")] = "viewer",
    days: Annotated[int, typer.Option(help="Days until it expires.", min=1)] = 90,
) -> None:
    """Create an access token. It is shown once, with the line to add to the tokens file."""
    import time  # noqa: PLC0415 - the clock is needed here alone

    secret, entry = new_token(name, role, int(time.time()) + days * 86_400)
    notes.print("the token, shown this once:")
    print_document(secret)
    notes.print("add this line to the file that PORTALLINK_TOKENS names:")
    print_document(msgspec.json.encode(entry).decode())


for _command in (verify, head, consistency, publish_head):
    app.command()(_command)
app.command(name="key")(key_command)


def _fill(
    engine: sa.Engine,
    logs: list[Path] | None,
    suffix: str,
    bootstrap_servers: str | None,
    until: dict[tuple[str, int], int] | None,
) -> int:
    topics = Topics().suffixed(suffix)
    columns = (SpinnerColumn(), Words("{task.completed} records"), TimeElapsedColumn())

    async def from_broker() -> int:
        return await _apply_all(
            engine, ledger_batches(kafka_connection(bootstrap_servers), topics, until), progress
        )

    try:
        with Progress(*columns, console=notes, transient=True) as progress:
            progress.add_task("rebuilding", total=None)
            if not logs:
                return asyncio.run(from_broker())
            total = 0
            for batch in chunks(_ledger_records(logs, until), BATCH_RECORDS):
                apply_records(engine, batch)
                total += len(batch)
                progress.update(progress.task_ids[0], completed=total)
            return total
    except (LogFileError, OSError, RereadError, ConnectionSettingsError) as error:
        refuse(error)
    except KafkaError as error:
        fail(f"the broker does not answer: {error!r}")


async def _apply_all(engine: sa.Engine, batches: AsyncIterator[list[Record]], progress: Progress) -> int:
    total = 0
    async for batch in batches:
        await asyncio.to_thread(apply_records, engine, batch)
        total += len(batch)
        progress.update(progress.task_ids[0], completed=total)
    return total


def _ledger_records(logs: list[Path], until: dict[tuple[str, int], int] | None) -> Iterable[Record]:
    """Yield the ledger's records of log files; other topics in them are left out."""
    for path in logs:
        for record in read_log(path):
            if record.topic in SOURCES and (
                until is None or record.offset < until.get((record.topic, record.partition), 0)
            ):
                yield Record(*record)


def _is_filled(engine: sa.Engine) -> bool:
    with reading(engine) as connection:
        return connection.execute(sa.select(positions).limit(1)).first() is not None
