"""Recording rules: what alerts and dashboards share, in one group and in order of dependency.

Lookups. A ratio is always a sum of failures over a sum of attempts, never a mean of ratios: a quiet night
must not weigh as much as a morning. Rates over five minutes come from the counters. Windows of hours are
their mean at a fixed step (a subquery), and windows of days are the mean of one-hour or six-hour rates, read
at that interval, so that at 1,000 links no evaluation reads days of raw samples. Numerator and denominator
are averaged separately and divided last. Steps without a rate count as zero in both, so that a failing link
that is an hour old does not seem to have failed all day.

Time. Availability and coverage come from the growth of `portallink_link_state_seconds_total` over a window:
down over known time, and known over service time. The totals never restart, so the value at the window's
start is subtracted from that at its end; `increase` would extrapolate each state differently. If a total is
missing at the window's start, or has restarted since, the least value within the window is used. A second
enters a total only once it is settled (`streams.detect.link.elapsed`), so a window ends that long ago.
"""

from collections.abc import Mapping
from typing import Any

from streams.model.hours.calendar import UTC_OFFSET_MS
from streams.watch.promql import ATTEMPT_MATCH, FAILURE_MATCH, WINDOWS, Span, any_of, quoted
from streams.watch.settings import OfficeHours, WatchSettings

Rule = dict[str, Any]

OFFICE_HOURS = "portallink:office_hours:bool"
BUDGET = "portallink:link_error_budget:ratio"
TARGET = "portallink:link_availability_target:ratio"
SUMS = {"lookup_failures": FAILURE_MATCH, "lookup_attempts": ATTEMPT_MATCH}
TIMES = {
    "link_down": 'state="down"',
    "link_known": 'state=~"up|degraded|down"',
    "link_service": 'state!="not_in_service"',
}
"""Sums of time by state: the numerators and denominators of availability and coverage."""

# Windows of lookups: the rate to read, and the step in seconds.
LOOKUP_STEPS = {
    "30m": ("5m", 60),
    "1h": ("5m", 300),
    "2h": ("5m", 300),
    "6h": ("5m", 300),
    "1d": ("1h", 3_600),
    "3d": ("1h", 3_600),
    "30d": ("6h", 21_600),
}
# Windows of time: the step in seconds of the search for the least total, if there is none at the start.
TIME_STEP_SECONDS = {"1h": 60, "2h": 120, "6h": 300, "1d": 900, "3d": 1_800, "30d": 21_600}
COVERED = ("1h", "30d")
"""Windows for which coverage is recorded too."""


def record(name: str, expr: str) -> Rule:
    """Return one recording rule."""
    return {"record": name, "expr": expr}


def rate_name(what: str, window: str) -> str:
    """Return the name of a recorded rate, by level, metric and operation.

    >>> rate_name("lookup_failures", "1h")
    'portallink:lookup_failures:rate1h'
    """
    return f"portallink:{what}:rate{window}"


def total_name(what: str) -> str:
    """Return the name of a link's total time, in seconds.

    >>> total_name("link_down")
    'portallink:link_down_seconds:total'
    """
    return f"portallink:{what}_seconds:total"


def time_name(what: str, window: str) -> str:
    """Return the name of a total's growth over a window, in seconds.

    >>> time_name("link_down", "1d")
    'portallink:link_down_seconds:delta1d'
    """
    return f"portallink:{what}_seconds:delta{window}"


def availability_name(window: str) -> str:
    """Return the name of a link's availability over a window."""
    return f"portallink:link_availability:ratio{window}"


def coverage_name(window: str) -> str:
    """Return the name of a link's coverage over a window."""
    return f"portallink:link_coverage:ratio{window}"


def ratio_name(window: str) -> str:
    """Return the name of the failure ratio over a window."""
    return f"portallink:lookup_failures:ratio_rate{window}"


def recording_rules(settings: WatchSettings, span: Span) -> list[Rule]:
    """Return every recording rule; each reads metrics and the rules before it."""
    return [
        record(OFFICE_HOURS, office_hours(settings.office_hours)),
        *_lookup_rules(settings, span),
        *_time_rules(settings, span),
    ]


