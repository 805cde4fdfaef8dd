"""X-Road files through `portallink ingest xroad`: every shape, every count, nothing personal left."""

import asyncio
import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner
from xroad_samples import LINK, T0, client, network_error, producer

from streams.cli import app
from streams.ingest.xroad.events import closing_ms_after
from streams.kafka.topics import Topics, create_topics, declared_topics
from streams.logs.capture import Wish, capture
from streams.logs.read import read_log
from streams.model.events import Heartbeat, LookupCompleted, lookup_decoder
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS

SHAPES = {
    "array.json": json.dumps,
    "array-pretty.json": lambda records: json.dumps(records, indent=4),
    "answer.json": lambda records: json.dumps({"records": records}),
    "answer-pretty.json": lambda records: json.dumps({"nextRecordsFrom": 1, "records": records}, indent=2),
    "lines.ndjson": lambda records: "".join(json.dumps(record) + "\n" for record in records),
    "answers.ndjson": lambda records: "\n\n".join(json.dumps({"records": [record]}) for record in records),
    "marked.json": lambda records: "\ufeff" + json.dumps(records),
}


def run(*arguments, stdin=None):
    """Run `portallink ingest xroad` and return its result."""
    return CliRunner().invoke(app, ["ingest", "xroad", *map(str, arguments)], input=stdin)


def imported(tmp_path, *files, stdin=None):
    """Import files into a log; return the figures and the log's records."""
    out = tmp_path / "log.ndjson"
    result = run(*files, "--out", out, "--json", stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout), list(read_log(out))


def counts(figures):
    """Return the five counts that account for every record."""
    return {name: figures[name] for name in ("records", "pairs", "singles", "duplicates", "rejected")}


def write(path: Path, records, shape="array.json"):
    """Write records in a shape."""
    path.write_text(SHAPES[shape](records), "utf-8")
    return path


BUSY = [
    client(T0, "a1"),
    producer(T0, "a1"),
    client(T0 + 1000, "a2"),
    network_error(T0 + 2000, "a3"),
    client(T0, "a1"),
]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_gives_the_same_log(tmp_path, shape, packed):
    """JSON array, answer object and NDJSON, plain and gzipped, from a file and from standard input."""
    content = SHAPES[shape](BUSY).encode()
    content = gzip.compress(content, mtime=0) if packed else content
    path = tmp_path / shape
    path.write_bytes(content)
    figures, log = imported(tmp_path, path)
    assert counts(figures) == {"records": 5, "pairs": 1, "singles": 2, "duplicates": 1, "rejected": 0}
    piped, same = imported(tmp_path, "-", stdin=content)
    assert piped | {"rejects": []} == figures
    assert same == log
    write(tmp_path / "reference.json", BUSY)
    assert imported(tmp_path, tmp_path / "reference.json")[1] == log


def test_events_fit_the_contract(tmp_path):
    """Each value passes the topic's schema, times ascend, and the partitions close beyond the last event."""
    import jsonschema

    _, log = imported(tmp_path, write(tmp_path / "busy.json", BUSY))
    validator = jsonschema.Draft202012Validator(declared_topics()[LOOKUPS].schema(1))
    for record in log:
        validator.validate(json.loads(record.value))
    events = [lookup_decoder.decode(record.value) for record in log]
    times = [event.occurred_at_ms for event in events]
    assert times == sorted(times)
    assert all(record.logged_at_ms >= event.occurred_at_ms for record, event in zip(log, events, strict=True))
    beats = [event for event in events if isinstance(event, Heartbeat)]
    assert len(beats) == 4
    assert all(beat.links == [] for beat in beats)
    last = max(event.occurred_at_ms for event in events if not isinstance(event, Heartbeat))
    assert {beat.occurred_at_ms for beat in beats} == {last + closing_ms_after(MeasureSettings())}


