"""Read the ledger's topics again from the beginning, to rebuild a ledger."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from streams.kafka.read import RereadError, open_reader, partitions_on, read_range, record_of
from streams.kafka.topics import Topics
from streams.model.record import Record
from streams.record.stage import declared_names


async def ledger_batches(
    connection: Mapping[str, Any],
    topics: Topics | None = None,
    until: Mapping[tuple[str, int], int] | None = None,
) -> AsyncIterator[list[Record]]:
    """Yield all records of the ledger's topics, in order per partition, under the declared names.

    ``until`` gives the offset to stop before, by declared topic and partition; by default reading stops at
    the current ends. Raises `RereadError` if the beginning of a topic is gone.
    """
    declared = declared_names(topics or Topics())
    async with open_reader(connection) as reader:
        sources = await partitions_on(connection, sorted(declared))
        ends = await reader.end_offsets(sources)
        begins = await reader.beginning_offsets(sources)
        for source in sources:
            name = (declared[source.topic], source.partition)
            end = ends[source] if until is None else until.get(name, 0)
            if begins[source] > 0:
                raise RereadError(
                    f"{source.topic}/{source.partition} begins at offset {begins[source]}: "
                    "earlier records are gone, so the ledger cannot be rebuilt from it"
                )
            if end > ends[source]:
                raise RereadError(f"{source.topic}/{source.partition} ends at {ends[source]}, before {end}")
            async for messages in read_range(reader, source, 0, end):
                yield [record_of(message, declared[source.topic]) for message in messages]
