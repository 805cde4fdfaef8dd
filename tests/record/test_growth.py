"""Two signed heads and a few proofs, without a ledger: what an auditor who kept heads can check alone."""

import base64
import json
from pathlib import Path

import msgspec
import pytest
import worked_month as month
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from streams.cli.ledger.ledger import app as ledger_app
from streams.ledger.proof.growth import check_growth, proofs_between
from streams.ledger.proof.heads import SignedHead, public_pem, sign_head
from streams.ledger.proof.proofs import GrowthProof
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, reading, sqlite_url, writing

KEY = Ed25519PrivateKey.generate()
CUTS = (0, 9, 10, 25, 33)


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[SignedHead], list[GrowthProof]]:
    """Return a ledger's address, a head signed at each step of its growth, and the proofs between them."""
    url = sqlite_url(tmp_path_factory.mktemp("grown") / "ledger.db")
    engine, heads = open_ledger(url, create=True), []
    records = [record for record in month.records() if record.topic != "link.windows"]
    for number, (first, last) in enumerate(zip((0, *CUTS), CUTS, strict=False)):
        apply_records(engine, records[first:last])
        with writing(engine) as connection:
            heads.append(sign_head(connection, KEY, 1_000 * number))
    with reading(engine) as connection:
        proofs = proofs_between(connection, heads)
    engine.dispose()
    return url, heads, proofs


def test_every_pair_of_heads_holds(grown) -> None:
    """Any two heads of one ledger continue each other, whichever they are and in whatever order they come."""
    url, heads, proofs = grown
    assert check_growth(heads, proofs, KEY.public_key()).findings == []
    assert check_growth(heads[::-1], proofs, KEY.public_key()).findings == []
    engine = open_ledger(url)
    with reading(engine) as connection:
        for first in heads:
            for second in heads:
                between = proofs_between(connection, [first, second])
                assert check_growth([first, second], between, KEY.public_key()).findings == []
    engine.dispose()


@settings(max_examples=60)
@given(st.data())
def test_a_changed_proof_or_head_is_found(grown, data: st.DataObject) -> None:
    """A proof or a head of which one digit is another, or that is left out, no longer holds."""
    _, heads, proofs = grown
    heads, proofs = list(heads), list(proofs)
    kind = data.draw(st.sampled_from(["digit", "short", "gone", "statement", "signature"]))
    at = data.draw(st.integers(0, len(proofs) - 1))
    if kind == "gone":
        del proofs[at]
    elif kind in ("digit", "short"):
        path = list(proofs[at].path)
        step = data.draw(st.integers(0, len(path) - 1))
        digit = "0" if path[step][0] != "0" else "1"
        path[step : step + 1] = [digit + path[step][1:]] if kind == "digit" else []
        proofs[at] = msgspec.structs.replace(proofs[at], path=path)
    else:
        of = data.draw(st.integers(0, len(heads) - 1))
        field = f"{kind}_base64"
        text = getattr(heads[of], field)
        letter = data.draw(st.integers(0, len(text) - 5))
        other = "A" if text[letter] != "A" else "B"
        heads[of] = msgspec.structs.replace(heads[of], **{field: text[:letter] + other + text[letter + 1 :]})
    assert check_growth(heads, proofs, KEY.public_key()).findings


def test_roots_that_a_proof_states_are_not_believed(grown, tmp_path: Path) -> None:
    """A proof that states roots of its own, and proves those, does not pass for one between the heads."""
    _, heads, proofs = grown
    forged = [msgspec.structs.replace(one, first_root="00" * 32, second_root="00" * 32) for one in proofs]
    assert check_growth(heads, forged, KEY.public_key()).findings == []
    engine = open_ledger(sqlite_url(tmp_path / "other.db"), create=True)
    apply_records(engine, [record for record in month.records() if record.topic != "link.windows"][5:30])
    with writing(engine) as connection:
        other = sign_head(connection, KEY, 9_000)
        encoded = msgspec.json.encode(msgspec.structs.replace(other.statement(), number=9))
        said = [base64.b64encode(part).decode() for part in (encoded, KEY.sign(encoded))]
        later = SignedHead(*said, other.key_id)
        between = proofs_between(connection, [heads[1], later])
    engine.dispose()
    findings = check_growth([heads[1], later], between, KEY.public_key()).findings
    assert any("is no beginning of" in one.what for one in findings), findings


@pytest.fixture
def files(grown, tmp_path: Path) -> dict[str, str]:
    """Return the paths of a file of heads, one of proofs and the public key."""
    _, heads, proofs = grown
    for name, lines in (("heads", heads), ("proofs", proofs)):
        (tmp_path / name).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    (tmp_path / "key").write_text(public_pem(KEY.public_key()))
    return {name: str(tmp_path / name) for name in ("heads", "proofs", "key", "out")}


def run(*words: str, expect: int = 0) -> Result:
    """Run `portallink ledger` and return what came of it."""
    result = CliRunner().invoke(ledger_app, list(words))
    assert result.exit_code == expect, result.output
    return result


def test_heads_are_compared_by_command(grown, files, tmp_path: Path, monkeypatch) -> None:
    """The command checks heads out of a ledger, hands the proofs on, and checks those without a ledger."""
    url, _, _ = grown
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    words = ["consistency", files["heads"], "--public-key", files["key"]]
    run(*words, "--ledger", url, "--out", files["out"])
    assert Path(files["out"]).read_bytes() == Path(files["proofs"]).read_bytes()
    alone = json.loads(run(*words, "--proofs", files["out"], "--json").stdout)
    assert (alone["pairs"], alone["findings"]) == (len(CUTS) - 1, [])
    assert alone["proofs"] > 0


@pytest.mark.parametrize("changed", ["heads", "proofs", "key"])
def test_the_command_tells_what_does_not_hold(files, changed: str, tmp_path: Path, monkeypatch) -> None:
    """A file that is missing a line, or is no such file, ends the command, which says what is wrong."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    words = ["consistency", files["heads"], "--proofs", files["proofs"], "--public-key", files["key"]]
    Path(files[changed]).write_text("no such thing\n")
    assert files[changed] in run(*words, expect=2).stderr.replace("\n", "")
    if changed == "proofs":
        Path(files[changed]).write_text("")
        assert "proof" in run(*words, expect=1).stdout
    if changed == "key":
        assert "--public-key" in run(*words[:-2], expect=2).stderr
