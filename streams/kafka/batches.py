"""Fetched records handed over by whole batches, as aiokafka's own record objects.

aiokafka makes a `ConsumerRecord` of eleven fields of each record, one generator step at a time: 1.4 µs a
record, of which its parser in C takes 0.4. Here a poll takes a batch from that parser at once. What aiokafka
checks is still checked: the CRC of each batch, control batches, and aborted transactions where only committed
records are read.

This reaches into private parts of aiokafka, so it is used for the versions that `tests/kafka/test_batches.py`
holds it to. With any other version `read_by_batches` changes nothing, and the public path is used.
"""

from collections import OrderedDict
from importlib.metadata import version
from typing import Any, Final

from aiokafka.consumer.fetcher import READ_COMMITTED, FetchResult
from aiokafka.errors import CorruptRecordException

TESTED: Final = ("0.14.0",)
"""Versions of aiokafka whose private parts are those that this file expects."""


def read_by_batches(consumer: Any) -> bool:
    """Let a started consumer's `getmany` return whole batches; return whether this version allows it.

    Records keep the attributes ``offset``, ``timestamp``, ``timestamp_type``, ``key``, ``value`` and
    ``headers``. Topic and partition are those of the dictionary that `getmany` returns.
    """
    if version("aiokafka") not in TESTED:
        return False
    consumer._fetcher._records = _Fetched()  # noqa: SLF001 - see the head of this file
    return True


class _Fetched(OrderedDict[Any, Any]):
    """The fetcher's results by partition; each that comes in is read by batches."""

    def __setitem__(self, partition: Any, result: Any) -> None:
        if type(result) is FetchResult:
            batches = _Batches(partition, result._partition_records)  # noqa: SLF001
            result._partition_records = batches  # noqa: SLF001
            result.getall = lambda most=None: _take(result, batches, most)
        super().__setitem__(partition, result)


class _Batches:
    """The batches of one fetch of a partition; ``next_fetch_offset`` is where the next fetch begins."""

    def __init__(self, partition: Any, records: Any) -> None:
        self.next_fetch_offset: int = records.next_fetch_offset
        self._partition, self._records = partition, records
        self._ready: list[Any] = []
        self._at = self._after = 0

    def take(self, most: int) -> list[Any]:
        """Return the next records, at most so many; fewer only where there are no more."""
        taken: list[Any] = []
        while len(taken) < most and (self._at < len(self._ready) or self._read()):
            piece = self._ready[self._at : self._at + most - len(taken)]
            self._at += len(piece)
            taken += piece
            whole = self._at == len(self._ready)
            # Behind the batch, not its last record: compaction may have removed what came between.
            self.next_fetch_offset = self._after if whole else piece[-1].offset + 1
        return taken

    def _read(self) -> bool:
        """Read the next batch that holds records; return False where there is none."""
        memory = self._records._records  # noqa: SLF001
        while memory.has_next():
            batch = memory.next_batch()
            if self._records._check_crcs and not batch.validate_crc():  # noqa: SLF001
                raise CorruptRecordException(f"Invalid CRC - {self._partition}")
            records = [] if self._is_left_out(batch) else list(batch)
            if records and records[0].offset < self.next_fetch_offset:
                # The broker returns whole batches: the first may begin before what was asked for.
                records = [record for record in records if record.offset >= self.next_fetch_offset]
            if records:
                self._ready, self._at, self._after = records, 0, batch.next_offset
                return True
            self.next_fetch_offset = batch.next_offset
        return False

    def _is_left_out(self, batch: Any) -> bool:
        """Return whether a batch is a control batch, or of a transaction that was aborted."""
        state = self._records
        if state._isolation_level == READ_COMMITTED and batch.producer_id is not None:  # noqa: SLF001
            state._consume_aborted_up_to(batch.base_offset)  # noqa: SLF001
            aborted = state._aborted_producers  # noqa: SLF001
            if batch.is_control_batch and state._contains_abort_marker(batch):  # noqa: SLF001
                aborted.discard(batch.producer_id)
            if batch.is_transactional and batch.producer_id in aborted:
                return True
        return bool(batch.is_control_batch)


def _take(result: Any, batches: _Batches, most: int | None) -> list[Any]:
    """Return a fetch's next records, and move the consumer's position behind them: `FetchResult.getall`."""
    if not result.check_assignment(result._topic_partition) or not result.has_more():  # noqa: SLF001
        return []
    limit = (1 << 62) if most is None else most
    taken = batches.take(limit)
    result._update_position()  # noqa: SLF001
    if len(taken) < limit:
        result._partition_records = None  # noqa: SLF001
    return taken
