"""What one slot collects between two cuts, and how it is summed at the cut.

A slot holds a handful of events on a quiet link and thousands on a busy one, so the fixed cost of a cell
matters as much as the cost per event: empty parts are neither created nor summed.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TypeVar

from streams.model.events import CANCELLED, FAILURES, LookupCompleted, LookupRequested
from streams.model.measurement import EDGE_TIMES, Asked, LinkSlot, Part
from streams.model.sketch import BUCKET_OF_MS, TOP_MS, bucket_of, dossier_hash, trim

Key = TypeVar("Key", str, int)

Answer = tuple[str, int, int, LookupCompleted]
"""Outcome, request time in ms, latency in ms, and the event, which names service and agency."""

Signed = tuple[int, str, LookupRequested | LookupCompleted, int, int | None]
"""Sign, outcome, the event (service, agency, dossier), request time in ms, latency in ms."""

_UNTOLD = FAILURES | CANCELLED
"""Outcomes that are not answers."""


class LinkCell:
    """One slot of one link since the last cut.

    ``answers`` are those seen by the portal; everything rarer goes to ``signed`` and ``provider``, which are
    None while empty.
    """

    __slots__ = ("answers", "late", "provider", "requested", "signed")

    def __init__(self) -> None:
        self.requested = 0
        self.late = 0
        self.answers: list[Answer] = []
        self.signed: list[Signed] | None = None
        self.provider: list[tuple[int, str, int | None]] | None = None

    def add_signed(self, entry: Signed) -> None:
        """Collect an entry of the portal's view that is more than a plain answer."""
        if self.signed is None:
            self.signed = []
        self.signed.append(entry)

    def add_provider(self, sign: int, outcome: str, latency_ms: int | None) -> None:
        """Collect an entry of the provider's view."""
        if self.provider is None:
            self.provider = []
        self.provider.append((sign, outcome, latency_ms))

    def summed(self, start_ms: int) -> LinkSlot:
        """Return the sums. Their order is canonical, so that equal facts give equal bytes."""
        answers = self.answers
        if not answers:
            slot = LinkSlot(start_ms, self.requested)
        elif len(answers) == 1:
            outcome, asked_ms, latency_ms, _ = answers[0]
            second, ms = divmod(asked_ms, 1000)
            asked, latency = [Asked(second, 1, 0, ms)], {bucket_of(latency_ms): 1}
            slot = LinkSlot(start_ms, self.requested, {outcome: 1}, 0, asked, latency)
        else:
            outcomes, asked_ok, latencies, _ = zip(*answers, strict=True)
            asked, latency = by_second(asked_ok), histogram(latencies)
            slot = LinkSlot(start_ms, self.requested, counted(outcomes), 0, asked, latency)
        if self.late:
            slot.late = self.late
        if self.signed is not None:
            _add_signed(slot, self.signed)
        if self.provider is not None:
            _add_provider(slot, self.provider)
        return slot

    def tell_answers(self, slot: LinkSlot, services: Container[str], agencies: Container[str]) -> bool:
        """Add the answers of some services and agencies to the slot's sums; return whether there were any."""
        told: list[tuple[int, int, LookupRequested | LookupCompleted]] = [
            (1, asked_ms, done)
            for _, asked_ms, _, done in self.answers
            if done.service in services or done.agency in agencies
        ]
        if self.signed is not None:
            told += [
                (sign, asked_ms, event)
                for sign, outcome, event, asked_ms, _ in self.signed
                if outcome not in _UNTOLD and not event.synthetic
            ]
        for sign, asked_ms, event in told:
            if event.service in services:
                _add_answered_part(slot.services, event.service, asked_ms - slot.start_ms, sign)
            if event.agency in agencies:
                _add_answered_part(slot.agencies, event.agency, asked_ms - slot.start_ms, sign)
        if told:
            slot.services, slot.agencies = _tidy_parts(slot.services), _tidy_parts(slot.agencies)
        return bool(told)


def _add_signed(slot: LinkSlot, signed: Iterable[Signed]) -> None:
    outcomes, latency = slot.outcomes, slot.latency
    seconds = {asked.second: asked for asked in slot.asked}
    for sign, outcome, event, asked_ms, latency_ms in signed:
        _add(outcomes, outcome, sign)
        if event.synthetic:
            slot.synthetic += sign
        if outcome in FAILURES:
            add_failed(seconds, asked_ms, sign)
            if not event.synthetic:
                since_ms = asked_ms - slot.start_ms
                _add_failed_part(slot.services, event.service, since_ms, sign)
                _add_failed_part(slot.agencies, event.agency, since_ms, sign)
                _add(slot.failed_dossiers, dossier_hash(event.dossier_id), sign)
        elif outcome not in CANCELLED:  # a client's patience says nothing about the link
            add_answered(seconds, asked_ms, sign)
            if latency_ms is not None:
                _add(latency, bucket_of(latency_ms), sign)
    slot.outcomes, slot.latency = tidy(outcomes), tidy(latency)
    slot.services, slot.agencies = _tidy_parts(slot.services), _tidy_parts(slot.agencies)
    slot.failed_dossiers = trim(slot.failed_dossiers)
    slot.asked = [seconds[second] for second in sorted(seconds)]


