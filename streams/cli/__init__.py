"""The command line, `portallink`."""

import typer

from streams.cli import analyze, ingest, kafka, run, simulate, topics

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    help="How stable is the link between the portal and the population database.",
)
app.add_typer(kafka.app, name="kafka")
app.add_typer(topics.app, name="topics")
app.add_typer(run.app, name="run")
app.add_typer(ingest.app, name="ingest")
app.command(name="simulate")(simulate.simulate)
app.command(name="analyze")(analyze.analyze_log)


def main() -> None:
    """Run the command line."""
    app()
