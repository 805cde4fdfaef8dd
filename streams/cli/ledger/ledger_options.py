"""Options that the auditors' commands share: which ledger, which period, which links."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy.exc import SQLAlchemyError

from streams.cli.complete import one_of
from streams.cli.outcome import fail, not_written, notes, refuse
from streams.ledger.proof.heads import KeyFileError, load_or_make_key
from streams.ledger.read.names import UnknownNameError
from streams.ledger.read.question import Question
from streams.ledger.store.address import Address
from streams.ledger.store.database import LedgerDiskError, LedgerError, open_ledger, reading, sqlite_url
from streams.model.short import UnclearIdError
from streams.model.times import parse_month_ms, parse_time_ms
from streams.serve.names import Names, NamesFileError, read_names
from streams.serve.texts import Language
from streams.servers import paths

LedgerAddress = Annotated[
    str | None,
    typer.Option(
        "--ledger",
        envvar="PORTALLINK_LEDGER",
        help="sqlite:///FILE or postgresql://… [default: ledger.db in the data folder].",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        "--key", envvar="PORTALLINK_SIGNING_KEY", help="Signing key, PEM [default: in the data folder]."
    ),
]
Month = Annotated[str | None, typer.Option(help="A month, like 2025-06, instead of --from and --to.")]
From = Annotated[str | None, typer.Option("--from", help="Start, included: 2025-06-01 or a time.")]
To = Annotated[str | None, typer.Option("--to", help="End, excluded: 2025-07-01 or a time.")]
CALENDARS = ("24x7", "office-hours")
CalendarName = Annotated[
    str,
    typer.Option(
        "--calendar",
        help="24x7, office-hours, or one of the ledger's own.",
        autocompletion=one_of(lambda: CALENDARS),
    ),
]
Link = Annotated[str | None, typer.Option(help="Only this link.")]
Portal = Annotated[str | None, typer.Option(help="Only this portal's links.")]
Agency = Annotated[str | None, typer.Option(help="Only outages that name this agency.")]
Service = Annotated[str | None, typer.Option(help="Only outages that name this service.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="Count only what had been published by this time.")]
SecondPerson = Annotated[
    bool,
    typer.Option(
        "--second-person/--no-second-person",
        envvar="PORTALLINK_SECOND_PERSON",
        help="Whether an exclusion recorded after the fact needs a second person's approval to count.",
    ),
]
NamesFile = Annotated[
    Path | None,
    typer.Option(
        "--names",
        envvar="PORTALLINK_NAMES",
        help="YAML file of display names [default: those of the simulated city].",
    ),
]
InLanguage = Annotated[
    Language,
    typer.Option("--language", envvar="PORTALLINK_LANGUAGE", help="Language of the output: vi or en."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print the result as CSV.")]


def ledger_address(address: str | None) -> Address:
    """Return the address of the ledger meant, which shows no password."""
    return Address(address or sqlite_url(paths.data_dir() / "ledger.db"))


def key_path(path: Path | None) -> Path:
    """Return where the signing key is, or will be."""
    return path or paths.data_dir() / "ledger-key.pem"


def _say_made(file: Path) -> None:
    notes.print(f"made a signing key: {file}")


def signing_key(path: Path | None, made_one: Callable[[Path], None] = _say_made) -> Ed25519PrivateKey:
    """Return the signing key; tell ``made_one`` where it had to be made."""
    file = key_path(path)
    made = not file.exists()
    try:
        found = load_or_make_key(file)
    except KeyFileError as error:
        refuse(error)
    except OSError as error:
        not_written(file, error)
    if made:
        made_one(file)
    return found


def names_of(path: Path | None) -> Names:
    """Return the names that readers see; end the command where the file holds none."""
    try:
        return read_names(path)
    except NamesFileError as error:
        refuse(error)


@contextmanager
def opened(address: str | None, *, create: bool = False) -> Iterator[sa.Engine]:
    """Open the ledger, and say what to do where it cannot be."""
    meant = ledger_address(address)
    try:
        engine = open_ledger(meant, create=create)
    except LedgerDiskError as error:
        fail(error)
    except LedgerError as error:
        refuse(error)
    try:
        yield engine
    except (UnknownNameError, UnclearIdError) as error:
        refuse(error)
    except SQLAlchemyError as error:
        fail(meant.redact(f"the ledger does not answer: {getattr(error, 'orig', None) or error}"))
    finally:
        engine.dispose()


@contextmanager
def read(address: str | None) -> Iterator[sa.Connection]:
    """Open the ledger and read one state of it."""
    with opened(address) as engine, reading(engine) as connection:
        yield connection


def asked(
    month: str | None,
    start: str | None,
    end: str | None,
    calendar: str = "24x7",
    as_of: str | None = None,
    *,
    second_person: bool = True,
    link: str | None = None,
    portal: str | None = None,
    agency: str | None = None,
    service: str | None = None,
) -> Question:
    """Return the question that options make; end the command where they make none."""
    try:
        if month is not None:
            if start is not None or end is not None:
                refuse("name either --month or --from and --to")
            start_ms, end_ms = parse_month_ms(month)
        elif start is None or end is None:
            refuse("name a period: --month 2025-06, or --from and --to")
        else:
            start_ms, end_ms = parse_time_ms(start), parse_time_ms(end)
        as_of_ms = None if as_of is None else parse_time_ms(as_of)
        return Question(
            start_ms,
            end_ms,
            calendar,
            link,
            portal,
            agency,
            service,
            as_of_ms=as_of_ms,
            second_person=second_person,
        )
    except ValueError as error:
        refuse(error)
