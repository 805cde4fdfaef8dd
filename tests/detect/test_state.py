"""What is remembered of a link: bounded, however long its past."""

import pytest

from lab.state_trials import DAY_SLOTS, size_of, sizes

HOUR = 1 / 24


@pytest.mark.slow
def test_state_does_not_grow_beyond_its_horizon():
    """Past the six hours for which records may be late, a link with trouble and late records keeps after
    forty hours what it kept after fifteen, however many outages came between: all but the hours of a week.
    """
    found = {round(size.day / HOUR): size for size in sizes(0.5, 40 * HOUR, 5 * HOUR, DAY_SLOTS // 8)}
    early, late = found[15], found[40]
    more_outages = late.outages - early.outages
    assert more_outages >= 8
    hours = late.day / HOUR - early.day / HOUR
    assert late.unpacked < 1.03 * early.unpacked + 100 * hours
    assert late.objects < 1.03 * early.objects + 600 * hours
    assert late.objects < 1_000_000


def test_what_is_held_twice_counts_once():
    """The size of a state is that of its objects, each counted once."""
    text = "x" * 10_000
    assert size_of([text]) > 10_000
    assert size_of([text, {"again": (text,)}]) < 11_000
