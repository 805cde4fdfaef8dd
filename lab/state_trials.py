"""How much `detect` remembers of a link with a long past: `python -m lab.state_trials 1 365`.

One link at so many lookups a second for so many days, fed to `detect` slot by slot, with nothing in between:
3 % of noise, three outages of ten minutes a week, and one record in three hundred up to twenty minutes late.
What is printed, month by month, is the saved state as it stands in the table (compressed) and as it is read
from there, and what the objects in memory take.
"""

import sys
from array import array
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from lab.histories import BACKGROUND, START_MS
from streams.detect.detector import Detector
from streams.detect.link.snapshot import save
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.measure.owed import ANSWERS_A_FAILURE
from streams.model.measurement import (
    Alive,
    Asked,
    LinkCells,
    LinkSlot,
    Measurement,
    Part,
    RecordCounts,
    Source,
)
from streams.model.settings import SLOT_MS, DetectSettings
from streams.model.sketch import bucket_of
from streams.model.topics import LOOKUPS
from streams.model.zstd import decompress

LINK: Final = "one-link"
DAY_SLOTS: Final = 86_400_000 // SLOT_MS
OUTAGE_EVERY: Final = 7 * DAY_SLOTS // 3
OUTAGE_SLOTS: Final = 120
LATE: Final = 1 / 300
LATE_SLOTS: Final = 240
SERVICES: Final = ("residence", "birth", "insurance", "licence", "passport")


class Size(Struct, frozen=True):
    """What a link's state comes to after some days, in bytes; ``objects`` is what they take in memory."""

    day: float
    saved: int
    unpacked: int
    objects: int
    outages: int


def sizes(
    rate_per_s: float, days: float, every_days: float, outage_every: int = OUTAGE_EVERY
) -> Iterator[Size]:
    """Yield how large a link's state is after each ``every_days``; an outage comes each so many slots."""
    detector = Detector(Rules(Rule()), DetectSettings(), [0])
    outages: set[str] = set()
    every = round(every_days * DAY_SLOTS)
    slots = round(days * DAY_SLOTS)
    for number, measurement in enumerate(measurements(rate_per_s, slots, outage_every)):
        for output in detector.apply(measurement).output.values():
            outages.update(outage.outage_id for outage in output.outages)
        if (number + 1) % every == 0:
            saved = save(detector, number)[f"link:{LINK}"]
            unpacked = len(decompress(saved))
            objects = size_of(detector.trackers[LINK])
            yield Size((number + 1) / DAY_SLOTS, len(saved), unpacked, objects, len(outages))


def measurements(rate_per_s: float, slots: int, outage_every: int) -> Iterator[Measurement]:
    """Yield the measurements of a link, one cut per slot."""
    rng = Random(1)  # noqa: S311 - a history, no secret
    start_ms, offset = START_MS // SLOT_MS * SLOT_MS, 0
    waiting: dict[int, list[LinkSlot]] = {}
    for number in range(slots):
        at_ms = start_ms + number * SLOT_MS
        down = number % outage_every < OUTAGE_SLOTS and number >= outage_every
        slot = _slot(rng, rate_per_s, at_ms, 1.0 if down else BACKGROUND)
        if rng.random() < LATE * rate_per_s * SLOT_MS / 1000:
            late = _slot(rng, 1000 / SLOT_MS, at_ms, 1.0 if down else BACKGROUND)
            waiting.setdefault(number + rng.randrange(1, LATE_SLOTS), []).append(late)
        told = offset + 2 * slot.requested + 1
        yield Measurement(
            source=Source(LOOKUPS, 0, offset, told, f"{rng.getrandbits(256):064x}"),
            watermark_ms=at_ms + SLOT_MS,
            records=RecordCounts(applied=told - offset),
            links=[LinkCells(LINK, [slot] if slot.requested else [], waiting.pop(number, []))],
            alive=[Alive("portal", at_ms, at_ms + SLOT_MS, (LINK,))],
        )
        offset = told


def _slot(rng: Random, rate_per_s: float, at_ms: int, share: float) -> LinkSlot:
    """Return a slot of lookups at a rate that were requested and answered within it."""
    slot, second = LinkSlot(at_ms), at_ms // 1000
    by_second: dict[int, Asked] = {}
    asked_ms = rng.expovariate(rate_per_s) * 1000
    while asked_ms < SLOT_MS:
        slot.requested += 1
        at, ms = divmod(int(asked_ms), 1000)
        asked = by_second.get(at)
        if asked is None:
            asked = by_second[at] = Asked(second + at)
        outcome = "timeout" if rng.random() < share else "ok"
        slot.outcomes[outcome] = slot.outcomes.get(outcome, 0) + 1
        if outcome == "ok":
            asked.ok += 1
            asked.first_ok = ms if asked.first_ok < 0 else asked.first_ok
            bucket = bucket_of(int(rng.lognormvariate(5.0, 0.5)))
            slot.latency[bucket] = slot.latency.get(bucket, 0) + 1
        else:
            asked.failed += 1
            asked.first_failed = [*asked.first_failed, ms][:4]
            slot.failed_dossiers[rng.getrandbits(53)] = 1
            since_ms = int(asked_ms)
            for parts, name in (
                (slot.services, rng.choice(SERVICES)),
                (slot.agencies, f"district-{rng.randrange(40)}"),
            ):
                part = parts.setdefault(name, Part())
                part.failed += 1
                part.ok += ANSWERS_A_FAILURE  # the answers that follow are told
                part.first_ok = since_ms + 1
                part.first_failed = [*part.first_failed, since_ms][:4]
        asked_ms += rng.expovariate(rate_per_s) * 1000
    slot.asked = [by_second[at] for at in sorted(by_second)]
    return slot


def size_of(what: Any) -> int:
    """Return the bytes of an object and of all it holds, each counted once and no function or rule."""
    seen: set[int] = set()
    todo, total = [what], 0
    while todo:
        one = todo.pop()
        if id(one) in seen or callable(one) or isinstance(one, (type, Rule, DetectSettings)):
            continue
        seen.add(id(one))
        total += sys.getsizeof(one)
        if isinstance(one, dict):
            todo += [*one.keys(), *one.values()]
        elif isinstance(one, Struct):
            todo += [getattr(one, name) for name in one.__struct_fields__]
        elif not isinstance(one, (str, bytes, array, int, float, type(None))):
            todo += list(one) if hasattr(one, "__iter__") else list(vars(one).values())
    return total


def main(rate_per_s: float, days: float) -> None:
    """Print the sizes, a row for each thirty days."""
    shown = Table("day", "saved (KB)", "unpacked (KB)", "in memory (KB)", "outages so far")
    for size in sizes(rate_per_s, days, min(30.0, days)):
        kilobytes = [f"{of / 1000:.0f}" for of in (size.saved, size.unpacked, size.objects)]
        shown.add_row(f"{size.day:g}", *kilobytes, str(size.outages))
        Console(stderr=True).print(size, highlight=False)
    Console().print(shown)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0, float(sys.argv[2]) if len(sys.argv) > 2 else 60.0)
