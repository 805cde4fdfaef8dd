"""`portallink kafka`: the embedded broker, started and stopped by hand."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from streams.cli.outcome import fail, notes, print_json, say
from streams.servers.errors import PartError
from streams.servers.kafka import USUAL_PORT, EmbeddedKafka, KafkaStatus

app = typer.Typer(
    help="The embedded broker: a real Apache Kafka on this machine, without Docker or an installed Java.",
    no_args_is_help=True,
)

DataDir = Annotated[Path | None, typer.Option(help="Where the broker keeps its data between starts.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command()
def start(
    data_dir: DataDir = None,
    port: Annotated[
        int, typer.Option(help="Port to use; any free one if it is taken.", min=1, max=65535)
    ] = USUAL_PORT,
    as_json: AsJson = False,
) -> None:
    """Start the broker in the background. A broker that is already running stays as it is."""
    broker = EmbeddedKafka(data_dir, port=port, console=notes)
    try:
        status = broker.start()
    except PartError as error:
        fail(error)
    _print(status, as_json)


@app.command()
def stop(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Stop the broker, and wait until it has closed its files. Its data are kept."""
    broker = EmbeddedKafka(data_dir)
    try:
        stopped = broker.stop()
    except PartError as error:
        fail(error)
    if not stopped:
        notes.print("it was not running")
    _print(broker.status(), as_json)


@app.command()
def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show whether the broker is running, and where."""
    _print(EmbeddedKafka(data_dir).status(), as_json)


def _print(status: KafkaStatus, as_json: bool) -> None:
    if as_json:
        print_json(asdict(status))
    elif status.running:
        say(f"Apache Kafka {status.version} runs at {status.bootstrap_servers} (process {status.pid})")
        say(f"data in {status.data_dir}")
    else:
        say(f"stopped; data in {status.data_dir}")
