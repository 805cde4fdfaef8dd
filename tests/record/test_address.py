"""A database's password is in no message, whatever goes wrong."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from streams.cli import app
from streams.ledger.store.address import Address
from streams.ledger.store.database import LedgerError, open_ledger

SECRET = "s3cr3t-pa55"  # noqa: S105 - of no database
ADDRESSES = [
    f"postgresql://ops:{SECRET}@127.0.0.1:1/ledger",
    f"postgresql://ops:{SECRET}@no such host/ledger",
    f"postgresql://ops:{SECRET}@127.0.0.1:port/ledger",
    f"postgresql://127.0.0.1:1/ledger?user=ops&password={SECRET}",
    f"postgresql:/ops:{SECRET}@127.0.0.1/ledger",
    f"ops:{SECRET}@127.0.0.1/ledger",
    f"mysql://ops:{SECRET}@127.0.0.1/ledger",
    f"postgres://ops:{SECRET}@127.0.0.1:1/ledger",
    f"sqlite://ops:{SECRET}@127.0.0.1/ledger",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_message_holds_the_password(address: str) -> None:
    """An address that cannot be used is named without its password, by function and by command."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - whatever it is, it must not say it
        open_ledger(address).connect()
    assert isinstance(caught.value, LedgerError)
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__
    for command in (["ledger", "verify"], ["outages", "list", "--month", "2025-04"]):
        result = CliRunner().invoke(app, [*command, "--ledger", address])
        assert result.exit_code in (1, 2)
        assert ("***" in result.output) == ("ops" in result.output)
        assert SECRET not in result.output


@given(st.text(min_size=3).filter(lambda text: text.strip("*") and not any(c in text for c in "/?#@")))
def test_a_password_of_any_text_is_hidden(password: str) -> None:
    """Whatever the password, neither the address nor an error that quotes it shows it, quoted or plain."""
    for written in {password, quote(password, safe="")}:
        address = Address(f"postgresql://ops:{written}@db/ledger")
        assert address.reveal() == f"postgresql://ops:{written}@db/ledger"
        for said in (str(address), f"{address}", address.redact(f"wrong {password} or {written}")):
            assert f":{written}@" not in said
            assert "***" in said
