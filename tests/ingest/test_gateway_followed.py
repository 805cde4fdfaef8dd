"""A log that is followed gives the outages of the finished one, through rotations and crashes."""

from random import Random

import pytest
from followed_logs import T0, copytruncate, events, finished, rename, told
from gateway_lines import WRITERS, LoggedCall, day_of_calls

from streams.ingest.shell import load_mapper
from streams.model.events import Heartbeat, lookup_decoder
from streams.replay.analyze import analyze


def late_lookups(follower):
    """Return the events that came behind the watermark of their partition, those seen before left out."""
    reached, seen, late = {}, set(), []
    for record in follower.topic:
        event = lookup_decoder.decode(record.value)
        new = not isinstance(event, Heartbeat) and event.event_id not in seen
        seen.add(event.event_id)
        if new and event.occurred_at_ms < reached.get(record.partition, 0) - 5_000:
            late.append(event)
        reached[record.partition] = max(reached.get(record.partition, 0), event.occurred_at_ms)
    return late


ROTATED = [(preset, (rename, copytruncate)[number % 2]) for number, preset in enumerate(WRITERS)]


@pytest.mark.parametrize(("preset", "rotate"), ROTATED, ids=WRITERS)
def test_a_followed_log_gives_the_outages_of_the_finished_one(followed, tmp_path, preset, rotate):
    """With rotations, half lines and crashes in the middle: the same outages, nothing twice, nothing lost."""
    random = Random(f"{preset}/{rotate.__name__}")
    calls = day_of_calls(T0, 1_800, 180, seconds_=3_600, every_s=20)
    lines = [WRITERS[preset](call) + "\n" for call in calls]
    expected, ids = finished(tmp_path, preset, "".join(lines))
    assert len(expected) == 1
    path = tmp_path / "access.log"
    path.touch()
    follower = followed(path, lambda: load_mapper(preset))
    half, number = "", 0
    for at in range(0, len(lines), 25):
        text = half + "".join(lines[at : at + 25])
        half = text[-random.randrange(1, 40) :] if random.random() < 0.3 else ""
        with path.open("a") as file:
            file.write(text.removesuffix(half) if half else text)
        now_ms = calls[min(at + 25, len(calls)) - 1].start_ms + 1_000
        kind = random.random() if at else 1.0  # what is rotated away before the first look is history
        if kind < 0.3:
            follower.step(now_ms, killed_before=random.randrange(3))
        elif kind < 0.5:
            follower.kill()
        else:
            follower.step(now_ms)
        if random.random() < 0.3 and not half:
            number += 1
            rotate(path, number)
    with path.open("a") as file:
        file.write(half)
    follower.step(follower.now_ms + 1_000)
    follower.finish()
    for _ in range(6):  # files that were rotated are left once they have been quiet for a while
        follower.step(follower.now_ms + 1_000)
    follower.finish()
    assert follower.notes == follower.rejects == []
    analysis = analyze(follower.log, outages_only=True)
    assert told(analysis.final()) == expected
    assert analysis.records.dead_letter == 0
    assert late_lookups(follower) == []
    sent = {event.event_id for event in events(follower)}
    assert len(sent) == len(ids)
    if load_mapper(preset).said.id is not None:  # else ids are places, and a part has places of its own
        assert sorted(sent) == ids


@pytest.mark.parametrize("hold_ms", [60_000, 0])
def test_an_outage_of_time_outs_is_the_same_held_back_or_not(followed, tmp_path, hold_ms):
    """Not held back, requests of slow calls come late and correct: the outage is the finished log's."""
    calls = [
        LoggedCall(
            T0 + 2_000 * n, 20_000 if 400 <= n < 490 else 120, "timeout" if 400 <= n < 490 else "ok", n
        )
        for n in range(700)
    ]
    calls.sort(key=lambda call: call.start_ms + call.took_ms)
    lines = [WRITERS["nginx-json"](call) + "\n" for call in calls]
    expected, _ = finished(tmp_path, "nginx-json", "".join(lines))
    follower = followed(tmp_path / "access.log", lambda: load_mapper("nginx-json"), hold_ms=hold_ms)
    for at in range(0, len(lines), 5):
        with follower.path.open("a") as file:
            file.writelines(lines[at : at + 5])
        follower.step(calls[at + 4].start_ms + calls[at + 4].took_ms)
    follower.finish()
    assert len(expected) == 1
    assert told(analyze(follower.log, outages_only=True).final()) == expected
    assert bool(late_lookups(follower)) is (hold_ms == 0)
