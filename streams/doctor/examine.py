"""Examines events: reports everything a producer should know before going live, by kind with an example.

Records are fed in log order. The pipeline's own meter finds what the pipeline would refuse; the other checks
cover what it accepts but cannot repair: missing heartbeats and keys, incomplete pairs, wrong clocks, unknown
fields, and personal identifiers where none belong. Memory is bounded by `MAX_OPEN` requests and `MAX_NAMES`
names.

A finding names the field and the record, and never repeats a value.
"""

from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable
from re import compile as pattern
from typing import Final

import msgspec

from streams.doctor.findings import ADVICE, Example, Finding
from streams.measure.decode import DECODERS
from streams.measure.meter import Meter
from streams.model import events
from streams.model.events import Heartbeat, LookupCompleted, LookupRequested
from streams.model.record import Record
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS, SUBMISSIONS

MAX_OPEN: Final = 200_000
MAX_NAMES: Final = 1_000
CLOCK_AHEAD_MS: Final = 2_000
LOGGED_LATE_MS: Final = 60_000
NAME_FIELDS: Final = ("link", "service", "agency", "portal", "channel")
PERSONAL: Final = {
    # Twelve digits: the code of one of 63 provinces, century and sex, year of birth, six digits
    # (Decree 137/2015/ND-CP, article 13).
    "an identity number": pattern(r"(?<!\d)0(?:0[1-9]|[1-8]\d|9[0-6])\d{9}(?!\d)"),
    "a telephone number": pattern(r"(?<!\d)(?:\+84|0)[35789]\d{8}(?!\d)"),
    "a mail address": pattern(r"[\w.+-]+@[\w-]+\.[\w.]+"),
}
RANDOM_ID: Final = pattern(r"(?i)\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b|\b[0-9a-f]{16,}\b")
"""UUIDs, trace and span ids, some of which contain digits that look like a telephone number."""
KNOWN_FIELDS: Final = {
    topic: {field for kind in kinds for field in (*kind.__struct_fields__, events.type_tag)}
    for topic, kinds in (
        (LOOKUPS, (LookupRequested, LookupCompleted, Heartbeat)),
        (SUBMISSIONS, (events.SubmissionReceived, Heartbeat)),
    )
}

_values: Final = msgspec.json.Decoder(dict[str, object])


