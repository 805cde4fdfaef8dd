"""Availability: the documented month, a brute-force oracle, and the laws every figure keeps."""

import doctest
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.model.availability import (
    Figures,
    LinkHistory,
    Minutes,
    OutageSpan,
    account,
    availability,
    percent,
    unknown_time,
)
from streams.model.exclusion import excluded_time, new_exclusion, rulings, withdraw
from streams.model.hours.calendar import (
    AROUND_THE_CLOCK,
    CALENDARS,
    DAY_MS,
    MINUTE_MS,
    OFFICE_HOURS,
    service_time,
)
from streams.model.intervals import clip, difference, intersection, is_canonical, length_ms, union

DOC = Path(__file__).parents[2] / "docs" / "availability.md"
START = 1_743_440_400_000  # 2025-04-01 00:00 in Asia/Ho_Chi_Minh
HOURS = 6 * 24
GRAIN = 1_800_000


def grid(limit: int = 2 * HOURS) -> st.SearchStrategy[tuple[int, int]]:
    """Intervals on a grid of half hours, so that collisions are common."""
    edges = st.tuples(st.integers(0, limit), st.integers(0, limit))
    return edges.map(lambda pair: (START + min(pair) * GRAIN, START + max(pair) * GRAIN))


sets = st.lists(grid(), max_size=6).map(union)


@st.composite
def histories(draw: st.DrawFn) -> LinkHistory:
    """Draw a link's history with outages that do not overlap, the last of them perhaps open."""
    spans = draw(sets)
    outages = [
        OutageSpan(f"o{i}", draw(st.sampled_from(["down", "degraded"])), start, end, draw(st.integers(0, 9)))
        for i, (start, end) in enumerate(spans)
    ]
    if outages and draw(st.booleans()):
        last = outages.pop()
        outages.append(OutageSpan(last.outage_id, last.kind, last.start_ms, None, last.dossiers_affected))
    minutes = [
        (START + offset * MINUTE_MS, attempts, min(attempts, failures))
        for offset, attempts, failures in sorted(
            draw(
                st.lists(
                    st.tuples(st.integers(0, HOURS * 60), st.integers(0, 20), st.integers(0, 20)),
                    max_size=20,
                    unique_by=lambda row: row[0],
                )
            )
        )
    ]
    return LinkHistory(outages, draw(sets), draw(sets), Minutes(minutes))


calendars = st.sampled_from([AROUND_THE_CLOCK, OFFICE_HOURS])


def test_documented_month() -> None:
    """Every example in docs/availability.md is what the code answers."""
    result = doctest.testfile(str(DOC), module_relative=False)
    assert result.attempted > 30
    assert result.failed == 0


@given(histories(), calendars)
def test_against_half_hours_counted_one_by_one(history: LinkHistory, calendar) -> None:
    """The interval arithmetic gives what looking at each half hour in turn gives."""
    end = START + HOURS * 3_600_000
    service = service_time(calendar, START, end)

    def within(intervals, instant):
        return any(a <= instant < b for a, b in intervals)

    expected = Figures()
    for instant in range(START, end, GRAIN):
        if not within(service, instant):
            continue
        kinds = {o.kind for o in history.outages if within([(o.start_ms, o.end_ms or end)], instant)}
        excluded = within(history.excluded, instant)
        unknown = not excluded and within(history.unknown, instant)
        observed = not excluded and not unknown
        expected += Figures(
            GRAIN,
            GRAIN * excluded,
            GRAIN * unknown,
            GRAIN * (observed and "down" in kinds),
            GRAIN * (observed and "degraded" in kinds and "down" not in kinds),
        )
    agreed = difference(service, history.excluded)
    counted = [row for row in history.requests.rows if within(agreed, row[0])]
    expected += Figures(
        attempts=sum(row[1] for row in counted),
        failures=sum(row[2] for row in counted),
    )
    assert account(history, calendar, START, end)[0] == expected


@given(histories(), calendars, st.lists(st.integers(1, HOURS * 3_600_000 - 1), max_size=5))
def test_pieces_add_up(history: LinkHistory, calendar, cuts: list[int]) -> None:
    """Figures of any division of a period add up to the period's."""
    edges = sorted({0, HOURS * 3_600_000, *cuts})
    pieces = [account(history, calendar, START + a, START + b)[0] for a, b in pairwise(edges)]
    assert sum(pieces[1:], pieces[0]) == account(history, calendar, START, START + edges[-1])[0]


@given(histories(), calendars)
def test_shares_add_up(history: LinkHistory, calendar) -> None:
    """As outages of a link never overlap, their shares add up to the link's down and degraded time."""
    figures, shares = account(history, calendar, START, START + HOURS * 3_600_000)
    assert sum(share.counted_ms for share in shares if share.kind == "down") == figures.down_ms
    assert sum(share.counted_ms for share in shares if share.kind == "degraded") == figures.degraded_ms


