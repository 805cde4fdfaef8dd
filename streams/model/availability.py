"""Availability: the one function behind the command line, the interface, the page and the report.

For one link, a period ``[start, end)`` and a calendar, with every symbol a length of time:

    service   the part of the period that the calendar counts
    excluded  service time under an active exclusion, overlapping ones counted once
    agreed    service - excluded
    unknown   agreed time during which nobody could tell (blind, or too little traffic)
    observed  agreed - unknown
    down      observed time inside a down outage
    degraded  observed time inside a degraded outage and not down

    availability = (observed - down) / observed
    coverage     = observed / agreed

UNKNOWN time is neither up nor down, even inside an outage. Degraded time counts as available and is reported
separately, as are full failures too short to be an outage. All lengths are whole milliseconds and add up over
any division of the period, so rollups by day and month lose nothing. Percentages are rounded down to four
decimals: a figure never looks better than it is, and 100 means no downtime at all.

An outage counts in a period if some of its time is counted there. With n such down outages

    mean time to restore          = down / n
    mean time between failures    = (observed - down) / n

so that availability = MTBF / (MTBF + MTTR), which ties the three together (ITU-T E.800 terms).
"""

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from msgspec import Struct, structs

from streams.model.hours.calendar import MINUTE_MS, Calendar, service_time
from streams.model.intervals import Interval, Intervals, difference, intersection, length_ms, union
from streams.model.outage import Kind

PERCENT_UNITS: Final = 1_000_000
"""Percentages are whole ten-thousandths of a percent, rounded down, until they are shown."""


class OutageSpan(Struct, frozen=True, gc=False):
    """What availability needs to know of one outage; ``end_ms`` is None while it is open."""

    outage_id: str
    kind: Kind
    start_ms: int
    end_ms: int | None
    dossiers_affected: int = 0


class RequestCounts(NamedTuple):
    """Counts over a set of minutes: attempts, failures, and full failures too short to be an outage."""

    attempts: int = 0
    failures: int = 0
    short_failures: int = 0
    short_failure_ms: int = 0
    short_failure_lookups: int = 0


class Requests(Protocol):
    """A link's attempts and failures, for the request-weighted figure, and its short failures."""

    def within(self, counted: Intervals) -> RequestCounts:
        """Return the counts of the minutes that begin in counted time."""


class Minutes(Struct, frozen=True):
    """Requests by minute: rows of start in ms, attempts and failures, by start."""

    rows: list[tuple[int, int, int]]

    def within(self, counted: Intervals) -> RequestCounts:
        """Return attempts and failures of the minutes that begin in counted time."""
        attempts = failures = i = 0
        for start_ms, attempted, failed in self.rows:
            while i < len(counted) and counted[i][1] <= start_ms:
                i += 1
            if i < len(counted) and counted[i][0] <= start_ms:
                attempts += attempted
                failures += failed
        return RequestCounts(attempts, failures)


class LinkHistory(Struct, frozen=True):
    """Everything availability is computed from, for one link; each field covers the period asked for.

    ``unknown`` includes time for which no window was ever written.
    """

    outages: list[OutageSpan]
    unknown: Intervals
    excluded: Intervals
    requests: Requests


class Figures(Struct, frozen=True, gc=False):
    """The lengths and counts that add up, over links or over pieces of a period; lengths in ms."""

    service_ms: int = 0
    excluded_ms: int = 0
    unknown_ms: int = 0
    down_ms: int = 0
    degraded_ms: int = 0
    attempts: int = 0
    failures: int = 0
    short_failures: int = 0
    short_failure_ms: int = 0
    short_failure_lookups: int = 0

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.service_ms + other.service_ms,
            self.excluded_ms + other.excluded_ms,
            self.unknown_ms + other.unknown_ms,
            self.down_ms + other.down_ms,
            self.degraded_ms + other.degraded_ms,
            self.attempts + other.attempts,
            self.failures + other.failures,
            self.short_failures + other.short_failures,
            self.short_failure_ms + other.short_failure_ms,
            self.short_failure_lookups + other.short_failure_lookups,
        )

    def __sub__(self, other: "Figures") -> "Figures":
        return Figures(
            self.service_ms - other.service_ms,
            self.excluded_ms - other.excluded_ms,
            self.unknown_ms - other.unknown_ms,
            self.down_ms - other.down_ms,
            self.degraded_ms - other.degraded_ms,
            self.attempts - other.attempts,
            self.failures - other.failures,
            self.short_failures - other.short_failures,
            self.short_failure_ms - other.short_failure_ms,
            self.short_failure_lookups - other.short_failure_lookups,
        )

    @classmethod
    def of_facts(
        cls, service_ms: int, unknown_ms: int, down_ms: int, degraded_ms: int, *requests: int
    ) -> "Figures":
        """Return figures counted without any exclusion; ``requests`` are those of `RequestCounts`."""
        return cls(service_ms, 0, unknown_ms, down_ms, degraded_ms, *requests)

    def outside(self, excluded: "Figures") -> "Figures":
        """Return the figures of a period less those of its excluded time.

        The result equals `account` with that time excluded, because excluded time is part of the period and
        every figure except service and excluded time is a length or a count of what lies outside it.
        """
        return structs.replace(self - excluded, service_ms=self.service_ms, excluded_ms=excluded.service_ms)

    @property
    def agreed_ms(self) -> int:
        """Service time less exclusions."""
        return self.service_ms - self.excluded_ms

    @property
    def observed_ms(self) -> int:
        """Agreed time during which the state was known: the denominator of availability."""
        return self.agreed_ms - self.unknown_ms

    @property
    def available_ms(self) -> int:
        """Observed time outside down outages: the numerator of availability."""
        return self.observed_ms - self.down_ms

    @property
    def availability_pct(self) -> float | None:
        """Availability in percent, rounded down to four decimals; None where nothing was observed."""
        return percent(self.available_ms, self.observed_ms)

    @property
    def coverage_pct(self) -> float | None:
        """Share of agreed time that was observed, in percent; None where no time was agreed."""
        return percent(self.observed_ms, self.agreed_ms)

    @property
    def worst_case_pct(self) -> float | None:
        """Availability had all unknown time been down."""
        return percent(self.available_ms, self.agreed_ms)

    @property
    def best_case_pct(self) -> float | None:
        """Availability had all unknown time been up."""
        return percent(self.agreed_ms - self.down_ms, self.agreed_ms)

    @property
    def request_success_pct(self) -> float | None:
        """Share of attempts that met no link or provider fault, in percent; None without attempts."""
        return percent(self.attempts - self.failures, self.attempts)