def test_views_of_both_sides(tmp_path):
    """The consumer's view lasts its whole call, the provider's what the provider took; one lookup id."""
    _, log = imported(tmp_path, write(tmp_path / "pair.json", BUSY[:2]))
    events = [lookup_decoder.decode(record.value) for record in log]
    view = {
        (event.observer, type(event).__name__): event.occurred_at_ms - T0
        for event in events
        if not isinstance(event, Heartbeat)
    }
    assert view == {
        ("portal", "LookupRequested"): 0,
        ("provider", "LookupRequested"): 40,
        ("provider", "LookupCompleted"): 120,
        ("portal", "LookupCompleted"): 160,
    }
    lookups = [event for event in events if not isinstance(event, Heartbeat)]
    assert {event.lookup_id for event in lookups} == {"a1"}
    assert {event.link for event in lookups} == {LINK}
    assert len({record.partition for record in log if record.key}) == 1


def test_personal_fields_go_nowhere(tmp_path):
    """No personal field of a record reaches log, figures, rejects or messages, not even of a rejected one."""
    bad = client(T0 + 5000, "bad", requestInTs="079090001234", statusCode="079090001234")
    path = write(tmp_path / "personal.json", [*BUSY, bad])
    out, rejects = tmp_path / "log.ndjson", tmp_path / "rejects.ndjson"
    result = run(path, "--out", out)
    asjson = run(path, "--out", out, "--json", "--rejects", rejects)
    everything = result.output + asjson.output + out.read_text("utf-8") + rejects.read_text("utf-8")
    for secret in ("079090001234", "H29.12-230612-0001", "citizens"):
        assert secret not in everything
    assert json.loads(asjson.stdout)["rejected"] == 1


def test_old_names_and_letter_case(tmp_path):
    """Old field names and any letter case of the side mix with the new ones."""
    old = network_error(T0 + 3000, "b2") | {
        "soapFaultCode": "Server.ClientProxy.NetworkError",
        "requestSoapSize": 2033,
        "securityServerType": "CLIENT",
    }
    del old["faultCode"], old["faultString"]
    records = [
        client(T0, "b1", securityServerType="client"),
        producer(T0, "b1", securityServerType="PRODUCER"),
        old,
    ]
    figures, log = imported(tmp_path, write(tmp_path / "old.json", records))
    assert counts(figures) == {"records": 3, "pairs": 1, "singles": 1, "duplicates": 0, "rejected": 0}
    assert figures["outcomes"] == {"ok": 1, "unreachable": 1}
    assert LookupCompleted in {type(lookup_decoder.decode(record.value)) for record in log}


def test_reused_message_id_stays_apart(tmp_path):
    """Calls with one message id and request ids of their own are calls of their own."""
    records = [client(T0 + n * 100, f"c{n}", messageId="test") for n in range(5)]
    records += [producer(T0 + n * 100, f"c{n}", messageId="test") for n in range(5)]
    figures, _ = imported(tmp_path, write(tmp_path / "reused.json", records))
    assert counts(figures) == {"records": 10, "pairs": 5, "singles": 0, "duplicates": 0, "rejected": 0}
    assert figures["paired_by_message_id"] == 0


def test_without_request_id_message_id_pairs_the_nearest(tmp_path):
    """Old records pair by message id, parties and time; the same message id an hour later is another call."""
    records = [
        client(T0, messageId="m"),
        producer(T0, messageId="m"),
        client(T0 + 3_600_000, messageId="m"),
        producer(T0 + 7_200_000, messageId="m"),
        client(T0 + 100, "d1", messageId="n"),
        producer(T0 + 100, messageId="n"),
        producer(T0, messageId="m", serviceCode="other"),
    ]
    figures, _ = imported(tmp_path, write(tmp_path / "old.json", records))
    assert counts(figures) == {"records": 7, "pairs": 2, "singles": 3, "duplicates": 0, "rejected": 0}
    assert figures["paired_by_message_id"] == 2


