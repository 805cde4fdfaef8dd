"""What `portallink doctor` finds in events that are wrong, and that it finds nothing in right ones."""

import asyncio
import json
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from streams.cli import app
from streams.doctor.examine import MAX_NAMES, examine
from streams.doctor.findings import ADVICE
from streams.kafka.publish import publish
from streams.kafka.topics import Topics, create_topics
from streams.logs.write import log_writer
from streams.model.record import Record
from streams.model.topics import LOOKUPS, SUBMISSIONS

T0 = 1_750_032_000_000
DOCS = (Path(__file__).parents[2] / "docs" / "integrate.md").read_text("utf-8")


def asked(n, **changes):
    """Return a request at the nth second."""
    about = {"lookup_id": f"q{n}", "dossier_id": f"H29-{n:04}", "link": "npd", "agency": "a", "service": "s"}
    event = {"type": "lookup.requested", "event_id": f"r{n}", "occurred_at_ms": T0 + n * 1000, "attempt": 1}
    return event | about | {"observer": "portal"} | changes


def answered(n, **changes):
    """Return its completion."""
    done = {"type": "lookup.completed", "event_id": f"c{n}", "occurred_at_ms": T0 + n * 1000 + 90}
    return asked(n) | done | {"outcome": "ok", "status_code": 200} | changes


def beat(n, **changes):
    """Return a heartbeat at the nth second."""
    event = {"type": "observer.heartbeat", "occurred_at_ms": T0 + n * 1000 + 95, "observer": "portal"}
    return event | {"links": ["npd"]} | changes


def logged(events, topic=LOOKUPS, partition=0, key=True, delay_ms=5):
    """Return events as records, logged as soon as they happened."""
    return [
        Record(
            topic,
            event.pop("partition", partition) if isinstance(event, dict) else partition,
            offset,
            (event["occurred_at_ms"] if isinstance(event, dict) else T0) + delay_ms,
            event["dossier_id"].encode()
            if key and isinstance(event, dict) and "dossier_id" in event
            else None,
            json.dumps(event).encode() if isinstance(event, dict) else event,
        )
        for offset, event in enumerate(events)
    ]


def good(seconds=30):
    """Return the events of a portal that does everything right."""
    return [event for n in range(seconds) for event in (asked(n), answered(n), beat(n))]


def kinds(records):
    """Return the kinds that are found."""
    return {finding.kind for finding in examine(records).findings()}


WRONG = {
    "refused": lambda: logged([*good(), b"{}", b"\xff", b""]),
    "no_heartbeat": lambda: logged([asked(1), answered(1)]),
    "heartbeat_gap": lambda: logged([*good(), beat(60)]),
    "link_not_watched": lambda: logged([*good(), asked(30, link="tax"), answered(30, link="tax")]),
    "no_key": lambda: logged(good(), key=False),
    "split_pair": lambda: logged([*good(), beat(30, partition=1), asked(30), answered(30, partition=1)]),
    "no_completion": lambda: logged([*good(), asked(30)]),
    "no_request": lambda: logged([*good(), answered(30)]),
    "late": lambda: logged([*good(), asked(2, event_id="x", lookup_id="x"), answered(30, lookup_id="x")]),
    "duplicate": lambda: logged([*good(), answered(29)]),
    "clock_ahead": lambda: logged(good(), delay_ms=-2_500),
    "logged_late": lambda: logged(good(), delay_ms=61_000),
    "unknown_field": lambda: logged([asked(0, citizen="x"), *good()[1:]]),
    "personal": lambda: logged([asked(0, dossier_id="079090001234"), *good()[1:]]),
    "many_names": lambda: logged(
        [
            e
            for n in range(MAX_NAMES + 1)
            for e in (asked(n, agency=f"a{n}"), answered(n, agency=f"a{n}"), beat(n))
        ]
    ),
}


def test_what_is_right_gives_nothing():
    """Events sent as the contract says have no finding."""
    assert examine(logged(good())).findings() == []


@pytest.mark.parametrize("kind", WRONG)
def test_each_kind_is_found(kind):
    """Each kind of trouble is found where there is such, with severity, advice and the place of the first."""
    found = {finding.kind: finding for finding in examine(WRONG[kind]()).findings()}
    assert kind in found
    finding = found[kind]
    assert (finding.severity, finding.advice) == ADVICE[kind]
    assert 0 < finding.count <= finding.of
    assert finding.example.topic == LOOKUPS


def test_each_kind_is_tested_and_told():
    """The kinds tested here, those there are and those of the documentation are the same."""
    table = DOCS.split("| kind | means |")[1].split("\n\n")[0]
    told = set(re.findall(r"`(\w+)`", "".join(row.split("|")[1] for row in table.splitlines() if "`" in row)))
    assert set(WRONG) == set(ADVICE) == told


