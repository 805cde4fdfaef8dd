"""The current state of every link: state and since when, the last 24 hours, availability over 30 days.

"Now" is the end of the ledger's data, as everywhere; the caller shows how old that is.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

import msgspec
import sqlalchemy as sa
from msgspec import Struct

from streams.ledger.read.figures import day_figures
from streams.ledger.read.histories import spans_between
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.store.days import LinkLife
from streams.ledger.store.minutes import DayOfMinutes, MinuteDetail
from streams.ledger.store.rows import select_at
from streams.ledger.store.schema import links, outages, positions, window_days
from streams.model.availability import Figures
from streams.model.exclusion import Ruling
from streams.model.hours.calendar import DAY_MS, MINUTE_MS, day_start_ms
from streams.model.intervals import Intervals, clip, union
from streams.model.outage import FaultDomain, Kind, RaisedNormal
from streams.model.zstd import decompress

DAYS: Final = 30
"""Availability on the board covers this many local days, including today."""
SILENT_MS: Final = 5 * MINUTE_MS
"""A link is unknown if its last window is this much older than the newest window of all links."""
ANNOUNCED_MS: Final = 14 * DAY_MS
"""How far ahead announced maintenance is shown on the board."""

State = Literal["down", "degraded", "unknown", "up"]
Version = tuple[int, int]

_minutes: Final = msgspec.msgpack.Decoder(dict[int, msgspec.Raw])
_detail: Final = msgspec.msgpack.Decoder(MinuteDetail)


class Brief(Struct, frozen=True, gc=False):
    """One outage in brief, as last published."""

    outage_id: str
    link: str
    kind: Kind
    fault_domain: FaultDomain
    start_ms: int
    end_ms: int | None
    dossiers_affected: int


class LinkNow(Struct, frozen=True):
    """The current state of one link.

    ``first_ms`` is when it was first watched. ``since_ms`` is when the state began, None if that is before
    the 24 hours shown. ``unseen_since_ms`` is set for a link that was last known down or degraded and is now
    unknown, and says since when. ``down``, ``degraded``, ``unknown`` and ``excluded`` are intervals of the
    last 24 hours. ``p95_ms`` is that of the last minute with answers. ``open`` is the gravest open outage,
    ``last`` the one that ended last.
    """

    link: str
    state: State
    since_ms: int | None
    unseen_since_ms: int | None
    first_ms: int
    known_until_ms: int
    open: Brief | None
    last: Brief | None
    down: Intervals
    degraded: Intervals
    unknown: Intervals
    excluded: Intervals
    figures: Figures
    p95_ms: float | None
    maintenance: bool
    normal: RaisedNormal | None


class Board(Struct, frozen=True):
    """All links in service; ``now_ms`` is the end of the data, None in an empty ledger.

    ``announced`` are exclusions that are not over and begin within two weeks, without withdrawn ones.
    """

    version: Version
    now_ms: int | None
    links: list[LinkNow]
    announced: list[Ruling]


class _DaySays(NamedTuple):
    columns: bytes
    unknown: Intervals
    p95_ms: float | None


class Days:
    """A cache of what the board needs from the windows of the last two days, for one ledger."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], _DaySays] = {}

    def read(
        self, connection: sa.Connection, lives: Mapping[str, LinkLife], now_ms: int
    ) -> dict[str, tuple[Intervals, float | None]]:
        """Return each link's unknown time of 24 hours, and the p95 of its last minute with answers."""
        today_ms = day_start_ms(now_ms - 1)
        days = [today_ms - DAY_MS, today_ms]
        statement = sa.select(window_days.c.link, window_days.c.day_ms, window_days.c.columns).select_from(
            links.join(
                window_days, sa.and_(window_days.c.link == links.c.link, window_days.c.day_ms.in_(days))
            )
        )
        kept: dict[tuple[str, int], _DaySays] = {}
        changed: dict[tuple[str, int], bytes] = {}
        for link, day_ms, columns in connection.execute(statement):
            known = self._known.get((link, day_ms))
            if known is not None and known.columns == columns:
                kept[link, day_ms] = known
            elif link in lives:
                changed[link, day_ms] = bytes(columns)
        details = self._details(connection, [place for place in changed if place[1] == today_ms])
        for (link, day_ms), columns in changed.items():
            day = DayOfMinutes.unpack(day_ms, columns)
            packed = details.get((link, day_ms))
            p95_ms = None if packed is None else _last_p95(packed)
            kept[link, day_ms] = _DaySays(columns, _unknown(day, lives[link]), p95_ms)
        self._known = kept
        found = {}
        for link, life in lives.items():
            until_ms = life.known_until_ms
            pieces: Intervals = [] if now_ms - until_ms < SILENT_MS else [(until_ms, now_ms)]
            p95_ms = None
            for day_ms in days:
                said = kept.get((link, day_ms))
                if said is not None:
                    pieces += said.unknown
                    p95_ms = said.p95_ms
                else:
                    pieces.append((max(day_ms, life.first_ms), min(day_ms + DAY_MS, until_ms)))
            found[link] = clip(union(pieces), now_ms - DAY_MS, now_ms), p95_ms
        return found

    @staticmethod
    def _details(
        connection: sa.Connection, places: Iterable[tuple[str, int]]
    ) -> dict[tuple[str, int], bytes]:
        column = window_days.c
        statement = sa.select(column.link, column.day_ms, column.details)
        rows = select_at(
            connection, statement, {"link": column.link, "day_ms": column.day_ms}, sorted(places)
        )
        return {(row.link, row.day_ms): bytes(row.details) for row in rows}


def ledger_version(connection: sa.Connection) -> Version:
    """Return a value that changes with every record written: records read, and number of partitions."""
    read = sa.select(sa.func.coalesce(sa.func.sum(positions.c.next_offset), 0), sa.func.count())
    offsets, partitions = connection.execute(read.select_from(positions)).one()
    return int(offsets), int(partitions)


