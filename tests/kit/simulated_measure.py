"""`measure` under simulated faults, with `detect` behind it: what a seed's run must give."""

from collections import Counter
from itertools import zip_longest
from random import Random

import msgspec
from aiokafka import TopicPartition
from partition_logs import SMALL, beat, completed, encoded, requested
from simulated_detect import check_detected, check_told
from simulated_world import GROUP, Event, World

from streams import telemetry
from streams.kafka.topics import Topics
from streams.measure.letters import letter_decoder
from streams.measure.meter import Meter
from streams.measure.stage import MeasureWorker
from streams.model.canonical import encode, split
from streams.model.digest import digest_of
from streams.model.measurement import Measurement, Source

TOPICS = Topics()
_measurement = msgspec.json.Decoder(Measurement)


def made_log(rng: Random, records: int, at_ms: int = 0) -> list[Event]:
    """Return some minutes of one partition: lookups, heartbeats, copies, late ones, and what is no event."""
    events = []
    for number in range(records):
        at_ms += rng.randrange(0, 5_000)
        kind = rng.random()
        if kind < 0.3:
            events.append(encoded(beat(at_ms)))
        elif kind < 0.6:
            events.append(encoded(requested(f"q{number}", at_ms)))
        elif kind < 0.85:
            outcome = rng.choice(("ok", "ok", "timeout", "not_found"))
            events.append(encoded(completed(f"q{max(number - rng.randrange(1, 4), 0)}", at_ms, outcome)))
        elif kind < 0.9:
            events.append(encoded(requested(f"late{number}", max(at_ms - 20_000, 0))))
        elif kind < 0.95 and events:
            events.append(rng.choice(events))
        else:
            events.append((b"k", rng.choice((b"", b"{", b"[]", b"\xff"))))
    return events


