"""The stage `detect`, as the agent of a Faust application.

Faust does what it is good at: assignment, one agent, one plain table, recovery, web and command line. The
agent acknowledges by hand. Order of effects: the results of a measurement are published and confirmed, then
the states are written to the table and confirmed, and only then are the measurements acknowledged. After a
crash the agent receives measurements again whose results it had already published; the states record how far
each link had got, and anything published again is identical byte for byte.
"""

import asyncio
import contextlib
import time
import weakref
from typing import Any, Final

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.streams import _current_event

from streams import telemetry
from streams.detect.believe import UnbelievableError, check_measurement
from streams.detect.decisions import Decisions
from streams.detect.detector import Detector
from streams.detect.failing import BROKER_AWAY, tell
from streams.detect.follower import Follower, logged_ms_of
from streams.detect.idle import IdleSources, Share
from streams.detect.link.snapshot import Place, load, place_in, save
from streams.detect.link.tracker import Output
from streams.detect.reading import Reading
from streams.kafka.identity import LOG_APPEND_TIME, QUIET_SECONDS, UNKNOWN_MS
from streams.kafka.publish import partitions_of
from streams.kafka.read import RereadError, open_reader, read_range
from streams.kafka.topics import Topics
from streams.kafka.waiting import watch_broker
from streams.kafka.worker import StageStoppedError
from streams.model.border import UNREADABLE, check_bounds
from streams.model.canonical import encode
from streams.model.measurement import Measurement
from streams.model.settings import DetectSettings
from streams.model.topics import LOOKUPS

SAVE_EVERY_SECONDS: Final = 10.0
MOST_UNSAVED: Final = 5_000
"""The most measurements of one partition that may await acknowledgement; they are held in memory."""
HAND_OVER_SECONDS: Final = 5.0
TEND_SECONDS: Final = 2.0
SILENT_SECONDS: Final = 10.0
"""After this long without a measurement the broker is asked whether the topic is still the same."""
IDLE_BEHIND_MS: Final = 60_000
"""A source partition further behind the others than this may be idle."""

_decoder: Final = msgspec.json.Decoder(Measurement)


