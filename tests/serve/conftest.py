"""The application over a ledger of the worked month, and tokens of every kind."""

import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
import worked_month as month
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from fastapi import FastAPI
from running import Running, running

from streams import telemetry
from streams.ledger.proof.heads import sign_head
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url, writing
from streams.model.exclusion import Exclusion
from streams.serve.access import Access, new_token
from streams.serve.app import create_app
from streams.serve.limit import RateLimit

KEY = Ed25519PrivateKey.generate()


@pytest.fixture(scope="session")
def month_ledger(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """Return a ledger of the worked month, with a signed head."""
    engine = open_ledger(sqlite_url(tmp_path_factory.mktemp("ledger") / "ledger.db"), create=True)
    apply_records(engine, month.records())
    with writing(engine) as connection:
        sign_head(connection, KEY, month.END)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def tokens() -> dict[str, str]:
    """Return a token of each role, and an expired one, by name."""
    return dict(_TOKENS)


_MADE = {
    role: new_token(f"{role}-one", role, int(time.time()) + 3_600)
    for role in ("viewer", "auditor", "operator")
} | {"expired": new_token("gone", "operator", int(time.time()) - 1)}
_TOKENS = {name: token for name, (token, _) in _MADE.items()}


@pytest.fixture
def excluded() -> list[Exclusion]:
    """Return the exclusions that the application published."""
    return []


@pytest.fixture
def app(month_ledger: sa.Engine, excluded: list[Exclusion]) -> FastAPI:
    """Return the application, which admits the tokens and is in no hurry."""
    telemetry.configure("serve", level="error")

    async def publish(exclusion: Exclusion) -> None:
        excluded.append(exclusion)

    access = Access([entry for _, entry in _MADE.values()])
    return create_app(month_ledger, access, limit=RateLimit(10_000, 10_000), exclude=publish)


@pytest.fixture
def client(app: FastAPI) -> Iterator[Running]:
    """Return a client of the application, served on a real socket, that shows no token."""
    with running(app) as client:
        yield client