class Doctor:
    """Call `feed` with records in log order, then `findings` once for what is wrong."""

    def __init__(self, settings: MeasureSettings | None = None) -> None:
        self._settings = settings or MeasureSettings()
        self._meters: dict[tuple[str, int], Meter] = {}
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, Example] = {}
        self._open: OrderedDict[tuple[str, str], Record] = OrderedDict()
        self._early: OrderedDict[tuple[str, str], Record] = OrderedDict()
        self._beats: dict[tuple[str, int, str], tuple[int, int]] = {}
        self._watched: set[str] = set()
        self._asked: dict[str, Record] = {}
        self._names: defaultdict[str, dict[str, Record]] = defaultdict(dict)
        self.records: Counter[str] = Counter()
        self.types: Counter[str] = Counter()

    def feed(self, record: Record) -> None:
        """Examine one record; those of topics without events are only counted."""
        self.records[record.topic] += 1
        if record.topic not in DECODERS:
            return
        source = record.topic, record.partition
        meter = self._meters.get(source)
        if meter is None:
            meter = self._meters[source] = Meter(*source, self._settings)
        before = meter.totals()
        meter.feed([record[2:]])
        meter.measurements.clear()
        ended = meter.totals() - before
        for letter in meter.dead_letters:
            self._note("refused", record, f"{letter.reason}: {letter.detail}")
        meter.dead_letters.clear()
        if ended.duplicate:
            self._note("duplicate", record, "its event_id came before")
        if ended.late:
            self._note("late", record, "it is more than 5 s behind the newest of its partition")
        try:
            event = DECODERS[record.topic](record.value)
        except (ValueError, TypeError):
            return
        self._look_at_fields(record)
        if isinstance(event, Heartbeat):
            self.types["observer.heartbeat"] += 1
            self._look_at_beat(record, event)
            return
        self.types[str(type(event).__struct_config__.tag)] += 1
        self._look_at_clock(record, event.occurred_at_ms)
        if record.key is None:
            self._note("no_key", record, "it has no key")
        for name in NAME_FIELDS:
            value = getattr(event, name, None)
            if value is not None and len(self._names[name]) <= MAX_NAMES:
                self._names[name].setdefault(value, record)
        if not ended.duplicate and isinstance(event, LookupRequested | LookupCompleted):
            self._look_at_pair(record, event)

    def _note(self, kind: str, record: Record, detail: str, count: int = 1) -> None:
        self._counts[kind] += count
        self._examples.setdefault(kind, Example(record.topic, record.partition, record.offset, detail))

    def _look_at_fields(self, record: Record) -> None:
        known = KNOWN_FIELDS[record.topic]
        for place, (name, value) in enumerate(_values.decode(record.value).items(), start=1):
            # An unknown field's name may itself be data.
            told = f"field {name}" if name in known else f"its field number {place}"
            if name not in known:
                plain = name.isidentifier() and len(name) <= 40 and not any(c.isdigit() for c in name)
                told = f"field {name}" if plain else told
                self._note("unknown_field", record, told)
            if (kind := _personal_in(value)) is not None:
                self._note("personal", record, f"{told} looks like {kind}")

    def _look_at_clock(self, record: Record, occurred_at_ms: int) -> None:
        delay_ms = record.logged_at_ms - occurred_at_ms
        if delay_ms < -CLOCK_AHEAD_MS:
            self._note(
                "clock_ahead", record, f"occurred_at_ms is {-delay_ms:,} ms ahead of the broker's time"
            )
        elif delay_ms > LOGGED_LATE_MS:
            self._note("logged_late", record, f"it was logged {delay_ms:,} ms after it happened")

    def _look_at_beat(self, record: Record, beat: Heartbeat) -> None:
        at = record.topic, record.partition, beat.observer
        due_ms, _ = self._beats.get(at, (beat.occurred_at_ms, 0))
        # One interval of tolerance: a beat that is still in transit is not missing.
        if beat.occurred_at_ms > due_ms + beat.interval_ms:
            gap_ms = beat.occurred_at_ms - due_ms
            self._note(
                "heartbeat_gap", record, f"{gap_ms:,} ms after the last one of {beat.observer} was over"
            )
        self._beats[at] = max(due_ms, beat.occurred_at_ms + beat.interval_ms), record.offset
        if beat.observer == "portal" and record.topic == LOOKUPS:
            self._watched.update(beat.links[:MAX_NAMES])

    def _look_at_pair(self, record: Record, event: LookupRequested | LookupCompleted) -> None:
        pair = event.lookup_id, event.observer
        mine, others = self._open, self._early
        if isinstance(event, LookupCompleted):
            mine, others = others, mine
        elif event.observer == "portal" and len(self._asked) <= MAX_NAMES:
            self._asked.setdefault(event.link, record)
        other = others.pop(pair, None)
        if other is None:
            mine[pair] = record
            if len(mine) > MAX_OPEN:
                self._give_up(*mine.popitem(last=False), requested=mine is self._open)
        elif other.partition != record.partition:
            self._note("split_pair", record, f"the other half of its pair is in partition {other.partition}")

    def _give_up(self, pair: tuple[str, str], record: Record, *, requested: bool) -> None:
        del pair
        kind = "no_completion" if requested else "no_request"
        self._note(kind, record, "no lookup.completed to it" if requested else "no lookup.requested to it")

    def findings(self) -> list[Finding]:
        """Return the findings, errors first; call it once, after everything was fed."""
        for requested, waiting in ((True, self._open), (False, self._early)):
            while waiting:
                self._give_up(*waiting.popitem(last=False), requested=requested)
        beating = {(topic, partition) for topic, partition, _ in self._beats}
        for topic, partition in sorted(self._meters.keys() - beating):
            self._note("no_heartbeat", Record(topic, partition, 0, 0, None, b""), "none in this partition")
        for link in sorted(self._asked.keys() - self._watched) if self._watched else ():
            self._note("link_not_watched", self._asked[link], "no heartbeat of the portal names its link")
        for name, values in self._names.items():
            if len(values) > MAX_NAMES:
                last = next(reversed(values.values()))
                self._note("many_names", last, f"more than {MAX_NAMES:,} values of {name}")
        found = [
            Finding(kind, ADVICE[kind][0], count, self._of(kind), self._examples[kind], ADVICE[kind][1])
            for kind, count in self._counts.items()
        ]
        return sorted(found, key=lambda finding: (finding.severity, -finding.count, finding.kind))

    def _of(self, kind: str) -> int:
        """Return the total that a kind's count refers to."""
        if kind == "no_heartbeat":
            return len(self._meters)
        if kind == "link_not_watched":
            return len(self._asked)
        if kind == "heartbeat_gap":
            return self.types["observer.heartbeat"]
        if kind == "no_completion":
            return self.types["lookup.requested"]
        if kind == "no_request":
            return self.types["lookup.completed"]
        return sum(count for topic, count in self.records.items() if topic in DECODERS)


def _personal_in(value: object) -> str | None:
    """Return the kind of personal identifier that a value looks like, None if it does not."""
    values = value if isinstance(value, list) else [value]
    texts = [RANDOM_ID.sub(" ", text) for text in values if isinstance(text, str)]
    return next((kind for kind, shape in PERSONAL.items() if any(map(shape.search, texts))), None)


def examine(records: Iterable[Record], settings: MeasureSettings | None = None) -> Doctor:
    """Return a doctor that has examined the records."""
    doctor = Doctor(settings)
    for record in records:
        doctor.feed(record)
    return doctor
