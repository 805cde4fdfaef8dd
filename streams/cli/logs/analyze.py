"""`portallink analyze`: the whole pipeline over a log file, with no broker."""

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from streams.cli.outcome import Words, fail, not_written, notes, refuse
from streams.cli.settings_option import SettingsFile, settings_of
from streams.detect.rule.definition import Rule
from streams.logs.file import LogFileError
from streams.model.canonical import encode
from streams.model.settings import Settings
from streams.replay.analyze import Analysis, analyze
from streams.replay.beside import WorkerError
from streams.replay.rulefile import RuleFileError, read_rule


def analyze_log(
    file: Annotated[
        Path,
        typer.Argument(
            help="A log file, packed or not (NDJSON, kcat's envelopes, Parquet), or a captured folder."
        ),
    ],
    *,
    rule: Annotated[
        Path | None,
        typer.Option(help="Rule file: JSON, TOML or YAML [default: built-in, and the log's own]."),
    ] = None,
    settings: SettingsFile = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for measurements, windows and outages as NDJSON.")
    ] = None,
) -> None:
    """Print the final outages of a log as NDJSON, one per line; messages go to stderr.

    The result is byte for byte what the pipeline on a broker gives for the same log. Without --out, only
    outages are computed, in about half the time. Exits 2, with the reason, if no link could be judged.
    """
    if not file.exists():
        refuse(f"{file}: no such file")
    try:
        analysis = analyze_with_progress(
            file,
            None if rule is None else read_rule(rule),
            None if settings is None else settings_of(settings),
            outages_only=out is None,
        )
    except (LogFileError, RuleFileError) as error:
        refuse(error)
    if out is not None:
        try:
            analysis.write(out)
        except OSError as error:
            not_written(out, error)
    for outage in analysis.final():
        sys.stdout.buffer.write(encode(outage) + b"\n")
    sys.stdout.flush()
    _summarise(analysis)
    if reason := analysis.why_nothing_was_judged():
        refuse(f"{file}: nothing was judged: {reason}")


def analyze_with_progress(
    file: Path, rule: Rule | None, settings: Settings | None = None, *, outages_only: bool
) -> Analysis:
    """Analyze a log file behind a progress bar; raise `LogFileError`.

    If the process that meters it fails, the command ends with its error.
    """
    columns = (Words("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=notes, transient=True) as progress:
        task = progress.add_task(f"reading {file.name}", total=None)
        try:
            return analyze(
                file,
                rule,
                settings,
                progress=lambda records: progress.advance(task, records),
                outages_only=outages_only,
            )
        except WorkerError as error:
            fail(error)


def _summarise(analysis: Analysis) -> None:
    records = analysis.records
    total = records.applied + records.duplicate + records.late + records.dead_letter
    notes.print(
        f"{total + analysis.pending:,} records: {records.applied:,} applied, "
        f"{records.duplicate:,} duplicate, "
        f"{records.late:,} late, {records.dead_letter + analysis.pending_dead_letters:,} dead letters, "
        f"{analysis.pending - analysis.pending_dead_letters:,} after the last cut"
        + (f"; {analysis.ignored:,} of other topics ignored" if analysis.ignored else ""),
    )
    for topic, partition, letter in analysis.dead_letters[:10]:
        notes.print(
            f"dead letter {topic}/{partition} offset {letter.offset}: {letter.reason}: {letter.detail}",
        )
    if len(analysis.dead_letters) > 10:
        notes.print(f"... and {len(analysis.dead_letters) - 10:,} more")
