"""`portallink links`: which links there are, and from when on one is out of service."""

from collections.abc import Callable
from typing import Annotated

import typer

from streams.cli.ledger.decisions import Author, Reason, Servers, Suffix, decided, send
from streams.cli.ledger.ledger_options import AsJson, InLanguage, LedgerAddress, read
from streams.cli.ledger.tables import show_table_in
from streams.cli.outcome import notes, print_json
from streams.cli.table import Column
from streams.ledger.read.histories import retirement_revisions_of
from streams.ledger.read.names import require_link
from streams.model.retirement import Retirement, put_back, retire
from streams.model.times import parse_time_ms
from streams.serve.answers import links_answer, retirement_answer
from streams.serve.texts import text, written_time

app = typer.Typer(no_args_is_help=True, help="Links: list, retire, restore.")

Name = Annotated[str, typer.Argument(help="The link.")]


@app.command(name="list")
def list_command(
    *, language: InLanguage = "en", ledger: LedgerAddress = None, as_json: AsJson = False
) -> None:
    """List the links: when each is first and last known, and from when it is retired.

    Times are Asia/Ho_Chi_Minh.
    """
    with read(ledger) as connection:
        rows = links_answer(connection)
        retired = {one.link: one.from_ms for one in retirement_revisions_of(connection)}
    if as_json:
        print_json(rows)
        return
    columns = {
        "link": Column(""),
        "first_evidence": Column("", 2),
        "known_until": Column("", 1),
        "retired_from": Column("", 3),
        "author": Column("", 5),
        "reason": Column("", 4, wrapped=True),
    }
    cells = [
        (
            row["link"],
            written_time(row["first_ms"], language),
            written_time(row["known_until_ms"], language),
            written_time(retired[row["link"]], language) if row["retired_from"] else "",
            row["retired_by"] or "",
            row["retired_reason"] or "",
        )
        for row in rows
    ]
    show_table_in(language, columns, cells)


@app.command(name="retire")
def retire_command(
    link: Name,
    start: Annotated[str, typer.Option("--from", help="From when on; Asia/Ho_Chi_Minh.")],
    reason: Reason,
    *,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Retire a link: from then on its time does not count, and it raises no alert."""

    def revised(before: Retirement | None, who: str, now_ms: int) -> Retirement:
        return retire(before, link, parse_time_ms(start), who, reason, now_ms)

    made = _revised(link, revised, author, ledger)
    send(made, suffix, bootstrap_servers)
    _tell(made, as_json=as_json)


@app.command(name="restore")
def restore_command(
    link: Name,
    reason: Reason,
    *,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a link's retirement. The link then counts as if it had never been retired."""

    def revised(before: Retirement | None, who: str, now_ms: int) -> Retirement:
        return put_back(before, link, who, reason, now_ms)

    made = _revised(link, revised, author, ledger)
    send(made, suffix, bootstrap_servers)
    _tell(made, as_json=as_json)


@app.command()
def show(
    link: Name, *, language: InLanguage = "en", ledger: LedgerAddress = None, as_json: AsJson = False
) -> None:
    """Show each revision of a link's retirement: who made it, when and why."""
    with read(ledger) as connection:
        require_link(connection, link)
        found = retirement_revisions_of(connection, link)
    if as_json:
        print_json([retirement_answer(one) for one in found])
        return
    columns = {
        "revision": Column("", 4),
        "recorded_at": Column(""),
        "action": Column("", 1),
        "from": Column("", 2),
        "author": Column("", 3),
        "reason": Column("", 5, wrapped=True),
    }
    rows = [
        (
            str(one.revision),
            written_time(one.recorded_at_ms, language),
            text("restores" if one.withdrawn else "retires", language),
            written_time(one.from_ms, language),
            one.author,
            one.reason,
        )
        for one in found
    ]
    show_table_in(language, columns, rows)


def _revised(
    link: str,
    revise: Callable[[Retirement | None, str, int], Retirement],
    author: str | None,
    ledger: str | None,
) -> Retirement:
    """Return the next revision of a link's retirement; end the command where there can be none."""
    with read(ledger) as connection:
        require_link(connection, link)
        before = retirement_revisions_of(connection, link)
    last = before[-1] if before else None
    return decided(author, lambda who, now_ms: revise(last, who, now_ms))


def _tell(retirement: Retirement, *, as_json: bool) -> None:
    if as_json:
        print_json(retirement_answer(retirement))
    else:
        done = "is in service again" if retirement.withdrawn else "is retired"
        notes.print(f"{retirement.link} {done}, revision {retirement.revision}")
