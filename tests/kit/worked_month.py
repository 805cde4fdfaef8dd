"""The month of docs/availability.md as the records of the three topics, and the figures worked by hand."""

from collections.abc import Iterator
from datetime import datetime

import msgspec

from streams.model.exclusion import approve, new_exclusion, rulings, withdraw
from streams.model.hours.calendar import MINUTE_MS, from_local
from streams.model.measurement import Source
from streams.model.outage import Outage, Window
from streams.model.record import Record

LINK = "hcmc-npd"
OTHER_LINK = "hanoi-npd"
MONTH = "2025-04"


def at(day: int, hour: int, minute: int = 0, second: int = 0, month: int = 4) -> int:
    """Return a moment of 2025 in Asia/Ho_Chi_Minh."""
    return from_local(datetime(2025, month, day, hour, minute, second))  # noqa: DTZ001 - local by definition


START, END = at(1, 0), at(1, 0, month=5)

UNKNOWN = [
    (at(9, 9, 30), at(9, 10, 30)),
    (at(12, 0), at(14, 0)),
    (at(17, 10), at(17, 11)),
    (at(29, 3), at(29, 3, 3)),
    (at(29, 3, 3, 24), at(29, 3, 4)),
]

# Name, kind, fault domain, start, end, dossiers.
OUTAGES = [
    ("o1", "down", "link", at(3, 8, 58, 30), at(3, 9, 30), 126),
    ("o3", "down", "provider", at(6, 23, 40), at(7, 8, 10), 15),
    ("o6", "down", "link", at(9, 7, 50), at(9, 10, 40), 12),
    ("o8", "down", "link", at(14, 9, 30), at(14, 9, 45), 33),
    ("o2", "down", "link", at(17, 9, 50), at(17, 11, 20), 80),
    ("o5", "degraded", "provider", at(22, 11), at(22, 13, 30), 40),
    ("o4", "down", "link", at(30, 22), at(1, 1, month=5), 9),
]

HAND_WORKED = {
    "24x7": {
        "service_ms": 43_200 * MINUTE_MS,
        "excluded_ms": 720 * MINUTE_MS,
        "unknown_ms": 178_416_000,
        "observed_ms": 2_370_384_000,
        "down_ms": 42_990_000,
        "degraded_ms": 150 * MINUTE_MS,
        "availability_pct": 98.1863,
        "coverage_pct": 93.0,
        "worst_case_pct": 91.3133,
        "best_case_pct": 98.3133,
        "down_outages": 6,
        "degraded_outages": 1,
        "longest_down_ms": 510 * MINUTE_MS,
        "mean_time_to_restore_ms": 7_165_000,
        "mean_time_between_failures_ms": 387_899_000,
        "dossiers_affected": 315,
        "attempts": 395_070,
        "failures": 6_028,
        "request_success_pct": 98.4741,
        "short_failures": 0,
        "short_failure_ms": 0,
        "short_failure_lookups": 0,
    },
    "office-hours": {
        "service_ms": 10_080 * MINUTE_MS,
        "excluded_ms": 150 * MINUTE_MS,
        "unknown_ms": 90 * MINUTE_MS,
        "observed_ms": 9_840 * MINUTE_MS,
        "down_ms": 5_190_000,
        "degraded_ms": 60 * MINUTE_MS,
        "availability_pct": 99.1209,
        "coverage_pct": 99.0936,
        "worst_case_pct": 98.2225,
        "best_case_pct": 99.1289,
        "down_outages": 4,
        "degraded_outages": 1,
        "longest_down_ms": 1_890_000,
        "mean_time_to_restore_ms": 1_297_500,
        "mean_time_between_failures_ms": 146_302_500,
        "dossiers_affected": 291,
        "attempts": 98_400,
        "failures": 808,
        "request_success_pct": 99.1788,
        "short_failures": 0,
        "short_failure_ms": 0,
        "short_failure_lookups": 0,
    },
}
"""What docs/availability.md works out by hand for `LINK`."""


WITHOUT_EXCLUSIONS = {
    "24x7": {
        "availability_without_exclusions_pct": 97.9687,
        "down_without_exclusions_ms": 48_990_000,
        "down_outages_without_exclusions": 6,
        "dossiers_without_exclusions": 315,
    },
    "office-hours": {
        "availability_without_exclusions_pct": 98.1275,
        "down_without_exclusions_ms": 11_190_000,
        "down_outages_without_exclusions": 4,
        "dossiers_without_exclusions": 291,
    },
}
"""O6 is down for 100 minutes more, 30 more are unknown: 816.5 of 40,196.4, 186.5 of 9,960 minutes."""


