"""Write records of the ledger's topics into the ledger: one transaction per batch, idempotent by offset.

A record that was applied already (its offset is before the partition's position, or the same revision came
again at a later offset) changes nothing. Unusable records are noted in ``refusals`` with source offset and
reason. Each partition's ``chain`` hashes every record read, in order. Signed heads contain it, so that
windows, which have no Merkle leaves, cannot be replaced unnoticed.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import msgspec
import sqlalchemy as sa
from msgspec import Struct, field
from sqlalchemy.exc import DataError, IntegrityError

from streams.ledger.proof import merkle
from streams.ledger.proof.tree import StoredLog, log_name
from streams.ledger.store.database import writing
from streams.ledger.store.days import DirtyDays
from streams.ledger.store.minutes import DayOfMinutes, WindowError
from streams.ledger.store.rows import exclusion_decoder, outage_decoder, retirement_decoder, select_in, upsert
from streams.ledger.store.schema import (
    exclusion_revisions,
    links,
    outage_revisions,
    outages,
    positions,
    refusals,
    retirement_revisions,
    window_days,
)
from streams.ledger.store.settle import settle
from streams.model.border import UNREADABLE, check_bounds
from streams.model.exclusion import Exclusion
from streams.model.hours.calendar import day_start_ms
from streams.model.outage import Outage, Window
from streams.model.record import Record
from streams.model.retirement import Retirement
from streams.model.topics import EXCLUSIONS, OUTAGES, RETIREMENTS, WINDOWS

SOURCES: Final = (OUTAGES, WINDOWS, EXCLUSIONS, RETIREMENTS)
CHAIN_START: Final = bytes(32)

Revision = TypeVar("Revision", Outage, Exclusion, Retirement)

_QUOTED: Final = re.compile(r"'[^']*'")
"""Record content quoted in a decoder's message, which a refusal must not repeat."""
_windows: Final = msgspec.json.Decoder(Window)


class Refusal(Struct, frozen=True):
    """A record that the ledger cannot use."""

    topic: str
    partition: int
    offset: int
    reason: str


class Applied(Struct):
    """The result of a batch; applied, duplicate and refused records add up to those given."""

    applied: int = 0
    duplicate: int = 0
    refused: list[Refusal] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def apply_records(engine: sa.Engine, records: Iterable[Record]) -> Applied:
    """Write records into the ledger in one transaction; each partition's must be in offset order.

    If the database rejects a record's content, the batch is halved until that record is alone; it is then
    refused, and the others are written.
    """
    batch = list(records)
    try:
        return _apply_batch(engine, batch)
    except (DataError, IntegrityError, OverflowError) as error:
        if len(batch) == 1:
            return _apply_batch(engine, batch, refused_because=f"the database refuses it: {_kind(error)}")
    half = len(batch) // 2
    first, second = apply_records(engine, batch[:half]), apply_records(engine, batch[half:])
    first.applied += second.applied
    first.duplicate += second.duplicate
    first.refused += second.refused
    for table, rows in second.rows.items():
        first.rows[table] += rows
    return first


def _apply_batch(engine: sa.Engine, records: list[Record], refused_because: str | None = None) -> Applied:
    with writing(engine) as connection:
        batch = _Batch(connection, refused_because)
        for record in records:
            batch.take(record)
        batch.write()
        return batch.result


def _kind(error: Exception) -> str:
    return type(getattr(error, "orig", None) or error).__name__


def move_position(engine: sa.Engine, topic: str, partition: int, next_offset: int) -> None:
    """Move a partition's position past records that are gone; its chain continues unchanged."""
    with writing(engine) as connection:
        at = (positions.c.topic == topic) & (positions.c.partition == partition)
        chain = connection.scalar(sa.select(positions.c.chain).where(at))
        row = {"topic": topic, "partition": partition, "next_offset": next_offset}
        upsert(connection, positions, [row | {"chain": CHAIN_START if chain is None else bytes(chain)}])


def chained(chain: bytes, record: Record) -> bytes:
    """Return the partition's chain after one more record."""
    key = b"" if record.key is None else record.key
    head = b"%d %d %d " % (record.offset, -1 if record.key is None else len(key), len(record.value))
    return hashlib.sha256(chain + head + key + record.value).digest()


