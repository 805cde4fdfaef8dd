"""The settings that shape results: one file for all stages. Equal settings give equal bytes.

A stage reads the part it needs (`Settings.measure`, `Settings.detect`). Some values may change at an event
time (`Change`): earlier events keep the values in force at their time, so replaying a log with the file gives
the same results as the stages that ran while the file was edited. Measurements carry the digest of the values
in force, so that a stage notices when another one runs with different settings.
"""

from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Final, Self

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType, field, structs

from streams.model.hours.calendar_file import CalendarSaid, calendars_from

SLOT_MS = 5_000
MINUTE_MS: Final = 60_000
CHANGE_GRID_MS: Final = 600_000
LONGEST_TIMEOUT_MS: Final = 600_000

EVIDENCE_KEPT_MS = 90 * 86_400_000
"""The broker keeps a lookup at least this long, as `schemas/npd.lookups/topic.yaml` declares it."""


class MeasureSettings(Struct, frozen=True):
    """How `measure` reads a log; all in milliseconds of event time.

    ``generation_ms`` bounds memory: event ids, open and expired requests are remembered for between one
    and two generations of watermark progress, and a restart re-reads at most three. ``changes`` are later
    values with the event time from which each applies, ascending; ``digest`` identifies the settings of all
    stages.
    """

    slot_ms: int = SLOT_MS
    out_of_orderness_ms: int = 5_000
    lookup_timeout_ms: int = 30_000
    max_clock_skew_ms: int = 60_000
    generation_ms: int = 1_200_000
    earliest_event_ms: int = 946_684_800_000
    max_links: int = 1_000
    max_value_bytes: int = 262_144
    digest: str = ""
    changes: tuple[tuple[int, "MeasureSettings"], ...] = ()

    def at(self, at_ms: int) -> "MeasureSettings":
        """Return the values in force at a time."""
        if not self.changes:
            return self
        return next((later for from_ms, later in reversed(self.changes) if from_ms <= at_ms), self)


class DetectSettings(Struct, frozen=True):
    """How `detect` keeps history: a record later than ``allowed_lateness_ms`` no longer corrects.

    A rule takes effect no earlier than ``rule_lead_ms`` after the broker received it, so that every worker
    knows it by then. The lead is greater than ``max_clock_skew_ms``, by which events may be ahead of the
    broker's clock. ``changes`` and ``digest`` are as in `MeasureSettings`.
    """

    slot_ms: int = SLOT_MS
    window_ms: int = 60_000
    allowed_lateness_ms: int = 6 * 3_600_000
    lookup_timeout_ms: int = 30_000
    out_of_orderness_ms: int = 5_000
    rule_lead_ms: int = 120_000
    max_clock_skew_ms: int = 60_000
    digest: str = ""
    changes: tuple[tuple[int, "DetectSettings"], ...] = ()

    def at(self, at_ms: int) -> "DetectSettings":
        """Return the values in force at a time."""
        if not self.changes:
            return self
        return next((later for from_ms, later in reversed(self.changes) if from_ms <= at_ms), self)

    @property
    def greatest_skew_ms(self) -> int:
        """How far an event may be ahead of the broker's clock at any time."""
        return max(self.max_clock_skew_ms, *(later.max_clock_skew_ms for _, later in self.changes), 0)

    @property
    def longest_timeout_ms(self) -> int:
        """The longest time-out that was ever in force."""
        return max(self.lookup_timeout_ms, *(later.lookup_timeout_ms for _, later in self.changes), 0)

    @property
    def longest_lookback_ms(self) -> int:
        """The longest look-back that was ever in force."""
        return self.longest_timeout_ms + 2 * self.slot_ms

    def lookback_ms(self, at_ms: int) -> int:
        """Return how long before ``at_ms`` a request may have been sent whose outcome becomes known then."""
        return self.timeout_at_ms(at_ms) + 2 * self.slot_ms

    def timeout_at_ms(self, at_ms: int) -> int:
        """Return the longest time-out of any request that may time out at ``at_ms``.

        A request keeps the time-out in force when it was sent, so a longer one outlives a change to a
        shorter.

        >>> shorter = DetectSettings(lookup_timeout_ms=10_000)
        >>> DetectSettings(changes=((60_000, shorter),)).timeout_at_ms(95_000)
        30000
        """
        longest_ms, values = self.lookup_timeout_ms, self
        if not self.changes:
            return longest_ms
        longest_ms = 0
        for from_ms, later in (*self.changes, (1 << 62, self)):
            if at_ms < from_ms + values.lookup_timeout_ms + 2 * self.slot_ms:
                longest_ms = max(longest_ms, values.lookup_timeout_ms)
            if at_ms < from_ms:
                break
            values = later
        return longest_ms


Timeout = Annotated[int, Meta(ge=1_000, le=LONGEST_TIMEOUT_MS)]
Skew = Annotated[int, Meta(ge=0, le=3_600_000)]
Links = Annotated[int, Meta(ge=1, le=100_000)]


