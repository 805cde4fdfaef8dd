"""A log that is followed gives what the finished one gives: through rotations, half lines and crashes."""

import asyncio
import fcntl
import gzip
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from gateway_lines import WRITERS, LoggedCall, day_of_calls
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from streams.cli import app
from streams.ingest.follow import hold_back_ms, read_state, write_state
from streams.ingest.gateway.files import naming_lines
from streams.ingest.gateway.following import STEP_MS, Following, FollowState
from streams.ingest.shell import load_mapper, mapper_of, preset_text
from streams.ingest.tail import LINGER_SECONDS, Tail
from streams.ingest.tally import ImportFileError
from streams.kafka.read import topic_batches
from streams.kafka.topics import Topics, create_topics
from streams.logs.read import read_log
from streams.model.events import Heartbeat, lookup_decoder
from streams.model.located import Located
from streams.model.record import Record
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS
from streams.replay.analyze import analyze

T0 = 1_795_741_200_000
PARTITIONS = 2


class Follower:
    """Follows a file into a list, as the shell does into Kafka; it can be killed between any two steps."""

    def __init__(self, path, mapper, hold_ms=60_000):
        self.path, self._mapper, self._hold_ms = path, mapper, hold_ms
        self._state_file = path.parent / "positions.json"
        self.topic, self.notes, self.rejects = [], [], []
        self.now_ms, self.now_s = T0, 0.0
        self.begin()

    def begin(self):
        """Begin from the saved position; what was not saved is forgotten, as by `kill -9`."""
        state = read_state(self._state_file)
        mapper = self._mapper()
        self._following = Following(
            mapper, PARTITIONS, self._hold_ms, state, lambda *told: self.rejects.append(told)
        )
        self._tail = Tail(self.path, state.positions.get(str(self.path)), naming_lines(mapper.said))

    def kill(self):
        """Forget everything but what lies on disk and on the broker."""
        self._tail.close()
        self.begin()

    def __enter__(self):
        """Return the follower."""
        return self

    def __exit__(self, *_):
        """Close the file."""
        self._tail.close()

    def step(self, now_ms, *, killed_before=None):
        """Read to the end and send; `killed_before` ends it before that save, with all sent."""
        self.now_ms, self.now_s = now_ms, self.now_s + 0.5
        while (piece := self._tail.read(self.now_s)) is not None:
            self._following.take(piece, now_ms)
        self.notes += self._tail.notes
        self._tail.notes.clear()
        if self._following.began:
            write_state(self._state_file, self._following.confirmed())
        while records := self._following.due(now_ms, caught_up=not self._tail.lingers):
            self.topic += records
            if killed_before is not None:
                killed_before -= 1
                if killed_before < 0:
                    self.kill()
                    return
            write_state(self._state_file, self._following.confirmed())

    def finish(self):
        """Let the log's time pass, so that everything is sent."""
        self.step(self.now_ms + self._hold_ms + 120_000)
        self.step(self.now_ms + 1_000)

    @property
    def log(self):
        """The records by partition with their offsets counted anew, as the broker does."""
        offsets = {}
        for record in self.topic:
            offset = offsets[record.partition] = offsets.get(record.partition, -1) + 1
            yield record._replace(offset=offset)


@pytest.fixture
def followed():
    """Give followers that are closed at the end."""
    with ExitStack() as stack:
        yield lambda *arguments, **keys: stack.enter_context(Follower(*arguments, **keys))


def told(outages):
    """Return what outages say, without what depends on when it was decided."""
    return [
        (o.link, o.kind, o.fault_domain, o.status, o.start_ms, o.end_ms, o.attempts, o.failures)
        for o in outages
    ]


def finished(tmp_path, preset, text):
    """Return the outages of the finished log, and the ids of its events."""
    (tmp_path / "whole.log").write_text(text)
    out = tmp_path / "whole.ndjson"
    words = ["ingest", "http", "--map", preset, str(tmp_path / "whole.log"), "--out", str(out)]
    result = CliRunner().invoke(app, [*words, "--partitions", str(PARTITIONS)])
    assert result.exit_code == 0, result.output
    ids = [json.loads(line)["value"].get("event_id") for line in out.read_text().splitlines()]
    return told(analyze(out, beside=False, outages_only=True).final()), sorted(filter(None, ids))


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


def rename(path: Path, number: int):
    """Rotate as logrotate does by default, and pack the one before."""
    older = path.with_name(f"{path.name}.1")
    if older.exists():
        packed = path.with_name(f"{path.name}.{number}.gz")
        packed.write_bytes(gzip.compress(older.read_bytes()))
        shutil.copystat(older, packed)
        older.unlink()
    path.rename(older)
    path.touch()


