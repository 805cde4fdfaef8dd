"""The command line, `portallink`."""

import typer

from streams.cli import (
    analyze,
    backfill,
    capture,
    diff,
    exclusions,
    explain,
    golden,
    ingest,
    kafka,
    ledger,
    outages,
    query,
    replay,
    run,
    score,
    simulate,
    topics,
    watch,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="How stable is the link between the portal and the population database.",
)
app.add_typer(kafka.app, name="kafka")
app.add_typer(topics.app, name="topics")
app.add_typer(run.app, name="run")
app.add_typer(watch.app, name="watch")
app.add_typer(ingest.app, name="ingest")
app.command(name="simulate")(simulate.simulate)
app.command(name="score")(score.score_outages)
app.command(name="analyze")(analyze.analyze_log)
app.command(name="backfill")(backfill.backfill)
app.command(name="capture")(capture.capture)
app.command(name="replay")(replay.replay)
app.command(name="diff")(diff.diff)
app.command(name="explain")(explain.explain)
app.command(name="query")(query.query)
app.add_typer(golden.app, name="golden")
app.add_typer(outages.app, name="outages")
app.add_typer(ledger.app, name="ledger")
app.add_typer(exclusions.app, name="exclusions")


def main() -> None:
    """Run the command line."""
    app()
