"""`portallink simulate`: a city's log, to Kafka or to a file, with its ground truth beside it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn

from streams.cli.complete import one_of
from streams.cli.events.to_kafka import to_kafka
from streams.cli.outcome import FAILED, Words, not_written, notes, print_json, refuse, results, styled
from streams.cli.table import Column, show_table
from streams.logs.write import LogNameError
from streams.model.hours.calendar import to_local
from streams.model.located import LocatedError
from streams.simulate.city import Catalogue
from streams.simulate.generate import Run
from streams.simulate.scenario import Scenario
from streams.simulate.shell import (
    PACKAGED,
    drain,
    load_played,
    publish_log,
    scenario_names,
    topic_partitions,
    truth_path,
    write_log,
    write_truth,
)
from streams.simulate.truth import Truth

COLOURS = {True: "green", False: "red", None: "dim"}
SHOWN_FAULTS = 60


def simulate(
    scenario: Annotated[
        str | None,
        typer.Argument(
            help="A scenario's name, or a YAML file of your own.", autocompletion=one_of(scenario_names)
        ),
    ] = None,
    *,
    listed: Annotated[bool, typer.Option("--list", help="List the scenarios there are.")] = False,
    start: Annotated[
        str | None,
        typer.Option(
            help="Move it to this day, or to `now`, the latest day of its kind [default: its own days]."
        ),
    ] = None,
    folder: Annotated[
        Path | None,
        typer.Option(
            "--catalogue", metavar="DIR", help="Your own city: a folder with city.yaml and scenarios."
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed [default: the scenario's own].")] = None,
    speed: Annotated[
        float | None,
        typer.Option(help="To Kafka: times real time [default: as fast as possible].", min=0.001),
    ] = None,
    scale: Annotated[
        float, typer.Option(help="Size: 1 is the city as reported.", min=0.00001, max=100)
    ] = 1.0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Log file to write: .ndjson, .ndjson.zst, .ndjson.gz or .parquet [default: to Kafka]."
        ),
    ] = None,
    truth: Annotated[
        Path | None, typer.Option(help="Where the ground truth goes [default: beside the log].")
    ] = None,
    partitions: Annotated[
        int | None, typer.Option(help="Partitions of the log file; on Kafka, the topic's own.", min=1, max=64)
    ] = None,
    report: Annotated[
        bool, typer.Option("--report", help="Show the calibration. Without --out, nothing is sent.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the truth as JSON.")] = False,
) -> None:
    """Simulate a city: submissions, lookups, heartbeats, and known faults.

    The same seed, scale and partitions give the same bytes on every machine. With --report, it exits 1 if a
    figure misses its reported value by more than the bound.
    """
    city = folder or PACKAGED
    try:
        if listed:
            _list(city, as_json=as_json)
            return
        if scenario is None:
            refuse(f"name a scenario: {', '.join(scenario_names(city))}, or a YAML file of your own")
        catalogue, chosen = load_played(scenario, city, None if start is None else _day(start))
    except LocatedError as error:
        refuse(error)
    if out is not None and speed is not None:
        refuse("--speed paces what goes to Kafka; a log file holds its times in itself")
    run_truth, target = _simulate(
        catalogue,
        chosen,
        seed=seed,
        scale=scale,
        partitions=partitions,
        out=out,
        truth=truth,
        speed=speed,
        report=report,
    )
    if as_json:
        print_json(msgspec.to_builtins(run_truth))
    else:
        _print(run_truth, target, report)
    if report and any(figure.within is False for figure in run_truth.figures):
        raise typer.Exit(FAILED)


def _list(city: Traversable, *, as_json: bool) -> None:
    """Print every scenario of a city: its name, its period and what it shows."""
    found = [load_played(name, city)[1] for name in scenario_names(city)]
    if as_json:
        print_json(
            [
                {
                    "name": one.name,
                    "start": one.start,
                    "end": one.end,
                    "title": msgspec.to_builtins(one.title),
                }
                for one in found
            ]
        )
        return
    show_table(
        [Column("scenario"), Column("from", 2), Column("to", 3), Column("shows", 1, wrapped=True)],
        [(one.name, one.start, one.end, f"{one.title.en} / {one.title.vi}") for one in found],
    )


def _day(said: str) -> date:
    """Return the day meant; end the command where it is none."""
    if said == "now":
        return to_local(int(time.time() * 1000)).date()
    try:
        return date.fromisoformat(said)
    except ValueError as error:
        refuse(f"--start {said}: {error}; a day is written 2026-11-27")


def _simulate(
    catalogue: Catalogue,
    scenario: Scenario,
    *,
    seed: int | None,
    scale: float,
    partitions: int | None,
    out: Path | None,
    truth: Path | None,
    speed: float | None,
    report: bool,
) -> tuple[Truth, str]:
    """Run to the file, to nowhere or to Kafka; return the truth and where the log went."""

    def make(partitions: int | None) -> Run:
        return Run(catalogue, scenario, seed=seed, scale=scale, partitions=partitions)

    if out is not None:
        run = make(partitions)
        try:
            with _progress(run) as reached:
                result = write_log(run, out, reached, truth)
        except LogNameError as error:
            refuse(error)
        except OSError as error:
            not_written(None if error.filename else out, error)
        return result, f"{out}, truth in {truth or truth_path(out)}"
    if report and speed is None:
        run = make(partitions)
        with _progress(run) as reached:
            result = drain(run, reached)
        if truth is not None:
            _keep_truth(result, truth)
        return result, "nowhere: --report without --out only counts"
    if partitions is not None:
        refuse("--partitions is for log files; a topic has the partitions it was created with")
    result = _to_kafka(make, speed)
    path = truth or Path(f"{scenario.name}-{result.seed}.truth.json")
    _keep_truth(result, path)
    return result, f"Kafka, truth in {path}"


def _keep_truth(truth: Truth, path: Path) -> None:
    try:
        write_truth(truth, path)
    except OSError as error:
        not_written(path, error)


def _to_kafka(make: Callable[[int], Run], speed: float | None) -> Truth:
    async def send(connection: dict[str, Any]) -> Truth:
        run = make(await topic_partitions(connection))
        with _progress(run) as reached:
            return await publish_log(run, connection, speed=speed, progress=reached)

    return to_kafka(send)


@contextmanager
def _progress(run: Run) -> Iterator[Callable[[int], None]]:
    """Show a bar over the scenario's time; the callable takes the log time reached."""
    columns = (Words("simulating"), BarColumn(), TaskProgressColumn(), Words("{task.description}"))
    with Progress(*columns, TimeRemainingColumn(), console=notes, transient=True) as progress:
        task = progress.add_task("", total=run.end_ms - run.start_ms)

        def reached(at_ms: int) -> None:
            progress.update(task, completed=at_ms - run.start_ms, description=_local(at_ms))

        yield reached


