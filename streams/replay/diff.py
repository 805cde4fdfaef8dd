"""Two results compared by meaning: the differences that matter to a person who acts on them.

Outages are matched by link and by how much they overlap, not by their ids, which follow from their first
start. Only final revisions count: how a result was reached makes no difference. Windows are matched by link
and minute, measurements by source range.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar

from msgspec import UNSET, Struct, field, structs, to_builtins

from streams.model.canonical import final_outages
from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.replay.results import Results

Key = TypeVar("Key", tuple[str, int], tuple[str, int, int, int])

OPEN_END_MS: Final = 1 << 62
NEAR_MS: Final = 60_000
"""Outages of a link that do not overlap are the same if they are within a minute of each other."""
UNCOMPARED: Final = frozenset(
    {"outage_id", "revision", "supersedes", "reason", "rule_version", "evidence", "start_ms", "end_ms"}
)
"""Fields about how a result was reached and where its records lie, and the edges, reported as moves."""


class Changed(Struct, frozen=True):
    """A figure before and after."""

    name: str
    before: object
    after: object


class OutagePair(Struct, frozen=True):
    """An outage that differs between two results; a move is None if one side is still open."""

    link: str
    before_id: str
    after_id: str
    start_ms: int
    start_moved_ms: int
    end_moved_ms: int | None
    changed: list[Changed]


class WindowChanges(Struct, frozen=True):
    """The windows of a link that differ: how many, the time in each state gained or lost, and the first."""

    link: str
    differing: int
    only_before: int
    only_after: int
    state_moved_ms: dict[str, int]
    first_start_ms: int
    first_changed: list[Changed]


class PartitionChanges(Struct, frozen=True):
    """The measurements of a source partition that differ, and the first of their ranges."""

    topic: str
    partition: int
    differing: int
    only_before: int
    only_after: int
    first_offset: int
    first_changed: list[str]


class Diff(Struct, frozen=True):
    """What differs between two results; times in epoch milliseconds."""

    gained: list[Outage] = field(default_factory=list)
    lost: list[Outage] = field(default_factory=list)
    changed: list[OutagePair] = field(default_factory=list)
    same: int = 0
    windows: list[WindowChanges] = field(default_factory=list)
    measurements: list[PartitionChanges] = field(default_factory=list)
    rule_versions: list[list[str]] = field(default_factory=list)
    not_compared: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.gained or self.lost or self.changed or self.windows or self.measurements)


def diff(before: Results, after: Results) -> Diff:
    """Return the differences; a kind of result that only one side has is listed in ``not_compared``."""
    missing = [
        name
        for name in ("measurements", "windows")
        if bool(len(getattr(before, name))) != bool(len(getattr(after, name)))
    ]
    gained, lost, changed, same = _outages(final_outages(before.outages), final_outages(after.outages))
    return Diff(
        gained=gained,
        lost=lost,
        changed=changed,
        same=same,
        windows=[] if "windows" in missing else _windows(before.windows, after.windows),
        measurements=[]
        if "measurements" in missing
        else _measurements(before.measurements, after.measurements),
        rule_versions=[sorted({outage.rule_version for outage in side.outages}) for side in (before, after)],
        not_compared=missing,
    )


def _outages(
    before: list[Outage], after: list[Outage]
) -> tuple[list[Outage], list[Outage], list[OutagePair], int]:
    candidates = sorted(
        (-_overlap_ms(old, new), abs(old.start_ms - new.start_ms), old.outage_id, new.outage_id)
        for old in before
        for new in after
        if old.link == new.link and _overlap_ms(old, new) > -NEAR_MS
    )
    olds, news = ({outage.outage_id: outage for outage in outages} for outages in (before, after))
    pairs = []
    for _, _, old_id, new_id in candidates:
        if old_id in olds and new_id in news:
            pairs.append((olds.pop(old_id), news.pop(new_id)))
    told = [_pair(old, new) for old, new in pairs]
    changed = [pair for pair in told if pair.changed or pair.start_moved_ms or pair.end_moved_ms != 0]
    changed.sort(key=lambda pair: (pair.start_ms, pair.link))
    return list(news.values()), list(olds.values()), changed, len(told) - len(changed)


def _overlap_ms(one: Outage, other: Outage) -> int:
    """Return how long two outages overlap in ms; negative: how far apart they are."""
    ends = [OPEN_END_MS if outage.end_ms is None else outage.end_ms for outage in (one, other)]
    return min(ends) - max(one.start_ms, other.start_ms)


def _pair(old: Outage, new: Outage) -> OutagePair:
    changed = [item for item in _changes(old, new) if item.name not in UNCOMPARED]
    if old.end_ms is not None and new.end_ms is not None:
        end_moved_ms: int | None = new.end_ms - old.end_ms
    else:
        end_moved_ms = 0 if old.end_ms == new.end_ms else None
    if end_moved_ms is None:
        changed.append(Changed("end_ms", old.end_ms, new.end_ms))
    return OutagePair(
        link=old.link,
        before_id=old.outage_id,
        after_id=new.outage_id,
        start_ms=new.start_ms,
        start_moved_ms=new.start_ms - old.start_ms,
        end_moved_ms=end_moved_ms,
        changed=changed,
    )


def _changes(old: Outage | Window, new: Outage | Window) -> list[Changed]:
    before, after = structs.asdict(old), structs.asdict(new)
    return [
        Changed(name, _plain(before[name]), _plain(after[name]))
        for name in before
        if before[name] != after[name]
    ]


def _plain(value: Any) -> Any:
    """Return a field's value as plain data; None if it is not set."""
    return None if value is UNSET else to_builtins(value, str_keys=True)