class Detect:
    """The stage: follows the partitions assigned to this worker."""

    def __init__(
        self,
        app: Any,
        topics: Topics,
        settings: DetectSettings,
        connection: dict[str, Any],
        measure_group: str,
    ) -> None:
        self._app, self._topics, self._settings = app, topics, settings
        self._connection = connection
        raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
        self._measurements = app.topic(topics.measurements, **raw)
        self._windows = app.topic(topics.windows, **raw)
        self._outages = app.topic(topics.outages, **raw)
        self._latest = app.topic(topics.outages_latest, **raw)
        self._table = app.Table("links", key_type=bytes, value_type=bytes)
        self._followers: dict[int, Follower] = {}
        self._turn = asyncio.Lock()
        self._others: dict[tuple[str, int], str] = {}
        """Digests of settings of `measure` that differ from this stage's, by source topic and partition."""
        self._decisions = Decisions(connection, topics, settings.rule_lead_ms)
        app.agent(self._measurements, name="detect")(self._follow)
        app.on_partitions_revoked.connect(self._hand_over)
        app.on_partitions_assigned.connect(self._forget_others)
        app.on_rebalance_complete.connect(self._rewind)
        app.on_before_shutdown.connect(self._close)
        app.timer(interval=TEND_SECONDS)(self._tend)
        app.task()(self._watch)
        self._share = Share(connection, app.conf.id, topics.measurements)
        self._idle = IdleSources(connection, topics.lookups, measure_group)
        self._reading = Reading(app, connection, topics.measurements)

    async def _follow(self, stream: Any) -> None:
        """Apply measurements in the order of their partition.

        Faust restarts an agent that raises with the next event, which would lose one. So an error
        ends the worker; the next start continues from the table.
        """
        async for event in stream.noack().events():
            try:
                async with self._turn:
                    await self._take_in(event)
            except Exception as error:
                tell(error)
                await self._app.crash(error)
                raise

    async def _take_in(self, event: Any) -> None:
        """Apply one measurement; save when due."""
        partition, position = event.message.partition, event.message.offset
        follower = self._followers.get(partition)
        if follower is None:
            follower = self._followers[partition] = await self._start(partition)
        if time.monotonic() - follower.heard_at >= QUIET_SECONDS:
            await self._look(follower, partition, follower.place)
        if position > follower.next_position:
            await self._catch_up(follower, partition, position)
        follower.unacknowledged.append(event)
        if position == follower.next_position:  # otherwise it was delivered and applied before
            logged_ms, by_broker = (
                logged_ms_of(event.message),
                event.message.timestamp_type == LOG_APPEND_TIME,
            )
            await self._apply(follower, event.value, partition, position, logged_ms, by_broker=by_broker)
        follower.heard_at = now = time.monotonic()
        due = now - follower.saved_at >= SAVE_EVERY_SECONDS
        if due or len(follower.unacknowledged) >= MOST_UNSAVED:
            await self._save(follower, partition)

    async def _look(self, follower: Follower, partition: int, place: Place) -> None:
        """Start again at the beginning of the topic if it is not the one that was followed so far."""
        bounds = await self._reading.other_log(partition, place, follower.published_until)
        follower.heard_at = time.monotonic()
        if bounds is not None:
            follower.begin_again(bounds.beginning)
            await self._reading.set_back(partition, bounds.beginning)
            where = self._topics.measurements, partition, place.position, bounds.beginning
            telemetry.emit(telemetry.LogBeganAgain(*where))

    async def _catch_up(self, follower: Follower, partition: int, position: int) -> None:
        """Apply the measurements before ``position`` that were not delivered.

        The table may be older than the commit if a worker that had lost the partition still wrote its
        own state. And Faust skips records that it had fetched but not yet delivered when a rebalance
        came.
        """
        source = TopicPartition(self._topics.measurements, partition)
        try:
            async with open_reader(self._connection) as reader:
                async for records in read_range(reader, source, follower.next_position, position):
                    for record in records:
                        where, by_broker = (
                            (partition, record.offset),
                            record.timestamp_type == LOG_APPEND_TIME,
                        )
                        await self._apply(
                            follower, record.value, *where, record.timestamp, by_broker=by_broker
                        )
        except RereadError:  # the source ranges that follow show what is missing
            lost = source.topic, partition, follower.next_position, position
            telemetry.emit(telemetry.RecordsLost(*lost))
        follower.next_position = position

    async def _apply(
        self,
        follower: Follower,
        value: bytes | None,
        partition: int,
        position: int,
        logged_ms: int,
        *,
        by_broker: bool,
    ) -> None:
        """Apply one measurement and publish its results; reject a record that cannot be a measurement.

        ``by_broker`` says whether the broker set ``logged_ms``.
        """
        follower.next_position, said = position + 1, position < follower.published_until
        follower.detector.logged_ms = max(follower.detector.logged_ms, logged_ms) if by_broker else UNKNOWN_MS
        try:
            measurement = _decoder.decode(value or b"")
            check_bounds(value or b"", measurement)
            await self._check(follower, measurement, logged_ms)
        except (*UNREADABLE, ValueError) as error:
            if not said:
                where = self._topics.measurements, partition, position
                telemetry.emit(telemetry.RecordRejected("wrong_shape", *where, str(error)))
            return
        await self._decisions.read_for(measurement.watermark_ms)
        clock_ms = follower.detector.clock_ms
        applied = follower.detector.apply(measurement, position, logged_ms)
        if said:
            return
        source = measurement.source
        if (gap := applied.gap) is not None:
            telemetry.emit(telemetry.SourceGap(*gap))
        if applied.early:
            telemetry.emit(telemetry.MeasurementEarly(source))
            return
        if not applied.fresh:
            telemetry.emit(telemetry.MeasurementDuplicate(source))
            return
        telemetry.emit(telemetry.MeasurementApplied(source, measurement.watermark_ms))
        self._compare_settings(measurement)
        await self._publish(follower, applied.output)
        if follower.detector.clock_ms > clock_ms:
            self._tell_states(follower.detector, clock_ms)

    async def _check(self, follower: Follower, measurement: Measurement, logged_ms: int) -> None:
        """Raise `UnbelievableError` for a measurement that `measure` cannot have sent."""
        check_measurement(measurement, logged_ms)
        source, partitions = measurement.source, follower.detector.partitions
        if source.topic == LOOKUPS and source.partition not in partitions:
            present = await partitions_of(self._connection, self._topics.lookups)
            if not 0 <= source.partition < present:
                raise UnbelievableError(f"{source.topic} has no partition {source.partition}")
            partitions |= set(range(present))  # some were added since the start

    def _compare_settings(self, measurement: Measurement) -> None:
        """Report, once, when measurements of a source start or stop being made with other settings."""
        slot_ms, theirs = self._settings.slot_ms, measurement.settings
        ours = self._settings.at(measurement.watermark_ms // slot_ms * slot_ms).digest
        place = measurement.source.topic, measurement.source.partition
        other = theirs if theirs and ours and theirs != ours else ""
        if other != self._others.get(place, ""):
            self._others[place] = other
            telemetry.emit(telemetry.SettingsCompared(*place, theirs, ours))

    async def _publish(self, follower: Follower, made_known: dict[str, Output]) -> None:
        for link, output in made_known.items():
            key = link.encode()
            for window in output.windows:
                follower.sent.append(await self._windows.send(key=key, value=encode(window)))
                telemetry.emit(telemetry.WindowPublished(window))
            for outage in output.outages:
                value = encode(outage)
                follower.sent.append(await self._outages.send(key=key, value=value))
                follower.sent.append(await self._latest.send(key=outage.outage_id.encode(), value=value))
                telemetry.emit(telemetry.OutagePublished(outage))

    def _tell_states(self, detector: Detector, from_ms: int) -> None:
        clock_ms = detector.clock_ms
        first_ms = max(from_ms, clock_ms - self._settings.slot_ms)
        for link, tracker in detector.trackers.items():
            state = tracker.state_at(clock_ms)
            observed = tracker.sight.covers(clock_ms - self._settings.slot_ms, clock_ms)
            dossiers = tracker.dossiers_so_far(clock_ms)
            spent_ms = tracker.spent_ms(clock_ms)
            slot = link, first_ms, clock_ms, state, observed, dossiers, spent_ms
            telemetry.emit(telemetry.SlotFinalised(*slot))

    async def page(self, web: Any, _request: Any) -> Any:
        """Answer Faust's own web page `/links/` with the state of each link that this worker follows."""
        links = {
            link: tracker.state_at(follower.detector.clock_ms)
            for follower in self._followers.values()
            for link, tracker in sorted(follower.detector.trackers.items())
        }
        return web.json({"links": links})

    async def _save(self, follower: Follower, partition: int) -> None:
        """Confirm what was sent, write the states, confirm those, then acknowledge the measurements."""
        await self._decisions.read()
        await follower.confirm()
        saved = save(follower.detector, follower.next_position)
        known = self._own(partition)
        for key, value in saved.items():
            name = b"%d|%s" % (partition, key.encode())
            if self._table.get(name) != value:
                self._table[name] = value
        for key in known.keys() - saved.keys():
            del self._table[known[key]]
        await self._app.producer.flush()
        for event in follower.unacknowledged:
            event.ack()
        follower.unacknowledged.clear()
        follower.saved_at = time.monotonic()

    async def _start(self, partition: int) -> Follower:
        """Restore a partition's links from the table, and catch up with what the table lacks."""
        source, group = TopicPartition(self._topics.measurements, partition), self._app.conf.id
        async with AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **self._connection) as reader:
            reader.assign([source])
            published_until = await reader.committed(source) or 0
        source_partitions = await partitions_of(self._connection, self._topics.lookups)
        await self._decisions.read()
        known, partitions = self._decisions, range(source_partitions)
        detector = Detector(known.rules, self._settings, partitions, service=known.service)
        own = self._saved(partition)
        follower = Follower(detector, load(detector, own) or 0, published_until)
        await self._look(follower, partition, place_in(own))
        if follower.next_position < follower.published_until:
            await self._catch_up(follower, partition, follower.published_until)
        clock_ms = detector.clock_ms
        for link, tracker in detector.trackers.items():
            latest_first = reversed(tracker.outages.published.values())
            opened = next((outage for outage in latest_first if outage.status == "open"), None)
            restored = link, tracker.state_at(clock_ms), clock_ms, opened, tracker.spent_ms(clock_ms)
            telemetry.emit(telemetry.LinkRestored(*restored))
        return follower

    async def _tend(self) -> None:
        """Do what is due by time alone: continue without idle sources.

        Nothing is saved here, as Faust allows changes to its table only within the stream. Anything
        lost in a crash is found again.
        """
        try:
            async with self._turn:
                for partition, follower in list(self._followers.items()):
                    if time.monotonic() - follower.heard_at >= SILENT_SECONDS:
                        await self._look(follower, partition, follower.place)
                    if lagging := follower.detector.lagging(IDLE_BEHIND_MS):
                        idle = await self._idle.among(lagging)
                        await self._go_on_without(follower, idle)
            await self._share.check(self._app.consumer.assignment())
            telemetry.emit(telemetry.StageMoved())
            telemetry.emit(telemetry.StageReady(ready=True))
        except StageStoppedError as error:
            telemetry.emit(telemetry.StageFailed(str(error)))
            await self._app.crash(error)
        except BROKER_AWAY:  # the next turn tries again
            telemetry.BrokerSilence.suspect()

    async def _watch(self) -> None:
        """Report when the broker goes away and comes back."""
        await watch_broker(self._connection)

    async def _go_on_without(self, follower: Follower, idle: list[int]) -> None:
        if not idle:
            return
        detector = follower.detector
        clock_ms = detector.clock_ms
        for one in idle:
            telemetry.emit(telemetry.SourceIdle(self._topics.lookups, one))
        await self._publish(follower, detector.exempt(idle))
        if detector.clock_ms > clock_ms:
            self._tell_states(detector, clock_ms)

    def _saved(self, partition: int) -> dict[str, bytes]:
        """Return the table's states of a partition."""
        return {key: self._table[name] for key, name in self._own(partition).items()}

    def _own(self, partition: int) -> dict[str, bytes]:
        """Return a partition's keys in the table, by the keys of `save`, without the prefix."""
        prefix = b"%d|" % partition
        return {name[len(prefix) :].decode(): name for name in self._table if name.startswith(prefix)}

    async def _rewind(self, _app: Any, **_: Any) -> None:
        """Read partitions without a valid commit from their beginning, before Faust continues.

        At a rebalance Faust drops what it had fetched, and seeks back only where there is a commit.
        """
        consumer = self._app.consumer
        commits = await consumer.seek_to_committed() if consumer.assignment() else {}
        for source, committed in commits.items():
            if source.topic != self._topics.measurements:
                continue
            if not committed:
                await consumer.seek(source, 0)
                continue
            place, follower = place_in(self._saved(source.partition)), self._followers.get(source.partition)
            if bounds := await self._reading.other_log(source.partition, place, committed):
                await self._reading.set_back(source.partition, bounds.beginning)
                if follower is not None:
                    follower.heard_at = 0.0  # it checks by itself at the next measurement

    async def _close(self, _app: Any, **_: Any) -> None:
        """Close the connections that Faust does not know of."""
        await self._decisions.close()
        await self._reading.close()

    async def _hand_over(self, _app: Any, _revoked: Any, **_: Any) -> None:
        """Write the states before a rebalance, so that the next worker knows everything that was published.

        If that takes too long, the next worker continues from the states written last.
        """
        with contextlib.suppress(TimeoutError, *BROKER_AWAY):
            async with asyncio.timeout(HAND_OVER_SECONDS), self._turn:
                for partition, follower in self._followers.items():
                    if follower.unacknowledged:
                        # Faust allows changes to its table only while an event is being processed.
                        _current_event.set(weakref.ref(follower.unacknowledged[-1]))
                        await self._save(follower, partition)

    async def _forget_others(self, _app: Any, assigned: set[Any], **_: Any) -> None:
        """Drop the followers of partitions that another worker has now; it continues from the table."""
        kept = {source.partition for source in assigned if source.topic == self._topics.measurements}
        for partition in sorted(self._followers.keys() - kept):
            for link in self._followers.pop(partition).detector.trackers:
                telemetry.emit(telemetry.LinkReleased(link))
        for follower in self._followers.values():
            follower.unacknowledged.clear()  # everything uncommitted is delivered again
