"""Makes names from fields: a template, then patterns, a table, and a fallback.

A link has few names, so each is computed only once; a path is matched against the patterns whenever it is not
in the cache.
"""

from collections.abc import Callable
from re import compile as compile_pattern
from typing import Any, Final

from streams.ingest.mapping.patterns import PatternError, compiled
from streams.ingest.mapping.places import Places, Values, remember
from streams.ingest.mapping.private import is_private, looks_private
from streams.ingest.mapping.said import Name, NameSaid
from streams.ingest.values import RejectedRecordError, fit, text_of

NAME_LENGTH: Final = 200
LONGEST_LOOKED_AT: Final = 2_048
_FIELD: Final = compile_pattern(r"\{([^{}]+)\}")

ReadName = Callable[[Values], str]
"""Returns a name, empty if none of its fields has a value; raises `RejectedRecordError`."""


class NameSaidError(ValueError):
    """A template or pattern that cannot be used, or would reveal private data; the message says why."""


def template_reader(template: str, places: Places) -> ReadName:
    """Return a function that fills a template; if a field in it has no value, the result is empty.

    ``{a|b}`` is the first of two fields that has a value.
    """
    parts = _FIELD.split(template)
    literals = parts[::2]
    fields = [[places.of(name) for name in part.split("|")] for part in parts[1::2]]
    if "{" in "".join(literals) or "}" in "".join(literals):
        raise NameSaidError(f"`{template}`: unbalanced braces")
    if not fields:
        return lambda _: template
    if len(fields) == 1 and len(fields[0]) == 1 and not any(literals):
        only = fields[0][0]
        return lambda values: text_of(values[only])

    def fill(values: Values) -> str:
        filled = literals[0]
        for choice, literal in zip(fields, literals[1:], strict=True):
            value = next((text for place in choice if (text := text_of(values[place]))), "")
            if not value:
                return ""
            filled += value + literal
        return filled

    return fill


def fields_of(template: str) -> list[str]:
    """Return the names of the fields in a template.

    >>> fields_of("{tenant}/{route|service} (test)")
    ['tenant', 'route', 'service']
    """
    return [name for part in _FIELD.findall(template) for name in part.split("|")]


def name_reader(said: Name, places: Places, key: str) -> ReadName:
    """Return a function that makes a name; ``key`` is its key in the map.

    Raises:
        NameSaidError: it cannot be used, or would let a private value through.
    """
    whole = NameSaid(said) if isinstance(said, str) else said
    if whole.otherwise is None and (
        private := [name for name in fields_of(whole.template) if is_private(name)]
    ):
        raise NameSaidError(
            f"`{private[0]}` may hold a path, a query, a user or an address, and names must not: give "
            "`patterns` or `rename`, and `otherwise`, so that its values are not let through"
        )
    fill = template_reader(whole.template, places)
    try:
        patterns = [(compiled(one.match), one.name) for one in whole.patterns]
    except PatternError as error:
        raise NameSaidError(f"a pattern is not a valid regular expression: {error}") from None
    rename, otherwise = whole.rename, whole.otherwise
    seen: dict[Any, str] = {}

    def work_out(value: str) -> str:
        looked_at = value[:LONGEST_LOOKED_AT]
        for shape, name in patterns:
            if shape.search(looked_at):
                return name
        if value in rename:
            return rename[value]
        if otherwise is not None:
            return otherwise
        if value and (told := looks_private(value)):
            raise RejectedRecordError(f"`{key}` would hold {told}; give `rename` or `otherwise` in the map")
        return fit(value, NAME_LENGTH) if value else ""

    parts = _FIELD.split(whole.template)
    only = places.of(parts[1]) if parts[::2] == ["", ""] and "|" not in parts[1] else None

    several = None if "|" in "".join(parts[1::2]) else [places.of(name) for name in parts[1::2]]
    if several is not None and len(several) > 1:
        return _of_several(several, lambda values: work_out(fill(values)))

    def read(values: Values) -> str:
        value = fill(values) if only is None else values[only]
        name = seen.get(value)
        if name is None:
            name = work_out(fill(values))
            remember(seen, value, name)
        return name

    return read


def _of_several(places: list[int], work_out: ReadName) -> ReadName:
    """Return a function that makes a name from several fields, and caches it by their texts."""
    seen: dict[tuple[str | None, ...], str] = {}

    def read(values: Values) -> str:
        given = tuple([values[place] for place in places])
        name = seen.get(given)
        if name is None:
            name = work_out(values)
            if all(one is None or type(one) is str for one in given):  # 1, 1.0 and true are equal as keys
                remember(seen, given, name)
        return name

    return read


def id_reader(template: str | None, places: Places, key: str) -> ReadName | None:
    """Return a function that makes an identifier, None if the map has none.

    Raises:
        NameSaidError: it cannot be used, or would hold a private value.
    """
    if template is None:
        return None
    for name in fields_of(template):
        if is_private(name):
            raise NameSaidError(
                f"`{name}` may hold a path, a query, a user or an address, and `{key}` must not"
            )
    if not fields_of(template):
        raise NameSaidError(f"`{key}` holds no field in braces, so all calls would have the same")
    return template_reader(template, places)
