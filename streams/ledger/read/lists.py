"""Lists for auditors: the outages and incidents of a period, and one outage's revisions."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.grouping import Grouping
from streams.ledger.read.histories import span_of
from streams.ledger.read.meant import Narrowing, about, is_meant, narrowed
from streams.ledger.read.outage_figures import count_beside, counted_singly
from streams.ledger.read.question import Question
from streams.ledger.read.reach import earliest_start_ms
from streams.ledger.read.standing import Standing
from streams.ledger.store.regroup import incident_row
from streams.ledger.store.rows import outage_decoder
from streams.ledger.store.schema import incidents, outage_revisions, outages, shares
from streams.model.availability import OutageSpan
from streams.model.exclusion import EVERY_LINK, Ruling
from streams.model.outage import Outage

Cursor = tuple[int, str]
"""Start and id of the last row of a page; the next page begins after it."""


class Listed(Struct, frozen=True):
    """An outage as of the moment asked about, with how much of it counts in the period.

    ``plain_ms`` is what would count without exclusions; ``exclusions`` are those that touch it within the
    period and are not withdrawn.
    """

    outage: Outage
    counted_ms: int
    plain_ms: int
    exclusions: list[Ruling]
    incident_id: str | None


class _Found(Struct, frozen=True):
    outage: Outage
    kept_ms: int | None
    incident_id: str | None


def list_outages(
    connection: sa.Connection,
    question: Question,
    narrowing: Narrowing | None = None,
    *,
    after: Cursor | None = None,
    limit: int | None = None,
    standing: Standing | None = None,
) -> list[Listed]:
    """Return the outages that touch the period, by start and id, from a cursor on, at most ``limit``.

    Pass ``standing`` if it was already read for the same question.
    """
    narrowing = narrowing or Narrowing()
    standing = standing or Standing(connection, question)
    if not standing.has_time:
        return []
    grouping = Grouping(standing)
    found = _kept(standing, grouping, narrowing, after, limit)
    for outage in standing.revised.values():
        if outage is None or not is_meant(outage, standing.question, narrowing):
            continue
        incident_id = grouping.placed.get(outage.outage_id)
        if narrowing.incident_id not in (None, incident_id):
            continue
        if after is None or (outage.start_ms, outage.outage_id) > after:
            found.append(_Found(outage, None, incident_id))
    found.sort(key=lambda one: (one.outage.start_ms, one.outage.outage_id))
    return _with_shares(standing, found[:limit])


def revisions_of(connection: sa.Connection, outage_id: str) -> list[Outage]:
    """Return every revision of an outage, oldest first; empty if there is no such outage."""
    bodies = connection.scalars(
        sa.select(outage_revisions.c.body)
        .where(outage_revisions.c.outage_id == outage_id)
        .order_by(outage_revisions.c.revision)
    )
    return [outage_decoder.decode(body) for body in bodies]


def list_incidents(
    connection: sa.Connection, question: Question, *, after: Cursor | None = None, limit: int | None = None
) -> list[dict[str, Any]]:
    """Return the incidents that touch the period and a requested link, by start and id, as of the moment."""
    standing = Standing(connection, question)
    if not standing.has_time:
        return []
    question, grouping = standing.question, Grouping(standing)
    statement = (
        sa.select(incidents)
        .where(
            incidents.c.start_ms >= earliest_start_ms(connection, incidents, question.start_ms),
            incidents.c.start_ms < question.until_ms,
            sa.or_(incidents.c.end_ms > question.start_ms, incidents.c.end_ms.is_(None)),
        )
        .order_by(incidents.c.start_ms, incidents.c.incident_id)
    )
    narrow = question.link is not None or question.portal is not None or question.scoped
    if narrow:
        named = sa.select(outages.c.incident_id).where(*about(connection, question))
        statement = statement.where(incidents.c.incident_id.in_(named))
    if grouping.gone:
        statement = statement.where(incidents.c.incident_id.not_in(sorted(grouping.gone)))
    if after is not None:
        statement = statement.where(
            sa.tuple_(incidents.c.start_ms, incidents.c.incident_id) > sa.tuple_(*map(sa.literal, after))
        )
    rows = [row._asdict() for row in connection.execute(statement.limit(limit))]
    about_ids = _meant_ids(standing, grouping) if narrow else set()
    for incident in grouping.fresh:
        inside = incident.start_ms < question.until_ms and (
            incident.end_ms is None or incident.end_ms > question.start_ms
        )
        meant = not narrow or not about_ids.isdisjoint(incident.outage_ids)
        if inside and meant and (after is None or (incident.start_ms, incident.incident_id) > after):
            rows.append(incident_row(incident))
    rows.sort(key=lambda row: (row["start_ms"], row["incident_id"]))
    return [row | {"links": row["links"].split("\n")} for row in rows[:limit]]


def _meant_ids(standing: Standing, grouping: Grouping) -> set[str]:
    """Return which outages of the regrouped incidents match the question, as of its moment."""
    question = standing.question
    conditions = [*about(standing.connection, question), outages.c.outage_id.in_(sorted(grouping.placed))]
    kept = set(standing.connection.scalars(sa.select(outages.c.outage_id).where(*conditions)))
    stood = {
        one.outage_id
        for one in standing.stood()
        if question.about(one.link)
        and question.agency in (None, *one.agencies)
        and question.service in (None, *one.services)
    }
    return (kept - standing.revised.keys()) | stood


def _kept(
    standing: Standing, grouping: Grouping, narrowing: Narrowing, after: Cursor | None, limit: int | None
) -> list[_Found]:
    """Return the matching outages that were not revised since the moment asked about."""
    connection, question = standing.connection, standing.question
    conditions = [
        outages.c.start_ms >= earliest_start_ms(connection, outages, question.start_ms),
        outages.c.start_ms < question.until_ms,
        sa.or_(outages.c.end_ms > question.start_ms, outages.c.end_ms.is_(None)),
        *about(connection, question),
        *narrowed(narrowing),
    ]
    if narrowing.incident_id is not None:
        placed = grouping.placed.items()
        inside = [outage_id for outage_id, incident_id in placed if incident_id == narrowing.incident_id]
        still = sa.and_(
            outages.c.incident_id == narrowing.incident_id,
            outages.c.outage_id.not_in(sorted(grouping.placed)),
        )
        conditions.append(sa.or_(still, outages.c.outage_id.in_(inside)))
    if after is not None:
        conditions.append(
            sa.tuple_(outages.c.start_ms, outages.c.outage_id) > sa.tuple_(*map(sa.literal, after))
        )
    if standing.revised:
        conditions.append(outages.c.outage_id.not_in(list(standing.revised)))
    # Limited before the join: PostgreSQL would join all rows of a long period and then take the first.
    chosen = (
        sa.select(
            outages.c.outage_id,
            outages.c.revision,
            outages.c.start_ms,
            outages.c.incident_id,
            outages.c.apart,
        )
        .where(*conditions)
        .order_by(outages.c.start_ms, outages.c.outage_id)
        .limit(limit)
        .subquery()
    )
    revision_of = sa.and_(
        outage_revisions.c.outage_id == chosen.c.outage_id, outage_revisions.c.revision == chosen.c.revision
    )
    share_of = sa.and_(shares.c.outage_id == chosen.c.outage_id, shares.c.calendar == question.calendar)
    rows = connection.execute(
        sa.select(outage_revisions.c.body, chosen.c.apart, shares.c.counted_ms, chosen.c.incident_id)
        .select_from(chosen.join(outage_revisions, revision_of).outerjoin(shares, share_of))
        .order_by(chosen.c.start_ms, chosen.c.outage_id)
    )
    found = []
    for body, apart, counted_ms, incident_id in rows:
        outage = outage_decoder.decode(body)
        kept_ms = (counted_ms or 0) if apart or outage.status == "retracted" else None
        found.append(_Found(outage, kept_ms, grouping.placed.get(outage.outage_id, incident_id)))
    return found


def _with_shares(standing: Standing, found: list[_Found]) -> list[Listed]:
    """Give each outage its share: the stored one, or one counted together with overlapping outages."""
    question = standing.question
    fresh = [one for one in found if one.outage.status != "retracted" and not _holds(standing, one)]
    counted: dict[str, int] = {}
    plain: dict[str, int] = {}
    if fresh:
        low = max(question.start_ms, min(one.outage.start_ms for one in fresh))
        ends = [question.until_ms if (end := one.outage.end_ms) is None else end for one in fresh]
        beside = counted_singly(standing, low, min(question.until_ms, max(ends)))
        members: dict[str, dict[str, OutageSpan]] = defaultdict(dict)
        for link, spans in beside.items():
            members[link] |= {span.outage_id: span for span in spans}
        for one in fresh:
            if one.outage.link in standing.lives:
                members[one.outage.link][one.outage.outage_id] = span_of(one.outage)
        together = {link: list(spans.values()) for link, spans in members.items()}
        for shared in count_beside(standing, together).values():
            counted |= shared.counted_ms
            plain |= shared.plain_ms
    concerned: dict[str, list[Ruling]] = defaultdict(list)
    for ruling in standing.rulings:
        if not ruling.last.withdrawn:
            concerned[ruling.last.link].append(ruling)
    listed = []
    recounted = {one.outage.outage_id for one in fresh}
    for one in found:
        name = one.outage.outage_id
        kept_ms = one.kept_ms or 0
        counted_ms = counted.get(name, 0) if name in recounted else kept_ms
        plain_ms = plain.get(name, 0) if name in recounted else kept_ms
        excluding = _excluding(standing, concerned, one.outage)
        listed.append(Listed(one.outage, counted_ms, plain_ms, excluding, one.incident_id))
    return listed


def _holds(standing: Standing, one: _Found) -> bool:
    """Return whether an outage's stored share is the whole answer."""
    question, outage = standing.question, one.outage
    if one.kept_ms is None or outage.end_ms is None:
        return False
    whole = outage.start_ms >= question.start_ms and outage.end_ms <= question.until_ms
    return whole and not any(
        other.link == outage.link
        and other.start_ms < outage.end_ms
        and (other.end_ms is None or other.end_ms > outage.start_ms)
        for other in standing.stood()
    )


def _excluding(standing: Standing, concerned: Mapping[str, list[Ruling]], outage: Outage) -> list[Ruling]:
    until_ms = standing.question.until_ms
    low = max(outage.start_ms, standing.question.start_ms)
    high = until_ms if outage.end_ms is None else min(outage.end_ms, until_ms)
    return [
        ruling
        for name in (outage.link, EVERY_LINK)
        for ruling in concerned.get(name, ())
        if ruling.last.start_ms < high and ruling.last.end_ms > low
    ]