def outage(
    name: str, kind: str, domain: str, start_ms: int, end_ms: int | None, dossiers: int, **other
) -> Outage:
    """Return a revision of an outage of `LINK`, closed when it was found unless said otherwise."""
    stated = {
        "revision": 1,
        "supersedes": None,
        "status": "open" if end_ms is None else "closed",
        "reason": "opened" if end_ms is None else "closed",
        "link": LINK,
        "detected_at_ms": (start_ms if end_ms is None else end_ms) + 15_000,
        "rule_version": "1",
        "attempts": 100,
        "failures": 80,
        "services": ["dang-ky-khai-sinh", "cu-tru"],
        "agencies": ["quan-1"] if dossiers < 100 else ["quan-1", "thu-duc"],
        "evidence": [Source("npd.lookups", 0, start_ms // 1000, start_ms // 1000 + 500, "ab" * 32)],
    }
    return Outage(
        outage_id=f"{LINK}-{name}",
        kind=kind,
        fault_domain=domain,
        start_ms=start_ms,
        end_ms=end_ms,
        dossiers_affected=dossiers,
        **(stated | other),
    )


def revisions() -> list[Outage]:
    """Return every revision of the month's outages in the order in which they were published."""
    published = []
    for name, kind, domain, start_ms, end_ms, dossiers in OUTAGES:
        first_start = at(3, 9) if name == "o1" else start_ms
        published.append(outage(name, kind, domain, first_start, None, dossiers // 2))
        closed = outage(
            name,
            kind,
            domain,
            first_start,
            end_ms,
            120 if name == "o1" else dossiers,
            revision=2,
            supersedes=1,
        )
        published.append(closed)
        if name == "o1":
            published.append(
                outage(
                    name,
                    kind,
                    domain,
                    start_ms,
                    end_ms,
                    dossiers,
                    revision=3,
                    supersedes=2,
                    reason="late",
                    detected_at_ms=end_ms + 600_000,
                )
            )
    published.append(outage("o7", "down", "link", at(11, 10), at(11, 10, 5), 3))
    published.append(
        outage(
            "o7",
            "down",
            "link",
            at(11, 10),
            at(11, 10, 5),
            0,
            revision=2,
            supersedes=1,
            status="retracted",
            reason="late",
            detected_at_ms=at(11, 10, 20),
        )
    )
    return sorted(published, key=lambda one: (one.detected_at_ms, one.outage_id))


def exclusions():
    """Return every revision of the month's exclusions."""

    def exclude(link, start, end, kind, author, reason, recorded_at_ms):
        return new_exclusion(
            link, start, end, kind=kind, author=author, reason=reason, recorded_at_ms=recorded_at_ms
        )

    maintenance = exclude(LINK, at(8, 22), at(9, 8, 30), "maintenance", "ops", "Thay bộ định tuyến", at(7, 9))
    agreed = exclude("*", at(9, 8), at(9, 10), "exclusion", "audit", "Thống nhất với Bộ Công an", at(10, 9))
    mistaken = exclude(LINK, at(14, 9), at(14, 12), "maintenance", "ops", "announced", at(13, 9))
    [asked] = rulings([agreed])
    [announced] = rulings([mistaken])
    return [
        maintenance,
        agreed,
        approve(asked, "inspectorate", "Biên bản số 12", at(10, 14)),
        mistaken,
        withdraw(announced, "ops", "did not happen", at(15, 9)),
    ]


def windows() -> Iterator[Window]:
    """Yield the month's windows: ten attempts a minute, eight fail when down, two when degraded."""
    for start_ms in range(START, END, MINUTE_MS):
        end_ms = start_ms + MINUTE_MS
        if any(a <= start_ms and end_ms <= b for a, b in UNKNOWN):
            continue
        unknown = sum(max(0, min(end_ms, b) - max(start_ms, a)) for a, b in UNKNOWN)
        inside = [o for o in OUTAGES if o[3] <= start_ms and end_ms <= o[4]]
        kind = inside[0][1] if inside else None
        failures = {"down": 8, "degraded": 2, None: 0}[kind]
        state = {"down": "DOWN", "degraded": "DEGRADED", None: "UP"}[kind]
        yield Window(
            link=LINK,
            start_ms=start_ms,
            end_ms=end_ms,
            revision=1,
            state=state,
            state_ms={"UNKNOWN": unknown, state: MINUTE_MS - unknown},
            requested=10,
            attempts=10,
            failures=failures,
            outcomes={"ok": 10 - failures} | ({"timeout": failures} if failures else {}),
            latency_ms={"p50": 180.0, "p95": 420.0, "p99": 900.0},
            provider_latency_ms=None,
        )


def records(partition: int = 0) -> list[Record]:
    """Return the month as records of the three topics, in the order of their times."""
    timed = [(one.detected_at_ms, "link.outages", one) for one in revisions()]
    timed += [(one.recorded_at_ms, "link.exclusions", one) for one in exclusions()]
    timed += [(one.end_ms + 5_000, "link.windows", one) for one in windows()]
    timed.sort(key=lambda entry: entry[:2])
    offsets: dict[str, int] = {}
    made = []
    for time_ms, topic, value in timed:
        offset = offsets.get(topic, 0)
        offsets[topic] = offset + 1
        where = 0 if topic == "link.exclusions" else partition
        made.append(
            Record(
                topic,
                where,
                offset,
                time_ms,
                value.link.encode(),
                msgspec.json.encode(value, order="deterministic"),
            )
        )
    return made
