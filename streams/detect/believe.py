"""Detects measurements that `measure` cannot have sent, judging each one by itself."""

from streams.detect.ranges import INCARNATION_BITS
from streams.model.measurement import Measurement
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS


class UnbelievableError(ValueError):
    """A measurement that `measure` cannot have sent; the message says why."""


def check_measurement(measurement: Measurement, logged_ms: int) -> None:
    """Raise `UnbelievableError` if a measurement is not one that `measure` could have sent.

    ``logged_ms`` is the broker's time of its record. `measure` accepts no event, and hence no watermark,
    that is further ahead of the broker's time than the allowed clock skew.
    """
    source = measurement.source
    if source.topic not in {LOOKUPS, SUBMISSIONS}:
        raise UnbelievableError("its source topic carries no events")
    if not 0 <= source.first_offset < source.next_offset < 1 << INCARNATION_BITS:
        raise UnbelievableError("a range must hold something, and offsets are below 2^50")
    if measurement.watermark_ms > logged_ms + MeasureSettings().max_clock_skew_ms:
        raise UnbelievableError("the watermark is ahead of the broker's time")
