"""Convert YAML into typed data; errors name file, line and reason.

Documents may be hostile, so their expanded size is bounded before anything is built from them.
"""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final, TypeVar

import msgspec
import yaml

T = TypeVar("T")

MOST_NODES: Final = 300_000
"""The most nodes that a document may have with its aliases expanded."""
DEEPEST: Final = 40
MOST_NAMED: Final = 40
"""The most values that an error lists."""
_WHERE: Final = re.compile(r" - at `(key` in `)?\$(?P<path>[^`]*)`$")
_UNKNOWN: Final = re.compile("unknown field `([^`]+)`")
_NO_SUCH: Final = re.compile(r"Invalid enum value '?([^']*)'?")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


class _Loader(yaml.CSafeLoader):
    """The safe loader, except that times stay text: they are local, and YAML would read them as UTC."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


class LocatedError(ValueError):
    """A YAML document that cannot be used; the message names file, line and reason."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        self.file, self.line, self.reason = file, line, reason
        super().__init__(f"{file}:{line}: {reason}")


class Located:
    """A parsed YAML document that knows the line of each of its parts."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        try:
            self._refuse_too_much(text)
            root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
            self.data: Any = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe loader
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise LocatedError(file, line, error.problem or "not readable as YAML") from error
        except yaml.YAMLError as error:
            raise LocatedError(file, 1, f"not readable as YAML: {error}") from error
        except (ArithmeticError, AttributeError, RecursionError, TypeError, ValueError) as error:
            if isinstance(error, LocatedError):
                raise
            # A tag such as `!!int` on a value that is not an integer: the library leaks Python errors.
            raise LocatedError(file, 1, f"not readable as YAML: {error}") from error
        if root is None:
            raise LocatedError(file, 1, "the file is empty")
        self._root = root
        self._refuse_repeated_keys(root)

    def line(self, *path: str | int) -> int:
        """Return the line, from 1, of the part at ``path``, or of the nearest part above it."""
        node: yaml.Node = self._root
        line: int = node.start_mark.line + 1
        for step in path:
            found: yaml.Node | None = None
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(step):
                        found, line = value, key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
                found = node.value[step]
                line = found.start_mark.line + 1
            if found is None:
                return line
            node = found
        return line

    def has(self, *path: str | int) -> bool:
        """Return whether there is a part at ``path``."""
        part: Any = self.data
        for step in path:
            try:
                part = part[step]
            except (KeyError, IndexError, TypeError):
                return False
        return True

    def error(self, reason: str, *path: str | int) -> LocatedError:
        """Return the error that says what is wrong with the part at ``path``."""
        return LocatedError(self.file, self.line(*path), reason)

    def convert(self, type_: type[T]) -> T:
        """Return the document as ``type_``; raise `LocatedError` at the part that does not fit."""
        try:
            return msgspec.convert(self.data, type_, strict=True)
        except msgspec.ValidationError as error:
            text = str(error)
            found = _WHERE.search(text)
            reason, path = text, []
            if found is not None:
                reason, path = text[: found.start()], self._path(found["path"])
            allowed = _allowed(msgspec.inspect.type_info(type_), path, key=bool(found and found[1]))
            if unknown := _UNKNOWN.search(reason) or _NO_SUCH.search(reason):
                reason += f"; {one_of(unknown[1], allowed)}" if allowed else ""
                path.append(unknown[1])
            raise self.error(reason, *path) from error

    def _path(self, where: str) -> list[str | int]:
        """Parse msgspec's path up to a ``[...]``, which stands for some value of a mapping."""
        path: list[str | int] = []
        for name, index in _STEP.findall(where):
            if index == "...":
                break
            path.append(int(index) if index else name)
        return path

    def _refuse_too_much(self, text: str) -> None:
        """Refuse a document that nests too deeply, or is too large with its aliases expanded."""
        sizes: dict[str, int] = {}
        opened: list[tuple[str | None, int]] = []
        nodes = 0
        for event in yaml.parse(text, Loader=_Loader):
            line = event.start_mark.line + 1 if event.start_mark else 1
            if isinstance(event, yaml.AliasEvent):
                if any(anchor == event.anchor for anchor, _ in opened):
                    raise LocatedError(
                        self.file, line, f"`*{event.anchor}` refers to a value that contains it"
                    )
                nodes += sizes.get(event.anchor or "", 0)
            elif isinstance(event, yaml.NodeEvent):
                nodes += 1
                if isinstance(event, yaml.CollectionStartEvent):
                    opened.append((event.anchor, nodes))
                elif event.anchor is not None:
                    sizes[event.anchor] = 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = opened.pop()
                if anchor is not None:
                    sizes[anchor] = nodes - before + 1
            if nodes > MOST_NODES:
                raise LocatedError(self.file, line, f"more than {MOST_NODES:,} values with aliases expanded")
            if len(opened) > DEEPEST:
                raise LocatedError(self.file, line, f"nested more than {DEEPEST} deep")

    def _refuse_repeated_keys(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    raise LocatedError(
                        self.file, key.start_mark.line + 1, "a key must be a word, not a list or a mapping"
                    )
                if key.value in seen:
                    raise LocatedError(
                        self.file, key.start_mark.line + 1, f"`{key.value}` appears twice in one mapping"
                    )
                seen.add(key.value)
                self._refuse_repeated_keys(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                self._refuse_repeated_keys(value)


def one_of(name: str, allowed: Iterable[str]) -> str:
    """Return the end of a message that lists the allowed values, the closest to ``name`` first.

    >>> one_of("hcmc-ndp", ["hanoi-npd", "hcmc-npd", "police-npd"])
    'one of hcmc-npd, hanoi-npd, police-npd'
    """
    names = sorted(set(allowed))
    near = get_close_matches(name, names, n=3)
    ordered = [*near, *(other for other in names if other not in near)]
    more = len(ordered) - MOST_NAMED
    return f"one of {', '.join(ordered[:MOST_NAMED])}" + (f" and {more} more" if more > 0 else "")


def _allowed(type_: msgspec.inspect.Type, path: Iterable[str | int], *, key: bool) -> list[str]:
    """Return the values that the type at a path allows, or the fields that it has."""
    here: msgspec.inspect.Type | None = type_
    for step in path:
        here = _below(here, step)
    for one in _alternatives(here):
        match one:
            case msgspec.inspect.DictType(key_type=msgspec.inspect.LiteralType(values=values)) if key:
                return [str(value) for value in values]
            case msgspec.inspect.LiteralType(values=values):
                return [str(value) for value in values]
            case msgspec.inspect.StructType(fields=fields):
                return [field.encode_name for field in fields]
    return []


def _below(type_: msgspec.inspect.Type | None, step: str | int) -> msgspec.inspect.Type | None:
    for one in _alternatives(type_):
        match one:
            case msgspec.inspect.StructType(fields=fields):
                return next((field.type for field in fields if field.encode_name == step), None)
            case msgspec.inspect.DictType(value_type=value_type):
                return value_type
            case msgspec.inspect.ListType(item_type=item_type):
                return item_type
    return None


def _alternatives(type_: msgspec.inspect.Type | None) -> Iterable[msgspec.inspect.Type]:
    while isinstance(type_, msgspec.inspect.Metadata):
        type_ = type_.type
    if isinstance(type_, msgspec.inspect.UnionType):
        return type_.types
    return () if type_ is None else (type_,)
