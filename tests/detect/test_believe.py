"""What `detect` does not believe of `link.measurements`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from small_logs import draw_log, measure

from streams.detect.believe import UnbelievableError, check_measurement
from streams.model.settings import MeasureSettings

HONEST = [one for of_one in measure(draw_log(3)).values() for one in of_one]
SKEW_MS = MeasureSettings().max_clock_skew_ms


@given(one=st.sampled_from(HONEST), later_ms=st.integers(0, 86_400_000))
def test_what_measure_sends_is_believed(one, later_ms):
    """A measurement that was logged when its watermark was reached, or later, is believed."""
    check_measurement(one, one.watermark_ms - SKEW_MS + later_ms)


@given(one=st.sampled_from(HONEST), ahead_ms=st.integers(1, 1 << 50))
def test_a_watermark_ahead_of_the_broker_is_not_believed(one, ahead_ms):
    """No sender can move the clock further than events could."""
    with pytest.raises(UnbelievableError, match="ahead of the broker"):
        check_measurement(replace(one, watermark_ms=one.watermark_ms + ahead_ms), one.watermark_ms - SKEW_MS)


@given(one=st.sampled_from(HONEST), first=st.integers(-9, 1 << 60), length=st.integers(-9, 1 << 60))
def test_only_ranges_that_can_be_are_believed(one, first, length):
    """A range is believed exactly where it holds something and its offsets are offsets."""
    source = replace(one.source, first_offset=first, next_offset=first + length)
    if first >= 0 and length > 0 and first + length < 1 << 50:
        check_measurement(replace(one, source=source), one.watermark_ms)
    else:
        with pytest.raises(UnbelievableError, match="a range"):
            check_measurement(replace(one, source=source), one.watermark_ms)


def test_a_topic_without_events_is_not_believed():
    """Only the event topics are measured."""
    forged = replace(HONEST[0], source=replace(HONEST[0].source, topic="link.outages"))
    with pytest.raises(UnbelievableError, match="carries no events"):
        check_measurement(forged, HONEST[0].watermark_ms)
