"""What is answered, as plain values: the same for the interface, the command line, the page and reports.

Times are given twice, as epoch milliseconds (``_ms``) and as ISO 8601 in Asia/Ho_Chi_Minh.
"""

from typing import Any, Final

import sqlalchemy as sa
from msgspec import Struct, structs, to_builtins

from streams import __version__
from streams.ledger.proof.heads import log_sizes, read_positions
from streams.ledger.read.figures import cell_figures
from streams.ledger.read.histories import retirements
from streams.ledger.read.lists import Cursor, Listed, list_outages
from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.read.summary import Summary, summarise_links
from streams.ledger.store.days import link_lives
from streams.model.availability import Availability
from streams.model.exclusion import Exclusion, Ruling
from streams.model.hours.calendar import DAY_MS, MINUTE_MS, TIMEZONE, day_start_ms, to_local
from streams.model.incidents import ends_of
from streams.model.outage import Outage, RaisedNormal
from streams.model.retirement import Retirement
from streams.model.settings import EVIDENCE_KEPT_MS

Answer = dict[str, Any]

MOST_DAYS: Final = 62
MOST_LINKS: Final = 100
"""A report tells the days of so many links over so many days at most."""
FORMULA: Final = "availability = (observed - down) / observed; observed = service - excluded - unknown"
ROUNDING: Final = "percentages are rounded down to four decimals"


def iso(time_ms: int | None) -> str | None:
    """Return a time as ISO 8601 with its offset, in Asia/Ho_Chi_Minh.

    >>> iso(1743645510000)
    '2025-04-03T08:58:30.000+07:00'
    """
    return None if time_ms is None else to_local(time_ms).isoformat(timespec="milliseconds")


def availability_answer(availability: Availability, plain: Availability) -> Answer:
    """Return every figure of an availability by name; ``plain`` is the same without any exclusion."""
    figures, met = availability.figures, availability.outages
    return {
        "availability_pct": figures.availability_pct,
        "availability_without_exclusions_pct": plain.figures.availability_pct,
        "down_without_exclusions_ms": plain.figures.down_ms,
        "down_outages_without_exclusions": plain.outages.down_outages,
        "dossiers_without_exclusions": plain.outages.dossiers_affected,
        "coverage_pct": figures.coverage_pct,
        "worst_case_pct": figures.worst_case_pct,
        "best_case_pct": figures.best_case_pct,
        "numerator_ms": figures.available_ms,
        "denominator_ms": figures.observed_ms,
        "service_ms": figures.service_ms,
        "excluded_ms": figures.excluded_ms,
        "agreed_ms": figures.agreed_ms,
        "unknown_ms": figures.unknown_ms,
        "observed_ms": figures.observed_ms,
        "down_ms": figures.down_ms,
        "degraded_ms": figures.degraded_ms,
        "down_outages": met.down_outages,
        "degraded_outages": met.degraded_outages,
        "longest_down_ms": met.longest_down_ms,
        "mean_time_to_restore_ms": availability.mean_time_to_restore_ms,
        "mean_time_between_failures_ms": availability.mean_time_between_failures_ms,
        "dossiers_affected": met.dossiers_affected,
        "attempts": figures.attempts,
        "failures": figures.failures,
        "request_success_pct": figures.request_success_pct,
        "short_failures": figures.short_failures,
        "short_failure_ms": figures.short_failure_ms,
        "short_failure_lookups": figures.short_failure_lookups,
    }


def question_answer(question: Question) -> Answer:
    """Return what was asked, with the calendar's version and the time zone."""
    asked = {name: getattr(question, name) for name in ("link", "portal", "agency", "service")}
    return {
        "start": iso(question.start_ms),
        "end": iso(question.end_ms),
        "until": iso(question.until_ms),
        "start_ms": question.start_ms,
        "end_ms": question.end_ms,
        "until_ms": question.until_ms,
        "complete": question.until_ms == question.end_ms,
        "second_person": question.second_person,
        "timezone": TIMEZONE,
        "calendar": {"name": question.calendar, "version": question.rules.version},
        "as_of": iso(question.as_of_ms),
        **{name: value for name, value in asked.items() if value is not None},
    }


