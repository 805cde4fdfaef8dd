"""`portallink emit` and `streams.emit`: what goes out is well formed, and all of it arrives."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter

import httpx
import pytest
import requests
from aiokafka import AIOKafkaConsumer, TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from streams.cli import app
from streams.doctor.examine import examine
from streams.emit import BufferFullError, Emitter, EmitterClosedError, EventError
from streams.emit.emitter import now_ms, outcome_of
from streams.emit.wellformed import checked, records_of
from streams.kafka.topics import Topics, create_topics, declared_topics
from streams.logs.read import read_log
from streams.measure.meter import Meter
from streams.model.record import Record
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS

ABOUT = {"lookup_id": "q", "dossier_id": "H29-1", "link": "npd", "agency": "a", "service": "s", "attempt": 1}
ASKED = {"type": "lookup.requested", "event_id": "e", **ABOUT, "observer": "portal"}
RECEIVED = {"type": "submission.received", "event_id": "s", "dossier_id": "H29-1", "portal": "p"}
RECEIVED |= {"agency": "a", "service": "s", "channel": "web"}
SCHEMAS = [LOOKUPS, SUBMISSIONS]


def asked(**changes):
    """Return a request of this moment."""
    return ASKED | {"occurred_at_ms": now_ms()} | changes


async def read_all(servers, topics, names):
    """Return everything that lies on some topics now, as records under their declared names."""
    declared = {name: declared for declared, name in topics.by_declared_name().items()}
    async with AIOKafkaConsumer(bootstrap_servers=servers, auto_offset_reset="earliest") as reader:
        places = [TopicPartition(name, number) for name in names for number in range(4)]
        reader.assign(places)
        ends = await reader.end_offsets(places)
        found = []
        for place, end in ends.items():
            while await reader.position(place) < end:
                for message in (await reader.getmany(place, timeout_ms=500)).get(place, []):
                    at = declared[place.topic], place.partition, message.offset, message.timestamp
                    found.append((Record(*at, message.key, message.value), message.headers))
        return found


def ready(servers, suffix):
    """Make the topics of a run, and return them with the connection."""
    topics, connection = Topics().suffixed(suffix), {"bootstrap_servers": servers}
    asyncio.run(create_topics(connection, topics))
    return topics, connection


@pytest.mark.parametrize(
    ("topic", "example"),
    [(name, example) for name in SCHEMAS for example in declared_topics()[name].examples()],
    ids=lambda value: getattr(value, "name", value),
)
def test_what_the_schema_accepts_is_sent_as_it_stands(topic, example):
    """Each example of the topics' schemas passes, belongs to its topic, and has its dossier as key."""
    event = checked(example.value)
    assert topic in event.topics
    assert event.key == (example.value["dossier_id"].encode() if "dossier_id" in example.value else None)
    assert json.loads(event.value) == example.value


