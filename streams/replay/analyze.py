"""The whole pipeline over a log file, with no broker: the same pure code, the same bytes.

Each source partition is metered on its own; the measurements are then applied in the order of their
watermarks, so that little has to wait. The results of `detect` do not depend on that order.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.detect.rule.rules import decode as decode_rule
from streams.logs.file import chunked, seldom_collected
from streams.logs.folder import read_manifest
from streams.logs.read import read_partitions
from streams.logs.whole import whole_file
from streams.measure.refused import DeadLetter
from streams.model.border import UNREADABLE
from streams.model.canonical import encode, final_outages
from streams.model.digest import Entry
from streams.model.measurement import Measurement, RecordCounts
from streams.model.outage import Outage, Window
from streams.model.record import Record, by_partition
from streams.model.settings import DetectSettings, Settings
from streams.model.topics import LOOKUPS, RULES
from streams.replay.beside import metered_beside
from streams.replay.judging import Judging
from streams.replay.metering import Batch, metered
from streams.replay.packed import Packed

JUDGE_FROM_RECORDS: Final = 20_000
"""After this many records, all partitions of a log are assumed to have been seen."""
HINTS: Final = {
    ("wrong_shape", "Expected `object`, got `str`"): (
        ". The value is text that holds JSON; jq -c '.value |= fromjson' FILE fixes it"
    ),
    ("clock_skew", ""): (
        ". The events are later than the broker that logged them: its clock, or theirs, is wrong, or "
        "logged_at_ms is"
    ),
}
"""Advice for a log of which every record was refused, by reason and detail."""
WORTH_A_PROCESS_BYTES: Final = 4_000_000
"""Logs of at least this size are metered in a second process, if there is a second processor."""


@dataclass
class Analysis:
    """What a log holds: every measurement, window and outage revision, in canonical order.

    ``records`` counts how each record ended. ``pending`` counts those after the last cut of their partition,
    which a run with a broker would not have measured yet either, and ``pending_dead_letters`` those of them
    that were refused. ``ignored`` counts records of topics without events. ``lookups`` counts the applied
    records of `npd.lookups`; if there are none, nothing was judged, and `why_nothing_was_judged` says why.
    ``partitions`` lists those of `npd.lookups`, and ``rules`` holds the content of `link.rules`.
    """

    found_windows: Sequence[Window] = ()
    outages: list[Outage] = field(default_factory=list)
    dead_letters: list[tuple[str, int, DeadLetter]] = field(default_factory=list)
    records: RecordCounts = field(default_factory=RecordCounts)
    partitions: list[int] = field(default_factory=list)
    pending: int = 0
    pending_dead_letters: int = 0
    lookups: int = 0
    ignored: int = 0
    packed: dict[tuple[str, int], Packed[Measurement]] = field(default_factory=dict)
    outages_only: bool = False
    rules: Rules = field(default_factory=lambda: Rules(Rule()))
    settings: Settings = field(default_factory=Settings)

    @property
    def measurements(self) -> Sequence[Measurement]:
        """Every measurement; each iteration unpacks them again."""
        self._demand_all()
        return self._joined(self.packed)

    @property
    def lookup_measurements(self) -> Sequence[Measurement]:
        """Every measurement of `npd.lookups`, from which outages are found."""
        return self._joined(source for source in self.packed if source[0] == LOOKUPS)

    def _joined(self, sources: Iterable[tuple[str, int]]) -> Sequence[Measurement]:
        return Packed.joined(Measurement, (self.packed[source] for source in sorted(sources)))

    @property
    def windows(self) -> Sequence[Window]:
        """Every revision of every window."""
        self._demand_all()
        return self.found_windows

    def _demand_all(self) -> None:
        if self.outages_only:
            raise ValueError("this analysis was asked for outages only")

    def take(self, batch: Batch) -> list[int]:
        """Add a batch; return the times, in epoch ms, at which the rules it contains take effect."""
        for block in batch.blocks:
            source = block.topic, block.partition
            self.packed.setdefault(source, Packed(Measurement)).add(block.data, block.rows)
        self.records += batch.records
        self.ignored += batch.ignored
        self.pending += batch.pending
        self.pending_dead_letters += batch.pending_dead_letters
        self.lookups += batch.lookups
        self.dead_letters += batch.dead_letters
        if batch.partitions is not None:
            self.partitions = batch.partitions
        return [at_ms for partition, entry in batch.rules for at_ms in self._take_rule(partition, entry)]

    def _take_rule(self, partition: int, entry: Entry) -> list[int]:
        offset, logged_at_ms, key, value = entry
        try:
            effective_ms = self.rules.take(decode_rule(value), logged_at_ms)
        except (*UNREADABLE, ValueError) as error:
            letter = DeadLetter(offset, logged_at_ms, "wrong_shape", str(error), key, value)
            self.dead_letters.append((RULES, partition, letter))
            self.records.dead_letter += 1
            return []
        if effective_ms is None:
            self.records.duplicate += 1
            return []
        self.records.applied += 1
        return [effective_ms]

    def under(self, rule: Rule | None) -> Rules:
        """Return the rules that judge the log, given a ``rule`` or None; see `analyze`."""
        return self.rules if rule is None else Rules(rule)

    def why_nothing_was_judged(self) -> str | None:
        """Return why no link was judged, None if one was."""
        if self.lookups:
            return None
        counts = self.records
        read = (
            counts.applied + counts.duplicate + counts.late + counts.dead_letter + self.pending + self.ignored
        )
        if not read:
            return "the log holds no records"
        if not self.partitions:
            return f"none of the {read:,} records is of topic {LOOKUPS}"
        refused = Counter(
            (letter.reason, letter.detail) for topic, _, letter in self.dead_letters if topic == LOOKUPS
        )
        # The first accepted event closes a slot, so if no slot was closed, every event was refused.
        (reason, detail), count = refused.most_common(1)[0]
        hint = HINTS.get((reason, detail)) or HINTS.get((reason, ""), "")
        return (
            f"all {refused.total():,} records of {LOOKUPS} are dead letters, {count:,} for "
            f"this reason: {reason}: {detail}{hint}"
        )

    def final(self) -> list[Outage]:
        """Return the last revision of each outage that stands."""
        return final_outages(self.outages)

    def write(self, folder: Path) -> None:
        """Write `measurements.ndjson`, `windows.ndjson` and `outages.ndjson` into a folder."""
        self._demand_all()
        folder.mkdir(parents=True, exist_ok=True)
        results: dict[str, Iterable[Measurement | Window | Outage]] = {
            "measurements": self.measurements,
            "windows": self.windows,
            "outages": self.outages,
        }
        for name, values in results.items():
            with whole_file(folder / f"{name}.ndjson") as file:
                file.writelines(encode(value) + b"\n" for value in values)


def analyze(
    log: Path | Iterable[Record],
    rule: Rule | None = None,
    settings: Settings | None = None,
    progress: Callable[[int], None] | None = None,
    *,
    beside: bool | None = None,
    outages_only: bool = False,
) -> Analysis:
    """Run the pipeline over a log file, or over records in log order.

    ``settings`` default to those named by a captured folder, otherwise to the built-in ones. Without a
    ``rule`` the built-in one and the log's own `link.rules` apply, as in `detect`; with a ``rule``, only that
    one does. ``progress`` is called with the number of records read since its last call. With ``beside`` a
    file is metered in a second process (None: if that is worth it), which changes no result. With
    ``outages_only`` neither windows nor measurements of submissions are made, at about half the cost.

    Raises:
        LogFileError: the file cannot be read.
        WorkerError: the second process failed.
    """
    if settings is None:
        settings = captured_settings(log) if isinstance(log, Path) else Settings()
    measure, detect = settings.measure(), settings.detect()
    with seldom_collected():
        if not isinstance(log, Path):
            batches = metered(map(by_partition, chunked(log)), measure, lookups_only=outages_only)
        elif _worth_a_process(log) if beside is None else beside:
            batches = metered_beside(log, measure, lookups_only=outages_only)
        else:
            batches = metered(read_partitions(log), measure, lookups_only=outages_only)
        analysis = Analysis(
            outages_only=outages_only, rules=Rules(Rule(), detect.rule_lead_ms), settings=settings
        )
        return _judged(analysis, batches, rule, detect, progress)


def captured_settings(log: Path) -> Settings:
    """Return the settings of a captured folder, or the built-in ones.

    Raises `LogFileError` if its manifest cannot be read.
    """
    return (read_manifest(log).settings or Settings()) if log.is_dir() else Settings()


def judge(analysis: Analysis, rule: Rule | None) -> None:
    """Judge the measurements of an analysis and replace the windows and outages in it; see `analyze`."""
    judging = _begin(analysis, rule, analysis.settings.detect(), analysis.partitions)
    analysis.found_windows, analysis.outages = judging.finish()


def _judged(
    analysis: Analysis,
    batches: Iterable[Batch],
    rule: Rule | None,
    settings: DetectSettings,
    progress: Callable[[int], None] | None,
) -> Analysis:
    """Judge measurements while they arrive.

    If a source partition or a rule turns up too late for that, everything is judged again.
    """
    judging: Judging | None = None
    in_turn, read = True, 0
    for batch in batches:
        changed_ms = analysis.take(batch)
        read += batch.read
        if judging is not None:
            blocks = [(block.partition, block.data) for block in batch.blocks if block.topic == LOOKUPS]
            in_turn = in_turn and judging.go_on(blocks, () if rule is not None else changed_ms)
        elif read >= JUDGE_FROM_RECORDS:
            judging = _begin(analysis, rule, settings, [p for t, p in analysis.packed if t == LOOKUPS])
        if progress is not None:
            progress(batch.read)
    analysis.dead_letters.sort(key=lambda told: told[:2])
    if judging is not None and in_turn and judging.partitions == set(analysis.partitions):
        analysis.found_windows, analysis.outages = judging.finish()
    else:
        judge(analysis, rule)
    return analysis


def _begin(
    analysis: Analysis, rule: Rule | None, settings: DetectSettings, partitions: Iterable[int]
) -> Judging:
    """Start judging with everything measured so far."""
    judging = Judging(analysis.under(rule), settings, partitions, outages_only=analysis.outages_only)
    judging.go_on(
        (partition, block)
        for partition in judging.partitions
        for block, _ in analysis.packed.get((LOOKUPS, partition), Packed(Measurement)).blocks()
    )
    return judging


def _worth_a_process(log: Path) -> bool:
    """Return whether a log is large and there is a second processor."""
    files = log.rglob("*") if log.is_dir() else [log]
    large = sum(file.stat().st_size for file in files if file.is_file()) >= WORTH_A_PROCESS_BYTES
    return (
        large
        and len(os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1))
        > 1
    )