def normal_answer(normal: RaisedNormal) -> Answer:
    """Return what is raised of a link's normal, without what is not."""
    answer: Answer = to_builtins(normal)
    times = {name: iso(value) for name, value in answer.items() if name.endswith("since_ms")}
    return answer | {name.removesuffix("_ms"): value for name, value in times.items()}


def summary_answer(summary: Summary) -> Answer:
    """Return availability by link and in sum, and how it was counted."""
    return {
        "question": question_answer(summary.question),
        "method": {"formula": FORMULA, "rounding": ROUNDING, "provisional_years": summary.provisional_years},
        "total": availability_answer(summary.total, summary.total_without_exclusions),
        "links": [
            {
                "link": row.link,
                "known_until": iso(row.known_until_ms),
                "retired_from": None if row.retired is None else iso(row.retired.from_ms),
            }
            | availability_answer(row.availability, row.without_exclusions)
            | {"normal": None if row.normal is None else normal_answer(row.normal)}
            for row in summary.links
        ],
    }


def summary_rows(answer: Answer) -> list[Answer]:
    """Return a summary as rows of a table, all links together first, with the years that are provisional."""
    years = {"provisional_years": answer["method"]["provisional_years"]}
    return [{"link": "*"} | answer["total"] | years, *(row | years for row in answer["links"])]


def evidence_until_ms(outage: Outage) -> int | None:
    """Return until when the broker keeps an outage's evidence at least, None where it has none.

    Its first records were logged within a minute before the first request that failed, or later.
    """
    return outage.start_ms - MINUTE_MS + EVIDENCE_KEPT_MS if outage.evidence else None


def outage_answer(outage: Outage) -> Answer:
    """Return one revision of an outage."""
    answer: Answer = to_builtins(outage)
    for name in ("start", "end", "detected_at"):
        answer[name] = iso(answer[f"{name}_ms"])
    answer["evidence_until_ms"] = evidence_until_ms(outage)
    answer["evidence_until"] = iso(answer["evidence_until_ms"])
    answer["duration_ms"] = None if outage.end_ms is None else outage.end_ms - outage.start_ms
    return answer


def listed_answer(listed: Listed, *, second_person: bool) -> Answer:
    """Return an outage of a list: how much of it counts in the period asked for, and who excluded what."""
    exclusions = [exclusion_answer(one, second_person=second_person) for one in listed.exclusions]
    if listed.counted_ms < listed.plain_ms:
        excluded = "partly" if listed.counted_ms else "wholly"
    else:
        excluded = "pending" if any(one["status"] == "pending" for one in exclusions) else "no"
    return outage_answer(listed.outage) | {
        "counted_ms": listed.counted_ms,
        "counted_without_exclusions_ms": listed.plain_ms,
        "excluded": excluded,
        "excluded_by": [excluded_by(one) for one in exclusions],
        "exclusions": exclusions,
        "incident_id": listed.incident_id,
    }


def excluded_by(exclusion: Answer) -> str:
    """Return in a line who excluded a time, when and why; ``exclusion`` is what `exclusion_answer` gives."""
    told = [exclusion["status"], *(["after the fact"] if exclusion["after_the_fact"] else [])]
    if exclusion["approved_by"] is not None:
        told.append(f"approved by {exclusion['approved_by']}")
    who = f"{exclusion['exclusion_id']} by {exclusion['proposed_by']} on {exclusion['proposed_at']}"
    return f"{who} ({', '.join(told)}): {exclusion['proposed_reason']}"


def exclusion_answer(ruling: Ruling, *, second_person: bool) -> Answer:
    """Return what holds of an exclusion: its last revision, who proposed and approved it, and its status."""
    proposed = ruling.proposed
    return revision_answer(ruling.last) | {
        "status": ruling.status(second_person=second_person),
        "after_the_fact": ruling.after_the_fact,
        "proposed_by": proposed.author,
        "proposed_at": iso(proposed.recorded_at_ms),
        "proposed_at_ms": proposed.recorded_at_ms,
        "proposed_reason": proposed.reason,
        "approved_by": ruling.approved_by,
    }


def revision_answer(exclusion: Exclusion) -> Answer:
    """Return one revision of an exclusion."""
    times = {"start": exclusion.start_ms, "end": exclusion.end_ms, "recorded_at": exclusion.recorded_at_ms}
    return structs.asdict(exclusion) | {name: iso(value) for name, value in times.items()}


