"""Who may ask: bearer tokens with roles and an expiry, kept as digests only, and how often they may.

A token is 256 random bits, so a plain SHA-256 of it gives nothing away (a slow hash guards chosen words,
not random ones). The tokens file holds one JSON object a line: name, role, SHA-256 and expiry.
"""

import hashlib
import hmac
import secrets
from pathlib import Path
from typing import Final, Literal

import msgspec
from msgspec import Struct

from streams.model.border import UNREADABLE

Role = Literal["viewer", "auditor", "operator"]
RANKS: Final[dict[Role, int]] = {"viewer": 1, "auditor": 2, "operator": 3}
"""A viewer sees pages and figures; an auditor also proofs and the trail; an operator also excludes."""

PREFIX: Final = "plk_"


class TokensFileError(ValueError):
    """A tokens file that cannot be used; the message names file and line."""


class TokenEntry(Struct, frozen=True):
    """What is kept of a token; ``expires_at`` in epoch seconds."""

    name: str
    role: Role
    sha256: str
    expires_at: int


class Caller(Struct, frozen=True):
    """Who asks."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        """Say whether the caller's role reaches so far."""
        return RANKS[self.role] >= RANKS[role]


class Access:
    """The tokens admitted; ``anonymous`` is the role of who shows none, None to refuse them."""

    def __init__(self, entries: list[TokenEntry], anonymous: Role | None = None) -> None:
        self._entries = {entry.sha256: entry for entry in entries}
        self._anonymous = anonymous

    def caller(self, token: str | None, now_seconds: float) -> Caller | None:
        """Return who shows a token at a moment, or None: missing, unknown and expired alike."""
        if token is None:
            return None if self._anonymous is None else Caller("anonymous", self._anonymous)
        digest = _digest(token)
        entry = self._entries.get(digest)
        if entry is None or not hmac.compare_digest(entry.sha256, digest) or entry.expires_at <= now_seconds:
            return None
        return Caller(entry.name, entry.role)


def new_token(name: str, role: Role, expires_at: int) -> tuple[str, TokenEntry]:
    """Return a new token and what to keep of it."""
    token = PREFIX + secrets.token_urlsafe(32)
    return token, TokenEntry(name, role, _digest(token), expires_at)


def read_tokens(path: Path) -> list[TokenEntry]:
    """Return the entries of a tokens file; raise `TokensFileError` naming file and line."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise TokensFileError(f"{path} cannot be read: {error}") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith(b"#"):
            try:
                entries.append(msgspec.json.decode(line, type=TokenEntry))
            except UNREADABLE as error:
                raise TokensFileError(f"{path}:{number}: {error}") from error
    return entries


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
