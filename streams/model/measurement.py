"""What `measure` publishes for one range of one partition: sums by link and slot, and their source.

A measurement covers the source offsets ``[first_offset, next_offset)`` and holds everything those
records said. Adding measurements is commutative, so `detect` may receive them in any order; applying
one twice is prevented by its offsets. A correction (a completion that came after its request was
counted as ``no_response``) is a cell with negative counts.
"""

from typing import Annotated

from msgspec import Meta, Struct, field

Counts = dict[str, int]
Histogram = dict[int, int]
"""Latency bucket (``streams.model.sketch``) to count."""


class Source(Struct, frozen=True, order=True, gc=False, omit_defaults=True):
    """Where a measurement came from: records ``[first_offset, next_offset)`` of one partition.

    ``digest`` is the SHA-256 (hex) over offset, key and value of every record in the range. ``incarnation``
    counts how often the partition began again because its topic was recreated or its end was cut off. Compare
    offsets within one incarnation only.
    """

    topic: str
    partition: int
    first_offset: int
    next_offset: int
    digest: str
    incarnation: int = 0


class Asked(Struct, array_like=True, gc=False):
    """Outcomes that became known in a slot, gathered by the second in which they were *asked*.

    ``first_ok`` is the earliest answered request in milliseconds after the second (-1: none).
    ``first_failed`` holds the earliest failed ones, at most ``EDGE_TIMES``, ascending; from these an
    outage's edges are read to the millisecond. ``removed`` are failures that a correction takes back.
    """

    second: int
    ok: int = 0
    failed: int = 0
    first_ok: int = -1
    first_failed: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)


EDGE_TIMES = 4


class Part(Struct, array_like=True, gc=False):
    """What became known in a slot about one service, or one agency, of a link: its failures, and answers.

    Failures are always reported. Answers are reported while they are needed to judge an earlier failure; see
    ``streams/measure/owed.py``. ``first_failed`` holds when the earliest failures were asked, at most
    ``EDGE_TIMES``, ascending, and ``first_ok`` when the earliest answered request was (None: none was), in
    milliseconds after the slot's start: negative if it was asked before that. ``removed`` are failures that a
    correction takes back. Probes are left out.
    """

    failed: int = 0
    ok: int = 0
    first_failed: list[int] = field(default_factory=list)
    first_ok: int | None = None
    removed: list[int] = field(default_factory=list)


class LinkSlot(Struct, omit_defaults=True, gc=False):
    """The facts about one link that became known in one slot ``[start_ms, start_ms + slot_ms)``.

    ``outcomes``, ``asked``, ``latency`` are the portal's view. ``requested`` counts requests by their slot of
    request, not of outcome. ``services`` and ``agencies`` are those that failed, or failed shortly before.
    ``failed_dossiers`` is a distinct-count sketch, see ``sketch.py``.
    """

    start_ms: int
    requested: int = 0
    outcomes: Counts = field(default_factory=dict)
    synthetic: int = 0
    asked: list[Asked] = field(default_factory=list)
    latency: Histogram = field(default_factory=dict)
    provider_outcomes: Counts = field(default_factory=dict)
    provider_latency: Histogram = field(default_factory=dict)
    services: dict[str, Part] = field(default_factory=dict)
    agencies: dict[str, Part] = field(default_factory=dict)
    failed_dossiers: dict[int, int] = field(default_factory=dict)
    late: int = 0


class LinkCells(Struct, omit_defaults=True, gc=False):
    """One link's cells in one measurement.

    ``late_slots`` hold facts about slots that an earlier cut of the same partition had already closed.
    """

    link: str
    slots: list[LinkSlot] = field(default_factory=list)
    late_slots: list[LinkSlot] = field(default_factory=list)


class PortalSlot(Struct, omit_defaults=True, gc=False):
    """The submissions of one portal in one slot; ``acceptance`` is received-to-accepted latency."""

    start_ms: int
    types: Counts = field(default_factory=dict)
    services: Counts = field(default_factory=dict)
    agencies: Counts = field(default_factory=dict)
    blocked_by: Counts = field(default_factory=dict)
    acceptance: Histogram = field(default_factory=dict)


class PortalCells(Struct, omit_defaults=True, gc=False):
    """One portal's cells in one measurement."""

    portal: str
    slots: list[PortalSlot] = field(default_factory=list)


class Alive(Struct, frozen=True, order=True, gc=False):
    """An observer was alive and watching ``links`` throughout ``[start_ms, end_ms)``."""

    observer: str
    start_ms: int
    end_ms: int
    links: tuple[str, ...]


class RecordCounts(Struct, omit_defaults=True, gc=False):
    """How each record of the range ended; the four add up to ``next_offset - first_offset``."""

    applied: int = 0
    duplicate: int = 0
    late: int = 0
    dead_letter: int = 0

    def __add__(self, other: "RecordCounts") -> "RecordCounts":
        """Return the sum of both."""
        return RecordCounts(
            self.applied + other.applied,
            self.duplicate + other.duplicate,
            self.late + other.late,
            self.dead_letter + other.dead_letter,
        )

    def __sub__(self, other: "RecordCounts") -> "RecordCounts":
        """Return what came since ``other``."""
        return RecordCounts(
            self.applied - other.applied,
            self.duplicate - other.duplicate,
            self.late - other.late,
            self.dead_letter - other.dead_letter,
        )


class Measurement(Struct, omit_defaults=True, gc=False):
    """One deterministic cut of one source partition.

    ``incomplete`` is empty, or the reason why the measurement holds nothing but record counts; the time that
    its range covers is then unknown. ``settings`` is the digest of the settings in force at its watermark, so
    that a later stage notices if its own differ. ``gone_from`` is set if the records from that offset up to
    the range's beginning are gone from the source: no measurement will cover them.
    """

    source: Source
    watermark_ms: int
    records: RecordCounts
    links: list[LinkCells] = field(default_factory=list)
    portals: list[PortalCells] = field(default_factory=list)
    alive: list[Alive] = field(default_factory=list)
    incomplete: str = ""
    settings: str = ""
    gone_from: int | None = None
    schema: Annotated[int, Meta(ge=1)] = 1
