"""`portallink exclusions`: time that does not count, announced or decided afterwards, never deleted."""

import asyncio
import getpass
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer
from aiokafka.errors import KafkaError
from msgspec import ValidationError
from rich.table import Column, Table

from streams.cli.ledger.ledger_options import AsJson, LedgerAddress, SecondPerson, read
from streams.cli.outcome import fail, notes, print_json, refuse, results, say
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.topics import Topics
from streams.ledger.read.histories import all_rulings, exclusion_revisions_of
from streams.ledger.read.names import require_link
from streams.model.exclusion import Exclusion, Ruling, approve, checked, new_exclusion, rulings, withdraw
from streams.model.times import TimeTextError, parse_time_ms
from streams.record.send import send_decision
from streams.serve.answers import exclusion_answer, revision_answer
from streams.serve.texts import written_time

app = typer.Typer(no_args_is_help=True, help="Maintenance and exclusions, with author, reason and time.")

Author = Annotated[str | None, typer.Option(help="Who decided [default: the account's name].")]
Reason = Annotated[str, typer.Option(help="Why, as it will stand in reports.")]
Suffix = Annotated[str, typer.Option(help="Suffix of the topics' names.")]
Servers = Annotated[str | None, typer.Option(help="Broker to write to.")]
UNKNOWN = "the ledger has no exclusion {0!r}; `portallink exclusions list` names them"


@app.command()
def add(
    link: Annotated[str, typer.Argument(help="The link, or * for every link.")],
    start: Annotated[str, typer.Option("--from", help="Start, included; Asia/Ho_Chi_Minh.")],
    end: Annotated[str, typer.Option("--to", help="End, excluded; Asia/Ho_Chi_Minh.")],
    reason: Reason,
    *,
    maintenance: Annotated[
        bool, typer.Option("--maintenance", help="Call it maintenance; announced is what is added before.")
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
    """Exclude a time from a link's figures; the ledger must know the link.

    A time that has begun already counts as excluded only once a second person approves it.
    """
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
    taken_back = _revised(exclusion_id, withdraw, author, reason, ledger)
    _send(taken_back, suffix, bootstrap_servers)
    _tell(taken_back, "withdrawn", as_json=as_json)


@app.command(name="approve")
def approve_command(
    exclusion_id: str,
    reason: Reason,
    *,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Approve, as a second person, what was excluded after the fact; until then it does not count."""
    approval = _revised(exclusion_id, approve, author, reason, ledger)
    _send(approval, suffix, bootstrap_servers)
    _tell(approval, "approved", as_json=as_json)


@app.command()
def show(
    exclusion_id: str,
    *,
    second_person: SecondPerson = True,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Show the history of one exclusion: every revision, who made it, when and why."""
    with read(ledger) as connection:
        found = exclusion_revisions_of(connection, exclusion_id)
    if not found:
        refuse(UNKNOWN.format(exclusion_id))
    [ruling] = rulings(found)
    answer = exclusion_answer(ruling, second_person=second_person)
    if as_json:
        print_json(answer | {"revisions": [revision_answer(one) for one in found]})
        return
    table = Table("revision", "recorded", "what", "link", "start", "end", "author", "reason")
    for one in found:
        table.add_row(
            str(one.revision),
            written_time(one.recorded_at_ms, "en"),
            "withdraws" if one.withdrawn else "approves" if one.approved else "proposes",
            one.link,
            written_time(one.start_ms, "en"),
            written_time(one.end_ms, "en"),
            one.author,
            one.reason,
        )
    results.print(table)
    say(_standing(answer))


@app.command(name="list")
def list_command(
    *,
    link: Annotated[str | None, typer.Option(help="Only those that touch this link.")] = None,
    as_of: Annotated[str | None, typer.Option("--as-of", help="As recorded by this time.")] = None,
    second_person: SecondPerson = True,
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
        found = [
            ruling
            for ruling in all_rulings(connection, as_of_ms)
            if link is None or ruling.last.touches(link)
        ]
    answers = [exclusion_answer(one, second_person=second_person) for one in found]
    if as_json:
        print_json(answers)
        return
    table = Table(
        Column("exclusion", overflow="fold"), "link", "kind", "start", "end", "author", "reason", "status"
    )
    for one in answers:
        table.add_row(
            one["exclusion_id"],
            one["link"],
            one["kind"],
            written_time(one["start_ms"], "en"),
            written_time(one["end_ms"], "en"),
            one["proposed_by"],
            one["proposed_reason"],
            _standing(one),
        )
    results.print(table)


def _standing(answer: dict[str, Any]) -> str:
    words = [answer["status"], *(["after the fact"] if answer["after_the_fact"] else [])]
    if answer["approved_by"] is not None:
        words.append(f"approved by {answer['approved_by']}")
    return ", ".join(words)


def _revised(
    exclusion_id: str,
    revise: Callable[[Ruling, str, str, int], Exclusion],
    author: str | None,
    reason: str,
    ledger: str | None,
) -> Exclusion:
    """Return the next revision of an exclusion of the ledger; end the command where there can be none."""
    with read(ledger) as connection:
        found = exclusion_revisions_of(connection, exclusion_id)
    if not found:
        refuse(UNKNOWN.format(exclusion_id))
    try:
        return checked(
            revise(rulings(found)[0], author or getpass.getuser(), reason, int(time.time() * 1000))
        )
    except (ValidationError, ValueError) as error:
        refuse(error)


def _send(exclusion: Exclusion, suffix: str, bootstrap_servers: str | None) -> None:
    topics = Topics().suffixed(suffix) if suffix else Topics()
    try:
        asyncio.run(send_decision(kafka_connection(bootstrap_servers), exclusion, topics))
    except ConnectionSettingsError as error:
        refuse(error)
    except KafkaError as error:
        fail(f"the broker did not take it: {error!r}")


def _tell(exclusion: Exclusion, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(revision_answer(exclusion))
    else:
        notes.print(f"{done}: {exclusion.exclusion_id}, revision {exclusion.revision}")