SECRETS = ["079090001234", "0912345678", "+84912345678", "nguyen.van.a@example.vn"]


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("field", ["dossier_id", "link", "agency", "extra", "079090001234"])
def test_no_value_is_ever_repeated(secret, field):
    """A personal identifier is found in any field, and stands in no finding, not even as a field."""
    records = logged([asked(0, **{field: secret}), b'{"%s": 1}' % secret.encode(), *good()[1:]])
    found = examine(records).findings()
    assert "personal" in {finding.kind for finding in found}
    assert not any(word in str(msgspec.to_builtins(found)) for word in (secret, "079090001234"))


GOOD = [json.dumps(event).encode() for event in good(5)]


@given(number=st.uuids(), digits=st.text("0123456789abcdef", min_size=16, max_size=32))
def test_an_identifier_of_a_machine_is_not_personal(number, digits):
    """UUIDs, trace and span ids are nobody's, whatever digits they hold."""
    events = good()
    for event in events:
        if "dossier_id" in event:
            event["dossier_id"], event["lookup_id"] = f"{digits}-{digits}", f"{number}"
    kinds = {finding.kind for finding in examine(logged(events)).findings()}
    assert "personal" not in kinds


@settings(max_examples=150)
@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from(good(5)).map(lambda e: json.dumps(e).encode()), max_size=30
    )
)
def test_whatever_it_is_given_it_counts(values):
    """No bytes make it fail, and no finding counts more than there was."""
    records = [Record(LOOKUPS, 0, n, T0 + 10_000, None, value) for n, value in enumerate(values)]
    for finding in examine(records).findings():
        assert 0 < finding.count <= max(finding.of, 1) * 2
        assert finding.example.offset < max(len(values), 1)


def run(*arguments):
    """Run `portallink doctor` and return its result."""
    return CliRunner().invoke(app, ["doctor", *map(str, arguments)])


def written(path, records):
    """Write a log file and return its path."""
    with log_writer(path) as writer:
        writer.write(records)
    return path


def test_the_command_says_what_is_wrong_and_how_it_ends(tmp_path):
    """Exit code 0 for nothing and for warnings, 1 for errors, 2 for no log or no events."""
    right = run(written(tmp_path / "a.ndjson.gz", logged(good())))
    assert (right.exit_code, "nothing wrong was found" in right.stdout) == (0, True)
    warned = run(written(tmp_path / "b.ndjson", WRONG["duplicate"]()))
    assert (warned.exit_code, "warning: duplicate (1 of 91)" in warned.stdout) == (0, True)
    wrong = run(written(tmp_path / "c.parquet", WRONG["no_key"]()), "--json")
    assert wrong.exit_code == 1
    assert [finding["kind"] for finding in json.loads(wrong.stdout)["findings"]] == ["no_key"]
    other = written(tmp_path / "d.ndjson", logged(good(), topic="portal-a"))
    assert "nothing to examine: portal-a; events are of" in run(other).stderr
    assert run(other).exit_code == 2
    assert run(other, "--as", LOOKUPS).exit_code == 0
    assert run(other, "--as", "nothing").exit_code == 2
    (tmp_path / "e").write_text("no log")
    assert run(tmp_path / "e").exit_code == 2


def test_submissions_are_examined_too():
    """The events of the other topic are held to the same rules."""
    event = {"type": "submission.received", "event_id": "s", "occurred_at_ms": T0, "dossier_id": "d"}
    event |= {"portal": "p", "agency": "a", "service": "s", "channel": "web"}
    assert kinds(logged([event, beat(0, links=[])], SUBMISSIONS)) == set()
    assert kinds(logged([event], SUBMISSIONS)) == {"no_heartbeat"}


@pytest.mark.kafka
async def test_a_topic_is_read_as_far_as_it_goes(kafka, suffix, monkeypatch):
    """Events on a broker are found wrong as those in a file are; a topic that is not there is said."""
    topics = Topics().suffixed(suffix)
    connection = {"bootstrap_servers": kafka}
    await create_topics(connection, topics, partitions={LOOKUPS: 1})
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", kafka)
    await publish(iter(logged(good(), key=False)), connection, topic_names={LOOKUPS: topics.lookups})
    result = await asyncio.to_thread(run, topics.lookups, "--json")
    found = {finding["kind"] for finding in json.loads(result.stdout)["findings"]}
    assert "no_key" in found
    assert result.exit_code == 1
    missing = await asyncio.to_thread(run, f"no-{suffix}")
    assert missing.exit_code == 1
    assert f"no-{suffix}" in missing.stderr
