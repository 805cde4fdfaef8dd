"""The claims that docs/city.md makes of the draws, each at fixed seeds."""

import pytest

from lab.city_statistics import CLAIMS, shown

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.says)
def test_a_claim_holds_over_ten_seeds(claim):
    """What is expected of a draw lies within the interval that ten fixed seeds give."""
    assert shown(claim).holds
