"""The baseline: the same job as an idiomatic Faust application.

One agent per topic, `async for` over typed `faust.Record` models, duplicates and pairing in plain sets and
dicts, sums in memory by link and slot. Faust is tuned as far as possible: no wait for idle streams, large
buffers and polls, rare commits, no leader, no web server. Unlike `measure` it does no watermarks, expiry,
evidence or publishing, so the comparison favours it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import faust

from streams.kafka.topics import Topics
from streams.model.settings import SLOT_MS
from streams.model.sketch import bucket_of
from streams.servers.scratch import scratch_dir


class Lookup(faust.Record, serializer="json"):  # type: ignore[misc,call-arg]  # faust ships no types
    """A request, a completion or a heartbeat on `npd.lookups`."""

    type: str
    occurred_at_ms: int
    observer: str
    event_id: str | None = None
    lookup_id: str | None = None
    dossier_id: str | None = None
    link: str | None = None
    agency: str | None = None
    service: str | None = None
    attempt: int = 0
    outcome: str | None = None


class Submission(faust.Record, serializer="json"):  # type: ignore[misc,call-arg]  # as above
    """A dossier's step, or a heartbeat, on `portal.submissions`."""

    type: str
    occurred_at_ms: int
    event_id: str | None = None
    dossier_id: str | None = None
    portal: str | None = None
    agency: str | None = None
    service: str | None = None
    channel: str | None = None


class Sums:
    """The job's state, in memory."""

    def __init__(self) -> None:
        self.records = 0
        self.duplicates = 0
        self.seen: set[str] = set()
        self.open: dict[str, int] = {}
        self.waiting: dict[str, Lookup] = {}
        self.outcomes: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
        self.latency: defaultdict[tuple[str, int], Counter[int]] = defaultdict(Counter)
        self.submissions: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)

    def is_duplicate(self, event_id: str) -> bool:
        """Remember an event id; return whether it was known."""
        if event_id in self.seen:
            self.duplicates += 1
            return True
        self.seen.add(event_id)
        return False

    def lookup(self, event: Any) -> None:
        """Pair and sum a request or a completion."""
        if event.type == "lookup.requested":
            self.outcomes[event.link, event.occurred_at_ms // SLOT_MS]["requested"] += 1
            done = self.waiting.pop(event.lookup_id, None)
            if done is None:
                self.open[event.lookup_id] = event.occurred_at_ms
            else:
                self._settle(done, event.occurred_at_ms)
        else:
            asked_ms = self.open.pop(event.lookup_id, None)
            if asked_ms is None:
                self.waiting[event.lookup_id] = event
            else:
                self._settle(event, asked_ms)

    def _settle(self, done: Any, asked_ms: int) -> None:
        cell = done.link, done.occurred_at_ms // SLOT_MS
        self.outcomes[cell][done.outcome] += 1
        self.latency[cell][bucket_of(done.occurred_at_ms - asked_ms)] += 1


def make_reference(
    connection: Mapping[str, Any], topics: Topics, app_id: str, partitions: int
) -> tuple[Any, Callable[[], int]]:
    """Return the application, and a function that returns how many records it has read."""
    servers = str(connection["bootstrap_servers"]).split(",")
    app = faust.App(
        app_id,
        broker=[f"kafka://{server}" for server in servers],
        store="memory://",
        datadir=scratch_dir("bench"),
        topic_partitions=partitions,
        topic_disable_leader=True,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=500,
        broker_commit_every=50_000,
        stream_buffer_maxsize=16_384,
        stream_wait_empty=False,
        stream_publish_on_commit=False,
        web_enabled=False,
    )
    raw_key = {"key_type": bytes, "key_serializer": "raw"}
    lookups = app.topic(topics.lookups, value_type=Lookup, **raw_key)
    submissions = app.topic(topics.submissions, value_type=Submission, **raw_key)
    sums = Sums()

    @app.agent(lookups)  # type: ignore[untyped-decorator]  # as above
    async def sum_lookups(stream: Any) -> None:
        async for event in stream:
            sums.records += 1
            if event.event_id is not None and not sums.is_duplicate(event.event_id):
                sums.lookup(event)

    @app.agent(submissions)  # type: ignore[untyped-decorator]  # as above
    async def sum_submissions(stream: Any) -> None:
        async for event in stream:
            sums.records += 1
            if event.event_id is not None and not sums.is_duplicate(event.event_id):
                sums.submissions[event.portal, event.occurred_at_ms // SLOT_MS][event.type] += 1

    return app, lambda: sums.records
