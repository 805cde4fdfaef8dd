"""Extracts the values of some fields from JSON objects without decoding anything else.

A field is named as in the object, with dots for nested objects (``latencies.request``); a name that itself
contains dots is found as well.
"""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Final

import msgspec

from streams.ingest.values import RejectedRecordError
from streams.intake.text import mended

Tree = dict[str, Any]

_any: Final = msgspec.json.Decoder(dict[str, Any])
NOT_AN_OBJECT: Final = "not a JSON object"


class Objects:
    """Decodes the fields of the given names."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = fields
        tree: Tree = {}
        self._nested_in_value = False
        for name in fields:
            tree.setdefault(name, {})
            parts = name.split(".")
            if len(parts) > 1 and all(parts):
                inner = tree
                for part in parts:
                    inner = inner.setdefault(part, {})
                self._nested_in_value = self._nested_in_value or parts[0] in fields
        self._names: dict[str, str] = {}
        self._decoder = msgspec.json.Decoder(self._struct("Line", tree))
        paths = [self._path(name.split("."), name) for name in fields]
        get = attrgetter(*paths)
        self._get = get if len(fields) > 1 else lambda found: (get(found),)
        self._dotted = [
            (at, attrgetter(self._names[name])) for at, name in enumerate(fields) if self._path_is_deep(name)
        ]

    def _path_is_deep(self, name: str) -> bool:
        return "." in name and all(name.split("."))

    def _attribute(self, name: str) -> str:
        return self._names.setdefault(name, f"f{len(self._names)}")

    def _struct(self, title: str, tree: Tree) -> type[msgspec.Struct]:
        """Return a type with a field for each name, recursively."""
        fields: list[Any] = []
        rename = {}
        for name, inner in tree.items():
            attribute = self._attribute(name)
            rename[attribute] = name
            if inner:
                type_ = self._struct(f"{title}_{attribute}", inner)
                fields.append((attribute, type_, msgspec.field(default_factory=type_)))
            else:
                fields.append((attribute, Any, None))
        return msgspec.defstruct(title, fields, rename=rename, gc=False)

    def _path(self, parts: list[str], name: str) -> str:
        if not self._path_is_deep(name):
            return self._attribute(name)
        return ".".join(self._attribute(part) for part in parts)

    def lines(self, data: bytes) -> list[Sequence[Any]] | None:
        """Return the values of each line, None if any line is not exactly one plain object."""
        if self._nested_in_value:
            return None
        try:
            return [self._values(found) for found in self._decoder.decode_lines(data)]
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def one(self, document: bytes) -> Sequence[Any]:
        """Return the values of one object; invalid text in it is replaced.

        Raises `RejectedRecordError` if it is not an object.
        """
        if not self._nested_in_value:
            try:
                return self._values(self._decoder.decode(document))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                pass
        try:
            found = _any.decode(mended(document))
        except RecursionError:
            raise RejectedRecordError(f"{NOT_AN_OBJECT}: nested too deep") from None
        except msgspec.DecodeError as error:
            reason = str(error).removeprefix("JSON is malformed: ")
            raise RejectedRecordError(f"{NOT_AN_OBJECT}: {reason}") from error
        return [_value_in(found, name) for name in self._fields]

    def _values(self, found: Any) -> Sequence[Any]:
        values: Sequence[Any] = self._get(found)
        if self._dotted:
            values = list(values)
            for at, whole in self._dotted:
                if values[at] is None:
                    values[at] = whole(found)
        return values


def _value_in(found: dict[str, Any], name: str) -> Any:
    """Return the value under a name, which may lead into nested objects."""
    if name in found:
        return found[name]
    inner: Any = found
    for part in name.split("."):
        if not isinstance(inner, dict):
            return None
        inner = inner.get(part)
    return inner
