"""SQL over logs and results, by DuckDB.

A log offers the tables `records`, `lookups`, `submissions` and `heartbeats`; results offer `measurements`,
`windows`, `outages` and `final_outages`. `docs/replay.md` lists their columns, and a test checks the list.

`logged_at` and `occurred_at` are moments in Asia/Ho_Chi_Minh. The tables of a log exist if the files include
a log (NDJSON, plain or compressed with Zstandard or gzip, Parquet, or a captured folder), those of results if
they include a result folder or file. Nothing is copied: the views read the files.
"""

# ruff: noqa: S608 - the statements are made of names in this file and of quoted paths

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from streams.logs.file import Form, LogFileError, first_line, form_in
from streams.logs.folder import read_manifest
from streams.model.topics import LOOKUPS, SUBMISSIONS
from streams.replay.results import FILES, ResultFileError, kind_of

if TYPE_CHECKING:
    import duckdb

LINE_TYPES: Final = (
    "{topic: 'VARCHAR', partition: 'INTEGER', \"offset\": 'BIGINT', logged_at_ms: 'BIGINT', "
    "key: 'VARCHAR', value: 'JSON'}"
)
_LOOKUP: Final = ("event_id", "type", "lookup_id", "dossier_id", "link", "agency", "service", "observer")
_SUBMISSION: Final = (
    "event_id",
    "type",
    "dossier_id",
    "portal",
    "agency",
    "service",
    "channel",
    "blocked_by",
)


class QueryError(ValueError):
    """DuckDB refused a statement or a file; the message is DuckDB's or names the file."""


def connect(files: Sequence[Path]) -> "duckdb.DuckDBPyConnection":
    """Return an in-memory database with a view for each table that the files offer.

    Raise `QueryError` naming a file that is neither log nor result.
    """
    import duckdb  # noqa: PLC0415 - heavy, and needed by this command alone

    logs, results = _sort(files)
    database = duckdb.connect(config={"autoinstall_known_extensions": False})
    try:
        database.execute("SET enable_progress_bar = false")
        database.execute("SET TimeZone = 'Asia/Ho_Chi_Minh'")
        if logs:
            _create_log_views(database, logs)
        for name, paths in results.items():
            database.execute(
                f"CREATE VIEW {name} AS FROM read_json([{_quoted(paths)}], format='newline_delimited')"
            )
        if "outages" in results:
            database.execute(
                "CREATE VIEW final_outages AS SELECT * FROM outages WHERE status <> 'retracted' "
                "QUALIFY row_number() OVER (PARTITION BY outage_id ORDER BY revision DESC) = 1"
            )
    except duckdb.Error as error:
        database.close()
        raise QueryError(str(error)) from error
    return database


def run(sql: str, files: Sequence[Path]) -> tuple[list[str], list[tuple[object, ...]]]:
    """Return the column names and rows of a statement over the files; raise `QueryError`."""
    import duckdb  # noqa: PLC0415 - as above

    with connect(files) as database:
        try:
            result = database.execute(sql)
            return [column[0] for column in result.description or ()], result.fetchall()
        except duckdb.Error as error:
            raise QueryError(f"{error}\ntables here: {', '.join(tables(database))}") from error


def tables(database: "duckdb.DuckDBPyConnection") -> list[str]:
    """Return the names of the tables."""
    found = database.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1").fetchall()
    return [str(row[0]) for row in found]


def _sort(files: Iterable[Path]) -> tuple[list[Path], dict[str, list[Path]]]:
    """Separate logs from results, with folders resolved to their files."""
    logs: list[Path] = []
    results: dict[str, list[Path]] = {}
    for path in files:
        if path.is_dir() and any((path / f"{name}.ndjson").is_file() for name in FILES):
            for name in FILES:
                if (path / f"{name}.ndjson").is_file():
                    results.setdefault(name, []).append(path / f"{name}.ndjson")
        elif path.is_dir():
            try:
                logs += [path / segment.file for segment in read_manifest(path).segments]
            except LogFileError as error:
                raise QueryError(f"{path} is neither a captured log nor results ({error})") from error
        elif _is_log(path):
            logs.append(path)
        else:
            try:
                results.setdefault(kind_of(path), []).append(path)
            except ResultFileError as error:
                raise QueryError(str(error)) from error
    return logs, results


def _is_log(path: Path) -> bool:
    try:
        if form_in(path) == "parquet":
            return True
        first = first_line(path)
        return not first or "logged_at_ms" in msgspec.json.decode(first, type=dict[str, msgspec.Raw])
    except LogFileError as error:
        raise QueryError(str(error)) from error
    except (OSError, ValueError) as error:
        raise QueryError(f"{path}: {error}") from error


def _create_log_views(database: "duckdb.DuckDBPyConnection", logs: Sequence[Path]) -> None:
    forms: dict[Form, list[Path]] = {}
    for path in logs:
        forms.setdefault(form_in(path), []).append(path)
    compressions: dict[Form, str] = {"plain": "uncompressed", "zst": "zstd", "gz": "gzip"}
    parts = []
    for form, compression in compressions.items():
        if paths := forms.get(form):
            parts.append(
                'SELECT topic, partition, "offset", logged_at_ms, key, value FROM read_json('
                f"[{_quoted(paths)}], format='newline_delimited', compression='{compression}', "
                f"columns={LINE_TYPES}, maximum_object_size=16777216)"
            )
    if parquet := forms.get("parquet"):
        parts.append(
            'SELECT topic, partition, "offset", logged_at_ms, try(decode(key)) AS key, '
            f"try(decode(value)::JSON) AS value FROM read_parquet([{_quoted(parquet)}])"
        )
    database.execute(
        "CREATE VIEW records AS SELECT *, epoch_ms(logged_at_ms)::TIMESTAMP AT TIME ZONE 'UTC' AS logged_at "
        f"FROM ({' UNION ALL '.join(parts)})"
    )
    database.execute(
        f'CREATE VIEW lookups AS SELECT partition, "offset", logged_at_ms, {_texts(_LOOKUP)}, {_moment()}, '
        "(value->>'attempt')::INTEGER AS attempt, value->>'outcome' AS outcome, "
        "(value->>'status_code')::INTEGER AS status_code, "
        "coalesce((value->>'synthetic')::BOOLEAN, false) AS synthetic "
        f"FROM records WHERE topic LIKE '{LOOKUPS}%' AND value->>'type' LIKE 'lookup.%'"
    )
    database.execute(
        f'CREATE VIEW submissions AS SELECT partition, "offset", logged_at_ms, {_texts(_SUBMISSION)}, '
        f"{_moment()} FROM records WHERE topic LIKE '{SUBMISSIONS}%' AND value->>'type' LIKE 'submission.%'"
    )
    database.execute(
        f'CREATE VIEW heartbeats AS SELECT topic, partition, "offset", logged_at_ms, {_moment()}, '
        "value->>'observer' AS observer, (value->'links')::VARCHAR[] AS links, "
        "coalesce((value->>'interval_ms')::INTEGER, 1000) AS interval_ms "
        "FROM records WHERE value->>'type' = 'observer.heartbeat'"
    )


def _texts(names: Iterable[str]) -> str:
    return ", ".join(f"value->>'{name}' AS {name}" for name in names)


def _moment() -> str:
    at_ms = "(value->>'occurred_at_ms')::BIGINT"
    return f"{at_ms} AS occurred_at_ms, epoch_ms({at_ms})::TIMESTAMP AT TIME ZONE 'UTC' AS occurred_at"


def _quoted(paths: Iterable[Path]) -> str:
    return ", ".join("'" + str(path).replace("'", "''") + "'" for path in paths)