def test_missing_side_is_inferred(tmp_path):
    """A record without its side takes the one left over, the one its fault tells, or its server's."""
    records = [
        client(T0, "e1", securityServerType=None),
        producer(T0, "e1"),
        client(T0 + 1000, "e2"),
        producer(T0 + 1000, "e2", securityServerType=None),
        client(T0 + 2000, "e3", securityServerType=None),
        producer(T0 + 2000, "e3", securityServerType=None),
        network_error(T0 + 3000, "e4") | {"securityServerType": None},
        producer(T0 + 4000, "e5", securityServerType=None),
        producer(T0 + 5000, messageId="q", securityServerType=None),
        client(T0 + 5000, messageId="q", securityServerType=None),
    ]
    figures, log = imported(tmp_path, write(tmp_path / "untyped.json", records))
    assert counts(figures) == {"records": 10, "pairs": 4, "singles": 2, "duplicates": 0, "rejected": 0}
    assert figures["singles_by_side"] == {"client": 1, "producer": 1}
    requested = [json.loads(record.value) for record in log if b"lookup.requested" in record.value]
    portal = [event["occurred_at_ms"] - T0 for event in requested if event["observer"] == "portal"]
    assert portal == [0, 1000, 2000, 3000, 5000]


def test_call_that_failed_early_names_what_it_can(tmp_path):
    """A record without provider, or without any party, is kept on a link that says unknown."""
    early = {"succeeded": False, "faultCode": "Client.InvalidHttpMethod", "statusCode": None}
    bare = {
        "monitoringDataTs": T0 // 1000,
        "securityServerType": "Client",
        "requestInTs": T0,
        "responseOutTs": T0,
        **early,
    }
    del bare["statusCode"]
    no_provider = client(T0 + 10, "f1", **early) | {}
    no_provider = {name: value for name, value in no_provider.items() if not name.startswith("service")}
    figures, _ = imported(tmp_path, write(tmp_path / "early.json", [bare, no_provider]))
    assert figures["links"] == {"H29/portal > unknown": 1, "unknown > unknown": 1}
    assert figures["outcomes"] == {"denied": 2}


def test_negative_network_times_are_kept_and_reported(tmp_path):
    """A provider whose clock runs behind gives negative network times: counted, reported, not dropped."""
    late = {
        "requestInTs": T0 - 20,
        "requestOutTs": T0 - 15,
        "responseInTs": T0 + 60,
        "responseOutTs": T0 + 80,
    }
    records = [client(T0, "g1"), producer(T0, "g1") | late, client(T0 + 900, "g2"), producer(T0 + 900, "g2")]
    figures, _ = imported(tmp_path, write(tmp_path / "skew.json", records))
    assert figures["pairs"] == 2
    assert figures["request_network"] == {
        "count": 2,
        "negative": 1,
        "min_ms": -30,
        "median_ms": 25,
        "max_ms": 25,
    }
    assert figures["response_network"]["negative"] == 0


def test_metaservices_stand_on_links_apart(tmp_path):
    """X-Road's own services do not count for the business link."""
    own = client(T0, "h1", serviceCode="getSecurityServerOperationalData", serviceVersion=None)
    figures, _ = imported(tmp_path, write(tmp_path / "meta.json", [own, client(T0 + 50, "h2")]))
    assert figures["metaservice_calls"] == 1
    assert figures["links"] == {LINK: 1, f"{LINK} [metaservices]": 1}