def copytruncate(path: Path, number: int):
    """Rotate as logrotate does with copytruncate."""
    shutil.copy2(path, path.with_name(f"{path.name}-{number}"))
    path.write_bytes(b"")


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


def json_mapper(timeout_ms=2_000):
    """Return the mapper of a small map."""
    text = "format: json\nend: {field: t, format: epoch_ms}\nlink: npd\nstatus: s\nid: '{id}'\n"
    return mapper_of(Located(f"{text}lookup_timeout_ms: {timeout_ms}\n", "map.yaml"))


def line(at_ms, identity):
    """Return a line of that map."""
    return json.dumps({"t": at_ms, "s": 200, "id": identity}) + "\n"


def events(follower):
    """Return the events that were sent, without heartbeats."""
    decoded = [lookup_decoder.decode(record.value) for record in follower.topic]
    return [event for event in decoded if not isinstance(event, Heartbeat)]


def beats(follower):
    """Return the heartbeats that were sent into the first partition."""
    return [
        event
        for record in follower.topic
        if record.partition == 0 and isinstance(event := lookup_decoder.decode(record.value), Heartbeat)
    ]


def test_events_are_held_back_as_long_as_a_call_may_take(followed, tmp_path):
    """What is sent is never followed by something earlier: not a call that took as long as the map allows."""
    path = tmp_path / "access.log"
    calls = [LoggedCall(T0 + 1_000 * n, 59_000 if n % 7 == 0 else 100, "ok", n) for n in range(150)]
    calls.sort(key=lambda call: call.start_ms + call.took_ms)
    follower = followed(path, lambda: load_mapper("nginx-json"))
    for call in calls:
        with path.open("a") as file:
            file.write(WRITERS["nginx-json"](call) + "\n")
        follower.step(call.start_ms + call.took_ms)
    follower.finish()
    decoded = [lookup_decoder.decode(record.value) for record in follower.topic if record.partition == 0]
    times = [event.occurred_at_ms for event in decoded]
    assert times == sorted(times)
    assert follower._following.late == 0
    assert len(events(follower)) == 2 * len(calls)


def test_heartbeats_vouch_for_every_second_and_for_none_ahead(followed, tmp_path):
    """From the first call on each second is vouched for once, up to what was sent, for the links called."""
    path = tmp_path / "access.log"
    follower = followed(path, json_mapper, hold_ms=2_000)
    for second in range(60):
        if second % 7 == 0:
            with path.open("a") as file:
                file.write(line(T0 + 1_000 * second, str(second)))
        follower.step(T0 + 1_000 * second)
    spans = [(beat.occurred_at_ms, beat.occurred_at_ms + beat.interval_ms) for beat in beats(follower)]
    assert spans[0][0] == T0
    assert all(end == start for (_, end), (start, _) in pairwise(spans))
    assert spans[-1][1] == follower._following.until_ms == T0 + 57_000
    assert {tuple(beat.links) for beat in beats(follower)} == {("npd",)}


def test_the_time_in_which_the_follower_was_down_is_vouched_for_as_far_as_it_was_logged(followed, tmp_path):
    """After a crash the lines written meanwhile are read, and heartbeats cover that time without a gap."""
    path = tmp_path / "access.log"
    follower = followed(path, json_mapper, hold_ms=2_000)
    path.write_text("".join(line(T0 + 1_000 * n, str(n)) for n in range(10)))
    follower.step(T0 + 10_000)
    follower.kill()
    with path.open("a") as file:
        file.write("".join(line(T0 + 1_000 * n, str(n)) for n in range(10, 5_000)))
    follower.step(T0 + 5_000_000)
    follower.finish()
    spans = sorted({(beat.occurred_at_ms, beat.interval_ms) for beat in beats(follower)})
    covered = T0
    for start_ms, interval_ms in spans:
        assert start_ms <= covered
        covered = max(covered, start_ms + interval_ms)
    assert covered >= T0 + 5_000_000
    assert len({event.event_id for event in events(follower)}) == 10_000


