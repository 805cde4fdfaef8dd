"""The whole pipeline over a log file, with no broker: the same pure code, the same bytes.

Each source partition is metered on its own; the measurements are then applied in the order of their
watermarks, so that little waits. What `detect` makes of them does not depend on that order.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from streams.detect.detector import Detector
from streams.detect.rule import Rule
from streams.logfile import read_log
from streams.measure.decode import DECODERS
from streams.measure.meter import DeadLetter, Meter
from streams.model import events
from streams.model.canonical import encode, final_outages, ordered_outages, ordered_windows
from streams.model.digest import Entry
from streams.model.measurement import Measurement, RecordCounts
from streams.model.outage import Outage, Window
from streams.model.record import Record
from streams.model.settings import DetectSettings, MeasureSettings

_CHUNK = 5_000


@dataclass
class Analysis:
    """What a log holds: every measurement, window and outage revision, in canonical order.

    ``records`` counts how each record ended; ``pending`` those after the last cut of their partition, which
    a broker run would not have measured yet either; ``ignored`` those of topics that carry no events.
    """

    measurements: list[Measurement] = field(default_factory=list)
    windows: list[Window] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    dead_letters: list[tuple[str, int, DeadLetter]] = field(default_factory=list)
    records: RecordCounts = field(default_factory=RecordCounts)
    pending: int = 0
    ignored: int = 0

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
    partitions = [partition for topic, partition in meters if topic == events.LOOKUPS]
    if partitions:
        _detect(Detector(rule or Rule(), detect or DetectSettings(), partitions), analysis)
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


def _detect(detector: Detector, analysis: Analysis) -> None:
    """Apply the measurements in the order of their watermarks."""
    lookups = [m for m in analysis.measurements if m.source.topic == events.LOOKUPS]
    for measurement in sorted(lookups, key=lambda m: (m.watermark_ms, m.source)):
        for output in detector.apply(measurement).output.values():
            analysis.windows += output.windows
            analysis.outages += output.outages
    analysis.windows = ordered_windows(analysis.windows)
    analysis.outages = ordered_outages(analysis.outages)
