"""How the outages of a period, their figures and the story of one are printed."""

from collections.abc import Mapping
from typing import Any

import msgspec

from streams.cli.ledger.exclusions import standing
from streams.cli.ledger.tables import heading, show_table_in
from streams.cli.outcome import say, styled
from streams.cli.table import Column
from streams.model.outage import Confined, Outage, RaisedNormal
from streams.serve.texts import (
    Language,
    text,
    written_count,
    written_length,
    written_normal,
    written_percent,
    written_time,
)

LIST_COLUMNS = {
    "outage": Column(""),
    "link": Column(""),
    "kind": Column("", 2),
    "start": Column("", 1),
    "end": Column("", 3),
    "counted": Column("", 4),
    "without_exclusions": Column("", 7),
    "dossiers": Column("", 5, right=True),
    "excluded": Column("", 6, wrapped=True),
}
SUMMARY_COLUMNS = {
    "link": Column(""),
    "availability": Column(""),
    "without_exclusions": Column("", 7),
    "coverage_pct": Column("", 3),
    "down_ms": Column("", 1),
    "degraded_ms": Column("", 5),
    "down_outages": Column("", 2, right=True),
    "longest_down_ms": Column("", 4),
}
REVISION_COLUMNS = {
    "revision": Column("", right=True),
    "decided": Column(""),
    "reason": Column("", 1),
    "status": Column("", 2),
    "start": Column("", 3),
    "end": Column("", 4),
    "rule_version": Column("", 5),
}


def print_list(
    rows: list[dict[str, Any]],
    lengths: tuple[int, int],
    raised: Mapping[str, RaisedNormal],
    years: list[int],
    *,
    title: str,
    language: Language,
) -> None:
    """Print the outages of a period, and below them links whose normal is raised.

    ``lengths`` are those of short ids, of outages and of exclusions; holidays of ``years`` are provisional.
    """
    cells = [
        (
            row["outage_id"][: lengths[0]],
            row["link"],
            _kind_of(row, language),
            written_time(row["start_ms"], language),
            heading("open", language) if row["end_ms"] is None else written_time(row["end_ms"], language),
            written_length(row["counted_ms"], language),
            written_length(row["counted_without_exclusions_ms"], language),
            written_count(row["dossiers_affected"], language),
            _excluded(row, lengths[1], language),
        )
        for row in rows
    ]
    show_table_in(language, LIST_COLUMNS, cells, title=title)
    for name, normal in raised.items():
        say(f"{name}: {written_normal(normal, language)}")
    _tell_provisional(years, language)


def print_summary(answer: dict[str, Any], title: str, language: Language) -> None:
    """Print the availability of each link and of all, and what else is known of links."""
    asked_for = answer["question"]
    if not asked_for["complete"]:
        title += ", " + text("until_text", language, until=written_time(asked_for["until_ms"], language))
    total = {"link": heading("all_links", language)} | answer["total"]
    cells = [
        (
            row["link"],
            written_percent(row["availability_pct"], language),
            written_percent(row["availability_without_exclusions_pct"], language),
            written_percent(row["coverage_pct"], language),
            *(written_length(row[name], language) for name in ("down_ms", "degraded_ms")),
            written_count(row["down_outages"], language),
            written_length(row["longest_down_ms"], language),
        )
        for row in [*answer["links"], total]
    ]
    show_table_in(language, SUMMARY_COLUMNS, cells, title=title)
    for row in answer["links"]:
        if row["short_failures"]:
            told = text(
                "short_failures_counted",
                language,
                count=written_count(row["short_failures"], language),
                length=written_length(row["short_failure_ms"], language),
                lookups=written_count(row["short_failure_lookups"], language),
            )
            say(f"{row['link']}: {told}")
        if normal := row.get("normal"):
            say(f"{row['link']}: {written_normal(msgspec.convert(normal, RaisedNormal), language)}")
    _tell_provisional(answer["method"]["provisional_years"], language)


def print_story(revisions: list[Outage], language: Language) -> None:
    """Print what is known of an outage, and its revisions, the first first."""
    last = revisions[-1]
    kind, status = heading(last.kind, language), heading(last.status, language)
    say(styled(last.outage_id, "bold"), text("outage_on", language, link=last.link, kind=kind, status=status))
    end = heading("open", language) if last.end_ms is None else written_time(last.end_ms, language)
    start = written_time(last.start_ms, language)
    said = [
        text("outage_span", language, start=start, end=end),
        text(
            "outage_failed",
            language,
            failures=written_count(last.failures, language),
            attempts=written_count(last.attempts, language),
            fault=heading(f"fault_{last.fault_domain}", language),
        ),
        *([] if last.confined_to is None else [_confined(last, last.confined_to, language)]),
        text(
            "outage_dossiers",
            language,
            count=written_count(last.dossiers_affected, language),
            error=f"{last.dossiers_error * 100:.1f}".replace(".", "," if language == "vi" else "."),
        ),
        *(
            f"{heading(name, language)}: {', '.join(getattr(last, name)) or text('none', language)}"
            for name in ("services", "agencies")
        ),
    ]
    for line in said:
        say(f"  {line}")
    cells = [
        (
            str(one.revision),
            written_time(one.detected_at_ms, language),
            heading(f"reason_{one.reason}", language),
            heading(one.status, language),
            written_time(one.start_ms, language),
            written_time(one.end_ms, language),
            one.rule_version,
        )
        for one in revisions
    ]
    show_table_in(language, REVISION_COLUMNS, cells)
    for source in last.evidence:
        where = f"{source.topic}/{source.partition} [{source.first_offset}, {source.next_offset})"
        say(f"  {heading('evidence', language)} {where} {source.digest}")


def _kind_of(row: dict[str, Any], language: Language) -> str:
    """Return what a list says of an outage's kind."""
    if row["status"] == "retracted":
        return heading("retracted", language)
    kind = heading(row["kind"], language)
    return text("kind_confined", language, kind=kind) if row["confined_to"] else kind


def _excluded(row: dict[str, Any], length: int, language: Language) -> str:
    """Return how much of an outage is excluded, and in a line each by which exclusions."""
    if not row["exclusions"]:
        return ""
    lines = [heading(f"excluded_{row['excluded']}", language)]
    for one in row["exclusions"]:
        who = f"{one['proposed_by']}, {written_time(one['proposed_at_ms'], language)}"
        lines.append(
            f"{one['exclusion_id'][:length]} ({who}): {standing(one, language)}; {one['proposed_reason']}"
        )
    return "\n".join(lines)


def _confined(outage: Outage, to: Confined, language: Language) -> str:
    """Return what an outage is confined to, with the lookups inside and outside."""
    counts = {
        "failures": to.failures,
        "attempts": to.attempts,
        "other_failures": outage.failures - to.failures,
        "other_attempts": outage.attempts - to.attempts,
    }
    written = {name: written_count(count, language) for name, count in counts.items()}
    return text("confined_text", language, names=", ".join([*to.services, *to.agencies]), **written)


def _tell_provisional(years: list[int], language: Language) -> None:
    """Say below a table which years' holidays are provisional."""
    if years:
        say(text("provisional_years_text", language, years=", ".join(map(str, years))))