@pytest.mark.parametrize(
    ("topic", "example"),
    [(name, example) for name in SCHEMAS for example in declared_topics()[name].bad_examples()],
    ids=lambda value: getattr(value, "name", value),
)
def test_what_the_schema_refuses_is_refused(topic, example):
    """Each bad example of the topics' schemas is refused."""
    del topic
    with pytest.raises(EventError):
        checked(example.value)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (b"", "empty"),
        (b"{", "not_json"),
        (b'{"a":' * 5_000, "not_json: nested too deep"),
        (b'{"type": "lookup.asked"}', "wrong_shape: Invalid value 'lookup.asked' - at `$.type`"),
        (b'{"type": "\xff"}', "not_utf8"),
        (json.dumps(asked(link="n" * 300_000)).encode(), "too_large"),
        (asked(link="n\n"), "control_character: `link`"),
        (asked(occurred_at_ms=1_700_000_000), "absurd_time"),
        (asked(occurred_at_ms=now_ms() + 3_600_000), "clock_skew"),
        ({"type": object()}, "not_json"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_refusal_says_why(event, reason):
    """What would become a dead letter is refused by that letter's reason."""
    with pytest.raises(EventError, match="^" + reason.replace("`", ".").replace("$", ".")):
        checked(event, now_ms())


names = st.text(min_size=1, max_size=20) | st.sampled_from(["npd", "a\tb", "\x85", "Thủ Đức", "\ud800"])
times = st.integers(-5, 5) | st.integers(now_ms() - 10_000, now_ms() + 200_000)


@given(link=names, dossier=names, attempt=st.integers() | st.none(), at_ms=times, extra=names)
def test_what_is_sent_is_never_a_dead_letter(link, dossier, attempt, at_ms, extra):
    """An event that passes is one that the meter accepts, whatever stands in its fields."""
    event = asked(link=link, dossier_id=dossier, attempt=attempt, occurred_at_ms=at_ms) | {extra: extra}
    try:
        sendable = checked(event, now_ms())
    except EventError:
        return
    meter = Meter(LOOKUPS, 0, MeasureSettings())
    meter.feed([record[2:] for record in records_of([sendable._replace(occurred_at_ms=now_ms())], 1)])
    assert meter.dead_letters == []


def test_lines_become_a_log_that_the_doctor_passes(tmp_path):
    """`emit --out` writes a log in which nothing is wrong, and a refused line is named and costs itself."""
    beat = {"type": "observer.heartbeat", "occurred_at_ms": now_ms(), "observer": "portal", "links": ["npd"]}
    done = asked(type="lookup.completed", event_id="c", outcome="ok", status_code=200)
    lines = [json.dumps(event).encode() for event in (beat, asked(), done, beat)]
    path, out = tmp_path / "events.ndjson", tmp_path / "log.ndjson.zst"
    path.write_bytes(
        b"\n".join([*lines[:2], b"", b'{"type": "lookup.requested"}', b"x" * 2_100_000, *lines[2:]])
    )
    ended = CliRunner().invoke(app, ["emit", str(path), "--out", str(out), "--json"])
    assert ended.exit_code == 2
    assert json.loads(ended.stdout) == {"sent": 4, "refused": 2}
    assert "line 4: wrong_shape: Object missing required field" in ended.stderr
    assert "line 5: too_large" in ended.stderr
    records = list(read_log(out))
    assert Counter(record.topic for record in records) == {LOOKUPS: 10, SUBMISSIONS: 8}
    assert [finding.kind for finding in examine(records).findings()] == []


@pytest.mark.parametrize(
    "arguments",
    [[], ["nowhere.ndjson"], ["-", "--link", "npd", "--out", "x.ndjson"], ["-", "--out", "x.xlsx"]],
)
def test_bad_usage_ends_with_two(arguments, tmp_path, monkeypatch):
    """Nothing to send, no such file, or a name under which no log is written: exit 2 and one sentence."""
    monkeypatch.chdir(tmp_path)
    ended = CliRunner().invoke(app, ["emit", *arguments], input="")
    assert ended.exit_code == 2
    assert ended.stderr.startswith("error: ")


def test_events_and_heartbeats_arrive_where_they_belong(kafka, suffix):
    """From several threads each event lies once in its dossier's partition, heartbeats in every one."""
    topics, connection = ready(kafka, suffix)
    with Emitter(["npd"], connection=connection, topic_names=topics.by_declared_name()) as emitter:

        def work(thread):
            for n in range(50):
                with emitter.lookup("npd", f"H29-{thread}-{n}", agency="a", service="s") as lookup:
                    lookup.outcome, lookup.status_code = "ok", 200

        threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        emitter.send(RECEIVED | {"occurred_at_ms": now_ms()}).result(30)
    assert emitter.dropped == 0
    with pytest.raises(EmitterClosedError):
        emitter.send(asked())
    read = asyncio.run(read_all(kafka, topics, [topics.lookups, topics.submissions]))
    assert {headers for _, headers in read} == {()}
    found = [finding.kind for finding in examine(record for record, _ in read).findings()]
    assert found == []
    types = Counter(json.loads(record.value)["type"] for record, _ in read)
    assert types.pop("observer.heartbeat") >= 8
    assert types == {"lookup.requested": 200, "lookup.completed": 200, "submission.received": 1}


def test_a_broker_that_is_away_holds_nothing_up(kafka, suffix):
    """While no broker answers, lookups go on, a bound holds, and what was kept is sent once one does."""
    topics, connection = ready(kafka, suffix)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        away = {"bootstrap_servers": f"127.0.0.1:{nobody.getsockname()[1]}"}
        emitter = Emitter(connection=away, topic_names=topics.by_declared_name(), most_waiting=10)
        began = time.monotonic()
        for n in range(6):
            with emitter.lookup("npd", f"d{n}", agency="a", service="s") as lookup:
                lookup.outcome = "ok"
        with pytest.raises(BufferFullError):
            emitter.send(asked())
        assert time.monotonic() - began < 5
        assert emitter.dropped == 3
        emitter._connection = connection
        emitter.flush(60)
        emitter.close()
    read = asyncio.run(read_all(kafka, topics, [topics.lookups]))
    assert len(read) == 10


@pytest.mark.parametrize(
    ("ask", "outcome"),
    [
        (lambda port: requests.get(f"http://127.0.0.1:{port}", timeout=5), "unreachable"),
        (lambda port: httpx.get(f"http://127.0.0.1:{port}", timeout=5), "unreachable"),
        (lambda _: socket.create_connection(("no-such-host.invalid", 80), timeout=5), "unreachable"),
        (lambda _: int("a bug of the portal's own"), "cancelled"),
    ],
    ids=["requests", "httpx", "no such host", "a bug"],
)
def test_an_exception_tells_whose_fault_it_was(ask, outcome):
    """What real client libraries raise where nobody listens is the link's fault; a bug is nobody's."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(Exception) as raised:  # noqa: PT011 - each library has its own
            ask(nobody.getsockname()[1])
    assert outcome_of(raised.value) == outcome


@pytest.mark.parametrize("library", [requests, httpx], ids=lambda library: library.__name__)
def test_a_server_that_says_nothing_is_a_timeout_and_one_that_hangs_up_a_reset(library):
    """What real client libraries raise at a silent server is a time-out, at one that hangs up a reset."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(Exception) as raised:  # noqa: PT011 - each library has its own
            library.get(url, timeout=0.2)
        assert outcome_of(raised.value) == "timeout"

        def hang_up():
            for _ in range(2):
                listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(Exception) as raised:  # noqa: PT011 - as above
            library.get(url, timeout=5)
        thread.join()
        assert outcome_of(raised.value) in ("reset", "cancelled")


def test_the_command_sends_lines_and_heartbeats(kafka, suffix):
    """`emit -` sends its lines and a heartbeat a second while it lives; Ctrl-C ends one without lines."""
    topics, _ = ready(kafka, suffix)
    command = [sys.executable, "-m", "streams", "emit", "--suffix", suffix, "--link", "npd"]
    environment = {"KAFKA_BOOTSTRAP_SERVERS": kafka, "PATH": ""}
    lines = "".join(json.dumps(asked(event_id=f"e{n}", dossier_id=f"d{n}")) + "\n" for n in range(100))
    ended = subprocess.run(
        [*command, "-", "--json"],
        input=lines,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {"sent": 100, "refused": 0}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as beating:
        before = len(asyncio.run(read_all(kafka, topics, [topics.submissions])))
        deadline = time.monotonic() + 60
        while len(asyncio.run(read_all(kafka, topics, [topics.submissions]))) < before + 8:
            assert time.monotonic() < deadline
        beating.send_signal(signal.SIGINT)
        assert beating.wait(60) == 0
        assert beating.stdout.read() == "0 events sent, 0 refused\n"
    read = asyncio.run(read_all(kafka, topics, [topics.lookups]))
    types = Counter(json.loads(record.value)["type"] for record, _ in read)
    assert types["lookup.requested"] == 100
    assert types["observer.heartbeat"] >= 8