def test_a_crash_repeats_no_more_than_measure_remembers(tmp_path):
    """However much is caught up with, no step sends more than five minutes before the position is saved."""
    path = tmp_path / "access.log"
    path.write_text("".join(line(T0 + 60_000 * n, str(n)) for n in range(500)))
    following = Following(json_mapper(), PARTITIONS, 2_000)
    tail = Tail(path, None)
    following.take(tail.read(0.0), T0 + 30_000_000)
    tail.close()
    steps = 0
    while records := following.due(T0 + 30_000_000, caught_up=True):
        decoded = [lookup_decoder.decode(record.value) for record in records]
        times = [event.occurred_at_ms for event in decoded if not isinstance(event, Heartbeat)]
        assert not times or max(times) - min(times) <= STEP_MS
        following.confirmed()
        steps += 1
    assert steps >= 100


def test_a_gateway_whose_clock_is_wrong_is_followed_by_its_own(followed, tmp_path):
    """Lines an hour behind the clock are held back no longer than others, and time passes without lines."""
    path = tmp_path / "access.log"
    follower = followed(path, json_mapper, hold_ms=2_000)
    path.write_text(line(T0, "a"))
    follower.step(T0 + 3_600_000)
    assert follower.topic == []
    follower.step(T0 + 3_603_000)
    assert len(events(follower)) == 2
    follower.step(T0 + 3_610_000)
    assert beats(follower)[-1].occurred_at_ms == T0 + 7_000


def test_a_log_that_was_rotated_away_unread_is_told(followed, tmp_path):
    """Where the file that was read is found no more, the loss is said with the line, and reading goes on."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a") + line(T0 + 1_000, "b"))
    follower = followed(path, json_mapper, hold_ms=2_000)
    follower.step(T0 + 4_000)
    follower.step(T0 + 10_000)
    path.unlink()
    path.write_text(line(T0 + 60_000, "c"))
    follower.kill()
    follower.step(T0 + 70_000)
    follower.finish()
    assert len(follower.notes) == 1
    assert "read up to line" in follower.notes[0]
    assert {event.dossier_id for event in events(follower)} == {"a", "b", "c"}


def test_files_rotated_while_the_follower_was_down_are_all_read(followed, tmp_path):
    """Two rotations during a stop lose nothing: neither the old file's rest nor the one between."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a"))
    follower = followed(path, json_mapper, hold_ms=2_000)
    follower.step(T0 + 4_000)
    with path.open("a") as file:
        file.write(line(T0 + 10_000, "b"))
    rename(path, 1)
    path.write_text(line(T0 + 20_000, "c"))
    rename(path, 2)
    path.write_text(line(T0 + 30_000, "d"))
    follower.kill()
    follower.step(T0 + 40_000)
    follower.finish()
    assert follower.notes == []
    assert sorted({event.dossier_id for event in events(follower)}) == ["a", "b", "c", "d"]
    assert len({event.event_id for event in events(follower)}) == len(events(follower)) == 8


def test_the_last_line_of_a_rotated_file_is_read_without_its_break(followed, tmp_path):
    """A file that was renamed is read on until it is quiet, its last line as it stands."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a"))
    follower = followed(path, json_mapper, hold_ms=2_000)
    follower.step(T0)
    with path.open("a") as writer:
        rename(path, 1)
        path.write_text(line(T0 + 2_000, "c"))
        follower.step(T0 + 2_000)
        writer.write(line(T0 + 1_000, "b").removesuffix("\n"))
    for _ in range(int(LINGER_SECONDS / 0.5) + 3):
        follower.step(follower.now_ms + 500)
    follower.finish()
    assert sorted({event.dossier_id for event in events(follower)}) == ["a", "b", "c"]


def test_a_map_that_does_not_fit_ends_following(followed, tmp_path):
    """A thousand lines of which most cannot be used end it, with the reason."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a") + "garbage\n" * 1_200)
    follower = followed(path, json_mapper)
    with pytest.raises(ImportFileError, match="only 1 of the last 1,000 lines can be used: not a"):
        follower.step(T0)
    assert follower.rejects[0] == (str(path), 2, "not a JSON object")