@given(histories(), calendars)
def test_bounds_enclose(history: LinkHistory, calendar) -> None:
    """Whatever the unknown time was, availability lies between the worst and the best case."""
    figures = availability(history, calendar, START, START + HOURS * 3_600_000).figures
    if figures.availability_pct is not None:
        assert figures.worst_case_pct <= figures.availability_pct <= figures.best_case_pct
        assert (figures.availability_pct == 100) == (figures.down_ms == 0)


@given(histories(), calendars, grid(), st.integers(1, 100))
def test_withdrawn_exclusion_restores_the_figures(history: LinkHistory, calendar, span, after: int) -> None:
    """An exclusion added and withdrawn leaves every figure as it was."""
    if span[0] == span[1]:
        return
    said = {"kind": "exclusion", "author": "audit", "reason": "agreed", "recorded_at_ms": 0}
    other = [new_exclusion("l", a, b, **said) for a, b in history.excluded]
    added = new_exclusion("*", *span, kind="maintenance", author="ops", reason="router", recorded_at_ms=1)
    taken_back = withdraw(rulings([added])[0], "ops", "mistaken", 1 + after)

    def figures(revisions, as_of_ms):
        excluded = excluded_time(rulings(revisions, as_of_ms), "l", second_person=False)
        return account(
            LinkHistory(history.outages, history.unknown, excluded, history.requests),
            calendar,
            START,
            START + HOURS * 3_600_000,
        )

    before = figures(other, None)
    assert figures([*other, added, taken_back], None) == before
    assert figures([*other, added, taken_back], after) == figures([*other, added], None)


@given(histories(), calendars)
def test_excluded_time_takes_its_own_figures_away(history: LinkHistory, calendar) -> None:
    """Counting with exclusions gives the facts of the period less the facts of the excluded time."""
    end = START + HOURS * 3_600_000
    facts = LinkHistory(history.outages, history.unknown, [], history.requests)
    whole = account(facts, calendar, START, end)[0]
    pieces = [account(facts, calendar, a, b)[0] for a, b in clip(history.excluded, START, end)]
    assert whole.outside(sum(pieces, Figures())) == account(history, calendar, START, end)[0]


@given(sets, sets)
def test_set_algebra(first, second) -> None:
    """Difference and intersection divide a set, and every result is in canonical form."""
    common, rest = intersection(first, second), difference(first, second)
    assert union([*common, *rest]) == first
    assert length_ms(common) + length_ms(rest) == length_ms(first)
    assert intersection(rest, second) == []
    assert all(is_canonical(result) for result in (common, rest))


@given(
    st.dictionaries(st.integers(0, 120), st.integers(0, MINUTE_MS), max_size=60), st.integers(0, 7_200_000)
)
def test_unknown_time_is_exact_per_minute(minutes: dict[int, int], cut: int) -> None:
    """Every minute without window is unknown, every other for as long as its window says, cut or not."""
    stated = {START + minute * MINUTE_MS: unknown for minute, unknown in minutes.items()}
    end = START + 121 * MINUTE_MS
    whole = unknown_time(stated, START, end)
    assert length_ms(whole) == sum(stated.get(START + i * MINUTE_MS, MINUTE_MS) for i in range(121))
    pieces = unknown_time(stated, START, START + cut) + unknown_time(stated, START + cut, end)
    assert union(pieces) == whole


def test_empty_period_is_refused() -> None:
    """A period that ends where it begins has no availability."""
    with pytest.raises(ValueError, match="period is empty"):
        account(LinkHistory([], [], [], Minutes([])), AROUND_THE_CLOCK, START, START)


def test_nothing_observed_is_not_a_hundred_percent() -> None:
    """A blind link has no availability, and no coverage."""
    figures = account(
        LinkHistory([], [(START, START + DAY_MS)], [], Minutes([])), AROUND_THE_CLOCK, START, START + DAY_MS
    )[0]
    assert (figures.availability_pct, figures.coverage_pct, figures.request_success_pct) == (None, 0.0, None)


@given(st.integers(0, 10**12), st.integers(1, 10**12))
def test_percent_never_flatters(part: int, whole: int) -> None:
    """A percentage is never above the true share, and less than a ten-thousandth of a percent below."""
    part = min(part, whole)
    units = round(percent(part, whole) * 10_000)
    assert units * whole <= part * 1_000_000 < (units + 1) * whole


def test_calendar_names() -> None:
    """The two calendars are found by their names."""
    assert set(CALENDARS) == {"24x7", "office-hours"}
