"""Shared by the parts of a mapper: places of fields, errors that name a key of the map, bounded caches."""

from collections.abc import Sequence
from typing import Any, Final

MOST_CACHED: Final = 8_192

Values = Sequence[Any]
"""The values of a call's fields, in the order of `Places.names`."""


class Places:
    """The fields that are read, in the order in which they were first requested."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def of(self, field: str) -> int:
        """Return the place of a field among the values."""
        if field not in self.names:
            self.names.append(field)
        return self.names.index(field)


class MapError(ValueError):
    """An invalid map; ``path`` leads to the key at fault."""

    def __init__(self, reason: str, *path: str | int) -> None:
        self.path = path
        super().__init__(reason)


class at:  # noqa: N801 - it reads as a word
    """Context manager: a `ValueError` raised within it becomes a `MapError` with this path in the map."""

    def __init__(self, *path: str | int) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        """Turn a `ValueError` into a `MapError`."""
        if isinstance(error, ValueError) and not isinstance(error, MapError):
            raise MapError(str(error), *self._path) from error


def remember(known: dict[Any, Any], key: Any, value: Any) -> None:
    """Store a result in a cache, which is emptied when it is full."""
    if len(known) >= MOST_CACHED:
        known.clear()
    known[key] = value
