"""Which links are watched: those of the sources that keep sending spans.

A span arrives when its call has ended, and exporters send batches, five seconds apart by default. So liveness
is judged by source: a process that sent any span within ``quiet_ms`` is alive, and watches every link that
its spans ever named. The links of a silent source are unknown, unless another source sees them.

Heartbeats are always sent, because they advance the watermark; without a live source they name no link.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final

from streams.ingest.otlp.export import Watched
from streams.ingest.otlp.found import Source
from streams.model.wire import Heartbeat

HOLD_MS: Final = 2_000
"""How far heartbeats stay behind the clock, so that spans in transit are not late."""
QUIET_MS: Final = 30_000
MOST_SOURCES: Final = 2_000
FORGET_MS: Final = 86_400_000
"""After this much silence a source is forgotten, with its links."""


class Watching:
    """When each source was last seen, and its links; times in epoch ms of this machine's clock."""

    def __init__(self, quiet_ms: int = QUIET_MS, most_links: int = 1_000) -> None:
        self._quiet_ms, self._most_links = quiet_ms, most_links
        self._seen: OrderedDict[Source, int] = OrderedDict()
        self._links: dict[Source, set[Watched]] = {}
        self._beat_ms = 0

    def saw(self, sources: Mapping[Source, Iterable[Watched]], now_ms: int) -> None:
        """Note that spans of some sources arrived."""
        for source, links in sources.items():
            self._seen[source] = now_ms
            self._seen.move_to_end(source)
            known = self._links.setdefault(source, set())
            for link in links:
                if len(known) < self._most_links:
                    known.add(link)
        while self._seen:
            oldest, seen_ms = next(iter(self._seen.items()))
            if len(self._seen) <= MOST_SOURCES and seen_ms >= now_ms - FORGET_MS:
                break
            del self._seen[oldest], self._links[oldest]

    @property
    def alive(self) -> int:
        """The number of live sources at the last heartbeats."""
        return self._alive

    _alive = 0

    def beats(self, now_ms: int, behind_ms: int | None = None) -> list[Heartbeat]:
        """Return the current heartbeats, one per observer; none if their time has not advanced.

        ``behind_ms`` is the time up to which spans in topics were read, if some wait: no heartbeat goes
        beyond it.
        """
        clock_ms = now_ms if behind_ms is None else min(now_ms, behind_ms)
        at_ms = clock_ms - HOLD_MS
        if at_ms <= self._beat_ms:
            return []
        self._beat_ms = at_ms
        by_observer: dict[str, set[str]] = {"portal": set()}
        self._alive = 0
        for source, seen_ms in self._seen.items():
            if seen_ms < clock_ms - self._quiet_ms:
                continue
            self._alive += 1
            for observer, link in self._links[source]:
                by_observer.setdefault(observer, set()).add(link)
        return [
            Heartbeat("observer.heartbeat", at_ms, observer, sorted(links)[: self._most_links])
            for observer, links in by_observer.items()
        ]