def board(connection: sa.Connection, days: Days, *, second_person: bool) -> Board:
    """Return the board at the end of the data; ``days`` caches what was read before."""
    version = ledger_version(connection)
    until_ms = connection.scalar(sa.select(sa.func.max(links.c.known_until_ms)))
    if until_ms is None:
        return Board(version, None, [], [])
    now_ms = int(until_ms)
    today_ms = day_start_ms(now_ms - 1)
    question = Question(today_ms - (DAYS - 1) * DAY_MS, today_ms + DAY_MS, second_person=second_person)
    standing = Standing(connection, question)
    lives = {
        link: life
        for link, life in standing.lives.items()
        if link not in standing.retirements or standing.retirements[link].from_ms > now_ms
    }
    figures = day_figures(standing)
    seen = days.read(connection, lives, now_ms)
    spans = spans_between(connection, now_ms - DAY_MS, now_ms)
    still, last = _open(connection), _last(connection)
    announced = [
        ruling
        for ruling in standing.rulings
        if not ruling.last.withdrawn
        and ruling.last.end_ms > now_ms
        and ruling.last.start_ms < now_ms + ANNOUNCED_MS
    ]
    held = [one.last for one in announced if one.last.start_ms <= now_ms and not one.after_the_fact]
    found = []
    for link, life in lives.items():
        unknown, p95_ms = seen[link]
        times: dict[str, Intervals] = {"down": [], "degraded": []}
        for span in spans.get(link, ()):
            times[span.kind].append((span.start_ms, now_ms if span.end_ms is None else span.end_ms))
        open_, ended = still.get(link), last.get(link)
        blind_ms = unknown[-1][0] if unknown and unknown[-1][1] >= min(now_ms, life.known_until_ms) else None
        state, since_ms = _state(open_, ended, unknown, blind_ms, life.first_ms, now_ms)
        found.append(
            LinkNow(
                link,
                state,
                since_ms,
                blind_ms if open_ is not None else None,
                life.first_ms,
                life.known_until_ms,
                open_,
                ended,
                clip(union(times["down"]), now_ms - DAY_MS, now_ms),
                clip(union(times["degraded"]), now_ms - DAY_MS, now_ms),
                unknown,
                clip(list(standing.excluded[link]), now_ms - DAY_MS, now_ms),
                figures[link].figures,
                p95_ms,
                any(one.touches(link) for one in held),
                life.normal,
            )
        )
    return Board(version, now_ms, found, announced)


def _state(
    open_: Brief | None,
    ended: Brief | None,
    unknown: Intervals,
    blind_ms: int | None,
    first_ms: int,
    now_ms: int,
) -> tuple[State, int | None]:
    earliest_ms = now_ms - DAY_MS
    if open_ is not None:
        return open_.kind, open_.start_ms
    if blind_ms is not None:
        return "unknown", blind_ms if blind_ms > earliest_ms else None
    ends = [unknown[-1][1]] if unknown else []
    if first_ms > earliest_ms:
        ends.append(first_ms)
    if ended is not None and ended.end_ms is not None:
        ends.append(ended.end_ms)
    return "up", max(ends, default=None)


_BRIEF: Final = tuple(outages.c[name] for name in Brief.__struct_fields__)


def _open(connection: sa.Connection) -> dict[str, Brief]:
    """Return the gravest open outage of each link: down before degraded, then the longest."""
    found: dict[str, list[Brief]] = defaultdict(list)
    statement = sa.select(*_BRIEF).where(outages.c.end_ms.is_(None), outages.c.status == "open")
    for row in connection.execute(statement):
        found[row.link].append(Brief(*row))
    return {
        link: min(some, key=lambda one: (one.kind != "down", one.start_ms)) for link, some in found.items()
    }


def _last(connection: sa.Connection) -> dict[str, Brief]:
    """Return the last outage of each link that has ended."""
    other = outages.alias()
    latest = (
        sa.select(other.c.outage_id)
        .where(other.c.link == links.c.link, other.c.status != "retracted", other.c.end_ms.is_not(None))
        .order_by(other.c.start_ms.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = sa.select(*_BRIEF).select_from(links.join(outages, outages.c.outage_id == latest))
    return {row.link: Brief(*row) for row in connection.execute(statement)}


def _unknown(day: DayOfMinutes, life: LinkLife) -> Intervals:
    """Return the unknown time of a day within a link's life, up to the end of its data."""
    revisions, unknown = day.columns["revision"], day.columns["unknown_ms"]
    count = max(0, (min(day.day_ms + DAY_MS, life.known_until_ms) - day.day_ms) // MINUTE_MS)
    pieces: Intervals = []
    minute = max(0, (life.first_ms - day.day_ms) // MINUTE_MS) - 1
    while True:
        try:
            minute = revisions.index(0, minute + 1, count)
        except ValueError:
            break
        pieces.append((day.day_ms + minute * MINUTE_MS, day.day_ms + (minute + 1) * MINUTE_MS))
    if unknown.tobytes().strip(b"\0"):
        for minute, unknown_ms in enumerate(unknown[:count]):
            if unknown_ms:
                end_ms = day.day_ms + (minute + 1) * MINUTE_MS
                pieces.append((end_ms - unknown_ms, end_ms))
    return union(pieces)


def _last_p95(packed: bytes) -> float | None:
    """Return the p95 in ms of a day's last minute with answers, None without one."""
    minutes = _minutes.decode(decompress(packed))
    for minute in reversed(minutes):
        latency_ms = _detail.decode(minutes[minute]).latency_ms
        if latency_ms is not None:
            return latency_ms.get("p95")
    return None
