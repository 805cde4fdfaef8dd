"""`portallink links`: which links there are, and from when on one is out of service."""

import asyncio
import getpass
import time
from collections.abc import Callable
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from msgspec import ValidationError
from rich.table import Table

from streams.cli.ledger.exclusions import Author, Reason, Servers, Suffix
from streams.cli.ledger.ledger_options import AsJson, LedgerAddress, read
from streams.cli.outcome import fail, notes, print_json, refuse, results
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.topics import Topics
from streams.ledger.read.histories import retirement_revisions_of
from streams.ledger.read.names import require_link
from streams.model.retirement import Retirement, put_back, retire
from streams.model.times import parse_time_ms
from streams.record.send import send_decision
from streams.serve.answers import links_answer, retirement_answer
from streams.serve.texts import written_time

app = typer.Typer(no_args_is_help=True, help="Links: since when they are known, and when they retire.")


@app.command(name="list")
def list_command(*, ledger: LedgerAddress = None, as_json: AsJson = False) -> None:
    """List the links, since and until when they are known, and from when retired. Times: Asia/Ho_Chi_Minh."""
    with read(ledger) as connection:
        rows = links_answer(connection)
        retired = {one.link: one for one in retirement_revisions_of(connection)}
    if as_json:
        print_json(rows)
        return
    table = Table("link", "first evidence", "known until", "retired from", "by", "reason")
    for row in rows:
        last = retired.get(row["link"])
        gone = None if last is None or last.withdrawn else last
        table.add_row(
            row["link"],
            written_time(row["first_ms"], "en"),
            written_time(row["known_until_ms"], "en"),
            "" if gone is None else written_time(gone.from_ms, "en"),
            "" if gone is None else gone.author,
            "" if gone is None else gone.reason,
        )
    results.print(table)


@app.command(name="retire")
def retire_command(
    link: str,
    start: Annotated[str, typer.Option("--from", help="From when on; Asia/Ho_Chi_Minh.")],
    reason: Reason,
    *,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Take a link out of service: from then on its time does not count, and nobody is called for it."""

    def revised(before: Retirement | None, who: str, now_ms: int) -> Retirement:
        return retire(before, link, parse_time_ms(start), who, reason, now_ms)

    made = _revised(link, revised, author, ledger)
    _send(made, suffix, bootstrap_servers)
    _tell(made, as_json=as_json)


@app.command(name="restore")
def restore_command(
    link: str,
    reason: Reason,
    *,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Take a retirement back: the link counts as if it had never been out of service."""

    def revised(before: Retirement | None, who: str, now_ms: int) -> Retirement:
        return put_back(before, link, who, reason, now_ms)

    made = _revised(link, revised, author, ledger)
    _send(made, suffix, bootstrap_servers)
    _tell(made, as_json=as_json)


@app.command()
def show(link: str, *, ledger: LedgerAddress = None, as_json: AsJson = False) -> None:
    """Show every revision of a link's retirement: who said what, when and why."""
    with read(ledger) as connection:
        require_link(connection, link)
        found = retirement_revisions_of(connection, link)
    if as_json:
        print_json([retirement_answer(one) for one in found])
        return
    table = Table("revision", "recorded", "what", "from", "author", "reason")
    for one in found:
        table.add_row(
            str(one.revision),
            written_time(one.recorded_at_ms, "en"),
            "puts back" if one.withdrawn else "retires",
            written_time(one.from_ms, "en"),
            one.author,
            one.reason,
        )
    results.print(table)


def _revised(
    link: str,
    revised: Callable[[Retirement | None, str, int], Retirement],
    author: str | None,
    ledger: str | None,
) -> Retirement:
    """Return the next revision of a link's retirement; end the command where there can be none."""
    with read(ledger) as connection:
        require_link(connection, link)
        before = retirement_revisions_of(connection, link)
    try:
        last = before[-1] if before else None
        return revised(last, author or getpass.getuser(), int(time.time() * 1000))
    except (ValidationError, ValueError) as error:
        refuse(error)


def _send(retirement: Retirement, suffix: str, bootstrap_servers: str | None) -> None:
    topics = Topics().suffixed(suffix) if suffix else Topics()
    try:
        asyncio.run(send_decision(kafka_connection(bootstrap_servers), retirement, topics))
    except ConnectionSettingsError as error:
        refuse(error)
    except KafkaError as error:
        fail(f"the broker did not take it: {error!r}")


def _tell(retirement: Retirement, *, as_json: bool) -> None:
    if as_json:
        print_json(retirement_answer(retirement))
    else:
        done = "is back in service" if retirement.withdrawn else "is retired"
        notes.print(f"{retirement.link} {done}, revision {retirement.revision}")