def _last_windows(windows: Iterable[Window]) -> dict[tuple[str, int], Window]:
    last: dict[tuple[str, int], Window] = {}
    for window in windows:
        key = window.link, window.start_ms
        if key not in last or last[key].revision < window.revision:
            last[key] = window
    return {key: structs.replace(window, revision=0) for key, window in last.items()}


def _differing(before: Mapping[Key, object], after: Mapping[Key, object]) -> list[Key]:
    """Return, in order, the keys whose values differ or that one side lacks."""
    return sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))


def _windows(before: Iterable[Window], after: Iterable[Window]) -> list[WindowChanges]:
    olds, news = _last_windows(before), _last_windows(after)
    differing = _differing(olds, news)
    found = []
    for link in sorted({link for link, _ in differing}):
        keys = [key for key in differing if key[0] == link]
        moved: dict[str, int] = {}
        for key in keys:
            for side, sign in ((olds, -1), (news, 1)):
                for state, spent_ms in side[key].state_ms.items() if key in side else ():
                    moved[state] = moved.get(state, 0) + sign * spent_ms
        both = [key for key in keys if key in olds and key in news]
        found.append(
            WindowChanges(
                link=link,
                differing=len(both),
                only_before=sum(key not in news for key in keys),
                only_after=sum(key not in olds for key in keys),
                state_moved_ms={state: spent for state, spent in sorted(moved.items()) if spent},
                first_start_ms=keys[0][1],
                first_changed=_changes(olds[both[0]], news[both[0]]) if both else [],
            )
        )
    return found


def _measurements(before: Iterable[Measurement], after: Iterable[Measurement]) -> list[PartitionChanges]:
    olds, news = ({_range(item): item for item in items} for items in (before, after))
    differing = _differing(olds, news)
    found = []
    for source in sorted({key[:2] for key in differing}):
        keys = [key for key in differing if key[:2] == source]
        both = [key for key in keys if key in olds and key in news]
        names: list[str] = []
        if both:
            old, new = olds[both[0]], news[both[0]]
            names = [name for name in structs.asdict(old) if getattr(old, name) != getattr(new, name)]
        found.append(
            PartitionChanges(
                topic=source[0],
                partition=source[1],
                differing=len(both),
                only_before=sum(key not in news for key in keys),
                only_after=sum(key not in olds for key in keys),
                first_offset=keys[0][2],
                first_changed=names,
            )
        )
    return found


def _range(measurement: Measurement) -> tuple[str, int, int, int]:
    source = measurement.source
    return source.topic, source.partition, source.first_offset, source.next_offset
