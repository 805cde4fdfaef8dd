"""`portallink ledger verify`, `head`, `consistency`, `key`: holding the ledger to what was signed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
import typer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

from streams.cli.ledger.ledger_options import (
    AsJson,
    InLanguage,
    KeyFile,
    LedgerAddress,
    key_path,
    opened,
    read,
    signing_key,
)
from streams.cli.outcome import (
    Words,
    fail,
    notes,
    print_document,
    print_json,
    refuse,
    say,
    styled,
    write_whole,
)
from streams.ledger.proof.growth import check_growth, proofs_between
from streams.ledger.proof.heads import (
    KeyFileError,
    SignedHead,
    load_or_make_key,
    load_public_key,
    public_pem,
    sign_head,
    stored_heads,
)
from streams.ledger.proof.proofs import GrowthProof
from streams.ledger.proof.signed import Finding
from streams.ledger.proof.verify import Verified, verify_ledger
from streams.ledger.store.database import reading, writing
from streams.model.border import UNREADABLE
from streams.serve.texts import Language, text, written_count

Line = TypeVar("Line", SignedHead, GrowthProof)


def verify(
    *,
    head: Annotated[
        list[Path] | None,
        typer.Option(help="File of heads kept elsewhere, one a line; repeatable."),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option(help="Public key, PEM, that signed the heads [default: that of --key, if it exists]."),
    ] = None,
    history_only: Annotated[
        bool, typer.Option(help="Check history only, not the figures derived from it.")
    ] = False,
    key: KeyFile = None,
    language: InLanguage = "en",
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Recompute the ledger, and compare it with its signed heads and with heads kept elsewhere.

    Exits 1 and lists every finding: anything edited, removed, inserted, reordered or truncated, rows that
    cannot be read, and a missing key or head.
    """
    kept = [one for path in head or [] for one in _heads_in(path)]
    trusted = _trusted(public_key, key)
    columns = (SpinnerColumn(), Words("{task.description}"), TimeElapsedColumn())
    with read(ledger) as connection, Progress(*columns, console=notes, transient=True) as progress:
        task = progress.add_task(text("reading", language))
        result = verify_ledger(
            connection,
            trusted,
            kept,
            derived=not history_only,
            progress=lambda what: progress.update(task, description=text("checking", language, what=what)),
        )
    _print_verified(result, language, as_json=as_json)


def head(
    *,
    sign: Annotated[bool, typer.Option(help="Sign a new head now.")] = False,
    key: KeyFile = None,
    ledger: LedgerAddress = None,
) -> None:
    """Print the newest signed head as one line of JSON, to publish and keep elsewhere."""
    import time  # noqa: PLC0415 - the clock is needed by --sign alone

    with opened(ledger) as engine:
        if sign:
            private = signing_key(key)
            with writing(engine) as connection:
                found = [sign_head(connection, private, int(time.time() * 1000))]
        else:
            with reading(engine) as connection:
                found = stored_heads(connection)
    if not found:
        fail("no head is signed yet: `portallink run record` signs as history grows, --sign does it now")
    print_document(msgspec.json.encode(found[-1]).decode())


def consistency(
    heads: Annotated[list[Path], typer.Argument(help="Files of two signed heads or more, one a line.")],
    *,
    proofs: Annotated[
        Path | None, typer.Option(help="File of proofs, one JSON object per line [default: from the ledger].")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write the proofs to this file, for others to check.")
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="Public key, PEM, that signed the heads [default: that of --key].")
    ] = None,
    key: KeyFile = None,
    ledger: LedgerAddress = None,
    as_json: AsJson = False,
) -> None:
    """Check that each signed head extends the one before, so nothing signed has changed.

    With --proofs, no ledger is needed: anyone who kept two heads can check them. Exits 1 and lists every
    finding, such as a missing proof, a wrong signature, or a head older than the one before.
    """
    held = [one for path in heads for one in _heads_in(path)]
    if len(held) < 2:
        refuse(f"{len(held)} heads are given: it takes two to compare")
    trusted = _trusted(public_key, key)
    if trusted is None:
        refuse("there is no key to check the heads by: name it with --public-key")
    if proofs is not None:
        found = _lines_of(proofs, GrowthProof, "proofs")
    else:
        with read(ledger) as connection:
            found = proofs_between(connection, held)
    if out is not None:
        write_whole(out, b"".join(msgspec.json.encode(proof) + b"\n" for proof in found))
    result = check_growth(held, found, trusted)
    _print_findings(result.findings, msgspec.to_builtins(result), as_json=as_json)
    if result.findings:
        fail(f"{len(result.findings)} findings: the heads do not continue each other")
    notes.print(f"{result.pairs} steps from head to head hold, by {result.proofs} proofs")


def key_command(*, key: KeyFile = None) -> None:
    """Print the public key that verifies heads. Creates the key if there is none."""
    print_document(public_pem(signing_key(key).public_key()))


def _trusted(public_key: Path | None, key: Path | None) -> Ed25519PublicKey | None:
    """Return the key that heads must be signed by: the one named, else the own one, else None; make none."""
    try:
        if public_key is not None:
            return load_public_key(public_key)
        file = key_path(key)
        if file.exists():
            return load_or_make_key(file).public_key()
    except (KeyFileError, OSError) as error:
        refuse(error)
    return None


def _heads_in(path: Path) -> list[SignedHead]:
    return _lines_of(path, SignedHead, "signed heads")


def _lines_of(path: Path, kind: type[Line], name: str) -> list[Line]:
    """Return the JSON objects of a file, one per line; a line of another kind ends the command."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        refuse(f"{path}: {error.strerror}")
    found = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=kind))
            except UNREADABLE as error:
                refuse(f"{path}:{number} holds no {name}: {error}")
    return found


def _print_verified(result: Verified, language: Language, *, as_json: bool) -> None:
    _print_findings(result.findings, msgspec.to_builtins(result), as_json=as_json)
    if result.findings:
        fail(text("ledger_differs", language, count=written_count(len(result.findings), language)))
    counts = {name: getattr(result, name) for name in ("revisions", "leaves", "heads")}
    written = {name: written_count(count, language) for name, count in counts.items()}
    notes.print(text("ledger_agrees", language, **written))


def _print_findings(findings: Iterable[Finding], answer: Any, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        for finding in findings:
            say(styled(finding.kind, "red"), f"{finding.where}: {finding.what}")
