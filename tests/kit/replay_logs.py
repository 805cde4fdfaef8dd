"""Small logs for tests: one link asked every second, with outages where wanted."""

import json
from random import Random
from zlib import crc32

from streams.model.record import Record
from streams.model.topics import LOOKUPS, SUBMISSIONS

T0 = 1_686_531_600_000  # 2023-06-12 08:00 Asia/Ho_Chi_Minh


def make_log(
    *,
    seconds=1500,
    failing=((600, 900),),
    share=1.0,
    links=("npd",),
    partitions=2,
    seed=1,
    per_second=2,
    tail=60,
):
    """Return the records of some links, each asked `per_second` times a second.

    In the spans given, in seconds, a share of the attempts fails.

    Heartbeats every five seconds go into every partition; for `tail` seconds after the last request too.
    """
    random = Random(seed)
    events = []
    for link in links:
        for n in range(seconds * per_second):
            asked = n * 1000 // per_second + random.randrange(0, 300)
            dossier = f"D{n // 3:05d}"
            common = {
                "lookup_id": f"{link}-{n}",
                "dossier_id": dossier,
                "link": link,
                "agency": f"agency-{n % 3}",
                "service": f"service-{n % 5}",
                "attempt": 1,
                "observer": "portal",
            }
            hit = any(start <= asked / 1000 < end for start, end in failing)
            failed = hit and (share == 1.0 or random.random() < share)
            outcome = "unreachable" if failed else "ok"
            answered = asked + random.randrange(40, 160)
            events.append(
                (asked, dossier, {"event_id": f"{link}-{n}-r", "type": "lookup.requested", **common})
            )
            done = {"event_id": f"{link}-{n}-c", "type": "lookup.completed", **common, "outcome": outcome}
            events.append((answered, dossier, done))
    for second in range(0, seconds + tail, 5):
        beat = {"type": "observer.heartbeat", "observer": "portal", "links": list(links), "interval_ms": 5000}
        events.append((second * 1000, None, beat))
    return records_of(events, partitions)


def records_of(events, partitions, topic=LOOKUPS):
    """Return events `(ms after T0, dossier or None for every partition, value)` as records in time order."""
    offsets = [0] * partitions
    records = []
    for at, dossier, event in sorted(events, key=lambda item: item[0]):
        value = json.dumps({**event, "occurred_at_ms": T0 + at}, separators=(",", ":")).encode()
        homes = range(partitions) if dossier is None else [crc32(dossier.encode()) % partitions]
        for home in homes:
            key = None if dossier is None else dossier.encode()
            records.append(Record(topic, home, offsets[home], T0 + at + 3, key, value))
            offsets[home] += 1
    return records


def submissions(count=50, partitions=2):
    """Return received submissions, one a second."""
    events = [
        (
            n * 1000,
            f"D{n:05d}",
            {
                "event_id": f"s-{n}",
                "type": "submission.received",
                "dossier_id": f"D{n:05d}",
                "portal": "portal",
                "agency": "agency-1",
                "service": "service-1",
                "channel": "web",
            },
        )
        for n in range(count)
    ]
    return records_of(events, partitions, SUBMISSIONS)
