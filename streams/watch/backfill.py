"""History for Prometheus: the metrics of a log, at the log's own times.

The log goes through the same pure pipeline, and the same occurrences change the same metrics, on the log's
clock: at every ``step`` of event time the values are written with that time. One OpenMetrics file per day
(UTC) bounds memory; ``promtool tsdb create-blocks-from openmetrics`` turns it into blocks.
"""

import io
import platform
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from streams import __version__, telemetry
from streams.detect.detector import NOT_YET, Detector
from streams.detect.rule.rules import Rules
from streams.logs.whole import whole_file
from streams.model.measurement import Measurement
from streams.model.retirement import Service
from streams.model.settings import DetectSettings
from streams.model.topics import LOOKUPS
from streams.servers.debian import find_program
from streams.servers.errors import PartError
from streams.telemetry.contract import BUILD_INFO, Metric
from streams.telemetry.store import Store, head
from streams.watch.recorded import Recorded

DAY_MS: Final = 86_400_000
EXTRA_LABELS: Final = 'job="portallink",instance="backfill"'
BLOCKS_TIMEOUT_SECONDS: Final = 3_600
STEP_SECONDS: Final = 15
"""Prometheus's scrape interval: Grafana's rate interval is four times that, and needs two samples."""
FAR_MS: Final = 1 << 62
STAGES: Final = ("measure", "detect", "record", "serve")


@dataclass
class Backfilled:
    """The files written, one per day, the number of samples in them, and the event time they span."""

    files: list[Path] = field(default_factory=list)
    samples: int = 0
    first_ms: int | None = None
    last_ms: int | None = None


def write_openmetrics(
    measurements: Iterable[Measurement],
    rules: Rules,
    settings: DetectSettings,
    out: Path,
    *,
    step_seconds: int = STEP_SECONDS,
    progress: Callable[[int], None] | None = None,
) -> Backfilled:
    """Write the metrics of measurements into one file per day under ``out``.

    ``progress`` is called with the number of measurements processed since its last call.
    """
    history = _History(out, step_seconds * 1000)
    ordered = sorted(measurements, key=lambda one: (one.watermark_ms, one.source))
    lookups = sorted({m.source.partition for m in ordered if m.source.topic == LOOKUPS})
    detector = Detector(rules, settings, lookups, service=Service())
    for stage in STAGES:  # the dashboards fill their variables from it
        history.store.set(BUILD_INFO, (stage, __version__, platform.python_version()), 1)
    with tempfile.TemporaryDirectory(prefix="backfill-") as folder:
        recorded = Recorded(Path(folder) / "ledger.db")
        for measurement in ordered:
            history.reach(measurement.watermark_ms)
            for stage, occurrence in _told(measurement, detector, recorded):
                occurrence.move(history.store, stage)
            if progress is not None:
                progress(1)
        for occurrence in recorded.tell(FAR_MS):
            occurrence.move(history.store, "record")
        recorded.close()
    history.finish()
    return history.written


def make_blocks(files: Iterable[Path], out: Path, *, hours_per_block: int = 24) -> list[Path]:
    """Turn OpenMetrics files into Prometheus blocks under ``out`` and return the blocks.

    promtool reads a file once per block made from it.

    Raises PartUnavailableError if promtool is unavailable, PartError with its message if it fails.
    """
    promtool = find_program("promtool")
    out.mkdir(parents=True, exist_ok=True)
    for path in files:
        arguments = ["tsdb", "create-blocks-from", "openmetrics", f"--max-block-duration={hours_per_block}h"]
        done = promtool.run(*arguments, path, out, timeout_seconds=BLOCKS_TIMEOUT_SECONDS)
        if done.returncode != 0:
            raise PartError(
                f"promtool makes no blocks of {path}: {done.stderr.strip() or done.stdout.strip()}"
            )
    return sorted(path for path in out.iterdir() if (path / "meta.json").exists())


def _told(
    measurement: Measurement, detector: Detector, recorded: Recorded
) -> Iterator[tuple[str, telemetry.Occurrence]]:
    """Yield the occurrences that the stages would emit for a measurement, each with its stage."""
    source = measurement.source
    yield "measure", telemetry.RecordsMetered(source.topic, source.partition, measurement.records)
    yield "measure", telemetry.MeasurementCut(measurement)
    from_ms = detector.clock_ms
    applied = detector.apply(measurement)
    if not applied.fresh:
        yield "detect", telemetry.MeasurementDuplicate(source)
        return
    yield "detect", telemetry.MeasurementApplied(source, measurement.watermark_ms)
    for output in applied.output.values():
        for window in output.windows:
            yield "detect", telemetry.WindowPublished(window)
        for outage in output.outages:
            yield "detect", telemetry.OutagePublished(outage)
        recorded.take(output.windows, output.outages, measurement.watermark_ms)
    for told in recorded.tell(measurement.watermark_ms):
        yield "record", told
    clock_ms, slot_ms = detector.clock_ms, detector.settings.slot_ms
    if clock_ms == from_ms:
        return
    for link, tracker in detector.trackers.items():
        observed = tracker.sight.covers(clock_ms - slot_ms, clock_ms)
        start_ms = clock_ms - slot_ms if from_ms == NOT_YET else from_ms
        state, dossiers = tracker.state_at(clock_ms), tracker.dossiers_so_far(clock_ms)
        slot = link, start_ms, clock_ms, state, observed, dossiers, tracker.spent_ms(clock_ms)
        yield "detect", telemetry.SlotFinalised(*slot)


class _History:
    """Values on the log's own clock, written step by step."""

    def __init__(self, out: Path, step_ms: int) -> None:
        self.store = Store(lambda: float(self._now_ms))
        self.written = Backfilled()
        self._out, self._step_ms = out, step_ms
        self._now_ms = 0
        self._day: dict[Metric, dict[str, list[str]]] = {}

    def reach(self, watermark_ms: int) -> None:
        """Write all steps up to an event time; call it before values change at that time."""
        if self.written.first_ms is None:
            self._now_ms = watermark_ms // self._step_ms * self._step_ms
            self.written.first_ms = self._now_ms + self._step_ms
            return
        while self._now_ms + self._step_ms <= watermark_ms:
            self._step()

    def finish(self) -> None:
        """Write the final values after the last change, and the last day."""
        if self.written.first_ms is not None:
            self._step()
            self._close_day()

    def _step(self) -> None:
        if self._day and self._now_ms // DAY_MS != (self._now_ms + self._step_ms) // DAY_MS:
            self._close_day()
        self._now_ms += self._step_ms
        self.written.last_ms = self._now_ms
        stamp = f"{self._now_ms / 1000:.3f}"
        for sample in self.store.samples():
            lines = self._day.setdefault(sample.metric, {}).setdefault(sample.series, [])
            lines.append(f"{_labelled(sample.text)} {sample.value!r} {stamp}\n")
            self.written.samples += 1

    def _close_day(self) -> None:
        day = datetime.fromtimestamp(self._now_ms / 1000, UTC).date()
        path = self._out / f"{day.isoformat()}.om.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as raw, io.TextIOWrapper(raw, "utf-8", write_through=True) as file:
            # OpenMetrics wants a metric's samples together, and each series in order of time.
            for metric, series in self._day.items():
                file.write(head(metric, openmetrics=True))
                for lines in series.values():
                    file.writelines(lines)
            file.write("# EOF\n")
        self.written.files.append(path)
        self._day = {}


def _labelled(text: str) -> str:
    return f"{text[:-1]},{EXTRA_LABELS}}}" if text.endswith("}") else f"{text}{{{EXTRA_LABELS}}}"
