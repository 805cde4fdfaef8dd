"""What auditors ask: availability by link and in sum, outages in a period, incidents, one outage's story."""

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from msgspec import Struct, structs

from streams.ledger.read.figures import Question, Standing, link_figures
from streams.ledger.read.histories import history, unpacked_days
from streams.ledger.read.names import require_known
from streams.ledger.read.reach import earliest_start_ms
from streams.ledger.store.outage_years import sums_by_link, sums_of_years
from streams.ledger.store.rows import outage_decoder
from streams.ledger.store.schema import (
    COUNTED_COLUMN,
    incidents,
    outage_revisions,
    outage_scopes,
    outages,
)
from streams.model.availability import (
    Availability,
    Figures,
    OutageFigures,
    OutageSpan,
    OutageTime,
    account,
    summarise,
)
from streams.model.calendar import DAY_MS, calendar_pieces, day_start_ms, unknown_years, year_of
from streams.model.exclusion import Exclusion
from streams.model.outage import Outage

Cursor = tuple[int, str]
"""Start and id of the last row of a page; the next page begins after it."""


class Narrowing(Struct, frozen=True):
    """Which outages of a period are meant; a minimum duration lets open ones pass."""

    kind: str | None = None
    min_duration_ms: int = 0
    retracted: bool = False
    incident_id: str | None = None


class Listed(Struct, frozen=True):
    """An outage as it stood, with how much of it counts in the period asked for."""

    outage: Outage
    counted_ms: int
    incident_id: str | None


class LinkSummary(Struct, frozen=True):
    """One link's availability; ``known_until_ms`` is the end of its last window."""

    link: str
    availability: Availability
    known_until_ms: int


class Summary(Struct, frozen=True):
    """The answer to a question: each link, and all together.

    ``unknown_years`` are years whose holidays the calendar does not hold.
    """

    question: Question
    links: list[LinkSummary]
    total: Availability
    unknown_years: list[int]


def summarise_links(connection: sa.Connection, question: Question) -> Summary:
    """Return availability for every link that a question means, and over all of them."""
    standing = Standing(connection, question)
    figures = link_figures(connection, question, standing)
    met = _outage_figures(connection, question, standing)
    rows = []
    total = Availability(Figures(), OutageFigures())
    for link, life in standing.lives.items():
        counted, down_ms, degraded_ms = met.get(link, (OutageFigures(), 0, 0))
        if question.scoped:
            # Requests are not known by agency or service, so no request-weighted figure is given.
            counted_figures = structs.replace(
                figures[link], down_ms=down_ms, degraded_ms=degraded_ms, attempts=0, failures=0
            )
        else:
            counted_figures = figures[link]
        availability = Availability(counted_figures, counted)
        rows.append(LinkSummary(link, availability, life.known_until_ms))
        total = Availability(total.figures + counted_figures, total.outages + counted)
    years = unknown_years(question.start_ms, question.until_ms) if question.rules.hours else []
    return Summary(question, rows, total, years)


def list_outages(
    connection: sa.Connection,
    question: Question,
    narrowing: Narrowing | None = None,
    *,
    after: Cursor | None = None,
    limit: int | None = None,
) -> list[Listed]:
    """Return the outages that touch the period, by start and id, from a cursor on, at most ``limit``."""
    narrowing = narrowing or Narrowing()
    standing = Standing(connection, question)
    found = _stored(connection, question, narrowing, standing, after, limit)
    for outage in standing.revised.values():
        if outage is None or not _is_meant(outage, question, narrowing):
            continue
        if after is None or (outage.start_ms, outage.outage_id) > after:
            found.append(Listed(outage, -1, None))
    found.sort(key=lambda listed: (listed.outage.start_ms, listed.outage.outage_id))
    found = found[:limit]
    return _with_shares(connection, question, standing, found)


