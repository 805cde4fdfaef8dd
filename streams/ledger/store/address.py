"""A database's address, whose password is never shown."""

import re
from typing import Final
from urllib.parse import unquote

_SCHEME: Final = re.compile(r"[\w+.-]+:/+")
_USER: Final = re.compile(r"[^:/?#@]*:([^?#]*)@")
_PARAMETER: Final = re.compile(r"password=([^&\s]+)", re.IGNORECASE)
HIDDEN: Final = "***"


class Address:
    """An address as given, well-formed or not; as text it has ``***`` in place of the password."""

    def __init__(self, text: str) -> None:
        self._text = text
        rest = _SCHEME.sub("", text, count=1) if _SCHEME.match(text) else text
        user = _USER.match(rest)
        stated = [*([] if user is None else [user[1]]), *_PARAMETER.findall(text)]
        forms = {form for secret in stated if secret for form in (secret, unquote(secret))}
        self._secrets = sorted(forms, key=len, reverse=True)

    def reveal(self) -> str:
        """Return the address with its password; use it only to connect."""
        return self._text

    def redact(self, words: object) -> str:
        """Return a text, such as a driver's error, with the password hidden wherever it occurs."""
        text = str(words)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text

    def __str__(self) -> str:
        return self.redact(self._text)

    def __repr__(self) -> str:
        return repr(str(self))
