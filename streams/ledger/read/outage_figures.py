"""Figures of the outages of a period: their number, the longest, the dossiers, and each one's share.

Outages that stand apart and lie within the period are summed from the stored shares. All others are counted
here, those of a link together: outages that cross the period's edges, that overlap another outage, an
exclusion or a retirement, or that were revised since the moment asked about.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.histories import days_at, history, span_of
from streams.ledger.read.meant import Narrowing, about, is_meant
from streams.ledger.read.reach import earliest_start_ms
from streams.ledger.read.standing import Standing
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.outage_years import sums_by_link, sums_of_years
from streams.ledger.store.schema import outages, shares
from streams.model.availability import OutageFigures, OutageSpan, account, summarise
from streams.model.hours.calendar import DAY_MS, calendar_pieces, day_start_ms, year_of
from streams.model.intervals import Interval, Intervals, clip, union


class Met(Struct, frozen=True):
    """Figures of some outages of a link, and their down and degraded time."""

    figures: OutageFigures = OutageFigures()
    down_ms: int = 0
    degraded_ms: int = 0

    def __add__(self, other: "Met") -> "Met":
        return Met(
            self.figures + other.figures,
            self.down_ms + other.down_ms,
            self.degraded_ms + other.degraded_ms,
        )


class Beside(Struct, frozen=True):
    """The figures of outages with exclusions applied (``met``), and without any (``plain``).

    ``counted_ms`` and ``plain_ms`` give each outage's time, for those that count at all.
    """

    met: Met
    plain: Met
    counted_ms: Mapping[str, int]
    plain_ms: Mapping[str, int]


def outage_figures(standing: Standing) -> dict[str, tuple[Met, Met]]:
    """Return the outage figures by link: with exclusions, and without any."""
    question = standing.question
    members = counted_singly(standing, question.start_ms, question.until_ms)
    sums = _kept_sums(standing, members)
    found = {}
    single = count_beside(standing, members)
    for link in standing.lives:
        kept = sums.get(link, Met())
        one = single.get(link)
        found[link] = (kept, kept) if one is None else (kept + one.met, kept + one.plain)
    return found


def counted_singly(standing: Standing, low_ms: int, high_ms: int) -> dict[str, list[OutageSpan]]:
    """Return the outages that touch ``[low_ms, high_ms)`` and cannot use a stored share, by link."""
    question, connection = standing.question, standing.connection
    if high_ms <= low_ms:
        return {}
    conditions = [outages.c.status != "retracted", *about(connection, question)]
    if standing.revised:
        conditions.append(outages.c.outage_id.not_in(list(standing.revised)))
    touching = [outages.c.start_ms < high_ms, sa.or_(outages.c.end_ms > low_ms, outages.c.end_ms.is_(None))]
    column = outages.c
    queries: list[list[sa.ColumnElement[bool]]] = [
        [
            column.apart.is_(False),
            column.start_ms >= earliest_start_ms(connection, outages, low_ms),
            *touching,
        ]
    ]
    for edge_ms in {question.start_ms, question.until_ms}:
        crossing = [column.start_ms < edge_ms, column.end_ms > edge_ms]
        reach_ms = earliest_start_ms(connection, outages, edge_ms)
        queries.append([column.apart.is_(True), column.start_ms >= reach_ms, *crossing, *touching])
    for outage in standing.stood():
        # Outages that it overlaps now, or no longer does, may have overlapped it then.
        end_ms = question.until_ms if outage.end_ms is None else outage.end_ms
        meeting = [column.link == outage.link, column.start_ms < end_ms, column.end_ms > outage.start_ms]
        queries.append([column.apart.is_(True), *meeting, *touching])
    found: dict[str, dict[str, OutageSpan]] = defaultdict(dict)
    named = [
        column[name] for name in ("link", "outage_id", "kind", "start_ms", "end_ms", "dossiers_affected")
    ]
    for query in queries:
        for link, *stated in connection.execute(sa.select(*named).where(*query, *conditions)):
            found[link][stated[0]] = OutageSpan(*stated)
    for outage in standing.stood():
        span = span_of(outage)
        if is_meant(outage, question, Narrowing()) and _meet(span, low_ms, high_ms):
            found[outage.link][outage.outage_id] = span
    return {link: list(spans.values()) for link, spans in found.items() if link in standing.lives}


def count_beside(standing: Standing, members: Mapping[str, Sequence[OutageSpan]]) -> dict[str, Beside]:
    """Count outages that overlap each other, an exclusion or an edge directly from the windows, by link."""
    stretches = {link: _stretches(standing, link, spans) for link, spans in members.items()}
    days = days_at(
        standing.connection,
        {
            (link, day_ms)
            for link, merged in stretches.items()
            for start_ms, end_ms in merged
            for day_ms in range(day_start_ms(start_ms), end_ms, DAY_MS)
        },
    )
    return {
        link: _beside(standing, link, members[link], merged, days.get(link, {}))
        for link, merged in stretches.items()
    }


def _stretches(standing: Standing, link: str, spans: Iterable[OutageSpan]) -> Intervals:
    low = max(standing.question.start_ms, standing.lives[link].first_ms)
    high = standing.untils[link]
    return clip(union((s.start_ms, high if s.end_ms is None else s.end_ms) for s in spans), low, high)


def _beside(
    standing: Standing,
    link: str,
    spans: Sequence[OutageSpan],
    merged: Intervals,
    days: Mapping[int, DayOfMinutes],
) -> Beside:
    found = []
    for excluded in (standing.excluded[link], []):
        times = []
        down_ms = degraded_ms = 0
        for start_ms, end_ms in merged:
            inside = [s for s in spans if s.start_ms < end_ms and (s.end_ms is None or s.end_ms > start_ms)]
            stretch = history(days, inside, clip(excluded, start_ms, end_ms), start_ms, end_ms)
            figures, counted = account(stretch, standing.question.rules, start_ms, end_ms)
            times += counted
            down_ms += figures.down_ms
            degraded_ms += figures.degraded_ms
        met = Met(summarise(times), down_ms, degraded_ms)
        found.append((met, {one.outage_id: one.counted_ms for one in times}))
    (met, counted_ms), (plain, plain_ms) = found
    return Beside(met, plain, counted_ms, plain_ms)


def _kept_sums(standing: Standing, members: Mapping[str, Sequence[OutageSpan]]) -> dict[str, Met]:
    """Return the figures of the outages whose stored share applies, by link."""
    question, connection = standing.question, standing.connection
    conditions = about(connection, question, shares)
    if standing.revised:
        singly = {span.outage_id for spans in members.values() for span in spans}
        conditions.append(shares.c.outage_id.not_in(sorted(singly | standing.revised.keys())))
    sums: dict[str, Met] = defaultdict(Met)
    low, high = _whole_years(standing, members)
    for start_ms, end_ms in ((question.start_ms, low), (high, question.until_ms)):
        if start_ms < end_ms:
            inside = [
                shares.c.start_ms >= start_ms,
                shares.c.start_ms < end_ms,
                shares.c.end_ms <= question.until_ms,
            ]
            for link, met in sums_by_link(connection, question.calendar, [*inside, *conditions]).items():
                sums[link] += Met(*met)
    if low < high:
        for link, figures in sums_of_years(connection, question.calendar, low, high, question.link).items():
            sums[link] += Met(figures)
    return sums


def _whole_years(standing: Standing, members: Mapping[str, Sequence[OutageSpan]]) -> Interval:
    """Return ``[start, end)`` of the whole years whose stored sums apply.

    All outages of such a year must have ended within the period and be unrevised since the moment asked
    about; sums by year cannot be narrowed to agencies or services.
    """
    question = standing.question
    pieces = calendar_pieces(day_start_ms(question.start_ms + DAY_MS - 1), day_start_ms(question.until_ms))
    years = [(low, high) for grain, low, high in pieces if grain == "year"]
    if not years or question.scoped:
        return question.until_ms, question.until_ms
    [(low, high)] = years
    beyond = [
        span.start_ms
        for spans in members.values()
        for span in spans
        if span.end_ms is None or span.end_ms > question.until_ms
    ]
    if question.as_of_ms is not None:
        beyond += standing.revised_starts()
        stood = [(one.link, one.start_ms, one.end_ms) for one in standing.stood()]
        beyond += [
            span.start_ms
            for link, spans in members.items()
            for span in spans
            if any(link == of and _meet(span, start_ms, end_ms) for of, start_ms, end_ms in stood)
        ]
    return low, max(low, min([high, *(year_of(ms)[0] for ms in beyond)]))


def _meet(span: OutageSpan, start_ms: int, end_ms: int | None) -> bool:
    starts_before = end_ms is None or span.start_ms < end_ms
    return starts_before and (span.end_ms is None or span.end_ms > start_ms)
