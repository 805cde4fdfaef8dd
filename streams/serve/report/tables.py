"""A report's tables, each with its columns and rows, as every tabular format shows them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from streams.serve.answers import Answer, summary_rows
from streams.serve.names import Names, Scope
from streams.serve.texts import Language, text

OUTAGE_COLUMNS: Final = (
    "outage_id",
    "revision",
    "status",
    "reason",
    "link",
    "kind",
    "fault_domain",
    "start",
    "end",
    "duration_ms",
    "counted_ms",
    "counted_without_exclusions_ms",
    "excluded",
    "excluded_by",
    "detected_at",
    "rule_version",
    "attempts",
    "failures",
    "dossiers_affected",
    "dossiers_error",
    "changes",
    "services",
    "agencies",
    "incident_id",
    "evidence_until",
)
EXCLUDED_OUTAGE_COLUMNS: Final = (
    "outage_id",
    "link",
    "kind",
    "start",
    "end",
    "counted_without_exclusions_ms",
    "counted_ms",
    "left_out_ms",
    "excluded",
    "excluded_by",
    "dossiers_affected",
)
SHORT_FAILURE_COLUMNS: Final = ("link", "short_failures", "short_failure_ms", "short_failure_lookups")
EXCLUSION_COLUMNS: Final = (
    "exclusion_id",
    "revision",
    "link",
    "start",
    "end",
    "kind",
    "status",
    "after_the_fact",
    "proposed_by",
    "proposed_at",
    "proposed_reason",
    "approved_by",
    "author",
    "reason",
    "recorded_at",
    "withdrawn",
)
EVIDENCE_COLUMNS: Final = ("outage_id", "topic", "partition", "first_offset", "next_offset", "digest")
LOG_COLUMNS: Final = ("log", "size", "root")
DAY_COLUMNS: Final = ("link", "day", "service_ms", "excluded_ms", "unknown_ms", "down_ms", "degraded_ms")
NAMED: Final[Mapping[str, Scope]] = {"link": "link", "services": "service", "agencies": "agency"}
"""Columns of identifiers beside which people's names stand, as `<column>_name`."""


class Table(Struct, frozen=True):
    """One table: its name, which is a key of the texts, its columns and its rows."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Any]]


def excluded_outages(report: Answer) -> list[Answer]:
    """Return a report's outages with excluded or pending time, each with its ``left_out_ms``."""
    return [
        row | {"left_out_ms": row["counted_without_exclusions_ms"] - row["counted_ms"]}
        for row in report["outages"]
        if row["excluded"] != "no"
    ]


def short_failures(report: Answer) -> list[Answer]:
    """Return the rows of a report's links that had short failures."""
    return [row for row in report["links"] if row["short_failures"]]


def tables(report: Answer) -> list[Table]:
    """Return every table of a report, identifiers as they are."""
    question, versions = report["question"], report["versions"]
    about = {
        name: list(value.values()) if isinstance(value, dict) else value for name, value in question.items()
    }
    about |= {
        "formula": report["method"]["formula"],
        "rounding": report["method"]["rounding"],
        "provisional_years": report["method"]["provisional_years"],
        "command": report["command"],
    }
    about |= {f"version {name}": value for name, value in versions.items()}
    evidence = [
        {"outage_id": outage["outage_id"]} | source
        for outage in report["outages"]
        for source in outage["evidence"]
    ]
    return [
        Table(
            "question", ("name", "value"), [{"name": name, "value": value} for name, value in about.items()]
        ),
        Table("availability", ("link", *report["total"], "provisional_years"), list(summary_rows(report))),
        Table("outages", OUTAGE_COLUMNS, report["outages"]),
        Table("excluded_outages", EXCLUDED_OUTAGE_COLUMNS, excluded_outages(report)),
        Table("short_failures_by_link", SHORT_FAILURE_COLUMNS, short_failures(report)),
        Table("exclusions", EXCLUSION_COLUMNS, report["exclusions"]),
        Table("days", DAY_COLUMNS, report["days"]),
        Table("evidence", EVIDENCE_COLUMNS, evidence),
        Table("logs", LOG_COLUMNS, report["ledger"]["logs"]),
    ]


def named_tables(report: Answer, names: Names, language: Language) -> list[Table]:
    """Return the tables for people: names stand beside identifiers, and titles over columns."""
    found = []
    for table in tables(report):
        columns: list[str] = []
        for column in table.columns:
            columns += [column, f"{column}_name"] if column in NAMED else [column]
        rows = [{**row, **_names_of(row, table.columns, names, language)} for row in table.rows]
        found.append(Table(table.name, tuple(columns), rows))
    return found


def title_of(column: str, language: Language) -> str:
    """Return what stands over a column; where nobody named it, its identifier."""
    try:
        if column.endswith("_name"):
            return f"{text(column.removesuffix('_name'), language)} ({text('by_name', language)})"
        return text(column, language)
    except KeyError:
        return column


def _names_of(
    row: Mapping[str, Any], columns: Iterable[str], names: Names, language: Language
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for column in columns:
        scope, value = NAMED.get(column), row.get(column)
        if column == "link" and value == "*":
            found["link_name"] = text("all_links", language)
        elif scope == "link" and isinstance(value, str):
            found["link_name"] = names.called("link", value, language)
        elif scope is not None and isinstance(value, list):
            found[f"{column}_name"] = ", ".join(names.called(scope, one, language) for one in value)
    return found
