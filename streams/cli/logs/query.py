"""`portallink query`: SQL over logs and results."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.outcome import notes, print_json, refuse
from streams.cli.table import Column, show_table
from streams.replay.query import QueryError, run

ROWS_SHOWN = 200
LONG_TEXT = 60


def query(
    sql: Annotated[str, typer.Argument(help="An SQL statement of DuckDB's dialect.")],
    files: Annotated[
        list[Path], typer.Argument(help="Log files, captured folders, result folders or files.")
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print all rows as JSON objects.")] = False,
) -> None:
    """Query captured logs and results by SQL.

    A log has the tables records, lookups, submissions and heartbeats; results have measurements, windows,
    outages and final_outages. docs/replay.md lists their columns. Times are Asia/Ho_Chi_Minh.
    """
    try:
        columns, rows = run(sql, files)
    except QueryError as error:
        refuse(error)
    if as_json:
        print_json([dict(zip(columns, map(_plain, row), strict=True)) for row in rows])
        return
    shown = [["" if value is None else str(_plain(value)) for value in row] for row in rows[:ROWS_SHOWN]]
    long = [any(len(row[at]) > LONG_TEXT for row in shown) for at in range(len(columns))]
    # The statement names first what matters most.
    show_table([Column(name, at, wrapped=long[at]) for at, name in enumerate(columns)], shown)
    if len(rows) > ROWS_SHOWN:
        notes.print(f"and {len(rows) - ROWS_SHOWN:,} more rows; --json prints all")


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)
