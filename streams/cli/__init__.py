"""The command line, `portallink`."""

import typer

from streams.cli import ingest, kafka, topics

app = typer.Typer(no_args_is_help=True, pretty_exceptions_show_locals=False)
app.add_typer(kafka.app, name="kafka")
app.add_typer(topics.app, name="topics")
app.add_typer(ingest.app, name="ingest")


def main() -> None:
    """Run the command line."""
    app()
