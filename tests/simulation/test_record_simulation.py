"""`record`'s loop and worker on a simulated broker, network, ledger and clock. A seed repeats its run."""

import pytest
from simulated_record import RecordWorld

SEEDS = 60
LOST_ONCE = (1030619,)
"""A transaction whose answer was lost, and a topic made again before it was tried again."""
TWICE = (1070903, 1072279)
"""Another process still wrote while this one took over: its progress is no sign of another log."""


@pytest.mark.parametrize("seed", [*range(SEEDS), *TWICE])
def test_whatever_fails_everything_is_recorded_once(seed):
    """The ledger holds what was published, each record once and in order."""
    RecordWorld(seed).run()


@pytest.mark.parametrize("seed", [*range(SEEDS), *LOST_ONCE])
def test_what_is_gone_is_told(seed):
    """Heads deleted, tails cut off, topics made again: what follows is recorded, and what is not was told."""
    RecordWorld(seed, losses=True).run()
