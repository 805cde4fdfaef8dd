"""The one way to serialise results, so that equal results are equal bytes.

A measurement of one cut may travel in several pieces, one for each partition of `link.measurements` that
its links belong to; `join` puts the pieces together again. A topic may hold a result more than once, because
it is sent again, unchanged, after a crash; the functions here return it once.
"""

from collections.abc import Iterable
from typing import Final
from zlib import crc32

import msgspec
from msgspec.structs import replace

from streams.model.measurement import Alive, LinkCells, Measurement, PortalCells
from streams.model.outage import Outage, Window
from streams.model.topics import LOOKUPS

encode: Final = msgspec.json.Encoder().encode


def link_partition(link: str, partitions: int) -> int:
    """Return the partition of a link (or portal) on the topics keyed by it."""
    return crc32(link.encode()) % partitions


def split(measurement: Measurement, partitions: int) -> dict[int, Measurement]:
    """Return the pieces of a measurement by partition of `link.measurements`.

    A cut of `npd.lookups` goes to every partition, because each needs its watermark. For other topics empty
    pieces are dropped, except that of partition 0, so that no range goes missing.
    """
    pieces = {
        partition: replace(measurement, links=[], portals=[], alive=[]) for partition in range(partitions)
    }
    for cells in measurement.links:
        pieces[link_partition(cells.link, partitions)].links.append(cells)
    for portal in measurement.portals:
        pieces[link_partition(portal.portal, partitions)].portals.append(portal)
    if measurement.source.topic != LOOKUPS:
        pieces[0].alive = measurement.alive
        return {at: piece for at, piece in pieces.items() if at == 0 or piece.portals}
    for alive in measurement.alive:
        shares: dict[int, list[str]] = {}
        for link in alive.links:
            shares.setdefault(link_partition(link, partitions), []).append(link)
        for partition, links in shares.items():
            pieces[partition].alive.append(replace(alive, links=tuple(links)))
    return pieces


def join(pieces: Iterable[Measurement]) -> list[Measurement]:
    """Return whole measurements from pieces, in canonical order; repeated pieces count once."""
    whole: dict[tuple[str, int, int], Measurement] = {}
    links: dict[tuple[str, int, int], dict[str, LinkCells]] = {}
    portals: dict[tuple[str, int, int], dict[str, PortalCells]] = {}
    alive: dict[tuple[str, int, int], dict[tuple[str, int, int], set[str]]] = {}
    for piece in pieces:
        key = (piece.source.topic, piece.source.partition, piece.source.first_offset)
        whole[key] = piece
        links.setdefault(key, {}).update((cells.link, cells) for cells in piece.links)
        portals.setdefault(key, {}).update((cells.portal, cells) for cells in piece.portals)
        spans = alive.setdefault(key, {})
        for span in piece.alive:
            spans.setdefault((span.observer, span.start_ms, span.end_ms), set()).update(span.links)
    return [
        replace(
            whole[key],
            links=[links[key][link] for link in sorted(links[key])],
            portals=[portals[key][portal] for portal in sorted(portals[key])],
            alive=[Alive(*span, tuple(sorted(alive[key][span]))) for span in sorted(alive[key])],
        )
        for key in sorted(whole)
    ]


def ordered_windows(windows: Iterable[Window]) -> list[Window]:
    """Return every revision of every window once, in canonical order."""
    once = {(window.link, window.start_ms, window.revision): window for window in windows}
    return [once[key] for key in sorted(once)]


def ordered_outages(outages: Iterable[Outage]) -> list[Outage]:
    """Return every revision of every outage once: by link, then by when first published, then by revision."""
    once = {(outage.outage_id, outage.revision): outage for outage in outages}
    first = {name: outage for (name, revision), outage in once.items() if revision == 1}
    return sorted(
        once.values(),
        key=lambda outage: (
            outage.link,
            first[outage.outage_id].start_ms if outage.outage_id in first else outage.start_ms,
            outage.outage_id,
            outage.revision,
        ),
    )


def final_outages(outages: Iterable[Outage]) -> list[Outage]:
    """Return the last revision of each outage that stands (not retracted), by start, then link."""
    last: dict[str, Outage] = {}
    for outage in outages:
        known = last.get(outage.outage_id)
        if known is None or outage.revision > known.revision:
            last[outage.outage_id] = outage
    standing = (outage for outage in last.values() if outage.status != "retracted")
    return sorted(standing, key=lambda outage: (outage.start_ms, outage.link, outage.outage_id))
