"""Which values of a span the maps ask for, and where each goes.

A field is an attribute of the span or of its resource, by its new name, or one of `OWN`, which are the
span's own. The span's attributes go before those of the resource.
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
"""What maps may ask of a span besides its attributes."""
URLS: Final = ("url.full", "http.url")
EXCEPTION: Final = "exception"
EXCEPTION_TYPE: Final = "exception.type"
LONGEST_VALUE: Final = 2_048
"""Of a longer text no more is looked at."""


class Wanted:
    """The places of values, shared by all maps, and the values of each map out of them."""

    def __init__(self, mappers: Iterable[Mapper]) -> None:
        names: dict[str, int] = {}
        of_maps = [[names.setdefault(name, len(names)) for name in mapper.fields] for mapper in mappers]
        self.count = len(names)
        self.own = {name: names[name] for name in OWN if name in names}
        """Places of the span's own values that are asked for."""
        self.attributes = {name: place for name, place in names.items() if name not in OWN}
        """Places of attributes by their new names."""
        self.old = [
            {old: self.attributes[new] for old, new in old_names(kind).items() if new in self.attributes}
            for kind in KINDS
        ]
        """Places of attributes by their old names, by the number of the span's kind."""
        self.host = self.attributes.get("server.address")
        """Where the name of the host goes; a span that does not name it may have it in its address."""
        self.error = self.attributes.get("error.type")
        """Where the kind of error goes; a span that does not name it may have noted an exception."""
        every = list(range(self.count))
        self._places: list[list[int] | None] = [None if places == every else places for places in of_maps]
        """The places of a map's values, None where they are all of them in order."""

    def base(self, attributes: Mapping[str, Any]) -> list[Any]:
        """Return the values that all spans of a resource have from its attributes."""
        base: list[Any] = [None] * self.count
        for old, place in self.old[0].items():
            if old in attributes:
                base[place] = renewed(old, attributes[old])
        for name, place in self.attributes.items():
            if name in attributes:
                base[place] = attributes[name]
        return base

    def of(self, number: int, values: list[Any]) -> list[Any]:
        """Return the values of a map, by its number, out of all that are asked for."""
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
    """Return the host in an address, None where there is none.

    >>> host_in("https://npd.example:8443/citizens/1"), host_in("/citizens/1")
    ('npd.example', None)
    """
    try:
        return urlsplit(address[:LONGEST_VALUE]).hostname if isinstance(address, str) else None
    except ValueError:
        return None
