"""Applies the maps to an export: returns the events of its spans, and counts what became of each span.

The maps are tried in order; the first that yields events for a span decides, and a span for which none does
is passed over. A call's two events follow each other, and calls are in order of their ends: so an answer in
the same batch as its request never counts as missing.
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
"""The most spans in one export; exporters send hundreds, a Collector thousands."""


def form_in(data: bytes) -> Form:
    """Return the form of an export's bytes: only JSON begins with a brace.

    >>> form_in(b'{"resourceSpans": []}'), form_in(b"")
    ('json', 'protobuf')
    """
    return "json" if data[:1] == b"{" else "protobuf"


class NotOtlpError(ValueError):
    """Bytes that are not an export of spans; the message says why."""


class TooManySpansError(NotOtlpError):
    """An export with too many spans (`MOST_SPANS`); none of it was used."""


class Watched(NamedTuple):
    """A link and its observer."""

    observer: str
    link: str


class Tally(Struct):
    """Counts of spans by what became of them: ``spans = lookups + submissions + passed_over + rejected``.

    ``sources`` are the senders, with the links they observe.
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
    """Turns exports into events by maps; reuse it, as the maps have caches."""

    def __init__(self, mappers: Sequence[Mapper]) -> None:
        self.mappers = mappers
        self._wanted = wanted = Wanted(mappers)
        self._readers: dict[Form, Callable[[bytes], Iterator[Found]]] = {
            "protobuf": ProtobufReader(wanted).spans,
            "json": lambda data: jsonform.spans(data, wanted),
        }

    def events(self, data: bytes, form: Form, tally: Tally) -> list[Event]:
        """Return the events of an export, and count in ``tally`` what became of its spans.

        Raises:
            NotOtlpError: the bytes are not an export, or have too many spans; none of them were used.
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
