"""One session of a stage: its clients, its worker and its outbox, which are discarded together.

The consumer may revoke partitions while a poll is being processed. One lock (``_hands``) keeps the two apart,
and a poll during which the assignment changed is discarded and fetched again.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from aiokafka import TopicPartition
from msgspec import Struct

from streams import telemetry
from streams.kafka.identity import Silences, is_other_log
from streams.kafka.outbox import Outbox
from streams.kafka.ports import (
    Batches,
    Bounds,
    BrokerAwayError,
    BrokerRefusedError,
    Consumer,
    OutOfRangeError,
    PartitionsMovedError,
    Producer,
)
from streams.kafka.worker import Place, RetryLaterError, StageStoppedError, Worker

RETRY_SECONDS: Final = 1.0


class LoopSettings(Struct, frozen=True):
    """When a loop polls, commits and gives up.

    A stage that makes no progress for ``stall_seconds`` although there are records to read ends, so that its
    supervisor restarts it.
    """

    max_records: int = 500
    poll_ms: int = 200
    commit_seconds: float = 1.0
    stall_seconds: float = 300.0
    farewell_seconds: float = 15.0


class Session:
    """A consumer, a producer and its outbox, which are discarded together when anything fails."""

    def __init__(self, consumer: Consumer, producer: Producer) -> None:
        self.consumer, self.producer = consumer, producer
        self.outbox = Outbox(producer)


class Running:
    """A running session."""

    def __init__(
        self,
        session: Session,
        begin: Callable[[Session], Worker],
        settings: LoopSettings,
        back: Callable[[], None],
        going_on: Callable[[], None],
    ) -> None:
        self._consumer, self._producer, self._outbox = session.consumer, session.producer, session.outbox
        self._worker = begin(session)
        self._settings, self._back, self._going_on = settings, back, going_on
        self._assigned: set[TopicPartition] = set()
        self._silences = Silences()
        self._hands = asyncio.Lock()
        self._assignments = 0
        self._failure: BaseException | None = None
        self._retry_at = 0.0
        """Until this time the worker waits for something other than Kafka."""
        self._blocked = False
        self._moved_at = 0.0
        self._read = 0

    async def run(self) -> None:
        """Work until cancelled or until something fails."""
        try:
            await self._producer.start()
            await self._consumer.start()
            self._back()
            self._moved()
            self._consumer.subscribe(self._worker.topics, self)
            watching = asyncio.ensure_future(self._watch())
            working = asyncio.ensure_future(self._work())
            try:
                await asyncio.wait({watching, working}, return_when=asyncio.FIRST_COMPLETED)
                for task in (working, watching):
                    if task.cancelled():  # cancelled by the client itself: nobody asked us to stop
                        raise BrokerAwayError("the client gave up")
                    if task.done():
                        task.result()
            finally:
                for task in (watching, working):
                    task.cancel()
                await asyncio.gather(watching, working, return_exceptions=True)
        except (asyncio.CancelledError, StageStoppedError):
            await self._farewell()
            raise
        finally:
            telemetry.emit(telemetry.StageReady(ready=False))
            await self._producer.stop()  # before the partitions move on: nothing may be sent after that
            await self._consumer.stop()
            await self._worker.revoke(sorted(self._assigned))

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Commit progress and forget the partitions; their next reader continues from the commit."""
        async with self._hands:
            gone = sorted(set(revoked) & self._assigned)
            try:
                await self._commit()
            except (BrokerAwayError, BrokerRefusedError) as error:
                self._fail(error)
            await self._worker.revoke(gone)
            self._silences.forget(gone)
            self._assigned -= set(gone)
            self._assignments += 1
        telemetry.emit(telemetry.PartitionsRevoked(tuple(map(tuple, gone)), len(self._assigned)))

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start with new partitions at their commits.

        Seek in each, even if it is already at that position: the consumer may fetch while the commits are
        being requested, and the records of such a poll have to come again.
        """
        new = sorted(set(assigned) - self._assigned)
        try:
            commits = await self._consumer.commits()
            bounds = await self._consumer.bounds(new)
            async with self._hands:
                places = {one: Place(bounds[one], commits.get(one)) for one in new}
                await self._worker.assign(places, commits)
                self._assigned |= set(new)
                self._assignments += 1
                for partition in new:
                    self._consumer.seek(partition, self._worker.next_offset(partition))
        except Exception as error:  # noqa: BLE001 - the client would only log it; the loop has to end
            self._fail(error)
            return
        self._going_on()
        self._moved()
        telemetry.emit(telemetry.StageReady(ready=True))
        telemetry.emit(telemetry.PartitionsAssigned(tuple(map(tuple, new)), len(self._assigned)))

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error

    def _moved(self) -> None:
        self._moved_at = asyncio.get_running_loop().time()
        telemetry.emit(telemetry.StageMoved())

    async def _work(self) -> None:
        now = asyncio.get_running_loop().time
        commit_at = now() + self._settings.commit_seconds
        while True:
            assignment = self._assignments
            try:
                batches = await self._consumer.poll(self._settings.poll_ms, self._settings.max_records)
            except OutOfRangeError as error:
                batches = {}
                await self._recover(error.positions)
            async with self._hands:
                if self._failure is not None:
                    raise self._failure
                self._outbox.check()
                if self._worker.commit_first:
                    await self._commit()
                    self._fetch_again(batches)
                elif assignment == self._assignments:
                    await self._take(batches)
                else:
                    self._fetch_again(batches)
                await self._worker.rest()
                self._consumer.hold(self._assigned if now() < self._retry_at else self._worker.held())
                if now() >= commit_at:
                    await self._commit()
                    commit_at = now() + self._settings.commit_seconds
            await asyncio.sleep(
                0
            )  # polls of prefetched records never yield, and the sender must get its turn

    async def _take(self, batches: Batches) -> None:
        """Give a poll to the worker; if that asks to retry later, wait and fetch the same records again."""
        now = asyncio.get_running_loop().time()
        mine = {one: records for one, records in batches.items() if one in self._assigned}
        if now < self._retry_at:
            self._fetch_again(mine)
            return
        await self._leave_out_other_logs(mine, now)
        if not mine:
            return
        try:
            await self._worker.work(mine)
        except RetryLaterError as error:
            if not self._blocked:
                telemetry.emit(telemetry.StageBlocked(str(error)))
            self._blocked, self._retry_at = True, now + RETRY_SECONDS
            self._fetch_again(mine)
            return
        if self._blocked:
            telemetry.emit(telemetry.StageUnblocked())
            self._blocked = False
        self._read += 1
        self._silences.note(mine, now)

    async def _leave_out_other_logs(self, mine: dict[TopicPartition, Sequence[Any]], now: float) -> None:
        """Drop records of a log that replaced the one read so far, and continue in the new log."""
        known_ms = {one: self._worker.logged_ms(one) for one in self._silences.ended(mine, now)}
        suspects = {one: logged_ms for one, logged_ms in known_ms.items() if logged_ms >= 0}
        if not suspects:
            return
        bounds = await self._consumer.bounds(suspects)
        for partition, logged_ms in suspects.items():
            position = self._worker.next_offset(partition)
            if await is_other_log(self._consumer, partition, position, logged_ms, bounds[partition]):
                del mine[partition]
                await self._go_on_in_other_log(partition, bounds[partition])

    async def _go_on_in_other_log(self, partition: TopicPartition, bounds: Bounds) -> None:
        await self._worker.began_again(partition, bounds)
        self._silences.forget([partition])
        self._consumer.seek(partition, self._worker.next_offset(partition))

    def _fetch_again(self, batches: Iterable[TopicPartition]) -> None:
        for partition in batches:
            if partition in self._assigned:
                self._consumer.seek(partition, self._worker.next_offset(partition))

    async def _recover(self, positions: Mapping[TopicPartition, int]) -> None:
        """Continue where the broker no longer has the next offset."""
        bounds = await self._consumer.bounds(positions)
        async with self._hands:
            for partition in sorted(positions):
                if partition not in self._assigned:
                    continue
                begin, end = bounds[partition]
                position = self._worker.next_offset(partition)
                if position > end:
                    await self._go_on_in_other_log(partition, bounds[partition])
                    continue
                if position < begin:
                    await self._worker.head_gone(partition, bounds[partition])
                self._consumer.seek(partition, self._worker.next_offset(partition))

    async def _commit(self) -> None:
        """Wait until everything sent is acknowledged, then commit the worker's progress."""
        offsets = self._worker.progress()
        await self._outbox.settle()
        lags = self._lags()
        telemetry.emit(telemetry.ConsumerLag({tuple(one): lag for one, lag in lags.items()}))
        held = self._worker.held()
        if self._read or not any(lag for one, lag in lags.items() if one not in held):
            self._read = 0
            self._moved()
        if not offsets:
            return
        try:
            await self._consumer.commit(offsets)
        except PartitionsMovedError:
            return  # their new reader continues from the previous commit and sends the same again
        self._worker.committed(offsets)

    def _lags(self) -> dict[TopicPartition, int]:
        ends = {one: self._consumer.end_seen(one) for one in self._assigned}
        return {
            one: max(end - self._worker.next_offset(one), 0) for one, end in ends.items() if end is not None
        }

    async def _watch(self) -> None:
        """End the stage when it makes no progress."""
        stall_seconds = self._settings.stall_seconds
        while True:
            await asyncio.sleep(stall_seconds / 10)
            idle_seconds = asyncio.get_running_loop().time() - self._moved_at
            if self._assigned and idle_seconds > stall_seconds:
                telemetry.emit(telemetry.StageStalled(idle_seconds))
                raise StageStoppedError(
                    f"nothing has moved for {idle_seconds:.0f} s although there are records to read; "
                    "the stage ends so that it can be started again"
                )

    async def _farewell(self) -> None:
        """Before stopping, commit whatever the broker acknowledges in time."""
        try:
            async with asyncio.timeout(self._settings.farewell_seconds), self._hands:
                if self._failure is None:
                    await self._commit()
        except (TimeoutError, BrokerAwayError, BrokerRefusedError) as error:
            telemetry.emit(telemetry.LastCommitFailed(str(error) or "the broker did not answer in time"))