class OutageTime(Struct, frozen=True, gc=False):
    """How much of one outage counts in a period."""

    outage_id: str
    kind: Kind
    counted_ms: int
    dossiers_affected: int


class OutageFigures(Struct, frozen=True, gc=False):
    """Figures of the outages of a period; they do not add up over pieces of it."""

    down_outages: int = 0
    degraded_outages: int = 0
    longest_down_ms: int = 0
    dossiers_affected: int = 0

    def __add__(self, other: "OutageFigures") -> "OutageFigures":
        """Join the figures of disjoint sets of outages; dossiers met by both are counted in both."""
        return OutageFigures(
            self.down_outages + other.down_outages,
            self.degraded_outages + other.degraded_outages,
            max(self.longest_down_ms, other.longest_down_ms),
            self.dossiers_affected + other.dossiers_affected,
        )


class Availability(Struct, frozen=True):
    """One link, or several, over one period under one calendar."""

    figures: Figures
    outages: OutageFigures

    @property
    def mean_time_to_restore_ms(self) -> int | None:
        """Mean counted length of a down outage, rounded down; None without one."""
        return self.figures.down_ms // self.outages.down_outages if self.outages.down_outages else None

    @property
    def mean_time_between_failures_ms(self) -> int | None:
        """Mean observed time in service for each down outage, rounded down; None without one."""
        return self.figures.available_ms // self.outages.down_outages if self.outages.down_outages else None


def percent(part: int, whole: int) -> float | None:
    """Return a share in percent, rounded down to four decimals; None if ``whole`` is zero.

    >>> percent(2, 3), percent(99_999_999, 100_000_000), percent(0, 0)
    (66.6666, 99.9999, None)
    """
    return part * PERCENT_UNITS // whole / (PERCENT_UNITS // 100) if whole else None


def account(
    history: LinkHistory, calendar: Calendar, start_ms: int, end_ms: int
) -> tuple[Figures, list[OutageTime]]:
    """Return the figures of one link over ``[start_ms, end_ms)``, and each outage's share of them.

    An open outage lasts until the end of the period; its unobserved part is unknown.

    Raises:
        ValueError: the period is empty.
    """
    if end_ms <= start_ms:
        raise ValueError(f"the period is empty: it ends at {end_ms}, not after {start_ms}")
    service = service_time(calendar, start_ms, end_ms)
    agreed = difference(service, history.excluded)
    observed = difference(agreed, history.unknown)
    spans = {
        kind: union(_within(span, end_ms) for span in history.outages if span.kind == kind)
        for kind in ("down", "degraded")
    }
    down = intersection(observed, spans["down"])
    degraded = difference(intersection(observed, spans["degraded"]), down)
    requests = history.requests.within(agreed)
    figures = Figures(
        service_ms=length_ms(service),
        excluded_ms=length_ms(service) - length_ms(agreed),
        unknown_ms=length_ms(agreed) - length_ms(observed),
        down_ms=length_ms(down),
        degraded_ms=length_ms(degraded),
        **requests._asdict(),
    )
    counted = {"down": down, "degraded": degraded}
    shares = [
        OutageTime(span.outage_id, span.kind, share, span.dossiers_affected)
        for span in history.outages
        if (share := length_ms(intersection(counted[span.kind], union([_within(span, end_ms)]))))
    ]
    return figures, shares


def summarise(shares: Iterable[OutageTime]) -> OutageFigures:
    """Return the figures of a period's outages."""
    total = OutageFigures()
    for share in shares:
        down = share.kind == "down"
        total += OutageFigures(
            int(down), int(not down), share.counted_ms if down else 0, share.dossiers_affected
        )
    return total


def availability(history: LinkHistory, calendar: Calendar, start_ms: int, end_ms: int) -> Availability:
    """Return the availability of one link over ``[start_ms, end_ms)`` under a calendar."""
    figures, shares = account(history, calendar, start_ms, end_ms)
    return Availability(figures, summarise(shares))


def unknown_time(unknown_ms: dict[int, int], start_ms: int, end_ms: int) -> Intervals:
    """Return the unknown time of ``[start_ms, end_ms)`` from what each minute's window says.

    ``unknown_ms`` maps the start of every minute that has a window to how much of it was UNKNOWN; a
    minute without window is unknown as a whole. A window says how much of its minute is unknown but not which
    part, so the end of the minute is taken: the length is exact, and only the place within the minute is a
    guess.
    """
    known: Intervals = []
    for minute_ms in sorted(unknown_ms):
        if start_ms - MINUTE_MS < minute_ms < end_ms:
            known.append((minute_ms, minute_ms + MINUTE_MS - unknown_ms[minute_ms]))
    return difference([(start_ms, end_ms)], union(known))


def _within(span: OutageSpan, end_ms: int) -> Interval:
    return span.start_ms, end_ms if span.end_ms is None else span.end_ms
