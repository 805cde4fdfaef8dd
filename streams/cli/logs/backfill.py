"""`portallink backfill`: a log's metrics at their own dates, as Prometheus blocks."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn
from sqlalchemy.exc import SQLAlchemyError

from streams.cli.logs.analyze import analyze_with_progress
from streams.cli.outcome import Words, fail, not_written, notes, print_json, refuse
from streams.ledger.store.database import LedgerError
from streams.logs.file import LogFileError
from streams.model.hours.calendar import to_local
from streams.replay.rulefile import RuleFileError, read_rule
from streams.servers.errors import PartError
from streams.watch.backfill import STEP_SECONDS, Backfilled, make_blocks, write_openmetrics


def backfill(
    file: Annotated[
        Path, typer.Argument(help="A log file (NDJSON, .zst if so named, Parquet) or a captured folder.")
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder to write openmetrics/ and blocks/ to.")] = Path(
        "backfill"
    ),
    step: Annotated[
        int, typer.Option(help="Seconds of event time between samples.", min=1, max=3_600)
    ] = STEP_SECONDS,
    rule: Annotated[
        Path | None,
        typer.Option(help="Rule file: JSON, TOML or YAML [default: built-in, and the log's own]."),
    ] = None,
    blocks: Annotated[bool, typer.Option(help="Make Prometheus blocks; this needs promtool.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write the metrics of a log at its own event times, for Prometheus.

    Grafana then shows them at those dates. Move the folders of blocks/ into Prometheus's data folder; its
    retention must reach back to them.
    """
    if not file.exists():
        refuse(f"{file}: no such file")
    try:
        chosen = None if rule is None else read_rule(rule)
        analysis = analyze_with_progress(file, chosen, outages_only=False)
    except (LogFileError, RuleFileError) as error:
        refuse(error)
    if not analysis.measurements:
        refuse(f"{file}: no measurement could be cut from it, so there is no history to write")
    columns = (Words("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    made: list[Path] = []
    try:
        with Progress(*columns, console=notes, transient=True) as progress:
            task = progress.add_task("writing OpenMetrics", total=len(analysis.measurements))
            written = write_openmetrics(
                analysis.measurements,
                analysis.under(chosen),
                analysis.settings.detect(),
                out / "openmetrics",
                step_seconds=step,
                progress=lambda count: progress.advance(task, count),
            )
            if blocks:
                progress.update(task, description="promtool makes blocks", total=None)
                made = make_blocks(written.files, out / "blocks")
    except OSError as error:
        not_written(out, error)
    except (LedgerError, PartError, SQLAlchemyError) as error:
        fail(error)
    if as_json:
        print_json(
            {
                "samples": written.samples,
                "first_ms": written.first_ms,
                "last_ms": written.last_ms,
                "openmetrics": [str(path) for path in written.files],
                "blocks": [str(path) for path in made],
            }
        )
    else:
        _print(written, made, out)


def _print(written: Backfilled, made: list[Path], out: Path) -> None:
    assert written.first_ms is not None
    assert written.last_ms is not None
    first, last = (
        to_local(moment).strftime("%d/%m/%Y %H:%M") for moment in (written.first_ms, written.last_ms)
    )
    notes.print(
        f"{written.samples:,} samples from {first} to {last} (Asia/Ho_Chi_Minh) in {out / 'openmetrics'}"
        + (f", {len(made)} blocks in {out / 'blocks'}" if made else ""),
    )