def _lookup_rules(settings: WatchSettings, span: Span) -> list[Rule]:
    five = span(WINDOWS["5m"])
    rules = [
        record(rate_name(what, "5m"), f"sum by (link) (rate(portallink_lookups_total{{{match}}}[{five}]))")
        for what, match in SUMS.items()
    ]
    rules += [_ratio("5m"), *_budgets(settings)]
    for window, (source, step_seconds) in LOOKUP_STEPS.items():
        number = WINDOWS[window] // step_seconds
        every = f"[{span(WINDOWS[window])}:{span(step_seconds)}]"
        for what in SUMS:
            mean = f"sum_over_time({rate_name(what, source)}{every}) / {number}"
            if window == "30d":  # until the first six hours have passed
                mean += f" or {rate_name(what, '3d')} / 10"
            rules.append(record(rate_name(what, window), mean))
        rules.append(_ratio(window))
    return rules


def _time_rules(settings: WatchSettings, span: Span) -> list[Rule]:
    """Return rules for the totals of time, their growth over each window, and the resulting ratios.

    Two processes that report one link show the same totals, or one shows older ones; hence the maximum.
    """
    known, totals = total_name("link_known"), "portallink_link_state_seconds_total"
    rules = [
        record(total_name(what), f"sum by (link) (max by (link, state) ({totals}{{{match}}}))")
        for what, match in TIMES.items()
    ]
    rules += _by_link(TARGET, known, settings.links.availability_target, settings.links.availability_targets)
    shorter = ""
    for window, step_seconds in TIME_STEP_SECONDS.items():
        length, step = span(WINDOWS[window]), span(step_seconds)
        for what in TIMES:
            total = total_name(what)
            before = f"({total} offset {length} <= {total} or min_over_time({total}[{length}:{step}]))"
            grown = f"{total} - {before}"
            if shorter:  # for a link younger than the step, the shorter window covers more
                less = f'label_replace({time_name(what, shorter)}, "window", "{shorter}", "", "")'
                grown = f"max by (link) ({less} or {grown})"
            rules.append(record(time_name(what, window), grown))
        shorter = window
        down, seen, served = (time_name(what, window) for what in TIMES)
        # The bound matters if totals restarted within the window, each at a different value.
        rules.append(record(availability_name(window), f"1 - clamp_max({down} / ({seen} > 0), 1)"))
        if window in COVERED:
            rules.append(record(coverage_name(window), f"clamp_max({seen} / ({served} > 0), 1)"))
    return rules


def office_hours(hours: OfficeHours) -> str:
    """Return an expression that is 1 during office hours, else 0; local time has a fixed offset."""
    local = f"vector(time() + {UTC_OFFSET_MS // 1000})"
    minute = f"(hour({local}) * 60 + minute({local}))"
    days = " or ".join(f"(day_of_week({local}) == {day})" for day in sorted(set(hours.weekdays)))
    first, last = (_minute_of_day(text) for text in (hours.first, hours.last))
    return f"count(({minute} >= {first} < {last}) and ({days})) or vector(0)"


def _minute_of_day(text: str) -> int:
    hour, minute = text.split(":")
    return int(hour) * 60 + int(minute)


def _ratio(window: str) -> Rule:
    failures, attempts = (rate_name(what, window) for what in SUMS)
    return record(ratio_name(window), f"{failures} / ({attempts} > 0)")


def _budgets(settings: WatchSettings) -> list[Rule]:
    """Return rules for the share of lookups that each link may fail."""
    targets = {link: _budget(target) for link, target in settings.lookups.targets.items()}
    attempts = rate_name("lookup_attempts", "5m")
    return _by_link(BUDGET, attempts, _budget(settings.lookups.success_target), targets)


def _by_link(name: str, of: str, value: float, apart: Mapping[str, float]) -> list[Rule]:
    """Return rules that give each link of a series a value: its own in ``apart``, or the default."""
    rest = ""
    if len(apart) == 1:
        rest = f"{{link!={quoted(next(iter(apart)))}}}"
    elif apart:
        rest = f"{{link!~{any_of(sorted(apart))}}}"
    return [
        record(name, f"group by (link) ({of}{rest}) * {value}"),
        *(
            record(name, f"group by (link) ({of}{{link={quoted(link)}}}) * {own}")
            for link, own in sorted(apart.items())
        ),
    ]


def _budget(target: float) -> float:
    return round(1 - target, 9)
