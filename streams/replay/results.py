"""Results of the pipeline, typed: measurements, windows and outages, from an analysis or read from files."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import eq
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar, cast, overload

import msgspec

from streams.model.border import UNREADABLE
from streams.model.canonical import final_outages
from streams.model.measurement import Measurement, RecordCounts
from streams.model.outage import Outage, Window
from streams.replay.packed import Packed
from streams.replay.shown import table_html, timeline_svg

if TYPE_CHECKING:
    import polars as pl

Row = TypeVar("Row", bound=msgspec.Struct)

FILES: Final = {"measurements": Measurement, "windows": Window, "outages": Outage}
"""The files of a result folder (`<name>.ndjson`), and what each line of them is."""


class ResultFileError(ValueError):
    """A result file that cannot be read; the message names file, line and reason."""

    def __init__(self, path: Path, line: int, reason: str) -> None:
        self.path, self.line, self.reason = path, line, reason
        super().__init__(f"{path}:{line}: {reason}")


class Table(Sequence[Row], Generic[Row]):
    """Rows of one kind, in canonical order."""

    def __init__(self, kind: type[Row], rows: Iterable[Row] = ()) -> None:
        self._kind = kind
        self._rows: Sequence[Row] = rows if isinstance(rows, Packed) else list(rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        rows = self._rows
        return list(rows[index]) if isinstance(index, slice) else rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and len(self) == len(other) and all(map(eq, self._rows, other._rows))

    def __hash__(self) -> int:
        raise TypeError("a table is mutable in what it holds")

    def __repr__(self) -> str:
        return f"<{len(self)} {self._kind.__name__} rows; .to_polars() gives a data frame>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the first rows."""
        return table_html(self._kind, self)

    def to_polars(self) -> "pl.DataFrame":
        """Return the rows as a data frame with one column per field; `_ms` columns are in milliseconds.

        Every moment `x_ms` (start, end, detected, watermark) is also given as `x` in Asia/Ho_Chi_Minh. Counts
        by name (outcomes, states) become structs or lists of structs.
        """
        import polars as pl  # noqa: PLC0415 - heavy, and needed in notebooks only

        frame = pl.DataFrame([_flat(row) for row in self._rows], infer_schema_length=None, strict=False)
        if not self._rows:
            return pl.DataFrame(schema=[item.name for item in msgspec.structs.fields(self._kind)])
        moments = [name for name in MOMENTS if name in frame.columns]
        return frame.with_columns(
            pl.from_epoch(pl.col(name).cast(pl.Int64), time_unit="ms")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone("Asia/Ho_Chi_Minh")
            .alias(name.removesuffix("_ms"))
            for name in moments
        )


MOMENTS: Final = ("start_ms", "end_ms", "detected_at_ms", "watermark_ms")


def _flat(row: msgspec.Struct) -> dict[str, object]:
    """Return a row as plain columns; a measurement's sums become JSON, its source separate columns."""
    content: dict[str, object] = msgspec.to_builtins(row, str_keys=True)
    if isinstance(row, Measurement):
        source, records = msgspec.to_builtins(row.source), msgspec.structs.asdict(row.records)
        nested = {name: msgspec.json.encode(content.get(name, [])).decode() for name in ("links", "portals")}
        return {**source, "watermark_ms": row.watermark_ms, **records, **nested}
    return content


@dataclass
class Results:
    """The pipeline's results for a log.

    ``outages`` and ``windows`` hold every revision; `final` the outages that stand. ``records`` counts how
    each record of the log ended, and is empty for results read from files without measurements.
    """

    measurements: Table[Measurement] = field(default_factory=lambda: Table(Measurement))
    windows: Table[Window] = field(default_factory=lambda: Table(Window))
    outages: Table[Outage] = field(default_factory=lambda: Table(Outage))
    records: RecordCounts = field(default_factory=RecordCounts)

    def final(self) -> Table[Outage]:
        """Return the last revision of each outage that stands, by start, then link."""
        return Table(Outage, final_outages(self.outages))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the outages that stand, drawn over the time of the log and listed."""
        final = self.final()
        times = [window.start_ms for window in self.windows] + [outage.start_ms for outage in final]
        ends = [window.end_ms for window in self.windows] + [one.end_ms or one.start_ms for one in final]
        drawn = timeline_svg(final, min(times), max(ends)) if final else "<p>no outages</p>"
        return drawn + final._repr_html_()


def read_results(path: Path) -> Results:
    """Return the results in a folder (`analyze --out`) or one of its files, recognised by their fields.

    Raises `ResultFileError`, naming file and line, if something is not a result.
    """
    found: dict[str, list[object]] = {name: [] for name in FILES}
    if path.is_dir():
        present = [name for name in FILES if (path / f"{name}.ndjson").is_file()]
        if not present:
            expected = ", ".join(f"{name}.ndjson" for name in FILES)
            raise ResultFileError(path, 1, f"holds no results: none of {expected}")
        for name in present:
            found[name] = list(_read(path / f"{name}.ndjson", FILES[name]))
    else:
        name = kind_of(path)
        found[name] = list(_read(path, FILES[name]))
    measurements = cast("list[Measurement]", found["measurements"])
    return Results(
        measurements=Table(Measurement, measurements),
        windows=Table(Window, cast("list[Window]", found["windows"])),
        outages=Table(Outage, cast("list[Outage]", found["outages"])),
        records=sum_of(measurements),
    )


def sum_of(measurements: Iterable[Measurement]) -> RecordCounts:
    """Return how the records of all measurements ended."""
    records = RecordCounts()
    for measurement in measurements:
        for name in ("applied", "duplicate", "late", "dead_letter"):
            setattr(records, name, getattr(records, name) + getattr(measurement.records, name))
    return records


def kind_of(path: Path) -> str:
    """Return the kind of result in a file, judged by its first line."""
    try:
        with path.open("rb") as file:
            first = next((line for line in file if not line.isspace()), b"")
        fields = msgspec.json.decode(first, type=dict[str, msgspec.Raw]) if first else {"outage_id": b""}
    except OSError as error:
        raise ResultFileError(path, 1, str(error)) from error
    except UNREADABLE as error:
        raise ResultFileError(path, 1, f"not a line of results: {error}") from error
    if "outage_id" in fields:
        return "outages"
    if "source" in fields and "watermark_ms" in fields:
        return "measurements"
    if "state_ms" in fields:
        return "windows"
    if "logged_at_ms" in fields:
        raise ResultFileError(
            path, 1, "a log, not a result; `portallink analyze LOG --out DIR` makes results"
        )
    raise ResultFileError(path, 1, "neither measurements nor windows nor outages")


def _read(path: Path, kind: type[object]) -> Iterator[object]:
    decoder = msgspec.json.Decoder(kind)
    number = 1
    try:
        with path.open("rb") as file:
            for line in file:
                if not line.isspace():
                    yield decoder.decode(line)
                number += 1
    except UNREADABLE as error:
        raise ResultFileError(path, number, str(error)) from error
    except OSError as error:
        raise ResultFileError(path, 1, str(error)) from error
