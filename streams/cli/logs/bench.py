"""`portallink bench`: how fast each stage is, beside the limit and the baseline, in one run."""

import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TimeElapsedColumn

from streams.bench.run import FAUST_RECORDS, BenchError, BenchResult, Figures, as_json, run_bench
from streams.bench.workload import EVENTS_PER_DOSSIER
from streams.cli.outcome import Words, fail, notes, print_json, refuse
from streams.cli.table import Column, show_table
from streams.kafka.connection import ConnectionSettingsError
from streams.kafka.publish import PublishError
from streams.kafka.topics import TopicCreationError
from streams.servers.errors import PartError

app = typer.Typer(help="Measure how fast this machine runs the stages, or the audit pages (`serve`).")
RATE_COLUMNS = {"records": 5, "per s": 2, "per CPU-s": 0, "peak MB": 4, "× raw": 1, "× Faust": 3}
AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]


@app.callback(invoke_without_command=True)
def bench(
    context: typer.Context,
    *,
    events: Annotated[
        int,
        typer.Option(help="Approximate number of events.", min=EVENTS_PER_DOSSIER * 100, max=20_000_000),
    ] = 1_000_000,
    as_json_wanted: AsJson = False,
) -> None:
    """Time `measure`, `detect` and both together on a synthetic hour, beside two references.

    Events per CPU-second are comparable on a busy machine too; events per second only on an idle one.
    """
    if context.invoked_subcommand is not None:
        return
    columns = (Words("{task.description:16}"), BarColumn(), Words("{task.completed:,.0f}"))
    with Progress(*columns, TimeElapsedColumn(), console=notes) as progress:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=of)
            progress.update(tasks[what], completed=done, total=max(of, done))

        try:
            result = run_bench(events, tell)
        except (BenchError, ConnectionSettingsError, PartError, PublishError, TopicCreationError) as error:
            fail(error)
    if as_json_wanted:
        print_json(as_json(result))
    else:
        _print(result)


def _print(result: BenchResult) -> None:
    raw, faust = result.references["aiokafka_raw"], result.references["faust_idiomatic"]
    show_table(
        [Column("what"), *(Column(name, rank, right=True) for name, rank in RATE_COLUMNS.items())],
        [(name, *_row(one, raw, faust)) for name, one in (result.stages | result.references).items()],
        title=f"{result.events:,} records on {result.machine['cpus']} CPUs",
        dense=True,
    )
    notes.print(
        "measure and detect as they run in production, end_to_end both at once (CPU and memory added). "
        f"aiokafka_raw reads and does nothing; faust_idiomatic reads at most {FAUST_RECORDS:,} records. "
        "The last two columns are ratios per CPU-second."
    )


def _row(one: Figures, raw: Figures, faust: Figures) -> list[str]:
    return [
        f"{one.events:,}",
        f"{one.events_per_s:,.0f}",
        f"{one.events_per_cpu_s:,.0f}",
        f"{one.peak_rss_bytes / 1e6:,.0f}",
        f"{one.events_per_cpu_s / raw.events_per_cpu_s:.2f}",
        f"{one.events_per_cpu_s / faust.events_per_cpu_s:.1f}",
    ]


@app.command()
def serve(
    *,
    ledger: Annotated[
        str | None,
        typer.Option(
            help="Address of an empty ledger, or of one it has filled [default: a temporary SQLite file]."
        ),
    ] = None,
    postgres: Annotated[bool, typer.Option("--postgres", help="Use a temporary PostgreSQL.")] = False,
    links: Annotated[int, typer.Option(help="Links in the ledger.", min=1, max=10_000)] = 100,
    days: Annotated[int, typer.Option(help="Days of history.", min=310)] = 3_653,
    outages: Annotated[int, typer.Option(help="Outages in the ledger.", min=100)] = 50_000,
    window_days: Annotated[int, typer.Option(help="Days of minute windows per link.", min=1)] = 348,
    times: Annotated[int, typer.Option(help="Requests of each kind.", min=2, max=1_000)] = 40,
    as_json_wanted: AsJson = False,
) -> None:
    """Ask the audit pages and summaries over a ledger of some years of many links, and time the answers."""
    if ledger is not None and postgres:
        refuse("--ledger and --postgres name two databases: choose one")
    if outages < links:
        refuse(f"--outages {outages}: each of {links} links has at least one")
    # The web server and the database are loaded only for this question.
    from streams.bench.ledger_fill import Size  # noqa: PLC0415
    from streams.bench.serve import bench_serve  # noqa: PLC0415
    from streams.ledger.store.database import LedgerError  # noqa: PLC0415
    from streams.servers.postgres import Postgres  # noqa: PLC0415

    size = Size(links=links, days=days, outages=outages, window_days=min(window_days, days))
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portallink-bench-")))
        status = stack.enter_context(notes.status("starting"))
        address = ledger or f"sqlite:///{folder / 'ledger.sqlite'}"
        try:
            if postgres:
                address = stack.enter_context(Postgres(folder)).url()
            result = bench_serve(address, size, times=times, progress=status.update)
        except (LedgerError, PartError) as error:
            fail(error)
    if as_json_wanted:
        print_json(result)
        return
    fields = {
        "p50 ms": "p50_ms",
        "p95 ms": "p95_ms",
        "max ms": "max_ms",
        "CPU ms": "cpu_ms",
        "its p95": "cpu_p95_ms",
        "database's": "database_cpu_ms",
        "kB": "kilobytes",
    }
    show_table(
        [Column("question"), *(Column(name, rank, right=True) for rank, name in enumerate(fields, 1))],
        [
            (question, *(f"{one[field]:,.1f}" for field in fields.values()))
            for question, one in result["questions"].items()
        ],
        title=result["database"],
        dense=True,
    )
