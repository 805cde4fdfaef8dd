"""`portallink diff`: what differs between two results."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streams.cli.outcome import FAILED, notes, print_json, refuse, results, styled
from streams.cli.table import Cell, Column, show_table
from streams.ledger.store.database import LedgerError
from streams.model.outage import Outage
from streams.model.times import local_time
from streams.replay.diff import Changed, Diff
from streams.replay.diff import diff as compare
from streams.replay.results import ResultFileError, Results, read_results


def diff(
    before: Annotated[
        str,
        typer.Argument(
            help="Result folder (`analyze --out`), a file of one, or a ledger: sqlite:///FILE, postgresql://…"
        ),
    ],
    after: Annotated[str, typer.Argument(help="The result to compare with it.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the differences as JSON.")] = False,
) -> None:
    """Compare two results by meaning: outages gained, lost and moved; and other changes.

    Exits 0 if nothing differs, 1 otherwise. Times are Asia/Ho_Chi_Minh.
    """
    try:
        found = compare(_read(before), _read(after))
    except (ResultFileError, LedgerError) as error:
        refuse(error)
    if as_json:
        print_json(msgspec.to_builtins(found, str_keys=True) | {"differ": bool(found)})
    else:
        print_diff(found)
    if found:
        raise typer.Exit(FAILED)


def _read(address: str) -> Results:
    """Return the results at a path, or those that a ledger keeps."""
    if "://" not in address:
        return read_results(Path(address))
    from streams.cli.ledger.ledger_results import results_of  # noqa: PLC0415 - a database is rarely compared

    return results_of(address)


def print_diff(found: Diff) -> None:
    """Show the differences to a person."""
    for name in found.not_compared:
        notes.print(f"{name}: only one side has any, so they are not compared")
    if not found:
        results.print(f"no difference; {found.same} outages are the same")
        return
    if found.gained or found.lost or found.changed:
        show_table(OUTAGE_COLUMNS, _outages(found))
    for window in found.windows:
        moved = ", ".join(f"{state} {_span(ms)}" for state, ms in window.state_moved_ms.items())
        results.print(
            f"{window.link}: {window.differing} windows differ, {window.only_before} only before, "
            f"{window.only_after} only after; {moved or 'no time changed state'}; first at "
            f"{local_time(window.first_start_ms)}"
            + (f": {_changes(window.first_changed)}" if window.first_changed else ""),
        )
    for part in found.measurements:
        results.print(
            f"{part.topic}/{part.partition}: {part.differing} measurements differ"
            + (f" (first in {', '.join(part.first_changed)})" if part.first_changed else "")
            + f", {part.only_before} only before, {part.only_after} only after; first at offset "
            f"{part.first_offset}",
        )
    results.print(
        f"{len(found.gained)} outages gained, {len(found.lost)} lost, {len(found.changed)} changed, "
        f"{found.same} the same",
    )


OUTAGE_COLUMNS = [
    Column(""),
    Column("link"),
    Column("kind", 3),
    Column("start", 1),
    Column("end", 4),
    Column("what changed", 2, wrapped=True),
]


def _outages(found: Diff) -> list[tuple[Cell, ...]]:
    rows: list[tuple[Cell, ...]] = []
    for sign, outages in ((styled("gained", "green"), found.gained), (styled("lost", "red"), found.lost)):
        rows += [(sign, *_place(outage), "") for outage in outages]
    for pair in found.changed:
        moves = [f"start {_span(pair.start_moved_ms)}"] if pair.start_moved_ms else []
        moves += [f"end {_span(pair.end_moved_ms)}"] if pair.end_moved_ms else []
        what = "; ".join([*moves, *([_changes(pair.changed)] if pair.changed else [])])
        rows.append((styled("changed", "yellow"), pair.link, "", local_time(pair.start_ms), "", what))
    return rows


def _place(outage: Outage) -> tuple[str, str, str, str]:
    end = "open" if outage.end_ms is None else local_time(outage.end_ms)
    return outage.link, outage.kind, local_time(outage.start_ms), end


def _changes(changed: list[Changed]) -> str:
    return "; ".join(f"{item.name} {_short(item.before)} → {_short(item.after)}" for item in changed)


def _short(value: object) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else f"{text[:37]}…"


def _span(ms: int) -> str:
    return f"{ms / 1000:+,.3f} s".replace(".000", "")
