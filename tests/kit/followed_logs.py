"""A follower without a broker, and the lines of a log in JSON that it follows."""

import gzip
import json
import shutil
from pathlib import Path

from typer.testing import CliRunner

from streams.cli import app
from streams.ingest.follow import read_state, write_state
from streams.ingest.gateway.files import naming_lines
from streams.ingest.gateway.following import Following
from streams.ingest.shell import mapper_of
from streams.ingest.tail import Tail
from streams.model.events import Heartbeat, lookup_decoder
from streams.model.located import Located
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
        """Return the records by partition, with offsets counted from 0 as the broker does."""
        offsets = {}
        for record in self.topic:
            offset = offsets[record.partition] = offsets.get(record.partition, -1) + 1
            yield record._replace(offset=offset)


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