def retirement_answer(retirement: Retirement) -> Answer:
    """Return one revision of a link's retirement."""
    times = {"from": retirement.from_ms, "recorded_at": retirement.recorded_at_ms}
    return structs.asdict(retirement) | {name: iso(value) for name, value in times.items()}


def incident_answer(row: Answer) -> Answer:
    """Return an incident."""
    return row | {"start": iso(row["start_ms"]), "end": iso(row["end_ms"])}


def links_answer(connection: sa.Connection) -> list[Answer]:
    """Return all links, their two ends, since and until when they are known, and from when retired."""
    retired = {link: one for link, one in retirements(connection).items() if not one.withdrawn}
    return [
        {
            "link": link,
            "portal": ends_of(link)[0],
            "provider": ends_of(link)[1],
            "first": iso(life.first_ms),
            "first_ms": life.first_ms,
            "retired_from": iso(retired[link].from_ms) if link in retired else None,
            "retired_by": retired[link].author if link in retired else None,
            "retired_reason": retired[link].reason if link in retired else None,
            "known_until": iso(life.known_until_ms),
            "known_until_ms": life.known_until_ms,
        }
        for link, life in link_lives(connection).items()
    ]


def ledger_answer(connection: sa.Connection) -> Answer:
    """Return what the ledger holds: size and root of each log, and how far each partition was read."""
    return {
        "logs": to_builtins(log_sizes(connection)),
        "positions": to_builtins(read_positions(connection)),
    }


def days_answer(standing: Standing) -> list[Answer]:
    """Return what counts of each link's days; none of a period that is too long to be read day by day."""
    question = standing.question
    first_ms, end_ms = day_start_ms(question.start_ms), question.until_ms
    days = [(day_ms, day_ms + DAY_MS) for day_ms in range(first_ms, end_ms, DAY_MS)]
    if not days or question.start_ms >= end_ms or len(days) > MOST_DAYS or len(standing.lives) > MOST_LINKS:
        return []
    named = {day_ms: iso(day_ms) for day_ms, _ in days}
    cells = cell_figures(standing, "day", days)
    return [
        {
            "link": link,
            "day": named[day_ms],
            "day_ms": day_ms,
            "service_ms": figures.service_ms,
            "excluded_ms": figures.excluded_ms,
            "unknown_ms": figures.unknown_ms,
            "down_ms": figures.down_ms,
            "degraded_ms": figures.degraded_ms,
        }
        for link, day_ms in sorted(cells)
        for figures in [cells[link, day_ms].figures]
    ]


class ReportPage(Struct, frozen=True):
    """What of a report fits a page: at most ``limit`` outages after a cursor, and as many exclusions."""

    after: Cursor | None
    limit: int


def report_answer(
    connection: sa.Connection,
    question: Question,
    narrowing: Narrowing,
    command: str,
    page: ReportPage | None = None,
) -> Answer:
    """Return everything a report says; ``command`` is how to make it again.

    A page of it has no days; ``following`` is the row after which the next page begins, None on the last,
    and ``all_exclusions`` how many exclusions there are.
    """
    standing = Standing(connection, question)
    summary = summarise_links(connection, question, standing)
    if page is None:
        listed = list_outages(connection, question, narrowing, standing=standing)
    else:
        listed = list_outages(
            connection, question, narrowing, after=page.after, limit=page.limit + 1, standing=standing
        )
    more = page is not None and len(listed) > page.limit
    if page is not None:
        listed = listed[: page.limit]
    rules = sorted({one.outage.rule_version for one in listed})
    last = listed[-1].outage if more else None
    exclusions = standing.exclusions()
    paged: Answer = {}
    if page is not None:
        paged = {"following": last and (last.start_ms, last.outage_id), "all_exclusions": len(exclusions)}
        exclusions = exclusions[: page.limit]
    return (
        summary_answer(summary)
        | paged
        | {
            "outages": [listed_answer(one, second_person=question.second_person) for one in listed],
            "exclusions": [exclusion_answer(one, second_person=question.second_person) for one in exclusions],
            "days": days_answer(standing) if page is None else [],
            "ledger": ledger_answer(connection),
            "versions": {
                "portallink": __version__,
                "calendar": summary.question.rules.version,
                "rules": rules,
            },
            "command": command,
        }
    )
