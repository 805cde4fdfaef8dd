"""`portallink ledger`: making the auditors' ledger again, and holding it to what was signed."""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import sqlalchemy as sa
import typer
from aiokafka.errors import KafkaError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

from streams.cli.ledger.ledger_options import (
    AsJson,
    KeyFile,
    LedgerAddress,
    key_path,
    opened,
    read,
    signing_key,
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
    styled,
    write_whole,
)
from streams.cli.settings_option import SettingsFile, settings_of
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.read import RereadError
from streams.kafka.topics import Topics
from streams.ledger.proof.compare import differing_tables
from streams.ledger.proof.growth import check_growth, proofs_between
from streams.ledger.proof.heads import (
    KeyFileError,
    SignedHead,
    load_or_make_key,
    load_public_key,
    public_pem,
    sign_head,
    stored_heads,
)
from streams.ledger.proof.proofs import GrowthProof
from streams.ledger.proof.signed import Finding
from streams.ledger.proof.verify import Verified, verify_ledger
from streams.ledger.store.apply import SOURCES, apply_records
from streams.ledger.store.calendars import calendars_of, keep_calendars, said_calendars
from streams.ledger.store.database import reading, sqlite_url, writing
from streams.ledger.store.rows import chunks
from streams.ledger.store.schema import positions
from streams.ledger.store.settle import settle_after_upgrade
from streams.logs.file import LogFileError
from streams.logs.read import read_log
from streams.model.border import UNREADABLE
from streams.model.record import Record
from streams.record.reread import ledger_batches
from streams.serve.access import Role, new_token

app = typer.Typer(no_args_is_help=True, help="The auditors' ledger: make, rebuild, sign, verify.")
app.command()(publish_head)

Logs = Annotated[
    list[Path] | None,
    typer.Option("--log", help="Captured log to read instead of the broker; repeatable, in order."),
]
BATCH_RECORDS = 20_000
Line = TypeVar("Line", SignedHead, GrowthProof)


@app.command()
def migrate(*, settings: SettingsFile = None, ledger: LedgerAddress = None) -> None:
    """Bring the ledger to this program's version; makes an empty ledger where there is none.

    With a settings file its calendars become the ledger's own, and all is counted by them as well.
    """
    said = settings_of(settings).calendars
    with opened(ledger, create=True) as engine:
        with writing(engine) as connection:
            if said is not None:
                keep_calendars(connection, said)
            settle_after_upgrade(connection)
        notes.print("the ledger is up to date")


@app.command()
def calendars(*, ledger: LedgerAddress = None, as_json: AsJson = False) -> None:
    """List the calendars by which the ledger counts, with the version of each."""
    with read(ledger) as connection:
        known, said = calendars_of(connection), said_calendars(connection)
    if as_json:
        own = {one.name: msgspec.to_builtins(one) for one in said}
        print_json([{"name": c.name, "version": c.version, "says": own.get(c.name)} for c in known.values()])
        return
    for calendar in known.values():
        say(f"{calendar.name}: version {calendar.version}")


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

    Writes into an empty ledger, or with --check into a temporary one, which is compared with this ledger.
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
def verify(
    *,
    head: Annotated[
        list[Path] | None,
        typer.Option(help="File of heads kept elsewhere, one a line; repeatable."),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(help="Public key, PEM, of the heads [default: of the own key, if there is one]."),
    ] = None,
    history_only: Annotated[
        bool, typer.Option(help="Leave the figures made from history unchecked.")
    ] = False,
    key: KeyFile = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the whole ledger and hold it to its signed heads, and to heads kept elsewhere.

    Exits 1 with every finding where anything was edited, removed, inserted, reordered or cut, where a row
    cannot be read, and where there is no key or no head to hold it to.
    """
    kept = [one for path in head or [] for one in _heads_in(path)]
    trusted = _trusted(public_key, key)
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

    with opened(ledger) as engine:
        if sign:
            private = signing_key(key)
            with writing(engine) as connection:
                found = [sign_head(connection, private, int(time.time() * 1000))]
        else:
            with reading(engine) as connection:
                found = stored_heads(connection)
    if not found:
        fail("no head is signed yet: `portallink run record` signs as history grows, --sign does it now")
    print_document(msgspec.json.encode(found[-1]).decode())


@app.command()
def consistency(
    heads: Annotated[list[Path], typer.Argument(help="Files of two signed heads or more, one a line.")],
    *,
    proofs: Annotated[
        Path | None, typer.Option(help="Proofs, one JSON object a line [default: out of the ledger].")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the proofs to this file, to hand on.")] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="Public key, PEM, of the heads [default: of the own key].")
    ] = None,
    key: KeyFile = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Check that each signed head continues the one before: nothing signed was changed since.

    With --proofs no ledger is needed, so anyone who kept two heads can check them alone. Exits 1 with every
    finding; a missing proof, a wrong signature and a step back are findings.
    """
    held = [one for path in heads for one in _heads_in(path)]
    if len(held) < 2:
        refuse(f"{len(held)} heads are given: it takes two to compare")
    trusted = _trusted(public_key, key)
    if trusted is None:
        refuse("there is no key to check the heads by: name it with --public-key")
    if proofs is not None:
        found = _lines_of(proofs, GrowthProof, "proofs")
    else:
        with read(ledger) as connection:
            found = proofs_between(connection, held)
    if out is not None:
        write_whole(out, b"".join(msgspec.json.encode(proof) + b"\n" for proof in found))
    result = check_growth(held, found, trusted)
    _print_findings(result.findings, msgspec.to_builtins(result), as_json=as_json)
    if result.findings:
        fail(f"{len(result.findings)} findings: the heads do not continue each other")
    notes.print(f"{result.pairs} steps from head to head hold, by {result.proofs} proofs")


@app.command(name="key")
def key_command(*, key: KeyFile = None) -> None:
    """Print the public key by which heads are checked; the key is made if there is none."""
    print_document(public_pem(signing_key(key).public_key()))


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


def _trusted(public_key: Path | None, key: Path | None) -> Ed25519PublicKey | None:
    """Return the key that heads must be signed by: the one named, else the own one, else None; make none."""
    try:
        if public_key is not None:
            return load_public_key(public_key)
        file = key_path(key)
        if file.exists():
            return load_or_make_key(file).public_key()
    except (KeyFileError, OSError) as error:
        refuse(error)
    return None


def _heads_in(path: Path) -> list[SignedHead]:
    return _lines_of(path, SignedHead, "signed heads")


def _lines_of(path: Path, kind: type[Line], name: str) -> list[Line]:
    """Return the JSON objects of a file, one per line; a line of another kind ends the command."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        refuse(f"{path}: {error.strerror}")
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=kind))
            except UNREADABLE as error:
                refuse(f"{path}:{number} holds no {name}: {error}")
    return found


def _print_verified(result: Verified, *, as_json: bool) -> None:
    _print_findings(result.findings, msgspec.to_builtins(result), as_json=as_json)
    if result.findings:
        fail(f"{len(result.findings)} findings: the ledger is not what was signed and published")
    notes.print(f"{result.revisions} revisions, {result.leaves} leaves and {result.heads} heads agree")


def _print_findings(findings: Iterable[Finding], answer: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        for finding in findings:
            say(styled(finding.kind, "red"), f"{finding.where}: {finding.what}")
