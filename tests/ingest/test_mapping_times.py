"""When a call was and how long it took, however its source writes that."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapped_calls import AT_MS, CALL, mapped, mapper

from streams.ingest.mapping.places import MapError

TIMES = [
    ("iso", None, "2026-11-27T08:00:00.500+07:00", 500),
    ("iso", None, "2026-11-27T01:00:00.123456789Z", 123),
    ("iso", "Asia/Ho_Chi_Minh", "2026-11-27 08:00:00,250", 250),
    ("epoch_s", None, "1795741200.007", 7),
    ("epoch_s", None, 1795741200, 0),
    ("epoch_ms", None, "1795741200001", 1),
    ("epoch_us", None, 1795741200001999, 1),
    ("epoch_ns", None, "1795741200001999999", 1),
    ("%d/%b/%Y:%H:%M:%S %z", None, "27/Nov/2026:08:00:00 +0700", 0),
    ("%d/%b/%Y:%H:%M:%S.%f", "Asia/Ho_Chi_Minh", "27/Nov/2026:08:00:00.042", 42),
]


@pytest.mark.parametrize(("format_", "zone", "value", "expected"), TIMES)
def test_times_are_read_as_the_map_says(format_, zone, value, expected):
    """Each format of a time gives epoch milliseconds."""
    end = {"field": "t", "format": format_} | ({"zone": zone} if zone else {})
    assert mapped({"t": value}, end=end)[-1].occurred_at_ms == AT_MS + expected


@given(ms=st.integers(946_771_200_000, 4_102_228_800_000), hours=st.integers(-12, 14))
def test_every_way_to_write_a_time_says_the_same(ms, hours):
    """One moment in ISO 8601, in each epoch unit and by strptime gives the same millisecond."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    local = moment + timedelta(hours=hours)
    iso = f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond:06d}{hours:+03d}:00"
    for format_, value in [
        ("iso", iso),
        ("epoch_s", f"{ms / 1000:.3f}"),
        ("epoch_ms", ms),
        ("epoch_us", str(ms * 1000)),
        ("epoch_ns", ms * 1_000_000),
        ("%Y %j %H:%M:%S,%f %z", f"{local:%Y %j %H:%M:%S,%f} {hours:+03d}00"),
        ("%Y-%m-%d %H:%M:%S.%f", f"{moment:%Y-%m-%d %H:%M:%S.%f}"),
    ]:
        end = {"field": "t", "format": format_, "zone": "UTC"}
        assert mapped({"t": value}, end=end)[-1].occurred_at_ms == ms, format_


def test_start_and_end_and_duration_are_two_of_three():
    """Any two of start, end and duration give both times; one time alone gives a call of no length."""
    start = {"field": "s", "format": "epoch_ms"}
    end = {"field": "t", "format": "epoch_ms"}
    for keys in (
        {"start": start, "end": end, "duration": None},
        {"start": start, "end": None},
        {"end": end},
    ):
        events = mapped({"s": AT_MS - 250}, **keys)
        assert [event.occurred_at_ms for event in events] == [AT_MS - 250, AT_MS]
    for keys in ({"start": start, "end": None, "duration": None}, {"duration": None}):
        assert [event.occurred_at_ms for event in mapped({"s": AT_MS}, **keys)] == [AT_MS, AT_MS]
    with pytest.raises(MapError, match="only two of"):
        mapper(start=start)
    with pytest.raises(MapError, match="for the time of a call"):
        mapper(end=None)


DURATIONS = [
    ("s", 0.25, 250),
    ("s", "0.250", 250),
    ("ms", "250", 250),
    ("us", 250_000, 250),
    ("ns", "250000000", 250),
    ("ms", "0.25s", 250),
    ("s", "250ms", 250),
    ("ms", "+250", 250),
    ("s", "-", 0),
    ("s", None, 0),
    ("ms", -1, 0),
    ("s", "0.1, 0.15", 250),
    ("s", "0.1 : -, 0.15", 250),
    ("s", [0.1, None, 0.15], 250),
]


@pytest.mark.parametrize(("unit", "value", "took_ms"), DURATIONS)
def test_durations_are_read_in_their_unit(unit, value, took_ms):
    """A duration is a number in the map's unit or its own, a list is summed up, and nothing is no time."""
    one = mapper(duration={"field": "took", "unit": unit})
    events = one.of(CALL | {"took": value}, "file:1")
    assert events[1].occurred_at_ms - events[0].occurred_at_ms == took_ms
    assert one.calls.without_duration == (took_ms == 0)


def test_attempts_of_a_list_are_calls_of_their_own():
    """Each attempt of a list has its own time, status, number and ids, one after the other until the end."""
    said = {"duration": {"field": "took", "unit": "s", "attempts": "each"}, "id": "{id}"}
    fields = {"took": "2.000, 0.500", "status": "504, 200", "id": "a"}
    events = mapped(fields, **said, outcome=[{"when": {"status": 504}, "is": "timeout"}])
    assert [event.occurred_at_ms for event in events] == [AT_MS - 2500, AT_MS - 500, AT_MS - 500, AT_MS]
    assert [event.attempt for event in events] == [1, 1, 2, 2]
    assert [event.outcome for event in events] == [None, "timeout", None, "ok"]
    assert len({event.event_id for event in events}) == 4
    assert len({event.lookup_id for event in events}) == 2
    assert {event.dossier_id for event in events} == {"a"}
    last = mapped(fields, duration={"field": "took", "unit": "s", "attempts": "last"})
    assert [event.occurred_at_ms for event in last] == [AT_MS - 500, AT_MS]
    assert last[-1].status_code == 200