def _add_provider(slot: LinkSlot, seen: Iterable[tuple[int, str, int | None]]) -> None:
    outcomes, latency = slot.provider_outcomes, slot.provider_latency
    for sign, outcome, latency_ms in seen:
        _add(outcomes, outcome, sign)
        if latency_ms is not None:
            _add(latency, bucket_of(latency_ms), sign)
    slot.provider_outcomes, slot.provider_latency = tidy(outcomes), tidy(latency)


def histogram(latencies_ms: Sequence[int]) -> dict[int, int]:
    """Return the latency histogram of some latencies, in the order of its buckets."""
    counts: dict[int, int] = {}
    for ms in sorted(latencies_ms):
        bucket = BUCKET_OF_MS[ms] if 0 <= ms <= TOP_MS else bucket_of(ms)
        counts[bucket] = counts.get(bucket, 0) + 1
    return counts


def by_second(asked_ok_ms: Sequence[int]) -> list[Asked]:
    """Return answered requests by the second in which they were asked, ascending."""
    asked: list[Asked] = []
    current = -1 << 62
    for asked_ms in sorted(asked_ok_ms):
        second = asked_ms // 1000
        if second != current:
            current = second
            last = Asked(second, 1, 0, asked_ms - second * 1000)
            asked.append(last)
        else:
            last.ok += 1
    return asked


def counted(items: Iterable[Key]) -> dict[Key, int]:
    """Count items, in key order. For the few items of a slot this is faster than a `Counter`."""
    counts: dict[Key, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return counts if len(counts) < 2 else {key: counts[key] for key in sorted(counts)}


def _add(counts: dict[Key, int], key: Key, sign: int) -> None:
    counts[key] = counts.get(key, 0) + sign


def tidy(counts: Mapping[Key, int]) -> dict[Key, int]:
    """Return the counts that are not zero, in key order."""
    if not counts:
        return {}
    return {key: counts[key] for key in sorted(counts) if counts[key]}


def _add_failed_part(parts: dict[str, Part], name: str, since_ms: int, sign: int) -> None:
    """Count a failed request for a service or agency, or take one back."""
    part = parts.get(name)
    if part is None:
        part = parts[name] = Part()
    part.failed += sign
    if sign < 0:
        part.removed = sorted([*part.removed, since_ms])
    else:
        part.first_failed = sorted([*part.first_failed, since_ms])[:EDGE_TIMES]


def _add_answered_part(parts: dict[str, Part], name: str, since_ms: int, sign: int) -> None:
    """Count an answered request for a service or agency, or take one back."""
    part = parts.get(name)
    if part is None:
        part = parts[name] = Part()
    part.ok += sign
    if sign > 0 and (part.first_ok is None or since_ms < part.first_ok):
        part.first_ok = since_ms


def _tidy_parts(parts: dict[str, Part]) -> dict[str, Part]:
    """Return the parts that are not empty, by name."""
    told = sorted(parts.items()) if len(parts) > 1 else parts.items()
    return {name: part for name, part in told if part.failed or part.ok or part.removed}


def add_answered(seconds: dict[int, Asked], asked_ms: int, sign: int) -> None:
    """Count an answered request in the second in which it was asked."""
    second, ms = divmod(asked_ms, 1000)
    asked = seconds.get(second)
    if asked is None:
        asked = seconds[second] = Asked(second)
    asked.ok += sign
    if sign > 0 and (asked.first_ok < 0 or ms < asked.first_ok):
        asked.first_ok = ms


def add_failed(seconds: dict[int, Asked], asked_ms: int, sign: int) -> None:
    """Count a failed request in the second in which it was asked, or take one back."""
    second, ms = divmod(asked_ms, 1000)
    asked = seconds.get(second)
    if asked is None:
        asked = seconds[second] = Asked(second)
    asked.failed += sign
    if sign < 0:
        asked.removed = sorted([*asked.removed, ms])
    else:
        asked.first_failed = sorted([*asked.first_failed, ms])[:EDGE_TIMES]
