"""`portallink run record` and `portallink run serve`: the auditors' end of the pipeline."""

from pathlib import Path
from typing import Annotated, Final

import typer
from sqlalchemy.exc import SQLAlchemyError

from streams import telemetry
from streams.cli.ledger.ledger_options import (
    KeyFile,
    LedgerAddress,
    NamesFile,
    SecondPerson,
    ledger_address,
    names_of,
    opened,
    signing_key,
)
from streams.cli.outcome import refuse
from streams.cli.settings_option import SettingsFile, settings_of
from streams.cli.stages.run import (
    MetricsHost,
    MetricsPort,
    Suffix,
    announce,
    begin,
    connected,
    end_with,
    ports_in_use,
    run_until_stopped,
    topics_for,
    watching,
)
from streams.kafka.connection import ConnectionSettingsError, kafka_connection
from streams.ledger.proof.heads import KeyFileError, load_public_key
from streams.ledger.store.calendars import keep_calendars
from streams.ledger.store.database import writing
from streams.ledger.store.settle import settle_after_upgrade
from streams.record.ledger import RecordSettings
from streams.record.stage import GROUP, RecordStage, append_to
from streams.serve.access import Access, Role, TokensFileError, read_tokens
from streams.serve.context import Contact
from streams.serve.shell import serve as serve_pages
from streams.servers import paths
from streams.telemetry.ports import listening_on
from streams.watch.settings import SettingsError, load_settings

app = typer.Typer(rich_markup_mode=None)

NOBODY_MAY_ASK: Final = (
    "every request will be rejected: give a tokens file with --tokens, or a role with --anonymous"
)


@app.command()
def record(
    *,
    max_records: Annotated[int, typer.Option(min=1, help="Records per batch.")] = 20_000,
    group: Annotated[str, typer.Option(help="Consumer group.")] = GROUP,
    publish_heads: Annotated[
        Path | None, typer.Option(help="Append each signed head to this file, to publish it elsewhere.")
    ] = None,
    second_person: SecondPerson = True,
    suffix: Suffix = "",
    settings: SettingsFile = None,
    key: KeyFile = None,
    ledger: LedgerAddress = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Write outages, windows and exclusions into the ledger, and sign what it holds."""
    connection, said = connected(), settings_of(settings).calendars
    made: list[Path] = []
    private = signing_key(key, made.append)
    with opened(ledger, create=True) as engine:
        if said is not None:
            with writing(engine) as ledger_connection:
                keep_calendars(ledger_connection, said)
                settle_after_upgrade(ledger_connection)
        announce(begin("record", metrics_port, metrics_host), {"max_records": max_records})
        for file in made:
            telemetry.emit(telemetry.StageAdvised(f"a signing key was made, keep a copy of it: {file}"))

        async def work() -> None:
            await RecordStage(
                connection,
                engine,
                private,
                settings=RecordSettings(max_records=max_records, second_person=second_person),
                topics=topics_for(suffix, None),
                group=group,
                **({} if publish_heads is None else {"publish": append_to(publish_heads)}),
            ).run()

        try:
            run_until_stopped(watching(connection, work()), SQLAlchemyError)
        except SQLAlchemyError as error:
            address = ledger_address(ledger)
            end_with(address.redact(f"the ledger at {address} does not answer: {error}"))


@app.command()
def serve(
    *,
    port: Annotated[int, typer.Option(help="Port on this host; 0 takes a free one.")] = 8080,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    tokens: Annotated[
        Path | None, typer.Option(envvar="PORTALLINK_TOKENS", help="File of tokens, one per line.")
    ] = None,
    anonymous: Annotated[
        Role | None, typer.Option(help="Role for anonymous requests [default: reject].")
    ] = None,
    slo: Annotated[
        Path | None,
        typer.Option(envvar="PORTALLINK_SLO", help="Alerting settings; the runbooks show their contacts."),
    ] = None,
    second_person: SecondPerson = True,
    names: NamesFile = None,
    public_key: Annotated[
        Path | None,
        typer.Option(
            envvar="PORTALLINK_PUBLIC_KEY", help="Public key, PEM, that outage pages check heads with."
        ),
    ] = None,
    proxy: Annotated[
        str | None,
        typer.Option(
            help="Address of a trusted reverse proxy, whose X-Forwarded-For is used [default: none]."
        ),
    ] = None,
    suffix: Suffix = "",
    ledger: LedgerAddress = None,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = "127.0.0.1",
) -> None:
    """Serve the audit pages (/) and the API (/api/v1). Make tokens with `portallink ledger token`."""
    try:
        access = Access(read_tokens(tokens) if tokens is not None else [], anonymous)
        contacts = [] if slo is None else load_settings(slo).notify.contacts
        trusted = None if public_key is None else load_public_key(public_key)
    except (TokensFileError, SettingsError, KeyFileError) as error:
        refuse(error)
    called = names_of(names)
    try:
        connection = kafka_connection()
    except ConnectionSettingsError:
        connection = None  # answers need no broker; only new exclusions do, and are then refused by name
    with opened(ledger, create=True) as engine, ports_in_use(), listening_on(port, host) as listening:
        announce(begin("serve", metrics_port, metrics_host), {"port": port}, ready=True)
        if tokens is None and anonymous is None:
            telemetry.emit(telemetry.StageAdvised(NOBODY_MAY_ASK))
        run_until_stopped(
            serve_pages(
                engine,
                access,
                listening,
                connection=connection,
                topics=topics_for(suffix, None),
                trail_file=paths.data_dir() / f"audit-trail-{port}.ndjson",
                contacts=[Contact(one.who, one.when, one.how) for one in contacts],
                second_person=second_person,
                names=called,
                public_key=trusted,
                proxy=proxy,
                started=lambda bound: telemetry.emit(
                    telemetry.AddressServed("page", f"http://{host}:{bound}/")
                ),
            )
        )
