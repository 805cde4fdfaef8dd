from collections.abc import Iterator

import pytest
from chaos_run import Cluster

from streams.servers.errors import PartUnavailableError


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a broker of the tests' own, for they stop it."""
    try:
        with Cluster(tmp_path_factory.mktemp("kafka")) as running:
            yield running
    except PartUnavailableError as missing:
        pytest.skip(str(missing))
