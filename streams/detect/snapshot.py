"""A link's whole state as bytes, and back: what the Faust table holds, one value a link.

A snapshot is exact: a tracker restored from it goes on as the one it was taken from would have. Minutes
that are packed already travel as they are.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
import zstandard
from msgspec import Struct

from streams.detect.detector import Cuts, Detector
from streams.detect.history import Decided, Minute
from streams.detect.normal import Block
from streams.detect.outages import Totals
from streams.detect.rule import RuleState
from streams.detect.sight import Sight
from streams.detect.spells import TroubleSpell
from streams.detect.tracker import Late, LinkTracker
from streams.model.measurement import LinkSlot, Source
from streams.model.outage import Outage, Window

VERSION: Final = 1


class LateState(Struct, array_like=True):
    """Late facts that wait for their time."""

    due_ms: int
    source: Source
    slots: list[LinkSlot]
    alive: list[tuple[int, int]]


class LinkState(Struct, array_like=True):
    """Everything a tracker knows, with the position up to which it has followed `link.measurements`.

    ``position`` is the offset of the next measurement to apply; ``applied`` the next offset of each source
    partition and ``watermarks`` where each stands; ``clock_ms`` the end of the last slot closed.
    """

    version: int
    link: str
    position: int
    applied: dict[str, int]
    watermarks: dict[int, int]
    clock_ms: int
    minutes: dict[int, Minute]
    verdicts: list[Decided]
    state: RuleState
    blocks: list[Block]
    packed_until_ms: int
    sight: Sight
    published: list[Outage]
    too_late: int
    open: list[LinkSlot]
    late: list[LateState]
    windows: list[Window]
    due: list[int]
    finals: list[int]
    spells: list[TroubleSpell]
    carried: dict[int, Totals]
    horizon_ms: int


class CutsState(Struct, array_like=True):
    """Some consecutive cuts of one source partition."""

    partition: int
    watermarks: list[int]
    sources: list[Source]


CHUNK_MS: Final = 600_000
"""Watermark time of the cuts in one value: short, so that little is written again and again."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(LinkState)
_cuts_decoder: Final = msgspec.msgpack.Decoder(CutsState)


def save(detector: Detector, position: int) -> dict[str, bytes]:
    """Return the state of every link, and the recent cuts, at a position of `link.measurements`.

    The keys are ``link:NAME`` and ``cuts:PARTITION:TEN_MINUTES``. Each link stands alone: it may be
    restored beside others that were saved at other positions.
    """
    saved = {}
    for partition, cuts in detector.cuts.items():
        chunks: dict[int, CutsState] = {}
        for watermark_ms, source in zip(cuts.watermarks, cuts.sources, strict=True):
            chunk = chunks.setdefault(watermark_ms // CHUNK_MS, CutsState(partition, [], []))
            chunk.watermarks.append(watermark_ms)
            chunk.sources.append(source)
        for number, chunk in chunks.items():
            saved[f"cuts:{partition}:{number}"] = _encoder.encode(chunk)
    for link, tracker in detector.trackers.items():
        state = snapshot(tracker, position, detector.applied, detector.watermarks, detector.clock_ms)
        saved[f"link:{link}"] = pack(state)
    return saved


def load(detector: Detector, saved: Mapping[str, bytes]) -> int | None:
    """Put a fresh detector into what `save` returned; say from which position on to apply measurements.

    Links saved at different positions catch up from the least of them; return None where there is nothing.
    """
    chunks = [_cuts_decoder.decode(data) for key, data in saved.items() if key.startswith("cuts:")]
    for chunk in sorted(chunks, key=lambda chunk: (chunk.partition, chunk.sources[0].first_offset)):
        cuts = detector.cuts.setdefault(chunk.partition, Cuts())
        for watermark_ms, source in zip(chunk.watermarks, chunk.sources, strict=True):
            cuts.add(watermark_ms, source)
    states = [unpack(data) for key, data in saved.items() if key.startswith("link:")]
    if not states:
        return None
    least = min(states, key=lambda state: state.position)
    detector.applied, detector.clock_ms = least.applied, least.clock_ms
    detector.watermarks |= least.watermarks
    for state in states:
        restore(detector.tracker(state.link), state)
        detector.resume_at[state.link] = state.position
    return least.position


def pack(state: LinkState) -> bytes:
    """Return a state as compressed bytes."""
    return zstandard.ZstdCompressor(level=1).compress(_encoder.encode(state))


def unpack(data: bytes) -> LinkState:
    """Return the state in `pack`'s bytes; raise `ValueError` where they are of another version."""
    state = _decoder.decode(zstandard.ZstdDecompressor().decompress(data))
    if state.version != VERSION:
        raise ValueError(f"the state of {state.link} has version {state.version}, not {VERSION}")
    return state


def snapshot(
    tracker: LinkTracker,
    position: int,
    applied: dict[str, int],
    watermarks: dict[int, int],
    clock_ms: int,
) -> LinkState:
    """Return the state of a tracker at a position of its partition of `link.measurements`."""
    history = tracker.history
    return LinkState(
        version=VERSION,
        link=tracker.link,
        position=position,
        applied=applied,
        watermarks=watermarks,
        clock_ms=clock_ms,
        minutes=history.minutes,
        verdicts=history.verdicts,
        state=history.state,
        blocks=history.blocks,
        packed_until_ms=history._packed_until_ms,
        sight=tracker.sight,
        published=list(tracker.published.values()),
        too_late=tracker.too_late,
        open=list(tracker._open.values()),
        late=[LateState(*late) for late in tracker._late],
        windows=list(tracker._windows.values()),
        due=sorted(tracker._due),
        finals=sorted(tracker._finals),
        spells=tracker._spells,
        carried=tracker._carried,
        horizon_ms=tracker._horizon_ms,
    )


def restore(tracker: LinkTracker, state: LinkState) -> None:
    """Put a tracker, fresh from its constructor, into a state."""
    history = tracker.history
    history.minutes, history.verdicts = state.minutes, state.verdicts
    history.state, history.blocks = state.state, state.blocks
    history._packed_until_ms = state.packed_until_ms
    tracker.sight, tracker.too_late = state.sight, state.too_late
    tracker.published = {outage.outage_id: outage for outage in state.published}
    tracker._open = {slot.start_ms: slot for slot in state.open}
    tracker._late = [Late(late.due_ms, late.source, late.slots, late.alive) for late in state.late]
    tracker._windows = {window.start_ms: window for window in state.windows}
    tracker._due, tracker._finals = set(state.due), set(state.finals)
    tracker._spells, tracker._carried = state.spells, state.carried
    tracker._horizon_ms = state.horizon_ms
