"""Replace identifiers by a keyed hash, so that equal identifiers stay equal and joins still work.

An identifier becomes the first 96 bits of its HMAC-SHA-256 (RFC 2104). Anyone with the key can compute an
identifier's pseudonym, and can test guesses of an identifier against one. So the key must stay secret, and a
pseudonymised log is still personal data in law.
"""

import hmac
from hashlib import sha256
from typing import Any, Final

import msgspec

from streams.model.border import UNREADABLE
from streams.model.record import Record

SHORTEST_KEY_BYTES: Final = 16

IDENTIFIERS: Final = frozenset({"dossier_id", "lookup_id", "event_id"})
"""Event and lookup ids may be built from the dossier's, so they are replaced as well."""
CARRIERS: Final = frozenset({"key", "key_base64", "value", "value_base64"})
"""What a dead letter carries of the original record."""
KEYED_BY_LINK: Final = "link."
"""The topics of results, whose keys name no person."""


class PseudonymKeyError(ValueError):
    """A key too short to keep identifiers from being guessed."""


class Pseudonymiser:
    """Replaces identifiers in records, using one key. Pure: equal input gives equal output."""

    def __init__(self, key: bytes) -> None:
        if len(key) < SHORTEST_KEY_BYTES:
            raise PseudonymKeyError(f"the key has {len(key)} bytes; at least {SHORTEST_KEY_BYTES} are needed")
        self._mac = hmac.new(key, digestmod=sha256)

    @property
    def key_name(self) -> str:
        """A name for the key, which shows whether two captures can be joined; it does not reveal the key."""
        return self._hash(b"portallink capture key")[:8]

    def record(self, record: Record) -> Record:
        """Return the record with its key and the identifiers in its value replaced.

        A value that is not JSON is replaced as a whole by a pseudonym that is not JSON either.
        """
        key = record.key
        if key is not None and not record.topic.startswith(KEYED_BY_LINK):
            key = self._pseudonym(key).encode()
        try:
            content = msgspec.json.decode(record.value)
        except UNREADABLE:
            value = b"pseudonymised " + self._hash(record.value).encode()
        else:
            value = msgspec.json.encode(self._replace(content))
        return record._replace(key=key, value=value)

    def _replace(self, content: Any) -> Any:
        if isinstance(content, list):
            return [self._replace(item) for item in content]
        if not isinstance(content, dict):
            return content
        return {
            name: self._identifier(item) if name in IDENTIFIERS or name in CARRIERS else self._replace(item)
            for name, item in content.items()
        }

    def _identifier(self, item: Any) -> str | None:
        if item is None:
            return None
        # An identifier of a wrong type makes a dead letter, but must still not reveal its content.
        return self._pseudonym(item.encode() if isinstance(item, str) else msgspec.json.encode(item))

    def _pseudonym(self, identifier: bytes) -> str:
        return f"p-{self._hash(identifier)}"

    def _hash(self, content: bytes) -> str:
        mac = self._mac.copy()
        mac.update(content)
        return mac.hexdigest()[:24]
