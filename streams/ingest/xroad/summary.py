"""Summary of an import: accounts for every record; network times include the negative ones.

``records = rejected + duplicates + 2 * pairs + singles``.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from streams.ingest.xroad.calls import CallBook
from streams.ingest.xroad.record import METASERVICE_MARK


class NetworkTimes(Struct, frozen=True):
    """Times between the two gateways, in milliseconds; clock skew makes some negative."""

    count: int
    negative: int
    min_ms: int
    median_ms: int
    max_ms: int


class ImportSummary(Struct, frozen=True):
    """The figures of an import, with the times of the first request and last answer in epoch milliseconds.

    ``reasons`` counts the rejected records by reason; ``rejects`` are the first `files.MAX_REJECTS` of them.
    """

    records: int
    pairs: int
    singles: int
    duplicates: int
    rejected: int
    singles_by_side: dict[str, int]
    paired_by_message_id: int
    sides_inferred: int
    request_ids_reused: int
    metaservice_calls: int
    links: dict[str, int]
    outcomes: dict[str, int]
    first_ms: int | None
    last_ms: int | None
    request_network: NetworkTimes | None
    response_network: NetworkTimes | None
    events: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rejects: Sequence[object] = field(default_factory=list)


def summarise(book: CallBook, *, records: int, rejected: int) -> ImportSummary:
    """Return the figures of the calls of `records` records, of which `rejected` were not used."""
    singles: Counter[str] = Counter()
    links: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    first_ms, last_ms = None, None
    for call in book.calls:
        if call.client is None or call.producer is None:
            singles["client" if call.client else "producer"] += 1
        links[call.link] += 1
        outcomes[call.first.outcome()] += 1
        for record in call.records():
            first_ms = min(record.request_in_ms, first_ms or record.request_in_ms)
            last_ms = max(record.response_out_ms, last_ms or record.response_out_ms)
    return ImportSummary(
        records=records,
        pairs=len(book.calls) - singles.total(),
        singles=singles.total(),
        duplicates=book.duplicates,
        rejected=rejected,
        singles_by_side=dict(sorted(singles.items())),
        paired_by_message_id=book.paired_by_message_id,
        sides_inferred=book.sides_inferred,
        request_ids_reused=book.ids_reused,
        metaservice_calls=sum(count for link, count in links.items() if link.endswith(METASERVICE_MARK)),
        links=dict(sorted(links.items())),
        outcomes=dict(sorted(outcomes.items())),
        first_ms=first_ms,
        last_ms=last_ms,
        request_network=_times(call.request_network_ms() for call in book.calls),
        response_network=_times(call.response_network_ms() for call in book.calls),
    )


def _times(values: Iterable[int | None]) -> NetworkTimes | None:
    times = sorted(value for value in values if value is not None)
    if not times:
        return None
    negative = sum(1 for value in times if value < 0)
    return NetworkTimes(len(times), negative, times[0], times[len(times) // 2], times[-1])
