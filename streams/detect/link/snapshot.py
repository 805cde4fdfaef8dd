"""A link's whole state as bytes, and back: the Faust table holds one value per link.

A snapshot is exact: a tracker restored from it behaves exactly as the original would have. Minutes already
packed are stored as they are.
"""

from array import array
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from streams.detect.detector import Detector
from streams.detect.link.composing import Composed
from streams.detect.link.elapsed import Spent
from streams.detect.link.habits import Past
from streams.detect.link.local import Locals
from streams.detect.link.minute import Decided, Minute
from streams.detect.link.remains import Remains
from streams.detect.link.said import Trouble
from streams.detect.link.sight import Sight
from streams.detect.link.spells import TroubleSpell
from streams.detect.link.tracker import Late, LinkTracker
from streams.detect.ranges import Cuts, reach, source_key
from streams.detect.rule.cusum import RuleState
from streams.detect.rule.expected import Expected
from streams.model.measurement import LinkSlot, Source
from streams.model.outage import Outage
from streams.model.zstd import compress, decompress

VERSION: Final = 12


class LateState(Struct, array_like=True):
    """Late facts that are not due yet."""

    due_ms: int
    source: Source
    slots: list[LinkSlot]
    alive: list[tuple[int, int]]


class LinkState(Struct, array_like=True):
    """Everything a tracker knows, with its position in `link.measurements`.

    ``position`` is the offset of the next measurement to apply; ``applied`` is the next offset of each source
    partition, ``watermarks`` their watermarks; ``clock_ms`` is the end of the last slot closed; ``waiting``
    holds since when ranges are missing.
    """

    version: int
    link: str
    position: int
    applied: dict[str, int]
    watermarks: dict[int, int]
    clock_ms: int
    minutes: dict[int, Minute]
    past: list[Decided]
    final_ms: int
    state: RuleState
    usual: Past
    hour: tuple[int, int, int]
    expected: Expected
    sight: Sight
    published: list[Outage]
    too_late: int
    open: list[LinkSlot]
    late: list[LateState]
    windows: dict[int, tuple[int, bytes]]
    evident: list[int]
    vouched: list[int]
    window_span: tuple[int, int, int, int]
    due: list[int]
    looks: tuple[int, int | None]
    settled: Composed
    settled_ms: int
    spells: list[TroubleSpell]
    trouble: list[Trouble]
    remains: Remains
    local: Locals
    openings: dict[int, list[Source]]
    spent: Spent | None
    waiting: dict[str, int]


class CutsState(Struct, array_like=True):
    """Some consecutive cuts of one source partition; ``follows`` is where the previous value ends."""

    partition: int
    watermarks: list[int]
    sources: list[Source]
    follows: int = 0


class Place(NamedTuple):
    """The position in `link.measurements`, and the latest broker's time before it, -1 if unknown."""

    position: int = 0
    logged_ms: int = -1