class MeasureWorld(World):
    """Partitions of lookups, measured; `detect` then follows what was published."""

    def make(self) -> dict[TopicPartition, list[Event]]:
        """Make the topics, and up to a minute or two of each source partition."""
        rng, broker = self.rng, self.broker
        self.first_commits: dict[TopicPartition, int] = {}
        self.targets = rng.choice((1, 1, 2, 3))
        self.sources = [TopicPartition(TOPICS.lookups, n) for n in range(rng.choice((1, 1, 2, 3)))]
        broker.make(TOPICS.lookups, len(self.sources))
        broker.make(TOPICS.submissions, 1)
        broker.make(TOPICS.measurements, self.targets)
        broker.make(TOPICS.dead_letters, 1)
        broker.on_commit = self._check_commit
        return {one: made_log(rng, rng.randrange(5, rng.choice((15, 50)))) for one in self.sources}

    def worker(self, _process):
        """Return a worker for which no share of dead letters is too great."""
        return lambda session: MeasureWorker(session, SMALL, TOPICS, dead_letter_share=1.0)

    def more(self, _partition: TopicPartition) -> list[Event]:
        """Return some more, five minutes later."""
        return made_log(self.rng, 25, 300_000)

    def losable(self) -> bool:
        """Say so once everything has a commit: before its first nobody can know that a log is another one."""
        return self.losses and set(self.sources) <= set(self.first_commits)

    def done(self) -> bool:
        """Say whether the group has read everything, and committed it."""
        commits = self.broker.groups[GROUP].commits
        for one in self.sources:
            commit, end = commits.get(one), self.broker.logs[one].end
            if end == 0:
                continue
            if commit is None or msgspec.json.decode(commit.metadata).get("told_until", 0) != end:
                return False
        return True

    def _check_commit(self, partition: TopicPartition, commit) -> None:
        """Nothing is committed whose measurements do not stand on every target partition."""
        if "digest" in commit.metadata:
            self.first_commits.setdefault(partition, commit.offset)
        if partition not in self.sources or self.losses:
            return
        for target in range(self.targets):
            reached = 0
            for source in sorted(self._published_of(target, partition.partition)):
                if source.first_offset > reached:
                    break
                reached = max(reached, source.next_offset)
            if commit.offset > reached:
                self.failure = f"{partition} committed {commit.offset}, measured {reached} on {target}"

    def published(self, target: int) -> list[Measurement]:
        """Return what stands on one partition of measurements."""
        log = self.broker.logs[TopicPartition(TOPICS.measurements, target)]
        return [_measurement.decode(one.value) for one in log.records]

    def _published_of(self, target: int, partition: int) -> list[Source]:
        every = [m.source for m in self.published(target)]
        return [s for s in every if (s.topic, s.partition) == (TOPICS.lookups, partition)]

    def letters(self) -> Counter[tuple[int, int]]:
        """Return how often each record is among the dead letters."""
        log = self.broker.logs[TopicPartition(TOPICS.dead_letters, 0)]
        sources = [letter_decoder.decode(one.value).source for one in log.records]
        return Counter((one.partition, one.offset) for one in sources)

    def check(self) -> None:
        """Check the measurements, the dead letters, and what `detect` makes of them."""
        if self.losses:
            for one in self.sources:
                for target in range(self.targets):
                    self._check_lossy(one, self._published_of(target, one.partition))
            for target in range(self.targets):
                check_told(self.published(target), len(self.sources), self.rng)
            return
        meters = {}
        for one in self.sources:
            meters[one] = Meter(TOPICS.lookups, one.partition, SMALL)
            meters[one].feed(self.written[one])
        self._check_letters(meters)
        for target in range(self.targets):
            published = self.published(target)
            for one, meter in meters.items():
                wanted = [encode(split(m, self.targets)[target]) for m in meter.measurements]
                found: dict[int, bytes] = {}
                for m in published:
                    if m.source.partition == one.partition and m.source.topic == TOPICS.lookups:
                        assert found.setdefault(m.source.first_offset, encode(m)) == encode(m)
                ordered = [found[first] for first in sorted(found)]
                differing = [(a, b) for a, b in zip_longest(ordered, wanted) if a != b]
                assert differing == [], (len(ordered), len(wanted), differing[:1])
            undisturbed = [split(m, self.targets)[target] for x in meters.values() for m in x.measurements]
            check_detected(published, undisturbed, len(self.sources), self.rng)

    def _check_letters(self, meters: dict[TopicPartition, Meter]) -> None:
        found = self.letters()
        wanted = {(one.partition, x.offset) for one, meter in meters.items() for x in meter.dead_letters}
        assert set(found) == wanted, (set(found) - wanted, wanted - set(found))
        if not self.zombies:
            assert set(found.values()) <= {1}, found

    def _check_lossy(self, one: TopicPartition, ranges: list[Source]) -> None:
        """Check that what came after the losses is measured as it stands, and that every hole was told."""
        log = self.broker.logs[one]
        entries = [(m.offset, m.timestamp, m.key, m.value) for m in log.records]
        if one not in self.began_again:  # no range may pass over records that nobody read
            for source in ranges:
                inside = [w for w in self.written[one] if source.first_offset <= w[0] < source.next_offset]
                assert source.digest == digest_of(inside), source
        self._check_holes(one, ranges)
        measured = set()
        for source in ranges:
            inside = [e for e in entries if source.first_offset <= e[0] < source.next_offset]
            whole = source.first_offset >= log.beginning  # else what it held is deleted by now
            if inside and (not whole or source.digest == digest_of(inside)):
                measured |= {entry[0] for entry in inside}
        new = [entry[0] for entry in entries if entry[0] >= self.healed_at[one]]
        until = max(measured, default=-1) + 1
        assert new[0] < until, (new[0], until)
        missed = [offset for offset in new if offset < until and offset not in measured]
        assert missed == [], missed
        letters = self.letters()
        bad = [e[0] for e in entries if e[0] in new and e[3] in (b"", b"{", b"[]", b"\xff")]
        assert [offset for offset in bad if not letters[one.partition, offset]] == []

    def _check_holes(self, one: TopicPartition, ranges: list[Source]) -> None:
        """Check that between the ranges of the last log nothing is missing that was not told."""
        told = [
            (t.first_offset, t.next_offset)
            for t in self.told
            if isinstance(t, telemetry.RecordsLost) and t.partition == one.partition
        ]
        last = max(source.incarnation for source in ranges)
        reached = None
        for source in sorted(s for s in ranges if s.incarnation == last):
            first = source.first_offset
            if reached is not None and first > reached:
                gone = {at for begin, until in told for at in range(begin, until)}
                hole_told = gone >= set(range(reached, first))
                assert hole_told or first <= self.first_commits.get(one, 1 << 62), (reached, first)
            reached = max(reached or 0, source.next_offset)
