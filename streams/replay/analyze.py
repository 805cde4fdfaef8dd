"""The whole pipeline over a log file, with no broker: the same pure code, the same bytes.

Each source partition is metered on its own; the measurements are then applied in the order of their
watermarks, so that little waits. What `detect` makes of them does not depend on that order.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from streams.detect.detector import Detector
from streams.detect.rule import Rule
from streams.detect.tracker import Output
from streams.logfile import read_log
from streams.measure.decode import DECODERS
from streams.measure.meter import DeadLetter, Meter
from streams.model import events
from streams.model.canonical import encode, final_outages, ordered_outages, ordered_windows
from streams.model.digest import Entry
from streams.model.exclusion import Exclusion
from streams.model.measurement import Measurement, RecordCounts
from streams.model.outage import Outage, Window
from streams.model.record import Record
from streams.model.settings import DetectSettings, MeasureSettings

_CHUNK = 5_000
EXCLUSIONS: Final = "link.exclusions"
_exclusions: Final = msgspec.json.Decoder(Exclusion)


@dataclass
class Analysis:
    """What a log holds: every measurement, window and outage revision, in canonical order.

    ``records`` counts how each record ended; ``pending`` those after the last cut of their partition, which
    a broker run would not have measured yet either; ``ignored`` those of topics that carry no events.
    ``partitions`` are those of `npd.lookups`, ``exclusions`` the records of `link.exclusions`.
    """

    measurements: list[Measurement] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    dead_letters: list[tuple[str, int, DeadLetter]] = field(default_factory=list)
    records: RecordCounts = field(default_factory=RecordCounts)
    exclusions: list[Exclusion] = field(default_factory=list)
    partitions: list[int] = field(default_factory=list)
    pending: int = 0
    ignored: int = 0

    def take_exclusions(self, topic: str, partition: int, entries: Iterable[Entry]) -> None:
        """Take in records of `link.exclusions`; one that is none becomes a dead letter."""
        for offset, logged_at_ms, key, value in entries:
            try:
                self.exclusions.append(_exclusions.decode(value))
                self.records.applied += 1
            except (msgspec.DecodeError, ValueError) as error:
                letter = DeadLetter(offset, logged_at_ms, "wrong_shape", str(error), key, value)
                self.dead_letters.append((topic, partition, letter))
                self.records.dead_letter += 1

    def final(self) -> list[Outage]:
        """Return the last revision of each outage that stands."""
        return final_outages(self.outages)

    def write(self, folder: Path) -> None:
        """Write `measurements.ndjson`, `windows.ndjson` and `outages.ndjson` into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        results: dict[str, Iterable[Measurement | Window | Outage]] = {
            "measurements": self.measurements,
            "windows": self.windows,
            "outages": self.outages,
        }
        for name, values in results.items():
            (folder / f"{name}.ndjson").write_bytes(b"".join(encode(value) + b"\n" for value in values))


def analyze(
    log: Path | Iterable[Record],
    rule: Rule | None = None,
    measure: MeasureSettings | None = None,
    detect: DetectSettings | None = None,
    progress: Callable[[int], None] | None = None,
) -> Analysis:
    """Run the pipeline over a log file, or over records in log order.

    ``progress`` is called with the number of records read since its last call. Raise `LogFileError` where
    the file cannot be read.
    """
    records = read_log(log) if isinstance(log, Path) else iter(log)
    analysis = Analysis()
    meters = _measure(records, measure or MeasureSettings(), analysis, progress)
    for (topic, partition), meter in sorted(meters.items()):
        analysis.pending += meter.pending_records
        analysis.measurements += meter.measurements
        analysis.dead_letters += [(topic, partition, letter) for letter in meter.dead_letters]
    for measurement in analysis.measurements:
        analysis.records += measurement.records
    analysis.partitions = sorted(partition for topic, partition in meters if topic == events.LOOKUPS)
    judge(analysis, rule or Rule(), detect)
    return analysis


def _measure(
    records: Iterator[Record],
    settings: MeasureSettings,
    analysis: Analysis,
    progress: Callable[[int], None] | None,
) -> dict[tuple[str, int], Meter]:
    """Meter every partition of the log."""
    meters: dict[tuple[str, int], Meter] = {}
    while chunk := list(islice(records, _CHUNK)):
        batches: dict[tuple[str, int], list[Entry]] = {}
        for record in chunk:
            batches.setdefault(record[:2], []).append(record[2:])
        for (topic, partition), entries in batches.items():
            if topic == EXCLUSIONS:
                analysis.take_exclusions(topic, partition, entries)
                continue
            if topic not in DECODERS:
                analysis.ignored += len(entries)
                continue
            meter = meters.get((topic, partition))
            if meter is None:
                meter = meters[topic, partition] = Meter(topic, partition, settings)
            meter.feed(entries)
        if progress is not None:
            progress(len(chunk))
    return meters


def judge(analysis: Analysis, rule: Rule, settings: DetectSettings | None = None) -> None:
    """Find the windows and outages of what was measured, in place of any found before.

    Measurements are applied in the order of their watermarks, and each exclusion before the first that
    passes the time at which it was recorded: what was decided after the log's end, at its end.
    """
    lookups = [m for m in analysis.measurements if m.source.topic == events.LOOKUPS]
    lookups.sort(key=lambda m: (m.watermark_ms, m.source))
    detector = Detector(rule, settings or DetectSettings(), analysis.partitions)
    exclusions = deque(
        sorted(analysis.exclusions, key=lambda x: (x.recorded_at_ms, x.exclusion_id, x.revision))
    )
    analysis.windows, analysis.outages = [], []
    for measurement in lookups:
        while exclusions and exclusions[0].recorded_at_ms < measurement.watermark_ms:
            _take(analysis, detector.exclude(exclusions.popleft()))
        _take(analysis, detector.apply(measurement).output)
    for exclusion in exclusions:
        _take(analysis, detector.exclude(exclusion))
    analysis.windows = ordered_windows(analysis.windows)
    analysis.outages = ordered_outages(analysis.outages)


def _take(analysis: Analysis, output: dict[str, Output]) -> None:
    for published in output.values():
        analysis.windows += published.windows
        analysis.outages += published.outages