def _print(truth: Truth, target: str, report: bool) -> None:
    if report:
        _print_calibration(truth)
    _print_faults(truth)
    records = sum(truth.records[name] for name in ("events", "duplicate", "heartbeats"))
    results.print(
        f"{records:,} records ({truth.records['heartbeats']:,} heartbeats, "
        f"{truth.records['duplicate']:,} repeated, {truth.records['disordered']:,} out of order, "
        f"{truth.records['late']:,} late) written to {target}",
    )


def _print_calibration(truth: Truth) -> None:
    columns = [
        Column("#"),
        Column("figure", wrapped=True),
        Column("source", 4),
        Column("is", 5),
        Column("expected", 2, right=True),
        Column("simulated", 1, right=True),
        Column("off", right=True),
        Column("bound", 3, right=True),
    ]
    rows = [
        (
            str(figure.system),
            f"{figure.what_vi} / {figure.what_en}" + (f" ({figure.note})" if figure.note else ""),
            figure.source,
            figure.made,
            f"{figure.expected:,.0f}",
            f"{figure.simulated:,.0f}",
            styled(f"{figure.difference:+.3%}", COLOURS[figure.within]),
            f"{figure.bound:.2%}" if figure.within is not None else "-",
        )
        for figure in truth.figures
    ]
    title = f"Calibration of {truth.scenario}, scale {truth.scale:g} (- is judged at scale 1)"
    show_table(columns, rows, title=title)


def _print_faults(truth: Truth) -> None:
    columns = [
        Column("link"),
        Column("kind", 2),
        Column("from", 1),
        Column("to", 3),
        Column("failed / attempts", 5),
        Column("cause", 4, wrapped=True),
    ]
    shown = [fault for fault in truth.faults if fault.attempts or not fault.outage]
    rows = [
        (
            fault.link,
            fault.kind if fault.outage else f"{fault.kind} (no outage)",
            _local(fault.start_ms),
            _local(fault.end_ms),
            f"{fault.failures:,} / {fault.attempts:,}",
            fault.cause + (f": {fault.about}" if fault.about else ""),
        )
        for fault in shown[:SHOWN_FAULTS]
    ]
    show_table(columns, rows, title="Faults, times in Asia/Ho_Chi_Minh")
    if len(shown) > SHOWN_FAULTS:
        results.print(f"{len(shown) - SHOWN_FAULTS:,} more faults are in the truth file")


def _local(epoch_ms: int) -> str:
    return f"{to_local(epoch_ms):%Y-%m-%d %H:%M:%S}"
