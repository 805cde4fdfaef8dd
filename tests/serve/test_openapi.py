"""The interface against its own description: generated requests, right and wrong, find nothing."""

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import load_all_checks

pytestmark = pytest.mark.slow

load_all_checks()


def test_schemathesis_finds_nothing(app, tokens) -> None:
    """Every answer is described, every wrong request refused, no right one fails, tokens are asked for."""
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", app)
    # A period may be well written and empty, a cursor well written and not ours: refused with 422.
    excluded = [schemathesis.checks.CHECKS.get_one("positive_data_acceptance")]
    operations = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        operations += 1

        @settings(
            max_examples=15,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def check(case) -> None:
            case.call_and_validate(
                headers={"Authorization": f"Bearer {tokens['operator']}"}, excluded_checks=excluded
            )

        check()
    assert operations > 15