def standing_exclusions(connection: sa.Connection, question: Question) -> list[Exclusion]:
    """Return the exclusions that touch the period and the links asked for, withdrawn ones too."""
    standing = Standing(connection, question)
    return [
        exclusion
        for exclusion in standing.exclusions
        if exclusion.start_ms < question.until_ms
        and exclusion.end_ms > question.start_ms
        and any(exclusion.touches(link) for link in standing.lives)
    ]


def revisions_of(connection: sa.Connection, outage_id: str) -> list[Outage]:
    """Return every revision of an outage, the first first; empty if there is no such outage."""
    bodies = connection.scalars(
        sa.select(outage_revisions.c.body)
        .where(outage_revisions.c.outage_id == outage_id)
        .order_by(outage_revisions.c.revision)
    )
    return [outage_decoder.decode(body) for body in bodies]


def list_incidents(
    connection: sa.Connection, question: Question, *, after: Cursor | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the incidents that touch the period and a link asked for, by start and id.

    Raises:
        UnknownNameError: the question names what the ledger does not know.
    """
    require_known(connection, **question.names, as_of_ms=question.as_of_ms)
    statement = (
        sa.select(incidents)
        .where(
            incidents.c.start_ms >= earliest_start_ms(connection, incidents, question.start_ms),
            incidents.c.start_ms < question.until_ms,
            sa.or_(incidents.c.end_ms > question.start_ms, incidents.c.end_ms.is_(None)),
        )
        .order_by(incidents.c.start_ms, incidents.c.incident_id)
    )
    if question.link is not None or question.portal is not None or question.scoped:
        statement = statement.where(
            incidents.c.incident_id.in_(sa.select(outages.c.incident_id).where(*_about(connection, question)))
        )
    if after is not None:
        statement = statement.where(
            sa.tuple_(incidents.c.start_ms, incidents.c.incident_id) > sa.tuple_(*map(sa.literal, after))
        )
    rows = connection.execute(statement.limit(limit))
    return [row._asdict() | {"links": row.links.split("\n")} for row in rows]


def _about(connection: sa.Connection, question: Question) -> list[sa.ColumnElement[bool]]:
    """Return the conditions on outages that a question's link, portal, agency and service make."""
    conditions: list[sa.ColumnElement[bool]] = []
    if question.link is not None:
        conditions.append(outages.c.link == question.link)
    if question.portal is not None:
        names = [
            link for link in connection.scalars(sa.select(outages.c.link).distinct()) if question.about(link)
        ]
        conditions.append(outages.c.link.in_(names))
    for scope, name in (("agency", question.agency), ("service", question.service)):
        if name is not None:
            conditions.append(
                outages.c.outage_id.in_(
                    sa.select(outage_scopes.c.outage_id).where(
                        outage_scopes.c.scope == scope, outage_scopes.c.name == name
                    )
                )
            )
    return conditions


def _outage_figures(
    connection: sa.Connection, question: Question, standing: Standing
) -> dict[str, tuple[OutageFigures, int, int]]:
    """Return, by link, the figures of its outages and their counted down and degraded time."""
    meant = _about(connection, question)
    if standing.revised:
        meant.append(outages.c.outage_id.not_in(list(standing.revised)))
    met: dict[str, tuple[OutageFigures, int, int]] = {}

    def add(link: str, figures: OutageFigures, down_ms: int, degraded_ms: int) -> None:
        if link in standing.lives:
            before = met.get(link, (OutageFigures(), 0, 0))
            met[link] = (before[0] + figures, before[1] + down_ms, before[2] + degraded_ms)

    spans = _edge_spans(connection, question, meant, standing)
    low, high = _whole_years(question, standing, spans)
    for start_ms, end_ms in ((question.start_ms, low), (high, question.until_ms)):
        if start_ms < end_ms:
            inside = [
                outages.c.start_ms >= start_ms,
                outages.c.start_ms < end_ms,
                outages.c.end_ms <= question.until_ms,
            ]
            for link, sums in sums_by_link(connection, question.calendar, [*inside, *meant]).items():
                add(link, *sums)
    if low < high:
        for link, figures in sums_of_years(connection, question.calendar, low, high, question.link).items():
            add(link, figures, 0, 0)
    for link, shares in _shares(connection, question, standing, spans):
        down_ms = sum(share.counted_ms for share in shares if share.kind == "down")
        add(link, summarise(shares), down_ms, sum(share.counted_ms for share in shares) - down_ms)
    return met


def _whole_years(
    question: Question, standing: Standing, spans: Mapping[str, list[OutageSpan]]
) -> tuple[int, int]:
    """Return ``[start, end)`` of the whole years whose outages all ended within the period and stand.

    Sums by year know nothing of agencies and services, or of earlier revisions.
    """
    pieces = calendar_pieces(day_start_ms(question.start_ms + DAY_MS - 1), day_start_ms(question.until_ms))
    years = [(low, high) for grain, low, high in pieces if grain == "year"]
    if not years or question.scoped:
        return question.until_ms, question.until_ms
    [(low, high)] = years
    beyond = [
        span.start_ms
        for members in spans.values()
        for span in members
        if span.end_ms is None or span.end_ms > question.until_ms
    ]
    return low, max(low, min([high, *(year_of(ms)[0] for ms in [*beyond, *standing.revised_starts()])]))


def _edge_spans(
    connection: sa.Connection, question: Question, meant: list[sa.ColumnElement[bool]], standing: Standing
) -> dict[str, list[OutageSpan]]:
    """Return the outages that reach over the period's edges, and those that stood otherwise then."""
    meant = [outages.c.status != "retracted", outages.c.start_ms < question.until_ms, *meant]
    columns = [outages.c[name] for name in ("link", "outage_id", "kind", "start_ms", "end_ms")]
    reach_ms = earliest_start_ms(connection, outages, question.start_ms)
    over_start = [
        outages.c.start_ms >= reach_ms,
        outages.c.start_ms < question.start_ms,
        outages.c.end_ms > question.start_ms,
    ]
    reach_ms = earliest_start_ms(connection, outages, question.until_ms)
    over_end = [
        outages.c.start_ms >= max(reach_ms, question.start_ms),
        outages.c.end_ms > question.until_ms,
    ]
    still_open = [outages.c.end_ms.is_(None)]
    spans: dict[str, list[OutageSpan]] = {}
    for conditions in (over_start, over_end, still_open):
        statement = sa.select(*columns, outages.c.dossiers_affected).where(*conditions, *meant)
        for link, *stated in connection.execute(statement):
            if link in standing.lives:
                spans.setdefault(link, []).append(OutageSpan(*stated))
    for outage in standing.revised.values():
        if outage is not None and _is_meant(outage, question, Narrowing()) and outage.link in standing.lives:
            span = OutageSpan(
                outage.outage_id, outage.kind, outage.start_ms, outage.end_ms, outage.dossiers_affected
            )
            spans.setdefault(outage.link, []).append(span)
    return spans


def _shares(
    connection: sa.Connection, question: Question, standing: Standing, spans: dict[str, list[OutageSpan]]
) -> Iterable[tuple[str, list[OutageTime]]]:
    """Yield each link's counted outage times, straight from its windows."""
    for link, members in spans.items():
        shares: list[OutageTime] = []
        for span in members:
            start_ms = max(span.start_ms, question.start_ms)
            life_end_ms = standing.lives[link].end_ms
            end_ms = min(span.end_ms or life_end_ms, life_end_ms, question.until_ms)
            if start_ms < end_ms:
                days = unpacked_days(connection, start_ms, end_ms, [link]).get(link, {})
                stretch = history(days, [span], standing.excluded[link], start_ms, end_ms)
                shares += account(stretch, question.rules, start_ms, end_ms)[1]
        yield link, shares


def _stored(
    connection: sa.Connection,
    question: Question,
    narrowing: Narrowing,
    standing: Standing,
    after: Cursor | None,
    limit: int | None,
) -> list[Listed]:
    conditions = [
        outages.c.start_ms >= earliest_start_ms(connection, outages, question.start_ms),
        outages.c.start_ms < question.until_ms,
        sa.or_(outages.c.end_ms > question.start_ms, outages.c.end_ms.is_(None)),
        *_about(connection, question),
    ]
    if narrowing.kind is not None:
        conditions.append(outages.c.kind == narrowing.kind)
    if narrowing.min_duration_ms:
        lasted = outages.c.end_ms - outages.c.start_ms >= narrowing.min_duration_ms
        conditions.append(sa.or_(lasted, outages.c.end_ms.is_(None)))
    if not narrowing.retracted:
        conditions.append(outages.c.status != "retracted")
    if narrowing.incident_id is not None:
        conditions.append(outages.c.incident_id == narrowing.incident_id)
    if after is not None:
        conditions.append(
            sa.tuple_(outages.c.start_ms, outages.c.outage_id) > sa.tuple_(*map(sa.literal, after))
        )
    if standing.revised:
        conditions.append(outages.c.outage_id.not_in(list(standing.revised)))
    column = COUNTED_COLUMN[question.calendar]
    # Chosen before they are joined: PostgreSQL would join all of a long period's and then take the first.
    chosen = (
        sa.select(
            outages.c.outage_id,
            outages.c.revision,
            outages.c.start_ms,
            outages.c.incident_id,
            column.label("counted"),
        )
        .where(*conditions)
        .order_by(outages.c.start_ms, outages.c.outage_id)
        .limit(limit)
        .subquery()
    )
    rows = connection.execute(
        sa.select(outage_revisions.c.body, chosen.c.counted, chosen.c.incident_id)
        .join(
            outage_revisions,
            sa.and_(
                outage_revisions.c.outage_id == chosen.c.outage_id,
                outage_revisions.c.revision == chosen.c.revision,
            ),
        )
        .order_by(chosen.c.start_ms, chosen.c.outage_id)
    )
    return [Listed(outage_decoder.decode(row.body), row.counted, row.incident_id) for row in rows]


def _is_meant(outage: Outage, question: Question, narrowing: Narrowing) -> bool:
    """Say of an earlier revision what the statement says of the last."""
    lasted_ms = None if outage.end_ms is None else outage.end_ms - outage.start_ms
    return (
        question.about(outage.link)
        and outage.start_ms < question.until_ms
        and (outage.end_ms is None or outage.end_ms > question.start_ms)
        and question.agency in (None, *outage.agencies)
        and question.service in (None, *outage.services)
        and narrowing.kind in (None, outage.kind)
        and (lasted_ms is None or lasted_ms >= narrowing.min_duration_ms)
        and (narrowing.retracted or outage.status != "retracted")
        and narrowing.incident_id is None
    )


def _with_shares(
    connection: sa.Connection, question: Question, standing: Standing, found: list[Listed]
) -> list[Listed]:
    """Count again what reaches over the period's edges, or stood otherwise then."""
    spans: dict[str, list[OutageSpan]] = {}
    for listed in found:
        outage = listed.outage
        whole = (
            outage.start_ms >= question.start_ms
            and (outage.end_ms or question.until_ms + 1) <= question.until_ms
        )
        if (listed.counted_ms < 0 or not whole) and outage.link in standing.lives:
            span = OutageSpan(outage.outage_id, outage.kind, outage.start_ms, outage.end_ms)
            if outage.status != "retracted":
                spans.setdefault(outage.link, []).append(span)
    again = {
        share.outage_id: share.counted_ms
        for _, shares in _shares(connection, question, standing, spans)
        for share in shares
    }
    recounted = {span.outage_id for members in spans.values() for span in members}
    return [
        structs.replace(listed, counted_ms=again.get(listed.outage.outage_id, 0))
        if listed.outage.outage_id in recounted or listed.counted_ms < 0
        else listed
        for listed in found
    ]
