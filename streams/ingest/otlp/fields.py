"""The values of a span that the maps need, and the place of each.

A field is an attribute of the span or of its resource, by its new name, or one of the span's own fields in
`OWN`. The span's attributes take precedence over those of the resource.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from streams.ingest.mapping.mapper import Mapper
from streams.ingest.otlp.names import KINDS, STATUSES, old_names, renewed

OWN: Final = (
    "trace_id",
    "span_id",
    "parent_span_id",
    "span.name",
    "span.kind",
    "span.status",
    "span.status_message",
    "start_time_unix_nano",
    "end_time_unix_nano",
)
"""Fields of a span, besides its attributes, that maps may use."""
URLS: Final = ("url.full", "http.url")
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
LONGEST_VALUE: Final = 2_048
"""Longer texts are cut at this length."""


class Wanted:
    """Gives the values that any map needs a place, and picks those of one map."""

    def __init__(self, mappers: Iterable[Mapper]) -> None:
        names: dict[str, int] = {}
        of_maps = [[names.setdefault(name, len(names)) for name in mapper.fields] for mapper in mappers]
        self.count = len(names)
        self.own = {name: names[name] for name in OWN if name in names}
        """Places of the span's own fields that are needed."""
        self.attributes = {name: place for name, place in names.items() if name not in OWN}
        """Places of attributes by their new names."""
        self.old = [
            {old: self.attributes[new] for old, new in old_names(kind).items() if new in self.attributes}
            for kind in KINDS
        ]
        """Places of attributes by their old names, by the number of the span's kind."""
        self.host = self.attributes.get("server.address")
        """The place of the host's name, which may also come from the span's URL."""
        self.error = self.attributes.get("error.type")
        """The place of the type of error, which may also come from a recorded exception."""
        every = list(range(self.count))
        self._places: list[list[int] | None] = [None if places == every else places for places in of_maps]
        """The places of each map's values, None if these are all places in order."""

    def base(self, attributes: Mapping[str, Any]) -> list[Any]:
        """Return the values that the spans of a resource share, from the resource's attributes."""
        base: list[Any] = [None] * self.count
        for old, place in self.old[0].items():
            if old in attributes:
                base[place] = renewed(old, attributes[old])
        for name, place in self.attributes.items():
            if name in attributes:
                base[place] = attributes[name]
        return base

    def of(self, number: int, values: list[Any]) -> list[Any]:
        """Return the values for a map, given its number."""
        places = self._places[number]
        return values if places is None else [values[place] for place in places]


def kind_of(number: int) -> str:
    """Return the name of a span's kind.

    >>> kind_of(3), kind_of(99)
    ('client', 'unspecified')
    """
    return KINDS[number] if 0 <= number < len(KINDS) else KINDS[0]


def status_of(number: int) -> str:
    """Return the name of a span's status."""
    return STATUSES[number] if 0 <= number < len(STATUSES) else STATUSES[0]


def host_in(address: Any) -> str | None:
    """Return the host in a URL, None if there is none.

    >>> host_in("https://npd.example:8443/citizens/1"), host_in("/citizens/1")
    ('npd.example', None)
    """
    try:
        return urlsplit(address[:LONGEST_VALUE]).hostname if isinstance(address, str) else None
    except ValueError:
        return None
