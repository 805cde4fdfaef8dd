"""Tables of the ledger's commands, in the language asked for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from streams.cli.table import Cell, Column, show_table
from streams.serve.texts import Language, text


def heading(key: str, language: Language) -> str:
    """Return a text as it stands in a table: with a small letter, unless it begins with an abbreviation."""
    said = text(key, language)
    return said if said[1:2].isupper() else said[:1].lower() + said[1:]


def show_table_in(
    language: Language,
    columns: Mapping[str, Column],
    rows: Iterable[Sequence[Cell]],
    title: str | None = None,
) -> None:
    """Print a table whose columns are headed by texts: ``columns`` are by the keys of those."""
    named = [replace(column, heading=heading(key, language)) for key, column in columns.items()]
    show_table(
        named, rows, title=title, left_out=lambda names: text("columns_left_out", language, names=names)
    )
