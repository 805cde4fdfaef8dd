"""The pipeline as a library: paths in, typed tables and data frames out."""

from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from streams.detect.rule.definition import Rule
from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.model.record import Record
from streams.model.settings import Settings
from streams.replay.analyze import analyze as run_pipeline
from streams.replay.explain import Explanation
from streams.replay.explain import explain as trace
from streams.replay.plot import svg_of
from streams.replay.query import connect
from streams.replay.results import Results, Table, read_results
from streams.replay.rulefile import read_rule

if TYPE_CHECKING:
    import polars as pl


def analyze(
    log: str | Path | Iterable[Record],
    rule: Rule | str | Path | None = None,
    *,
    settings: Settings | None = None,
) -> Results:
    """Run the pipeline over a log: a file, a captured folder, or records.

    ``rule`` is a `Rule`, or the path of a rule file; None for the built-in one and those in the log.
    ``settings`` default to those of a captured folder, otherwise to the built-in ones.

    Raises:
        LogFileError: the log cannot be read; the message names the line.
        RuleFileError: the rule file cannot be used.
    """
    source = Path(log) if isinstance(log, str) else log
    chosen = read_rule(Path(rule)) if isinstance(rule, str | Path) else rule
    analysis = run_pipeline(source, chosen, settings)
    return Results(
        measurements=Table(Measurement, analysis.measurements),
        windows=Table(Window, analysis.windows),
        outages=Table(Outage, analysis.outages),
        records=analysis.records,
    )


def read(path: str | Path) -> Results:
    """Return results written by `portallink analyze --out`: the folder, or one of its files."""
    return read_results(Path(path))


class Explained(Explanation, frozen=True):
    """An explanation that a notebook draws."""

    def _repr_html_(self) -> str:
        """Return the plot, and below it the reasons."""
        drawn = svg_of(self).decode()
        reasons = "".join(f"<li>{escape(reason)}</li>" for reason in self.reasons())
        return drawn[drawn.index("<svg") :] + f"<ul>{reasons}</ul>"


def explain(outage: str, log: str | Path, rule: Rule | str | Path | None = None) -> Explained:
    """Return why an outage opened and closed; as the last value of a notebook's cell it draws itself.

    ``outage`` is its id or the beginning of it, or its link if that had only one. Raises `LogFileError` where
    the log cannot be read, `UnknownOutageError` where it has no such outage, `RuleFileError` for the rule.
    """
    chosen = read_rule(Path(rule)) if isinstance(rule, str | Path) else rule
    return Explained(**structs.asdict(trace(outage, log, chosen)))


def query(sql: str, *files: str | Path) -> "pl.DataFrame":
    """Return the answer of an SQL statement over logs and results; see `streams.replay.query` for the tables.

    Raises `QueryError` for a statement or a file that cannot be used.
    """
    with connect([Path(path) for path in files]) as database:
        frame: pl.DataFrame = database.sql(sql).pl()
        return frame
