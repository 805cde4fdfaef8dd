"""`portallink exclusions`: time that does not count, announced or decided afterwards, never deleted."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from streams.cli.ledger.decisions import Author, Reason, Servers, Suffix, decided, send
from streams.cli.ledger.ledger_options import AsJson, InLanguage, LedgerAddress, SecondPerson, read
from streams.cli.ledger.tables import heading, show_table_in
from streams.cli.outcome import notes, print_json, refuse, say
from streams.cli.table import Column
from streams.ledger.read.histories import all_rulings, exclusion_revisions_of
from streams.ledger.read.ids import exclusion_id_length, exclusion_meant
from streams.ledger.read.names import require_link
from streams.model.exclusion import Exclusion, Ruling, approve, checked, new_exclusion, rulings, withdraw
from streams.model.times import TimeTextError, parse_time_ms
from streams.serve.answers import exclusion_answer, revision_answer
from streams.serve.texts import Language, text, written_time

app = typer.Typer(no_args_is_help=True, help="Maintenance and exclusions, with author, reason and time.")

ExclusionId = Annotated[str, typer.Argument(help="The exclusion's id, or the beginning of it.")]


@app.command()
def add(
    link: Annotated[str, typer.Argument(help="The link, or * for every link.")],
    start: Annotated[str, typer.Option("--from", help="Start, included; Asia/Ho_Chi_Minh.")],
    end: Annotated[str, typer.Option("--to", help="End, excluded; Asia/Ho_Chi_Minh.")],
    reason: Reason,
    *,
    maintenance: Annotated[
        bool,
        typer.Option(
            "--maintenance", help="Record it as maintenance. Added before it starts, it counts as announced."
        ),
    ] = False,
    author: Author = None,
    force: Annotated[
        bool, typer.Option("--force", help="Accept a link that the ledger does not know yet.")
    ] = False,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Exclude a time from a link's figures.

    If the time has already begun, it counts as excluded only after a second person approves it.
    """

    def made(who: str, now_ms: int) -> Exclusion:
        return checked(
            new_exclusion(
                link,
                parse_time_ms(start),
                parse_time_ms(end),
                kind="maintenance" if maintenance else "exclusion",
                author=who,
                reason=reason,
                recorded_at_ms=now_ms,
            )
        )

    exclusion = decided(author, made)
    if not force:
        with read(ledger) as connection:
            require_link(connection, link)
    send(exclusion, suffix, bootstrap_servers)
    _tell(exclusion, "added", as_json=as_json)


@app.command(name="withdraw")
def withdraw_command(
    exclusion_id: ExclusionId,
    reason: Reason,
    *,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw an exclusion. This adds a revision; the earlier ones stay in the ledger."""
    withdrawn = _revised(exclusion_id, withdraw, author, reason, ledger)
    send(withdrawn, suffix, bootstrap_servers)
    _tell(withdrawn, "withdrawn", as_json=as_json)


@app.command(name="approve")
def approve_command(
    exclusion_id: ExclusionId,
    reason: Reason,
    *,
    author: Author = None,
    suffix: Suffix = "",
    bootstrap_servers: Servers = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Approve an exclusion recorded after the fact. It takes a person other than its author."""
    approval = _revised(exclusion_id, approve, author, reason, ledger)
    send(approval, suffix, bootstrap_servers)
    _tell(approval, "approved", as_json=as_json)


@app.command()
def show(
    exclusion_id: ExclusionId,
    *,
    second_person: SecondPerson = True,
    language: InLanguage = "en",
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Show the history of one exclusion: each revision, who made it, when and why."""
    found = _revisions(exclusion_id, ledger)
    [ruling] = rulings(found)
    answer = exclusion_answer(ruling, second_person=second_person)
    if as_json:
        print_json(answer | {"revisions": [revision_answer(one) for one in found]})
        return
    say(f"{answer['exclusion_id']}: {standing(answer, language)}")
    columns = {
        "revision": Column("", 5),
        "recorded_at": Column(""),
        "action": Column("", 1),
        "link": Column(""),
        "start": Column("", 2),
        "end": Column("", 3),
        "author": Column("", 4),
        "reason": Column("", 6, wrapped=True),
    }
    rows = [
        (
            str(one.revision),
            written_time(one.recorded_at_ms, language),
            text("withdraws" if one.withdrawn else "approves" if one.approved else "proposes", language),
            one.link,
            written_time(one.start_ms, language),
            written_time(one.end_ms, language),
            one.author,
            one.reason,
        )
        for one in found
    ]
    show_table_in(language, columns, rows)


@app.command(name="list")
def list_command(
    *,
    link: Annotated[str | None, typer.Option(help="Only those that apply to this link.")] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="Only what had been recorded by this time.")
    ] = None,
    second_person: SecondPerson = True,
    language: InLanguage = "en",
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """List the exclusions, including withdrawn ones. Times are Asia/Ho_Chi_Minh."""
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
        length = exclusion_id_length(connection)
    answers = [exclusion_answer(one, second_person=second_person) for one in found]
    if as_json:
        print_json(answers)
        return
    columns = {
        "exclusion_id": Column(""),
        "link": Column(""),
        "kind": Column("", 3),
        "start": Column("", 1),
        "end": Column("", 2),
        "author": Column("", 5),
        "reason": Column("", 6, wrapped=True),
        "status": Column("", 4, wrapped=True),
    }
    rows = [
        (
            one["exclusion_id"][:length],
            one["link"],
            heading(one["kind"], language),
            written_time(one["start_ms"], language),
            written_time(one["end_ms"], language),
            one["proposed_by"],
            one["proposed_reason"],
            standing(one, language),
        )
        for one in answers
    ]
    show_table_in(language, columns, rows)


def standing(answer: dict[str, Any], language: Language) -> str:
    """Return whether an exclusion counts, and who approved it."""
    words = [heading(answer["status"], language)]
    if answer["after_the_fact"]:
        words.append(text("after_the_fact", language))
    if answer["approved_by"] is not None:
        words.append(f"{text('approved_by', language)} {answer['approved_by']}")
    return ", ".join(words)


def _revisions(exclusion_id: str, ledger: str | None) -> list[Exclusion]:
    with read(ledger) as connection:
        return exclusion_revisions_of(connection, exclusion_meant(connection, exclusion_id))


def _revised(
    exclusion_id: str,
    revise: Callable[[Ruling, str, str, int], Exclusion],
    author: str | None,
    reason: str,
    ledger: str | None,
) -> Exclusion:
    """Return the next revision of an exclusion of the ledger; end the command where there can be none."""
    [ruling] = rulings(_revisions(exclusion_id, ledger))
    return decided(author, lambda who, now_ms: checked(revise(ruling, who, reason, now_ms)))


def _tell(exclusion: Exclusion, done: str, *, as_json: bool) -> None:
    if as_json:
        print_json(revision_answer(exclusion))
    else:
        notes.print(f"{done}: {exclusion.exclusion_id}, revision {exclusion.revision}")
