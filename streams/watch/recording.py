"""Recording rules: what alerts and dashboards share, as ratios of sums.

A ratio is always a sum of failures over a sum of attempts, never a mean of ratios: a quiet night must not
weigh as much as a morning. Rates over five minutes are taken from the counters; windows of hours are the mean
of those at a fixed step (a subquery), and windows of days the mean of samples taken once an hour, so that at
1,000 links no evaluation reads days of raw samples. The mean of rates over equal steps is the rate of the
sum; numerator and denominator are averaged apart and divided last. Steps without a rate count as zero in
both, so that a link that is an hour old is not taken to have failed all day.
"""

from typing import Any

from streams.model.calendar import UTC_OFFSET_MS
from streams.watch.promql import ATTEMPT_MATCH, FAILURE_MATCH, WINDOWS, Span, any_of, quoted
from streams.watch.settings import OfficeHours, WatchSettings

Rule = dict[str, Any]

OFFICE_HOURS = "portallink:office_hours:bool"
BUDGET = "portallink:link_error_budget:ratio"
SUMS = {"lookup_failures": FAILURE_MATCH, "lookup_attempts": ATTEMPT_MATCH}

# Windows of hours: the step in seconds at which the five-minute rates are read.
STEP_SECONDS = {"30m": 60, "1h": 300, "2h": 300, "6h": 300}
DAYS = ("1d", "3d", "30d")


def record(name: str, expr: str) -> Rule:
    """Return one recording rule."""
    return {"record": name, "expr": expr}


def rate_name(what: str, window: str) -> str:
    """Return the name of a recorded rate, by level, metric and operation.

    >>> rate_name("lookup_failures", "1h")
    'portallink:lookup_failures:rate1h'
    """
    return f"portallink:{what}:rate{window}"


def hourly_name(what: str) -> str:
    """Return the name of what is recorded once an hour, about the hour before.

    >>> hourly_name("link_seconds")
    'portallink:link_seconds:hourly'
    """
    return f"portallink:{what}:hourly"


def ratio_name(window: str) -> str:
    """Return the name of the failure ratio over a window."""
    return f"portallink:lookup_failures:ratio_rate{window}"


def link_rules(settings: WatchSettings, span: Span) -> list[Rule]:
    """Return the rules that the link alerts need at once: five-minute rates, budgets, office hours."""
    five = span(WINDOWS["5m"])
    return [
        record(OFFICE_HOURS, office_hours(settings.office_hours)),
        *(
            record(
                rate_name(what, "5m"), f"sum by (link) (rate(portallink_lookups_total{{{match}}}[{five}]))"
            )
            for what, match in SUMS.items()
        ),
        _ratio("5m"),
        *_budgets(settings),
    ]


def slo_rules(span: Span) -> list[Rule]:
    """Return the windows of hours, from five-minute rates, and those of days, from hourly samples."""
    rules: list[Rule] = []
    for window, step_seconds in STEP_SECONDS.items():
        subquery = f"[{span(WINDOWS[window])}:{span(step_seconds)}]"
        steps = WINDOWS[window] // step_seconds
        rules += [
            record(rate_name(what, window), f"sum_over_time({rate_name(what, '5m')}{subquery}) / {steps}")
            for what in SUMS
        ]
        rules.append(_ratio(window))
    for window in DAYS:
        hours = WINDOWS[window] // WINDOWS["1h"]
        rules += [
            record(
                rate_name(what, window),
                f"sum_over_time({hourly_name(what)}[{span(WINDOWS[window])}]) / {hours}",
            )
            for what in SUMS
        ]
        rules.append(_ratio(window))
    return rules


def hourly_rules(span: Span) -> list[Rule]:
    """Return what is sampled once an hour, so that a month is 720 samples of a series and not 43,200."""
    hour = span(WINDOWS["1h"])
    counters = {
        "link_downtime_seconds": "portallink_link_downtime_seconds_total",
        "link_judged_seconds": 'portallink_link_state_seconds_total{state=~"up|degraded|down"}',
        "link_seconds": 'portallink_link_state_seconds_total{state!="not_in_service"}',
    }
    return [
        *(record(hourly_name(what), rate_name(what, "1h")) for what in SUMS),
        *(
            record(hourly_name(what), f"sum by (link) (increase({counter}[{hour}]))")
            for what, counter in counters.items()
        ),
    ]


def office_hours(hours: OfficeHours) -> str:
    """Return an expression that is 1 during office hours and 0 outside, local time by a fixed offset."""
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
    """Return what each link may fail: the default, and the links that are set apart."""
    attempts, targets = rate_name("lookup_attempts", "5m"), settings.lookups.targets
    rest = f"{{link!~{any_of(sorted(targets))}}}" if targets else ""
    return [
        record(BUDGET, f"group by (link) ({attempts}{rest}) * {_budget(settings.lookups.success_target)}"),
        *(
            record(BUDGET, f"group by (link) ({attempts}{{link={quoted(link)}}}) * {_budget(target)}")
            for link, target in sorted(targets.items())
        ),
    ]


def _budget(target: float) -> float:
    return round(1 - target, 9)