class _Batch:
    def __init__(self, connection: sa.Connection, refused_because: str | None = None) -> None:
        self.result = Applied()
        self._refused_because = refused_because
        self._connection = connection
        self._positions = {
            (row.topic, row.partition): (row.next_offset, bytes(row.chain))
            for row in connection.execute(sa.select(positions))
        }
        self._moved: set[tuple[str, int]] = set()
        self._outages: list[tuple[Record, Outage]] = []
        self._exclusions: list[tuple[Record, Exclusion]] = []
        self._retirements: list[tuple[Record, Retirement]] = []
        self._days: dict[tuple[str, int], DayOfMinutes] = {}
        self._changed_days: set[tuple[str, int]] = set()

    def take(self, record: Record) -> None:
        source = (record.topic, record.partition)
        if record.topic not in SOURCES:
            raise ValueError(f"the ledger does not read the topic {record.topic}")
        next_offset, chain = self._positions.get(source, (0, CHAIN_START))
        if record.offset < next_offset:
            self.result.duplicate += 1
            return
        self._positions[source] = (record.offset + 1, chained(chain, record))
        self._moved.add(source)
        if self._refused_because is not None:
            self._refuse(record, self._refused_because)
            return
        try:
            self._take(record)
        except (*UNREADABLE, WindowError, ValueError) as error:
            self._refuse(record, _QUOTED.sub("…", str(error)))

    def _take(self, record: Record) -> None:
        value = record.value
        if record.topic == WINDOWS:
            window = _windows.decode(value)
            check_bounds(value, window)
            self._take_window(window)
        elif record.topic == OUTAGES:
            outage = outage_decoder.decode(value)
            check_bounds(value, outage)
            self._outages.append((record, outage))
        elif record.topic == EXCLUSIONS:
            exclusion = exclusion_decoder.decode(value)
            check_bounds(value, exclusion)
            self._exclusions.append((record, exclusion))
        else:
            retirement = retirement_decoder.decode(value)
            check_bounds(value, retirement)
            self._retirements.append((record, retirement))

    def write(self) -> None:
        """Write everything taken, and update the derived tables."""
        connection = self._connection
        dirty = DirtyDays(connection)
        self._write_days(dirty)
        changed = self._write_outages(dirty)
        self._write_exclusions(dirty)
        self._write_retirements(dirty)
        upsert(
            connection,
            positions,
            [
                {"topic": topic, "partition": partition, "next_offset": next_offset, "chain": chain}
                for (topic, partition), (next_offset, chain) in self._positions.items()
                if (topic, partition) in self._moved
            ],
        )
        upsert(
            connection,
            refusals,
            [
                {"topic": r.topic, "partition": r.partition, "record_offset": r.offset, "reason": r.reason}
                for r in self.result.refused
            ],
        )
        settle(connection, dirty, changed, self._days)

    def _refuse(self, record: Record, reason: str) -> None:
        self.result.refused.append(Refusal(record.topic, record.partition, record.offset, reason))

    def _count(self, table: str, rows: int) -> None:
        self.result.applied += rows
        self.result.rows[table] += rows

    def _take_window(self, window: Window) -> None:
        day_ms = day_start_ms(window.start_ms)
        place = (window.link, day_ms)
        day = self._days.get(place)
        if day is None:
            row = self._connection.execute(
                sa.select(window_days.c.columns, window_days.c.details).where(
                    window_days.c.link == window.link, window_days.c.day_ms == day_ms
                )
            ).one_or_none()
            day = (
                DayOfMinutes(day_ms) if row is None else DayOfMinutes.unpack(day_ms, row.columns, row.details)
            )
            self._days[place] = day
        if day.put(window):
            self._changed_days.add(place)
            self._count("windows", 1)
        else:
            self.result.duplicate += 1

    def _write_days(self, dirty: DirtyDays) -> None:
        rows = []
        for place in sorted(self._changed_days):
            link, day_ms = place
            columns, details = self._days[place].pack()
            rows.append({"link": link, "day_ms": day_ms, "columns": columns, "details": details})
            day = self._days[place]
            dirty.add_windows(link, day_ms, day.first_ms(), day.known_until_ms(), day.normal())
        upsert(self._connection, window_days, rows)
        upsert(self._connection, links, dirty.changed_links())

    def _write_outages(self, dirty: DirtyDays) -> dict[str, Outage]:
        """Insert new revisions; return the outages whose last revision is a new one."""
        known = {
            (row.outage_id, row.revision): bytes(row.body)
            for row in select_in(
                self._connection,
                sa.select(outage_revisions.c.outage_id, outage_revisions.c.revision, outage_revisions.c.body),
                outage_revisions.c.outage_id,
                {outage.outage_id for _, outage in self._outages},
            )
        }
        columns = ("outage_id", "revision", "link", "start_ms", "detected_at_ms")
        rows = []
        last: dict[str, Outage] = {}
        for row, outage in self._new(self._outages, known, columns):
            rows.append(row)
            if outage.outage_id not in last or last[outage.outage_id].revision < outage.revision:
                last[outage.outage_id] = outage
        self._append(outage_revisions, rows)
        before = {
            row.outage_id: row
            for row in select_in(
                self._connection,
                sa.select(outages),
                outages.c.outage_id,
                last,
            )
        }
        changed = {}
        for outage_id, outage in last.items():
            earlier = before.get(outage_id)
            if earlier is not None and earlier.revision >= outage.revision:
                continue
            changed[outage_id] = outage
            dirty.add_span(outage.link, outage.start_ms, outage.end_ms)
            if earlier is not None:
                dirty.add_span(earlier.link, earlier.start_ms, earlier.end_ms)
        return changed

    def _write_exclusions(self, dirty: DirtyDays) -> None:
        known = {
            (row.exclusion_id, row.revision): bytes(row.body)
            for row in self._connection.execute(sa.select(exclusion_revisions))
        }
        columns = ("exclusion_id", "revision", "link", "start_ms", "end_ms", "recorded_at_ms")
        rows = []
        for row, exclusion in self._new(self._exclusions, known, columns):
            rows.append(row)
            dirty.add_exclusion(exclusion.link, exclusion.start_ms, exclusion.end_ms)
        self._append(exclusion_revisions, rows)

    def _write_retirements(self, dirty: DirtyDays) -> None:
        known = {
            (row.link, row.revision): bytes(row.body)
            for row in self._connection.execute(sa.select(retirement_revisions))
        }
        columns = ("link", "revision", "from_ms", "recorded_at_ms")
        rows = []
        for row, retirement in self._new(self._retirements, known, columns):
            rows.append(row)
            dirty.add_retirement(retirement.link, retirement.from_ms)
        self._append(retirement_revisions, rows)

    def _new(
        self,
        taken: Iterable[tuple[Record, Revision]],
        known: dict[tuple[str, int], bytes],
        columns: tuple[str, ...],
    ) -> Iterator[tuple[dict[str, object], Revision]]:
        """Yield the revisions that are new, each with its row; the first column is the key."""
        for record, revision in taken:
            row: dict[str, object] = {name: getattr(revision, name) for name in columns}
            if self._is_new(record, known, (str(row[columns[0]]), revision.revision)):
                log = log_name(record.topic, record.partition)
                yield row | {"log": log, "body": record.value}, revision

    def _is_new(self, record: Record, known: dict[tuple[str, int], bytes], key: tuple[str, int]) -> bool:
        """Return whether a revision is new; one that contradicts an earlier copy is refused."""
        earlier = known.get(key)
        if earlier is None:
            known[key] = record.value
            return True
        if earlier == record.value:
            self.result.duplicate += 1
        else:
            self._refuse(record, f"revision {key[1]} of {key[0]} was published before with different content")
        return False

    def _append(self, table: sa.Table, rows: list[dict[str, object]]) -> None:
        """Insert revisions with their leaves; a log has the order of its partition."""
        of_log: dict[str, list[dict[str, object]]] = defaultdict(list)
        for row in rows:
            of_log[str(row["log"])].append(row)
        for name, members in of_log.items():
            log = StoredLog(self._connection, name)
            size = log.size()
            for leaf, row in enumerate(members, start=size):
                row["leaf"] = leaf
            bodies = [row["body"] for row in members]
            log.append(size, [merkle.leaf_hash(body) for body in bodies if isinstance(body, bytes)])
        if rows:
            self._connection.execute(table.insert(), rows)
            self._count(table.name, len(rows))
