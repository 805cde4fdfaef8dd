"""Where local trouble begins, if failures by chance came before it."""

import pytest

from streams.detect.rule.cusum import Normal
from streams.detect.rule.definition import Rule
from streams.detect.rule.local import step
from streams.detect.rule.local_state import QUIET, Facts
from streams.model.measurement import Part

NORMAL, MINUTE_MS = Normal(0.03, 120_960.0, None), 60_000
FAILS = Part(6, 0, [0, 9_000])


@pytest.mark.parametrize(
    ("first", "start_ms"),
    [
        ([Part(6, 1, [2_000, 30_000, 40_000], 10_000)], 30_000),  # an answer came after the first failure
        ([Part(1, 0, [50_000]), Part(6, 2, [30_000, 40_000], 10_000)], MINUTE_MS + 30_000),  # a minute later
        ([Part(6, 0, [2_000, 30_000, 40_000])], 2_000),
        ([Part(6, 1, [2_000, 3_000, 40_000], 10_000)], 2_000),  # two failures say more than one answer
    ],
)
def test_a_failure_by_chance_before_answers_is_not_the_first_of_local_trouble(first, start_ms):
    """Local trouble begins after the last answers that outweigh the failures before them."""
    state = QUIET
    for number, part in enumerate([*first, *[FAILS] * 4]):
        facts = Facts(number * MINUTE_MS, 60, part.failed, {"birth": part}, {}, down=False)
        state, _ = step(state, facts, Rule(), NORMAL)
    assert [one.start_ms for one in state.struck] == [start_ms]
