from random import Random

import pytest


@pytest.fixture
def rng() -> Random:
    """Return a source of chance that repeats itself."""
    return Random(1)
