"""Defines what must never become a name: who sent a request, from where, and about whom.

Links, services, agencies and portals become labels of metrics, and lookups and dossiers get identifiers. A
path or a query may contain identity numbers, an address belongs to a person. So a map may use such fields to
choose among names that it spells out itself, but their values must never be passed on.
"""

from re import compile as pattern
from typing import Final

PRIVATE_WORDS: Final = frozenset(
    [
        "uri",
        "url",
        "path",
        "query",
        "querystring",
        "arg",
        "args",
        "referer",
        "referrer",
        "user",
        "username",
        "enduser",
        "uid",
        "login",
        "cookie",
        "cookies",
        "agent",
        "useragent",
        "authorization",
        "password",
        "passwd",
        "secret",
        "token",
        "session",
        "email",
        "mail",
        "phone",
        "body",
        "payload",
        "ip",
        "ipaddr",
        "remoteaddr",
        "remoteip",
        "clientip",
        "client",
        "remote",
        "forwarded",
        "xff",
        "cccd",
        "cmnd",
    ]
)
ADDRESS_WORDS: Final = frozenset({"addr", "address"})
OWN_SIDE: Final = frozenset(
    {"server", "upstream", "backend", "target", "origin", "destination", "service", "local", "peer"}
)
"""With one of these before it, an `address` is not a person's."""
PRIVATE_NAMES: Final = frozenset({"request", "requestline", "firstline", "httptarget"})
CLIENT_APPLICATION: Final = frozenset({"id", "application", "app", "agency", "code", "member", "subsystem"})
_WORDS: Final = pattern(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_LOOKS_PRIVATE: Final = (
    (
        pattern(
            r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])|\[[0-9a-fA-F:]{2,}\]|^[0-9a-fA-F]*:[0-9a-fA-F:]*:"
        ),
        "an address",
    ),
    (pattern(r"[\w.+-]@[\w-]+\.\w"), "an address"),
    (pattern(r"[?&]|%[0-9a-fA-F]{2}"), "a query"),
    (pattern(r"(?<![0-9a-fA-F-])\d{9,12}(?![0-9a-fA-F-])"), "a number of nine digits or more"),
)


def is_private(field: str) -> bool:
    """Return whether a field of this name may hold a path, a query, a user or an address.

    >>> [name for name in ("clientIP", "http.route", "server.address", "x_request_id") if is_private(name)]
    ['clientIP']
    >>> all(is_private(name) for name in ("request", "url.full", "http_x_forwarded_for", "remote_addr"))
    True
    """
    words = [word.lower() for word in _WORDS.findall(field)]
    if "".join(words) in PRIVATE_NAMES:
        return True
    for at, word in enumerate(words):
        if word in ADDRESS_WORDS and not OWN_SIDE & set(words[:at]):
            return True
        if word == "client" and CLIENT_APPLICATION & set(words[at + 1 :]):
            continue
        if word in PRIVATE_WORDS:
            return True
    return False


def looks_private(name: str) -> str | None:
    """Return what kind of private value a text looks like, None if it may be a name.

    >>> looks_private("10.0.0.7:8080"), looks_private("npd-v2"), looks_private("/citizens/{id}")
    ('an address', None, None)
    """
    return next((told for shape, told in _LOOKS_PRIVATE if shape.search(name)), None)
