"""Recording rules: what alerts and dashboards share, as ratios of sums.

A ratio is always a sum of failures over a sum of attempts, never a mean of ratios: a quiet night must not
weigh as much as a morning. Rates over five minutes are taken from the counters; every longer window is the
mean of shorter rates at a fixed step (a subquery), so that at 1,000 links no evaluation reads days of raw
samples. The mean of rates over equal steps is the rate of the sum; numerator and denominator are averaged
apart and divided last. Steps without a rate count as zero in both, so that a link that is an hour old is not
taken to have failed all day.
"""

from typing import Any

from streams.watch.promql import ATTEMPT_MATCH, FAILURE_MATCH, WINDOWS, Span, any_of, quoted
from streams.watch.settings import OfficeHours, WatchSettings

Rule = dict[str, Any]

OFFICE_HOURS = "portallink:office_hours:bool"
BUDGET = "portallink:link_error_budget:ratio"
SUMS = {"lookup_failures": FAILURE_MATCH, "lookup_attempts": ATTEMPT_MATCH}

# Each longer window: the recorded window it is made of, and the step in seconds at which that is read.
MADE_OF = {
    "30m": ("5m", 60),
    "1h": ("5m", 300),
    "2h": ("5m", 300),
    "6h": ("5m", 300),
    "1d": ("1h", 3_600),
    "3d": ("1h", 3_600),
    "30d": ("1h", 3_600),
}


def record(name: str, expr: str) -> Rule:
    """Return one recording rule."""
    return {"record": name, "expr": expr}


def rate_name(what: str, window: str) -> str:
    """Return the name of a recorded rate, by level, metric and operation.

    >>> rate_name("lookup_failures", "1h")
    'portallink:lookup_failures:rate1h'
    """
    return f"portallink:{what}:rate{window}"


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
    """Return the longer windows, shortest first, as each is made of one before it."""
    rules: list[Rule] = []
    for window, (source, step_seconds) in MADE_OF.items():
        subquery = f"[{span(WINDOWS[window])}:{span(step_seconds)}]"
        steps = WINDOWS[window] // step_seconds
        rules += [
            record(rate_name(what, window), f"sum_over_time({rate_name(what, source)}{subquery}) / {steps}")
            for what in SUMS
        ]
        rules.append(_ratio(window))
    hour = span(WINDOWS["1h"])
    rules += [
        record(
            "portallink:link_downtime_seconds:increase1h",
            f"sum by (link) (increase(portallink_link_downtime_seconds_total[{hour}]))",
        ),
        record(
            "portallink:link_judged_seconds:increase1h",
            f'sum by (link) (increase(portallink_link_state_seconds_total{{state!="UNKNOWN"}}[{hour}]))',
        ),
        record(
            "portallink:link_seconds:increase1h",
            f"sum by (link) (increase(portallink_link_state_seconds_total[{hour}]))",
        ),
    ]
    return rules


def office_hours(hours: OfficeHours) -> str:
    """Return an expression that is 1 during office hours and 0 outside, local time by a fixed offset."""
    local = f"vector(time() + {hours.utc_offset_seconds})"
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
