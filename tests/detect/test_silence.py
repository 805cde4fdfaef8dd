"""Nothing is drawn across a time of which nothing is known."""

import pytest
from small_logs import START_MS, Fault, draw_log, run

from streams.model.events import Heartbeat

SILENT_S = (3_000, 9_000)


def without(log, start_s, end_s, *, blind):
    """Return a log in which nobody asks for some seconds or, where ``blind``, nobody watches."""
    return [
        told
        for told in log
        if not start_s <= (told.told_ms - START_MS) / 1000 < end_s
        or (isinstance(told.event, Heartbeat) and not blind)
    ]


def told(result):
    """Return kind, start and end in seconds of the outages that stand, in order."""
    return [
        (o.kind, (o.start_ms - START_MS) / 1000, o.end_ms and (o.end_ms - START_MS) / 1000)
        for o in result.final()
    ]


@pytest.mark.parametrize("blind", [False, True])
@pytest.mark.parametrize(
    ("before", "after", "kind"),
    [
        (Fault(2_980, 20, outcome="ok", slower=20), Fault(9_000, 600, outcome="ok", slower=20), "degraded"),
        (Fault(2_990, 10), Fault(9_000, 300), "down"),
        (Fault(2_980, 20, share=0.7), Fault(9_000, 600, share=0.3), "degraded"),
    ],
)
def test_what_failed_before_a_silence_does_not_move_the_start_after_it(before, after, kind, blind):
    """Trouble after hours of which nothing is known starts after them, whatever failed just before them."""
    log = draw_log(3, seconds=10_500, rate=0.4, faults=[before, after], background=0.0)
    found = told(run(without(log, *SILENT_S, blind=blind)))
    assert [k for k, *_ in found] == [kind]
    assert 8_990 <= found[0][1] < 9_060


@pytest.mark.parametrize("blind", [False, True])
def test_an_outage_that_is_open_when_sight_is_lost_stays_open_and_says_since_when(blind):
    """It is told while nothing is known, is one outage with what follows, and ends after it."""
    log = draw_log(5, seconds=10_500, rate=0.4, faults=[Fault(2_700, 6_500)], background=0.0)
    result = run(without(log, *SILENT_S, blind=blind))
    ((kind, start_s, end_s),) = told(result)
    assert (kind, abs(start_s - 2_700) < 10, abs(end_s - 9_200) < 10) == ("down", True, True)
    unknown = [o for o in result.outages if o.unknown_since_ms is not None]
    assert {o.status for o in unknown} == {"open"}
    since_s = (unknown[0].unknown_since_ms - START_MS) / 1000
    assert 2_990 <= since_s <= 3_040
    assert (unknown[0].detected_at_ms - START_MS) / 1000 < 3_000 + 900
    assert result.outages[-1].unknown_since_ms is None


def test_a_quiet_link_goes_on_adding_up():
    """A link that is asked once in ten minutes, and fails for three hours, is down from the first failure."""
    log = draw_log(8, seconds=40_000, rate=1 / 600, faults=[Fault(20_000, 12_000)], background=0.0, beat_s=20)
    ((kind, start_s, end_s),) = told(run(log))
    assert kind == "down"
    assert 20_000 <= start_s < 21_500
    assert 32_000 <= end_s < 33_500


def test_a_silence_within_what_is_usual_changes_nothing():
    """Where a minute is missing in the midst of an outage's first failures, its start stays before it."""
    log = draw_log(4, seconds=4_000, rate=0.4, faults=[Fault(2_980, 200)], background=0.0)
    ((_, start_s, _),) = told(run(without(log, 2_995, 3_055, blind=False)))
    assert abs(start_s - 2_980) < 6
