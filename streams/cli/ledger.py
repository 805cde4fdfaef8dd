"""`portallink ledger`: making the auditors' ledger again, and holding it to what was signed."""

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

from streams.cli.ledger_options import AsJson, KeyFile, LedgerAddress, key_path, opened, read
from streams.cli.outcome import Words, fail, notes, print_document, print_json, refuse, say, styled
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.read import RereadError
from streams.kafka.topics import Topics
from streams.ledger.proof.compare import differing_tables
from streams.ledger.proof.heads import (
    KeyFileError,
    SignedHead,
    load_or_make_key,
    load_public_key,
    public_pem,
    sign_head,
    stored_heads,
)
from streams.ledger.proof.verify import Verified, verify_ledger
from streams.ledger.store.apply import SOURCES, apply_records
from streams.ledger.store.database import reading, sqlite_url, writing
from streams.ledger.store.rows import chunks
from streams.ledger.store.schema import positions
from streams.logs.file import LogFileError, read_log
from streams.model.record import Record
from streams.record.reread import ledger_batches
from streams.serve.access import Role, new_token

app = typer.Typer(no_args_is_help=True, help="The auditors' ledger: make, rebuild, sign, verify.")

Logs = Annotated[
    list[Path] | None,
    typer.Option("--log", help="Captured log to read instead of the broker; repeatable, in order."),
]
BATCH_RECORDS = 20_000


@app.command()
def migrate(*, ledger: LedgerAddress = None) -> None:
    """Bring the ledger's tables to this program's version; makes an empty ledger where there is none."""
    with opened(ledger, create=True):
        notes.print("the ledger is up to date")


@app.command()
def rebuild(
    *,
    log: Logs = None,
    check: Annotated[
        bool,
        typer.Option(help="Rebuild beside the ledger and compare; change nothing, exit 1 on a difference."),
    ] = False,
    suffix: Annotated[str, typer.Option(help="Suffix of the topics' names.")] = "",
    bootstrap_servers: Annotated[str | None, typer.Option(help="Broker to read from.")] = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Make the ledger again from the topics alone, or from captured logs of them.

    Into an empty ledger, or with --check into a temporary one that is then compared with the present one.
    Signed heads are no part of it: they are kept, and hold for the rebuilt ledger as well.
    """
    if not check:
        with opened(ledger, create=True) as engine:
            if _is_filled(engine):
                refuse("the ledger holds history already: name an empty one with --ledger, or use --check")
            records = _fill(engine, log, suffix, bootstrap_servers, None)
        print_json({"records": records}) if as_json else notes.print(
            f"the ledger is made of {records} records"
        )
        return
    with opened(ledger) as engine, tempfile.TemporaryDirectory(prefix="portallink-rebuild-") as folder:
        with reading(engine) as connection:
            until = {
                (row.topic, row.partition): row.next_offset
                for row in connection.execute(sa.select(positions))
            }
        with opened(sqlite_url(Path(folder) / "ledger.db"), create=True) as again:
            records = _fill(again, log, suffix, bootstrap_servers, until)
            differing = differing_tables(engine, again)
    if as_json:
        print_json({"records": records, "equal": not differing, "differing": differing})
    if differing:
        fail(f"the ledger is not what its topics give; these tables differ: {', '.join(differing)}")
    notes.print(f"the ledger equals one rebuilt from {records} records")


@app.command()
def verify(
    *,
    head: Annotated[
        list[Path] | None,
        typer.Option(help="File of heads kept elsewhere, one a line; repeatable."),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(help="Public key, PEM, of the heads [default: of the own key]."),
    ] = None,
    history_only: Annotated[
        bool, typer.Option(help="Leave the figures made from history unchecked.")
    ] = False,
    key: KeyFile = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the whole ledger and hold it to its signed heads, and to heads kept elsewhere.

    Exits 1 with every finding where anything was edited, removed, inserted, reordered or cut.
    """
    kept = [one for path in head or [] for one in _heads_in(path)]
    try:
        if public_key is not None:
            trusted = load_public_key(public_key)
        else:
            trusted = load_or_make_key(key_path(key)).public_key()
    except KeyFileError as error:
        refuse(error)
    columns = (SpinnerColumn(), Words("{task.description}"), TimeElapsedColumn())
    with read(ledger) as connection, Progress(*columns, console=notes, transient=True) as progress:
        task = progress.add_task("reading")
        result = verify_ledger(
            connection,
            trusted,
            kept,
            derived=not history_only,
            progress=lambda what: progress.update(task, description=f"checking {what}"),
        )
    _print_verified(result, as_json=as_json)


@app.command()
def head(
    *,
    sign: Annotated[bool, typer.Option(help="Sign a new head now.")] = False,
    key: KeyFile = None,
    ledger: LedgerAddress = None,
) -> None:
    """Print the newest signed head as one line of JSON, to publish and keep elsewhere."""
    import time  # noqa: PLC0415 - the clock is needed by --sign alone

    try:
        with opened(ledger) as engine:
            if sign:
                with writing(engine) as connection:
                    found = [sign_head(connection, load_or_make_key(key_path(key)), int(time.time() * 1000))]
            else:
                with reading(engine) as connection:
                    found = stored_heads(connection)
    except KeyFileError as error:
        refuse(error)
    if not found:
        fail("no head is signed yet: `portallink run record` signs as history grows, --sign does it now")
    print_document(msgspec.json.encode(found[-1]).decode())


@app.command(name="key")
def key_command(*, key: KeyFile = None) -> None:
    """Print the public key by which heads are checked; the key is made if there is none."""
    try:
        print_document(public_pem(load_or_make_key(key_path(key)).public_key()))
    except KeyFileError as error:
        refuse(error)


@app.command()
def token(
    name: str,
    role: Annotated[Role, typer.Option(help="viewer, auditor or operator.")] = "viewer",
    days: Annotated[int, typer.Option(help="Valid for so many days.", min=1)] = 90,
) -> None:
    """Make an access token: the token is shown once, and the line for the tokens file that admits it."""
    import time  # noqa: PLC0415

    secret, entry = new_token(name, role, int(time.time()) + days * 86_400)
    notes.print("the token, shown this once:")
    print_document(secret)
    notes.print("add this line to the file that PORTALLINK_TOKENS names:")
    print_document(msgspec.json.encode(entry).decode())


def _fill(
    engine: sa.Engine,
    logs: list[Path] | None,
    suffix: str,
    bootstrap_servers: str | None,
    until: dict[tuple[str, int], int] | None,
) -> int:
    topics = Topics().suffixed(suffix) if suffix else Topics()
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


def _heads_in(path: Path) -> list[SignedHead]:
    try:
        lines = [line for line in path.read_bytes().splitlines() if line.strip()]
        return [msgspec.json.decode(line, type=SignedHead) for line in lines]
    except (OSError, msgspec.DecodeError) as error:
        refuse(f"{path} holds no signed heads: {error}")


def _print_verified(result: Verified, *, as_json: bool) -> None:
    if as_json:
        print_json(msgspec.to_builtins(result))
    else:
        for finding in result.findings:
            say(styled(finding.kind, "red"), f"{finding.where}: {finding.what}")
    if result.findings:
        fail(f"{len(result.findings)} findings: the ledger is not what was signed and published")
    notes.print(
        f"{result.revisions} revisions, {result.leaves} leaves and {result.heads} heads agree",
    )
