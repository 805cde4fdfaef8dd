"""What takes an outage back can be named: the late records it followed from."""

import json

from replay_logs import T0, make_log

from streams import replay
from streams.logs.write import log_writer
from streams.model.record import Record
from streams.model.topics import LOOKUPS


def late_answers(count, *, at_s, told_s):
    """Return lookups that all succeeded within ten seconds, told much later, as records without offsets."""
    records = []
    for number in range(count):
        asked_ms = T0 + at_s * 1000 + 10_000 * number // count
        common = {
            "lookup_id": f"late-{number}",
            "dossier_id": f"L{number}",
            "link": "npd",
            "agency": "agency-1",
            "service": "service-1",
            "attempt": 1,
            "observer": "portal",
        }
        for kind, after_ms, more in (
            ("lookup.requested", 0, {}),
            ("lookup.completed", 50, {"outcome": "ok"}),
        ):
            event = {"event_id": f"{kind}-{number}", "type": kind, "occurred_at_ms": asked_ms + after_ms}
            value = json.dumps(event | common | more).encode()
            key = common["dossier_id"].encode()
            records.append(Record(LOOKUPS, 0, 0, T0 + told_s * 1000 + number, key, value))
    return records


def test_a_retraction_names_the_late_records_that_led_to_it(tmp_path):
    """An outage is published and closed, four hundred answers of its time come late, and it is taken back:
    its explanation names some of them, each by a record of the log that tells of that time.
    """
    log = make_log(seconds=1500, failing=((600, 640),), partitions=1)
    late = [*late_answers(150, at_s=595, told_s=1000), *late_answers(1500, at_s=620, told_s=1000)]
    records = sorted([*log, *late], key=lambda record: record.logged_at_ms)
    records = [record._replace(offset=offset) for offset, record in enumerate(records)]
    path = tmp_path / "log.ndjson"
    with log_writer(path) as writer:
        writer.write(records)
    revisions = replay.analyze(path).outages
    last = revisions[-1]
    assert [one.status for one in revisions][:2] == ["open", "closed"]
    assert (last.reason, revisions[-1].detected_at_ms > T0 + 1_000_000 - 10_000) == ("late", True)
    found = replay.explain(last.outage_id, path)
    behind = [one for one in found.late if one.revision == last.revision]
    assert behind
    offsets = {record.offset for record in records if b"late-" in record.value}
    assert {one.offset for one in behind} <= offsets
    assert all(T0 + 590_000 <= one.occurred_at_ms < T0 + 640_000 for one in behind)
    assert f"Revision {last.revision} followed from records that came late" in found.reasons()[-1]


def test_what_came_in_time_is_not_named(tmp_path):
    """Of a log without late records no revision names any."""
    path = tmp_path / "log.ndjson"
    with log_writer(path) as writer:
        writer.write(make_log(partitions=1))
    (outage,) = replay.analyze(path).final()
    assert replay.explain(outage.outage_id, path).late == []
