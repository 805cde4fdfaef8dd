"""Signed tree heads: the ledger's content at a moment, in a few hundred bytes to publish elsewhere.

A head holds the size and root of every Merkle log, the position and chain of every partition read, and the
digest of the previous head, so heads themselves form a chain. The signature is Ed25519 (RFC 8032) over the
statement's exact bytes. With one head and the public key anyone can verify everything in the ledger up to
that head.
"""

import base64
import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec
import sqlalchemy as sa
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from streams.ledger.proof.tree import log_name, logs
from streams.ledger.store.schema import positions, tree_heads

FORMAT: Final = "portallink-tree-head/1"


class KeyFileError(ValueError):
    """A key file that cannot be used; the message names it."""


class LogSize(Struct, frozen=True, order=True):
    """A Merkle log's size in leaves and its root, in hexadecimal."""

    log: str
    size: int
    root: str


class Position(Struct, frozen=True, order=True):
    """How far a partition was read, and the chain over all its records up to there, in hexadecimal."""

    partition: str
    next_offset: int
    chain: str


class Statement(Struct, frozen=True):
    """What a head says; ``previous`` is the SHA-256 of the statement before, empty for the first."""

    format: str
    number: int
    signed_at_ms: int
    previous: str
    logs: list[LogSize]
    positions: list[Position]


class SignedHead(Struct, frozen=True):
    """A head as it is published: the statement's bytes and its signature in base64, and the key's name."""

    statement_base64: str
    signature_base64: str
    key_id: str

    @property
    def statement_bytes(self) -> bytes:
        """The bytes that are signed."""
        return base64.b64decode(self.statement_base64)

    def statement(self) -> Statement:
        """Decode the statement; raise ValueError if it is not of this format."""
        statement = msgspec.json.decode(self.statement_bytes, type=Statement)
        if statement.format != FORMAT:
            raise ValueError(f"a head of the format {statement.format!r} is not understood")
        return statement

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Return whether the signature was made by that key over these bytes."""
        try:
            key.verify(base64.b64decode(self.signature_base64), self.statement_bytes)
        except (InvalidSignature, ValueError):
            return False
        return True


def key_id(key: Ed25519PublicKey) -> str:
    """Return the name of a key: the beginning of its SHA-256."""
    raw = key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:16]


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Return the signing key in a PEM file; create the file, readable by its owner only, if there is none.

    Raises `KeyFileError` if the file holds something else.
    """
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(pem)
            path.hardlink_to(partial)
        except FileExistsError:  # another process was first
            return load_or_make_key(path)
        finally:
            partial.unlink(missing_ok=True)
        return key
    try:
        loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(f"{path} holds no private key in PEM: {error}") from error
    if not isinstance(loaded, Ed25519PrivateKey):
        raise KeyFileError(f"{path} holds a key of another kind than Ed25519")
    return loaded


def load_public_key(path: Path) -> Ed25519PublicKey:
    """Return the public key in a PEM file; raise `KeyFileError` if it holds none."""
    try:
        loaded = serialization.load_pem_public_key(path.read_bytes())
    except (OSError, ValueError) as error:
        raise KeyFileError(f"{path} holds no public key in PEM: {error}") from error
    if not isinstance(loaded, Ed25519PublicKey):
        raise KeyFileError(f"{path} holds a key of another kind than Ed25519")
    return loaded


def public_pem(key: Ed25519PublicKey) -> str:
    """Return a public key as PEM, to hand to auditors."""
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def sign_head(connection: sa.Connection, key: Ed25519PrivateKey, now_ms: int) -> SignedHead:
    """Sign the ledger's current content, and store the head."""
    last = connection.execute(
        sa.select(tree_heads).order_by(tree_heads.c.number.desc()).limit(1)
    ).one_or_none()
    statement = Statement(
        format=FORMAT,
        number=1 if last is None else last.number + 1,
        signed_at_ms=now_ms,
        previous="" if last is None else hashlib.sha256(last.statement).hexdigest(),
        logs=log_sizes(connection),
        positions=read_positions(connection),
    )
    encoded = msgspec.json.encode(statement)
    signature = key.sign(encoded)
    name = key_id(key.public_key())
    connection.execute(
        tree_heads.insert().values(
            number=statement.number,
            signed_at_ms=now_ms,
            statement=encoded,
            signature=signature,
            key_id=name,
        )
    )
    return SignedHead(base64.b64encode(encoded).decode(), base64.b64encode(signature).decode(), name)


def log_sizes(connection: sa.Connection) -> list[LogSize]:
    """Return size and root of every log, by name."""
    sizes = [(log, log.size()) for log in logs(connection)]
    return [LogSize(log.name, size, log.root(size).hex()) for log, size in sizes]


def read_positions(connection: sa.Connection) -> list[Position]:
    """Return how far every partition was read."""
    rows = connection.execute(sa.select(positions))
    return sorted(
        Position(log_name(row.topic, row.partition), row.next_offset, bytes(row.chain).hex()) for row in rows
    )


def stored_heads(connection: sa.Connection, after: int = 0, limit: int | None = None) -> list[SignedHead]:
    """Return the heads signed so far, by number."""
    statement = sa.select(tree_heads).where(tree_heads.c.number > after).order_by(tree_heads.c.number)
    return [_head(row) for row in connection.execute(statement.limit(limit))]


def latest_head(connection: sa.Connection) -> SignedHead | None:
    """Return the newest head, or None before the first."""
    statement = sa.select(tree_heads).order_by(tree_heads.c.number.desc()).limit(1)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _head(row)


def _head(row: sa.Row[tuple[int, int, bytes, bytes, str]]) -> SignedHead:
    return SignedHead(
        base64.b64encode(row.statement).decode(), base64.b64encode(row.signature).decode(), row.key_id
    )
