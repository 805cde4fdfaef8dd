"""The project's own golden scenarios: small logs whose outages must not change unseen."""

from pathlib import Path

import pytest

from streams.replay import golden

ROOT = Path(__file__).parents[1] / "golden"


def test_there_are_scenarios():
    """The folder holds the scenarios that the tests below run."""
    assert len(golden.names(ROOT)) >= 5


@pytest.mark.parametrize("name", golden.names(ROOT))
def test_outages_are_as_kept(name):
    """A kept log under its kept rule gives the outages that were kept with it."""
    about, found = golden.run(ROOT / name)
    assert about.shows
    assert not found, found