CHUNK_MS: Final = 600_000
"""Watermark time of the cuts in one value: short, so that little is rewritten each time."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(LinkState)
_cuts_decoder: Final = msgspec.msgpack.Decoder(CutsState)
_place_decoder: Final = msgspec.msgpack.Decoder(Place)
_PLACE: Final = "place:"


def save(detector: Detector, position: int) -> dict[str, bytes]:
    """Return the state of every link, and the recent cuts, at a position of `link.measurements`.

    The keys are ``link:NAME``, ``cuts:PARTITION:TEN_MINUTES`` and ``place:``. Links are independent: one may
    be restored together with others that were saved at other positions.
    """
    saved = {_PLACE: _encoder.encode(Place(position, detector.logged_ms))}
    for partition, cuts in detector.cuts.items():
        chunks: dict[int, CutsState] = {}
        until = 0
        for watermark_ms, source in zip(cuts.watermarks, cuts.sources, strict=True):
            chunk = chunks.setdefault(watermark_ms // CHUNK_MS, CutsState(partition, [], [], until))
            chunk.watermarks.append(watermark_ms)
            chunk.sources.append(source)
            until = reach(source, source.next_offset)
        for number, chunk in chunks.items():
            saved[f"cuts:{partition}:{number}"] = _encoder.encode(chunk)
    for link, tracker in detector.trackers.items():
        state = snapshot(tracker, position, detector)
        saved[f"link:{link}"] = pack(state)
    return saved


def place_in(saved: Mapping[str, bytes]) -> Place:
    """Return how far the topic had been followed at the last `save`."""
    data = saved.get(_PLACE)
    return Place() if data is None else _place_decoder.decode(data)


def load(detector: Detector, saved: Mapping[str, bytes]) -> int | None:
    """Restore a new detector from what `save` returned; return the position to apply measurements from.

    Links saved at different positions catch up from the lowest. Return None, and leave the detector
    unchanged, if nothing is saved, or if cuts are missing that no later measurement brings: two workers, one
    of which had lost the partition, may have written values by turns.
    """
    states = [unpack(data) for key, data in saved.items() if key.startswith("link:")]
    if not states:
        return None
    least = min(states, key=lambda state: state.position)
    chunks = [_cuts_decoder.decode(data) for key, data in saved.items() if key.startswith("cuts:")]
    known: dict[int, Cuts] = {}
    for chunk in sorted(
        chunks, key=lambda chunk: (chunk.partition, reach(chunk.sources[0], chunk.sources[0].first_offset))
    ):
        cuts = known.setdefault(chunk.partition, Cuts())
        if cuts.sources and reach(last := cuts.sources[-1], last.next_offset) != chunk.follows:
            return None
        for watermark_ms, source in zip(chunk.watermarks, chunk.sources, strict=True):
            cuts.add(watermark_ms, source)
    for cuts in known.values():
        last = cuts.sources[-1]
        if reach(last, last.next_offset) < least.applied.get(source_key(last), 0):
            return None
    detector.cuts |= known
    detector.applied, detector.clock_ms, detector.waiting = least.applied, least.clock_ms, least.waiting
    detector.watermarks |= least.watermarks
    detector.logged_ms = place_in(saved).logged_ms
    for state in states:
        restore(detector.tracker(state.link), state)
        detector.schedule(state.link)
        detector.resume_at[state.link] = state.position
    return least.position


def pack(state: LinkState) -> bytes:
    """Return a state as compressed bytes."""
    return compress(_encoder.encode(state), level=1)


def unpack(data: bytes) -> LinkState:
    """Return the state in the bytes made by `pack`. Raises `ValueError` if they are of another version."""
    state = _decoder.decode(decompress(data))
    if state.version != VERSION:
        raise ValueError(f"the state of {state.link} has version {state.version}, not {VERSION}")
    return state


def snapshot(tracker: LinkTracker, position: int, detector: Detector) -> LinkState:
    """Return the state of a tracker at a position of its partition of `link.measurements`."""
    history, windows, outages = tracker.history, tracker.windows, tracker.outages
    return LinkState(
        version=VERSION,
        link=tracker.link,
        position=position,
        applied=detector.applied,
        watermarks=detector.watermarks,
        clock_ms=detector.clock_ms,
        minutes=history.minutes,
        past=history.past,
        final_ms=history.final_ms,
        state=history.state,
        usual=history.habits.past,
        hour=tracker.hour,
        expected=windows.expected,
        sight=tracker.sight,
        published=list(outages.published.values()),
        too_late=tracker.too_late,
        open=list(tracker.open.values()),
        late=[LateState(*late) for late in tracker.late],
        windows=windows.published,
        evident=windows.evident.tolist(),
        vouched=windows.vouched.tolist(),
        window_span=(windows.next_ms, windows.until_ms, windows.oldest_ms, windows.first_ms),
        due=outages.due,
        looks=(outages.look_ms, outages.lost_ms),
        settled=outages.settled,
        settled_ms=outages.settled_ms,
        spells=outages.spells,
        trouble=outages.trouble,
        remains=outages.remains,
        local=outages.locals,
        openings=outages.openings,
        spent=tracker.spent(detector.clock_ms),
        waiting=detector.waiting,
    )


def restore(tracker: LinkTracker, state: LinkState) -> None:
    """Restore a new tracker from a state."""
    tracker.history.restore(state.minutes, state.past, state.final_ms, state.state, state.usual)
    tracker.hour, tracker.too_late = state.hour, state.too_late
    windows, outages = tracker.windows, tracker.outages
    windows.expected, windows.published = state.expected, state.windows
    tracker.history.sight = state.sight
    windows.evident, windows.vouched = array("q", state.evident), array("q", state.vouched)
    windows.next_ms, windows.until_ms, windows.oldest_ms, windows.first_ms = state.window_span
    tracker.add(state.open)
    for late in state.late:
        tracker.add_late(Late(late.due_ms, late.source, late.slots, late.alive))
    outages.published = {outage.outage_id: outage for outage in state.published}
    outages.due, outages.spells = state.due, state.spells
    outages.settled, outages.settled_ms = state.settled, state.settled_ms
    outages.look_ms, outages.lost_ms = state.looks
    outages.trouble, outages.remains, outages.openings = state.trouble, state.remains, state.openings
    outages.locals = state.local
    if tracker.elapsed is not None and state.spent is not None:
        tracker.elapsed.spent = state.spent