class Change(Struct, frozen=True, forbid_unknown_fields=True, rename={"from_time": "from"}):
    """Values that apply from an event time on, a multiple of ten minutes written with its UTC offset."""

    from_time: Annotated[datetime, Meta(tz=True)]
    lookup_timeout_ms: Timeout | UnsetType = UNSET
    max_clock_skew_ms: Skew | UnsetType = UNSET
    max_links: Links | UnsetType = UNSET

    @property
    def from_ms(self) -> int:
        """The time in epoch milliseconds."""
        return round(self.from_time.timestamp() * 1000)

    def values(self) -> dict[str, int]:
        """Return what changes, by name."""
        named = {name: getattr(self, name) for name in CHANGEABLE}
        return {name: value for name, value in named.items() if value is not UNSET}


CHANGEABLE: Final = ("lookup_timeout_ms", "max_clock_skew_ms", "max_links")
"""What may change at an event time; everything else is fixed for the whole of a log."""


class Settings(Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of all stages, as in the file; ``docs/configure.md`` explains each."""

    slot_ms: Annotated[int, Meta(ge=1_000, le=MINUTE_MS)] = SLOT_MS
    out_of_orderness_ms: Annotated[int, Meta(ge=0, le=600_000)] = 5_000
    lookup_timeout_ms: Timeout = 30_000
    allowed_lateness_ms: Annotated[int, Meta(ge=CHANGE_GRID_MS, le=7 * 86_400_000)] = 6 * 3_600_000
    max_clock_skew_ms: Skew = 60_000
    rule_lead_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 120_000
    max_links: Links = 1_000
    dead_letter_share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    changes: list[Change] = field(default_factory=list)
    calendars: list[CalendarSaid] | None = None
    """The ledger's own calendars; None keeps those that it has."""

    def __post_init__(self) -> None:
        calendars_from(self.calendars or ())
        if MINUTE_MS % self.slot_ms:
            raise ValueError(f"`slot_ms` {self.slot_ms} does not divide a minute")
        if self.allowed_lateness_ms % MINUTE_MS:
            raise ValueError(
                f"`allowed_lateness_ms` {self.allowed_lateness_ms} is not a whole number of minutes"
            )
        before_ms = -1
        for number, change in enumerate(self.changes):
            where = f"changes[{number}]"
            if not change.values():
                raise ValueError(f"`{where}` changes nothing; it may set {', '.join(CHANGEABLE)}")
            if change.from_ms % CHANGE_GRID_MS:
                raise ValueError(f"`{where}.from` {change.from_time.isoformat()} is not a full ten minutes")
            if change.from_ms <= before_ms:
                raise ValueError(f"`{where}.from` {change.from_time.isoformat()} is not after the one before")
            before_ms = change.from_ms
        if self.lookup_timeout_ms % self.slot_ms:
            raise ValueError(
                f"`lookup_timeout_ms` {self.lookup_timeout_ms} is not a multiple of `slot_ms` {self.slot_ms}"
            )
        if self.max_clock_skew_ms >= self.rule_lead_ms:
            raise ValueError(
                f"`rule_lead_ms` {self.rule_lead_ms} must be greater than `max_clock_skew_ms` "
                f"{self.max_clock_skew_ms}, or a rule could come after its time"
            )
        self._later()  # the settings after each change are checked in the same way

    def _later(self) -> list[tuple[int, Self]]:
        """Return the settings from each change on."""
        later, values = [], structs.replace(self, changes=[]) if self.changes else self
        for change in self.changes:
            values = structs.replace(values, **change.values())
            later.append((change.from_ms, values))
        return later

    @property
    def digest(self) -> str:
        """A short digest of these values, without ``changes``: equal values give an equal digest."""
        values = {name: value for name, value in structs.asdict(self).items() if name in SHAPING}
        return blake2b(msgspec.json.encode(values, order="sorted"), digest_size=6).hexdigest()

    def measure(self) -> MeasureSettings:
        """Return the settings of `measure`."""
        first, *later = (
            MeasureSettings(
                slot_ms=one.slot_ms,
                out_of_orderness_ms=one.out_of_orderness_ms,
                lookup_timeout_ms=one.lookup_timeout_ms,
                max_clock_skew_ms=one.max_clock_skew_ms,
                max_links=one.max_links,
                digest=one.digest,
            )
            for one in (self, *(values for _, values in self._later()))
        )
        times = [change.from_ms for change in self.changes]
        return structs.replace(first, changes=tuple(zip(times, later, strict=True)))

    def detect(self) -> DetectSettings:
        """Return the settings of `detect`."""
        first, *later = (
            DetectSettings(
                slot_ms=one.slot_ms,
                allowed_lateness_ms=one.allowed_lateness_ms,
                lookup_timeout_ms=one.lookup_timeout_ms,
                out_of_orderness_ms=one.out_of_orderness_ms,
                rule_lead_ms=one.rule_lead_ms,
                max_clock_skew_ms=one.max_clock_skew_ms,
                digest=one.digest,
            )
            for one in (self, *(values for _, values in self._later()))
        )
        times = [change.from_ms for change in self.changes]
        return structs.replace(first, changes=tuple(zip(times, later, strict=True)))


APART: Final = frozenset({"changes", "dead_letter_share", "calendars"})
SHAPING: Final = frozenset(Settings.__struct_fields__) - APART
"""The settings that measurements, windows and outages depend on; calendars shape figures alone."""