def test_rejects_are_named_by_file_line_and_reason(tmp_path):
    """A bad record among good ones is left out, named with its place and what is wrong with it."""
    lines = [
        json.dumps(client(T0, "i1")),
        "{broken",
        json.dumps(client(T0, "i2", requestInTs=None)),
        json.dumps(client(T0, "i3", requestInTs=T0 // 1000)),
        json.dumps(client(T0, "i4", responseOutTs=T0 - 1)),
        json.dumps(client(T0, "i5", securityServerType="Observer")),
        json.dumps(client(T0, "i6", succeeded=None, statusCode=None)),
        json.dumps(client(T0, "i7", requestInTs={"$date": 1})),
        json.dumps(client(T0, "i8", succeeded="maybe")),
        '{"temperature": 21}',
        json.dumps(producer(T0, "i1")),
        *(json.dumps(client(T0 + n, f"g{n}")) for n in range(8)),
    ]
    path = tmp_path / "mixed.ndjson"
    path.write_text("\n".join(lines), "utf-8")
    figures, _ = imported(tmp_path, path)
    assert counts(figures) == {"records": 19, "pairs": 1, "singles": 8, "duplicates": 0, "rejected": 9}
    assert [(reject["line"], reject["record"]) for reject in figures["rejects"]] == [
        (n, n) for n in range(2, 11)
    ]
    reasons = [reject["reason"] for reject in figures["rejects"]]
    for reason, part in zip(
        reasons,
        (
            "not a JSON",
            "is missing",
            "in seconds",
            "before",
            "neither",
            "no outcome",
            "outside",
            "neither",
            "none of",
        ),
        strict=True,
    ):
        assert part in reason
    shown = run(path, "--out", tmp_path / "log.ndjson").stderr
    assert f"{path}: line 2, record 2: not a JSON object" in shown


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 a zip",
        b"<xml/>",
        b"[1, 2",
        b'{"a": 1}\n{"b": 2}\n',
        b"\x1f\x8bnot gzip",
        b"text\n" * 3,
    ],
)
def test_something_else_is_refused(tmp_path, content):
    """A file that is not X-Road at all ends the import with exit code 2 and its name, and writes no log."""
    path = tmp_path / "else.bin"
    path.write_bytes(content)
    result = run(path, "--out", tmp_path / "log.ndjson")
    assert result.exit_code == 2
    assert str(path) in result.stderr
    assert not (tmp_path / "log.ndjson").exists()


def test_cut_off_gzip_is_refused(tmp_path):
    """A gzip file that ends too early is refused rather than imported in part."""
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(SHAPES["lines.ndjson"](BUSY * 50).encode(), mtime=0)[:-20])
    result = run(path, "--out", tmp_path / "log.ndjson")
    assert result.exit_code == 2
    assert "cut off" in result.stderr


def test_missing_file_and_self_overwrite_are_refused(tmp_path):
    """A file that is not there, or is also the output, ends with exit code 2."""
    assert run(tmp_path / "none.json", "--out", tmp_path / "log.ndjson").exit_code == 2
    path = write(tmp_path / "busy.json", BUSY)
    assert run(path, "--out", path).exit_code == 2
    assert json.loads(path.read_text("utf-8")) == BUSY


def test_no_records_give_an_empty_log(tmp_path):
    """An empty answer is an answer: nothing happened."""
    figures, log = imported(tmp_path, write(tmp_path / "empty.json", []))
    assert counts(figures) == dict.fromkeys(("records", "pairs", "singles", "duplicates", "rejected"), 0)
    assert log == []


async def test_import_onto_a_broker_is_the_log_of_an_import_into_a_file(kafka, suffix, tmp_path, monkeypatch):
    """Without --out the same records go onto the topic, in as many partitions as that has."""
    topics = Topics().suffixed(suffix)
    await create_topics({"bootstrap_servers": kafka}, topics, partitions={LOOKUPS: 3})
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    path = write(tmp_path / "busy.json", BUSY)
    # The command runs an event loop of its own.
    result = await asyncio.to_thread(run, path, "--suffix", suffix, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["pairs"] == 1
    refused = await asyncio.to_thread(run, path, "--suffix", suffix, "--partitions", "5")
    assert refused.exit_code == 1
    assert "has 3 partitions, not 5" in refused.stderr
    await capture(tmp_path / "log", {"bootstrap_servers": kafka}, [Wish(topics.lookups)])
    out = tmp_path / "file.ndjson"
    assert run(path, "--out", out, "--partitions", "3").exit_code == 0
    on_broker = sorted(record._replace(topic=LOOKUPS) for record in read_log(tmp_path / "log"))
    assert on_broker == sorted(read_log(out))