def test_a_line_that_never_ends_is_passed_over(followed, tmp_path):
    """A line of some megabytes is rejected by its number, and the lines around it are used."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a"))
    follower = followed(path, json_mapper, hold_ms=2_000)
    follower.step(T0)
    for text in ("x" * 3_000_000, "x" * 100 + "\n", line(T0 + 1_000, "b")):
        with path.open("a") as file:
            file.write(text)
        follower.step(T0 + 1_000)
    follower.finish()
    assert [told[1] for told in follower.rejects] == [2]
    assert sorted({event.dossier_id for event in events(follower)}) == ["a", "b"]
    follower.kill()
    follower.step(follower.now_ms)
    assert len(follower.rejects) == 1


def test_csv_is_followed_with_its_header(followed, tmp_path):
    """CSV is followed across a restart and a rotation; each file's header is no line."""
    text = "format: csv\nend: {field: t, format: epoch_ms}\nlink: npd\nstatus: s\nid: '{id}'\n"
    path = tmp_path / "access.csv"
    path.write_text(f"t,s,id\n{T0},200,a\n")
    follower = followed(path, lambda: mapper_of(Located(text, "map.yaml")), hold_ms=2_000)
    follower.step(T0 + 10_000)
    with path.open("a") as file:
        file.write(f"{T0 + 20_000},200,b\n")
    follower.kill()
    follower._following.prime(b"t,s,id\n")
    follower.step(T0 + 30_000)
    path.rename(tmp_path / "access.csv.1")
    path.write_text(f"t,s,id\n{T0 + 40_000},200,c\n")
    for _ in range(8):
        follower.step(follower.now_ms + 2_000)
    follower.finish()
    assert follower.rejects == []
    assert sorted({event.dossier_id for event in events(follower)}) == ["a", "b", "c"]


@settings(max_examples=20, deadline=None)
@given(st.data())
def test_wherever_pieces_end_and_crashes_fall_each_call_is_sent(tmp_path_factory, data):
    """For any cuts of the text and any crashes, the ids sent are those of all calls."""
    path = tmp_path_factory.mktemp("follow") / "access.log"
    count = data.draw(st.integers(1, 40))
    text = "".join(line(T0 + 700 * n, str(n)) for n in range(count))
    at = 0
    with Follower(path, json_mapper, hold_ms=2_000) as follower:
        while at < len(text):
            size = data.draw(st.integers(1, 300))
            with path.open("a") as file:
                file.write(text[at : at + size])
            at += size
            now_ms = T0 + 700 * count * min(at, len(text)) // len(text)
            follower.step(now_ms, killed_before=data.draw(st.none() | st.integers(0, 2)))
        follower.finish()
    assert {event.dossier_id for event in events(follower)} == {str(n) for n in range(count)}


def test_the_hold_back_is_what_the_settings_do_not_allow_for():
    """Held back is the map's time-out and the gateway's buffer, less the disorder that the settings allow."""
    assert hold_back_ms(load_mapper("kong"), MeasureSettings()) == 60_000
    assert hold_back_ms(load_mapper("kong"), MeasureSettings(out_of_orderness_ms=65_000)) == 0
    assert FollowState().positions == {}


def wait_until(holds, seconds=120.0):
    """Return once something holds; fail where it does not in time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


async def made(connection, topics):
    """Create topics of two partitions."""
    await create_topics(connection, topics, partitions={LOOKUPS: PARTITIONS, SUBMISSIONS: PARTITIONS})


async def read_all(connection, topic):
    """Return all records of a topic of lookups under its declared name."""
    return [
        record._replace(topic=LOOKUPS)
        async for batch in topic_batches(connection, [topic])
        for record in batch
    ]


@pytest.mark.slow
def test_the_command_survives_kill_and_rotation(kafka, suffix, tmp_path):
    """`ingest http --follow`, killed with -9 and rotated in the middle, gives the finished log's outages."""
    connection = {"bootstrap_servers": kafka}
    topics = Topics().suffixed(suffix)
    asyncio.run(made(connection, topics))
    calls = day_of_calls(T0, 600, 180, seconds_=1_200, every_s=10)
    lines = [WRITERS["nginx-json"](call) + "\n" for call in calls]
    expected, ids = finished(tmp_path, "nginx-json", "".join(lines))
    assert len(expected) == 1
    map_file, path, state = tmp_path / "map.yaml", tmp_path / "access.log", tmp_path / "positions.json"
    map_file.write_text(preset_text("nginx-json").replace("60000", "3000"))
    path.touch()
    command = [sys.executable, "-m", "streams", "ingest", "http", path, "--map", map_file, "--follow"]
    command += ["--suffix", suffix, "--state", state]
    environment = os.environ | {"KAFKA_BOOTSTRAP_SERVERS": kafka}
    with (tmp_path / "output").open("w") as output, ExitStack() as running:

        def start():
            process = subprocess.Popen(command, stderr=output, stdout=output, env=environment)
            running.callback(process.wait)
            running.callback(process.kill)
            return process

        def sent_past(at_ms):
            return (read_state(state).sent_until_ms or 0) >= at_ms

        process = start()
        cuts = [0, *sorted(Random(1).sample(range(100, len(lines)), 3)), len(lines)]
        for part, (begin, end) in enumerate(pairwise(cuts)):
            with path.open("a") as file:
                file.write("".join(lines[begin:end]))
            last = calls[end - 1]
            if part < 3:
                wait_until(lambda at_ms=last.start_ms - 5_000: sent_past(at_ms))
                process.kill()
                process.wait()
                (rename, copytruncate, rename)[part](path, part)
                process = start()
        wait_until(lambda: sent_past(last.start_ms + last.took_ms + 1_000))
        process.terminate()
        assert process.wait(60) == 0, (tmp_path / "output").read_text()
    records = asyncio.run(read_all(connection, topics.lookups))
    sent = [lookup_decoder.decode(record.value) for record in records]
    assert sorted({event.event_id for event in sent if not isinstance(event, Heartbeat)}) == ids
    closing_ms = sent[-1].occurred_at_ms + 60_000
    beat = b'{"type":"observer.heartbeat","occurred_at_ms":%d,"observer":"portal","links":[]}' % closing_ms
    offsets = {record.partition: record.offset + 1 for record in records}
    records += [Record(LOOKUPS, n, offset, closing_ms, None, beat) for n, offset in offsets.items()]
    assert told(analyze(records, outages_only=True).final()) == expected
    assert not path.with_name("output").read_text().count("lost")


