"""`portallink exclusions`: time that does not count, announced or decided afterwards, never deleted."""

import asyncio
import getpass
import time
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from msgspec import ValidationError
from rich.table import Column, Table

from streams.cli.ledger_options import AsJson, LedgerAddress, read
from streams.cli.outcome import fail, notes, print_json, refuse, results
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.topics import Topics
from streams.ledger.read.histories import all_exclusions
from streams.ledger.read.names import require_link
from streams.model.exclusion import Exclusion, checked, new_exclusion, withdraw
from streams.model.times import TimeTextError, parse_time_ms
from streams.record.send import send_exclusion
from streams.serve.answers import exclusion_answer
from streams.serve.texts import written_time

app = typer.Typer(no_args_is_help=True, help="Maintenance and exclusions, with author, reason and time.")

Author = Annotated[str | None, typer.Option(help="Who decided [default: the account's name].")]
Reason = Annotated[str, typer.Option(help="Why, as it will stand in reports.")]
Suffix = Annotated[str, typer.Option(help="Suffix of the topics' names.")]
Servers = Annotated[str | None, typer.Option(help="Broker to write to.")]


@app.command()
def add(
    link: Annotated[str, typer.Argument(help="The link, or * for every link.")],
    start: Annotated[str, typer.Option("--from", help="Start, included; Asia/Ho_Chi_Minh.")],
    end: Annotated[str, typer.Option("--to", help="End, excluded; Asia/Ho_Chi_Minh.")],
    reason: Reason,
    *,
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="Announced maintenance, not an exclusion after the fact.")
    ] = False,
    author: Author = None,
    force: Annotated[
        bool, typer.Option("--force", help="Take a link that the ledger does not know yet.")
    ] = False,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Exclude a time from a link's figures; the ledger must know the link."""
    try:
        exclusion = checked(
            new_exclusion(
                link,
                parse_time_ms(start),
                parse_time_ms(end),
                kind="maintenance" if maintenance else "exclusion",
                author=author or getpass.getuser(),
                reason=reason,
                recorded_at_ms=int(time.time() * 1000),
            )
        )
    except (TimeTextError, ValidationError, ValueError) as error:
        refuse(error)
    if not force:
        with read(ledger) as connection:
            require_link(connection, link)
    _send(exclusion, suffix, bootstrap_servers)
    _tell(exclusion, "added", as_json=as_json)


@app.command(name="withdraw")
def withdraw_command(
    exclusion_id: str,
    reason: Reason,
    *,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Take an exclusion back: a next revision says so, the earlier ones stay."""
    with read(ledger) as connection:
        known = {one.exclusion_id: one for one in all_exclusions(connection)}
    if exclusion_id not in known:
        refuse(f"the ledger has no exclusion {exclusion_id!r}; `portallink exclusions list` names them")
    try:
        now_ms = int(time.time() * 1000)
        taken_back = checked(withdraw(known[exclusion_id], author or getpass.getuser(), reason, now_ms))
    except (ValidationError, ValueError) as error:
        refuse(error)
    _send(taken_back, suffix, bootstrap_servers)
    _tell(taken_back, "withdrawn", as_json=as_json)


@app.command(name="list")
def list_command(
    *,
    link: Annotated[str | None, typer.Option(help="Only those that touch this link.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="As recorded by this time.")] = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """List the exclusions, withdrawn ones too. Times are Asia/Ho_Chi_Minh."""
    try:
        as_of_ms = None if as_of is None else parse_time_ms(as_of)
    except TimeTextError as error:
        refuse(error)
    with read(ledger) as connection:
        if link is not None:
            require_link(connection, link)
        found = [one for one in all_exclusions(connection, as_of_ms) if link is None or one.touches(link)]
    if as_json:
        print_json([exclusion_answer(one) for one in found])
        return
    table = Table(
        Column("exclusion", overflow="fold"), "link", "kind", "start", "end", "author", "reason", ""
    )
    for one in found:
        table.add_row(
            one.exclusion_id,
            one.link,
            one.kind,
            written_time(one.start_ms, "en"),
            written_time(one.end_ms, "en"),
            one.author,
            one.reason,
            "withdrawn" if one.withdrawn else "",
        )
    results.print(table)


def _send(exclusion: Exclusion, suffix: str, bootstrap_servers: str | None) -> None:
    topics = Topics().suffixed(suffix) if suffix else Topics()
    try:
        asyncio.run(send_exclusion(kafka_connection(bootstrap_servers), exclusion, topics))
    except ConnectionSettingsError as error:
        refuse(error)
    except KafkaError as error:
        fail(f"the broker did not take it: {error!r}")


def _tell(exclusion: Exclusion, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(exclusion_answer(exclusion))
    else:
        notes.print(f"{done}: {exclusion.exclusion_id}, revision {exclusion.revision}")
