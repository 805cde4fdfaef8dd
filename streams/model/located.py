"""YAML into typed data, with file, line and reason for whatever is wrong with it."""

import re
from typing import Any, Final, TypeVar

import msgspec
import yaml

T = TypeVar("T")

_UNKNOWN: Final = re.compile("unknown field `([^`]+)`")
_STEP: Final = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


class _Loader(yaml.CSafeLoader):
    """The safe loader, with times left as the text they are: they are local, and YAML would say UTC."""


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
    """A parsed YAML document that still knows where each part stands."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        try:
            root: yaml.Node | None = yaml.compose(text, Loader=_Loader)
            self.data: Any = yaml.load(text, Loader=_Loader)  # noqa: S506 - it is a safe loader
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise LocatedError(file, line, error.problem or "not readable as YAML") from error
        except yaml.YAMLError as error:
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

    def error(self, reason: str, *path: str | int) -> LocatedError:
        """Return the error that says what is wrong with the part at ``path``."""
        return LocatedError(self.file, self.line(*path), reason)

    def convert(self, type_: type[T]) -> T:
        """Return the document as ``type_``; raise `LocatedError` at the part that does not fit."""
        try:
            return msgspec.convert(self.data, type_, strict=True)
        except msgspec.ValidationError as error:
            reason, _, where = str(error).partition(" - at `$")
            path = self._path(where.rstrip("`"))
            if unknown := _UNKNOWN.search(reason):
                path.append(unknown[1])
            raise self.error(reason, *path) from error

    def _path(self, where: str) -> list[str | int]:
        """Return msgspec's path; ``[...]`` stands for "some value of a mapping" and ends it there."""
        path: list[str | int] = []
        for name, index in _STEP.findall(where):
            if index == "...":
                break
            path.append(int(index) if index else name)
        return path

    def _refuse_repeated_keys(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                if key.value in seen:
                    raise LocatedError(
                        self.file, key.start_mark.line + 1, f"`{key.value}` stands twice in one mapping"
                    )
                seen.add(key.value)
                self._refuse_repeated_keys(value)
        elif isinstance(node, yaml.SequenceNode):
            for value in node.value:
                self._refuse_repeated_keys(value)
