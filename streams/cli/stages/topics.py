"""`portallink topics`: the declared topics on a broker."""

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError

from streams.cli.outcome import fail, notes, print_document, print_json, refuse, results, styled, write_whole
from streams.cli.table import Cell, Column, show_table
from streams.kafka.acls import grants
from streams.kafka.asyncapi import asyncapi_document
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.kafka.topics import TopicCreationError, TopicDataError, TopicReport, create_topics

app = typer.Typer(
    help="The topics as declared in schemas/, on the broker of KAFKA_BOOTSTRAP_SERVERS.",
    no_args_is_help=True,
)


@app.command()
def apply(
    partitions: Annotated[
        list[str] | None, typer.Option(help="TOPIC=COUNT, to override the declared count; repeatable.")
    ] = None,
    replication_factor: Annotated[int, typer.Option(help="Copies of each partition.", min=1)] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Create missing topics, and compare existing ones with what is declared.

    Running it again changes nothing. Exits 1 if a topic differs from what is declared.
    """
    try:
        counts = dict(map(_partition_count, partitions or []))
        connection = kafka_connection()
        report = asyncio.run(
            create_topics(connection, partitions=counts, replication_factor=replication_factor)
        )
    except (ConnectionSettingsError, TopicDataError, typer.BadParameter) as error:
        refuse(error)
    except TopicCreationError as error:
        fail(error)
    except KafkaError as error:
        fail(f"the broker at {connection['bootstrap_servers']} does not do it: {error}")
    if as_json:
        print_json(asdict(report))
    else:
        _print(report)
    if report.differences:
        fail("topics differ from what is declared; alter or recreate them, or override --partitions")


@app.command()
def asyncapi(
    out: Annotated[Path | None, typer.Option(help="File to write instead of printing.")] = None,
) -> None:
    """Print the AsyncAPI 3 document that describes all topics (schemas/asyncapi.yaml)."""
    document = asyncapi_document()
    if out is None:
        print_document(document)
        return
    write_whole(out, document.encode())
    notes.print(f"wrote {out}")


@app.command()
def acls(
    prefix: Annotated[str, typer.Option(help="Prefix of the stages' user names.")] = "portallink-",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Print the access rights that the stages need: for each, the arguments of Kafka's `kafka-acls`.

    Grant only these rights. Then nothing that sends events can write measurements or outages.
    """
    if as_json:
        print_json([grant._asdict() for grant in grants()])
        return
    for grant in grants():
        results.print(grant.command(prefix))


def _partition_count(option: str) -> tuple[str, int]:
    name, _, count = option.partition("=")
    if not count.isdecimal() or int(count) < 1:
        raise typer.BadParameter(f"--partitions {option!r} is not of the form TOPIC=COUNT")
    return name, int(count)


def _print(report: TopicReport) -> None:
    rows: list[tuple[Cell, ...]] = [(name, styled("created", "green")) for name in report.created]
    rows += [(name, "as declared") for name in report.unchanged]
    rows += [
        (one.topic, styled(f"{one.setting} is {one.found}, declared {one.wanted}", "red"))
        for one in report.differences
    ]
    show_table([Column("topic"), Column("result", wrapped=True)], rows)