@pytest.mark.slow
def test_a_finished_log_goes_to_kafka_as_it_goes_to_a_file(kafka, suffix, tmp_path):
    """Without `--out` the same events reach the topics, each dossier's in one partition and in order."""
    topics = Topics().suffixed(suffix)
    asyncio.run(made({"bootstrap_servers": kafka}, topics))
    calls = day_of_calls(T0, 600, 60, seconds_=900, every_s=10)
    text = "".join(WRITERS["kong"](call) + "\n" for call in calls)
    _, ids = finished(tmp_path, "kong", text)
    words = ["ingest", "http", "--map", "kong", str(tmp_path / "whole.log"), "--suffix", suffix]
    ended = CliRunner().invoke(app, words, env={"KAFKA_BOOTSTRAP_SERVERS": kafka})
    assert ended.exit_code == 0, ended.output
    records = asyncio.run(read_all({"bootstrap_servers": kafka}, topics.lookups))
    written = list(read_log(tmp_path / "whole.ndjson"))
    assert sorted(record[1:] for record in records) == sorted(record[1:] for record in written)
    bad = tmp_path / "bad.log"
    bad.write_text(text + "garbage\n" * 9_000)
    ended = CliRunner().invoke(
        app, [*words[:4], str(bad), "--suffix", suffix], env={"KAFKA_BOOTSTRAP_SERVERS": kafka}
    )
    assert (ended.exit_code, "can be used: not a JSON object" in ended.stderr) == (2, True)
    assert len(asyncio.run(read_all({"bootstrap_servers": kafka}, topics.lookups))) == len(records)
    assert len(ids) + PARTITIONS == len(records)
    bad.write_text(text * 9 + "garbage\n" * 19_000)
    ended = CliRunner().invoke(
        app, [*words[:4], str(bad), "--suffix", suffix], env={"KAFKA_BOOTSTRAP_SERVERS": kafka}
    )
    assert (ended.exit_code, "events before it were sent to Kafka" in ended.stderr) == (2, True)


def test_what_following_needs_is_said(tmp_path):
    """`--follow` ends with 2 beside what it cannot do, and where another process follows the log."""
    path = tmp_path / "access.log"
    path.touch()
    words = ["ingest", "http", str(path), "--map", "kong", "--follow"]
    environment = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    for more in (["--check"], ["--out", "x"], ["--json"], ["-"]):
        ended = CliRunner().invoke(app, words + more, env=environment)
        assert (ended.exit_code, "leave out" in ended.stderr) == (2, True)
    state = tmp_path / "positions.json"
    with state.with_name("positions.json.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ended = CliRunner().invoke(app, [*words, "--state", str(state)], env=environment)
    assert (ended.exit_code, "another process" in ended.stderr) == (2, True)
    ended = CliRunner().invoke(app, [*words, "--state", str(state)], env=environment)
    assert (ended.exit_code, "no connection to the broker" in ended.stderr) == (1, True)
    state.write_text("{")
    ended = CliRunner().invoke(app, [*words, "--state", str(state)], env=environment)
    assert (ended.exit_code, "file of positions" in ended.stderr) == (2, True)
