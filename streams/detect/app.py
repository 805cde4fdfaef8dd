"""`detect` as a Faust application: `portallink run detect`, or `faust -A streams.detect.app worker`."""

import asyncio
import os
from pathlib import Path
from typing import Any, Final

import faust

from streams import telemetry
from streams.detect import APP_ID, MEASURE_GROUP
from streams.detect.credentials import faust_credentials
from streams.detect.stage import Detect
from streams.kafka.connection import kafka_connection
from streams.kafka.publish import partitions_of
from streams.kafka.topics import Topics
from streams.logs.settings_file import VARIABLE, read_settings
from streams.model.settings import DetectSettings, Settings
from streams.servers.scratch import scratch_dir

SESSION_TIMEOUT_SECONDS: Final = 15.0
"""How long the group waits for a dead worker before another takes over its links. (Faust: 60 s.)"""
MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024


def make_app(
    connection: dict[str, Any],
    *,
    partitions: int,
    topics: Topics | None = None,
    settings: DetectSettings | None = None,
    app_id: str = APP_ID,
    web_port: int | None = None,
    measure_group: str = MEASURE_GROUP,
) -> Any:
    """Return the Faust application.

    ``partitions`` is the number of partitions of `link.measurements`, ``measure_group`` the consumer
    group under which `measure` commits how far it has read.
    """
    servers = str(connection["bootstrap_servers"]).split(",")
    app = faust.App(
        app_id,
        broker=[f"kafka://{server}" for server in servers],
        broker_credentials=faust_credentials(connection),
        store="memory://",
        # Faust makes this directory, by default in the working directory, though nothing is kept there.
        datadir=os.environ.get("FAUST_DATADIR") or scratch_dir("detect"),
        topic_partitions=partitions,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=MAX_REQUEST_BYTES,
        producer_max_request_size=MAX_REQUEST_BYTES,
        producer_compression_type="lz4",
        broker_session_timeout=SESSION_TIMEOUT_SECONDS,
        broker_rebalance_timeout=SESSION_TIMEOUT_SECONDS,
        stream_wait_empty=False,
        stream_publish_on_commit=False,
        web_enabled=web_port is not None,
        web_port=web_port,
        web_bind="127.0.0.1",
        web_host="127.0.0.1",
    )
    detect = Detect(app, topics or Topics(), settings or Settings().detect(), connection, measure_group)
    app.page("/links/")(detect.page)
    return app


def __getattr__(name: str) -> Any:
    """Make `app` when `faust -A streams.detect.app` asks for it: importing has no side effects."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    telemetry.configure("detect")
    connection = kafka_connection()
    partitions = asyncio.run(partitions_of(connection, Topics().measurements))
    path = os.environ.get(VARIABLE)
    settings = read_settings(Path(path) if path else None).detect()
    app = make_app(connection, partitions=partitions, settings=settings, web_port=6066)
    globals()["app"] = app
    return app
