"""Options that every import has in common."""

from pathlib import Path
from typing import Annotated

import typer

LogOut = Annotated[
    Path | None,
    typer.Option(help="Log file to write: .ndjson, .ndjson.zst, .ndjson.gz or .parquet [default: to Kafka]."),
]
Partitions = Annotated[
    int | None,
    typer.Option(help="Partitions of the log file [default: 4]; on Kafka, the topic's own.", min=1),
]
