from collections.abc import Iterator

import pytest
from chaos_run import Cluster
from real_parts import needed_part


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a broker of the tests' own, for they stop it."""
    with needed_part(), Cluster(tmp_path_factory.mktemp("kafka")) as running:
        yield running
