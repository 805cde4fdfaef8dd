"""What the tests of `ingest` share."""

from contextlib import ExitStack

import pytest
from followed_logs import Follower


@pytest.fixture
def followed():
    """Give followers that are closed at the end."""
    with ExitStack() as stack:
        yield lambda *arguments, **keys: stack.enter_context(Follower(*arguments, **keys))
