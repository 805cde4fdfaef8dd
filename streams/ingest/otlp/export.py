"""An export put through the maps: its spans in, events out, and what became of each span.

Each span goes through the maps in their order; the first that makes events of it decides, and one of which no
map makes any is passed over. A call's two events follow each other, and calls come in the order in which they
ended: an answer that comes in one batch with its request is never taken for a missing one.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct, field

from streams.ingest.mapping.mapper import Event, Mapper
from streams.ingest.otlp import jsonform
from streams.ingest.otlp.fields import Wanted
from streams.ingest.otlp.found import Found, Source
from streams.ingest.otlp.jsonform import NotOtlpJsonError
from streams.ingest.otlp.protobuf import ProtobufReader
from streams.ingest.otlp.wire import NotProtobufError
from streams.ingest.values import RejectedRecordError
from streams.model.wire import Lookup

Form = Literal["protobuf", "json"]
MOST_REASONS: Final = 50
MOST_SPANS: Final = 100_000
"""Spans of one export; exporters send some hundreds, a Collector some thousands."""


def form_in(data: bytes) -> Form:
    """Return the form of some bytes: JSON begins with its brace, and no message of protobuf does.

    >>> form_in(b'{"resourceSpans": []}'), form_in(b"")
    ('json', 'protobuf')
    """
    return "json" if data[:1] == b"{" else "protobuf"


class NotOtlpError(ValueError):
    """Bytes that are no export of spans; the message says why."""


class TooManySpansError(NotOtlpError):
    """An export of more spans than any exporter sends at once; nothing of it was used."""


class Watched(NamedTuple):
    """A link and who sees it."""

    observer: str
    link: str


class Tally(Struct):
    """What became of spans: ``spans = lookups + submissions + passed_over + rejected``.

    ``sources`` are those that sent them, with the links that they see.
    """

    spans: int = 0
    lookups: int = 0
    submissions: int = 0
    passed_over: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    sources: dict[Source, set[Watched]] = field(default_factory=dict)

    def reject(self, error: Exception) -> None:
        """Count a span that cannot be used."""
        self.rejected += 1
        reason = str(error)
        if reason in self.reasons or len(self.reasons) < MOST_REASONS:
            self.reasons[reason] += 1


class SpanMapper:
    """Turns exports into events by maps, which keep what they have worked out from one call to the next."""

    def __init__(self, mappers: Sequence[Mapper]) -> None:
        self.mappers = mappers
        self._wanted = wanted = Wanted(mappers)
        self._readers: dict[Form, Callable[[bytes], Iterator[Found]]] = {
            "protobuf": ProtobufReader(wanted).spans,
            "json": lambda data: jsonform.spans(data, wanted),
        }

    def events(self, data: bytes, form: Form, tally: Tally) -> list[Event]:
        """Return the events of an export, and add up in ``tally`` what became of its spans.

        Raises:
            NotOtlpError: the bytes are no export, or one of too many spans; nothing of them was used.
        """
        calls: list[tuple[int, int, list[Event]]] = []
        most_spans = tally.spans + MOST_SPANS
        try:
            for found in self._readers[form](data):
                events = self._of(found, tally)
                if tally.spans > most_spans:
                    raise TooManySpansError(f"it holds more than {MOST_SPANS:,} spans; send smaller batches")
                if events:
                    calls.append((events[-1].occurred_at_ms, len(calls), events))
        except (NotProtobufError, NotOtlpJsonError) as error:
            raise NotOtlpError(str(error)) from error
        calls.sort(key=_ended)
        return [event for _, _, events in calls for event in events]

    def _of(self, found: Found, tally: Tally) -> list[Event]:
        tally.spans += 1
        watched = tally.sources.get(found.source)
        if watched is None:
            watched = tally.sources[found.source] = set()
        if found.values is None:
            tally.reject(found.error or RejectedRecordError("the span cannot be used"))
            return []
        for number, mapper in enumerate(self.mappers):
            try:
                events = mapper.events(self._wanted.of(number, found.values), found.identity)
            except RejectedRecordError as error:
                tally.reject(error)
                return []
            if events:
                first = events[0]
                if isinstance(first, Lookup):
                    tally.lookups += 1
                    if (first.observer, first.link) not in watched:
                        watched.add(Watched(first.observer, first.link))
                else:
                    tally.submissions += 1
                return events
        tally.passed_over += 1
        return []


def _ended(call: tuple[int, int, Any]) -> tuple[int, int]:
    return call[:2]
