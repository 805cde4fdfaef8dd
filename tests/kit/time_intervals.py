"""Alertmanager's time intervals, evaluated by their documented meaning, for comparison with a calendar."""

from datetime import datetime
from typing import Any


def matches(intervals: list[dict[str, Any]], moment: datetime) -> bool:
    """Say whether any interval holds a moment; ``moment`` is in the intervals' own zone."""
    return any(_matches(one, moment) for one in intervals)


def _matches(interval: dict[str, Any], moment: datetime) -> bool:
    clock = f"{moment:%H:%M}"
    times = interval.get("times")
    if times and not any(one["start_time"] <= clock < one["end_time"] for one in times):
        return False
    if "weekdays" in interval and f"{moment:%A}".lower() not in interval["weekdays"]:
        return False
    fields = (("days_of_month", moment.day), ("months", moment.month), ("years", moment.year))
    return all(
        any(_within(text, value) for text in interval[name]) for name, value in fields if name in interval
    )


def _within(text: str, value: int) -> bool:
    first, _, last = text.partition(":")
    return int(first) <= value <= int(last or first)
