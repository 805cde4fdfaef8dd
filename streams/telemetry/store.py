"""The values of one process's metrics, and their text form.

prometheus_client has no bulk observe, and writes 50,000 series in 0.7 s (measured, Python 3.11, one core);
at 1,000 links an endpoint has that many and must answer in 0.2 s. So the values live here, each with its
label text rendered once, and are written directly. prometheus_client's own writer and parser are the
reference in the tests.

A correction may take back counts (a completion that came after ``no_response``). To Prometheus a decreasing
counter would look like a restart, so a counter shows the *greatest true value so far*: it does not move until
the true value has caught up, and never counts anything twice.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import NamedTuple, TypeVar, cast

from streams.model.sketch import BUCKET_LOWER_MS, bucket_value_ms
from streams.telemetry.contract import Metric
from streams.telemetry.labels import LABEL_LIMITS, OTHER

Labels = tuple[str, ...]
Ledger = TypeVar("Ledger")
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Sample(NamedTuple):
    """One line of the text form; ``series`` is the same for all lines of one histogram series."""

    metric: Metric
    series: str
    text: str
    value: float


class _Scalar:
    """The value of one counter, gauge or age series; ``text`` is its name with labels."""

    __slots__ = ("shown", "text", "true")

    def __init__(self, text: str) -> None:
        self.text = text
        self.true: float = 0
        self.shown: float = 0


class _Histogram:
    """The value of one histogram series: counts by bound, the last one beyond every bound."""

    __slots__ = ("counts", "labels", "texts", "total")

    def __init__(self, metric: Metric, labels: Labels) -> None:
        inner = _label_text(metric.labels, labels)
        bounds = (*(repr(bound) for bound in metric.buckets), "+Inf")
        self.texts = tuple(f'{metric.name}_bucket{{{inner}{"," if inner else ""}le="{le}"}}' for le in bounds)
        self.labels = f"{{{inner}}}" if inner else ""
        self.counts = [0] * len(bounds)
        self.total = 0.0


class Store:
    """Thread-safe values of the metrics of one process.

    ``clock_ms`` gives the wall-clock time in epoch milliseconds; only ages use it.
    """

    def __init__(self, clock_ms: Callable[[], float], label_limits: Mapping[str, int] = LABEL_LIMITS) -> None:
        self.lock = threading.Lock()
        self._clock_ms = clock_ms
        self._limits = label_limits
        self._admitted: dict[str, set[str]] = {name: set() for name in label_limits}
        self._scalars: dict[Metric, dict[Labels, _Scalar]] = {}
        self._histograms: dict[Metric, dict[Labels, _Histogram]] = {}
        self._ledgers: dict[type, object] = {}

    def now_ms(self) -> float:
        """Return the wall-clock time in epoch milliseconds."""
        return self._clock_ms()

    def ledger(self, kind: type[Ledger]) -> Ledger:
        """Return this process's only ledger of a kind: what occurrences must remember of earlier ones."""
        found = self._ledgers.get(kind)
        if found is None:
            found = self._ledgers[kind] = kind()
        return cast("Ledger", found)

    def add(self, metric: Metric, labels: Labels, amount: float = 1) -> None:
        """Add to a counter; a negative amount corrects an earlier one."""
        try:
            series = self._scalars[metric][labels]
        except KeyError:
            series = self._scalar(metric, labels)
        true = series.true = series.true + amount
        if true > series.shown:  # noqa: PLR1730 - max() costs twice as much, dozens of times a cut
            series.shown = true

    def add_all(self, metric: Metric, first_label: str, amounts: Mapping[str, float]) -> None:
        """Add to the counters with one value of the first label, by second label."""
        family = self._scalars.setdefault(metric, {})
        for second_label, amount in amounts.items():
            series = family.get((first_label, second_label))
            if series is None:
                series = self._scalar(metric, (first_label, second_label))
            true = series.true = series.true + amount
            if true > series.shown:  # noqa: PLR1730 - max() costs twice as much, dozens of times a cut
                series.shown = true

    def set(self, metric: Metric, labels: Labels, value: float) -> None:
        """Set a gauge, or for an age the epoch milliseconds at which it starts."""
        self._scalar(metric, labels).shown = value

    def observe(self, metric: Metric, labels: Labels, value: float, count: int = 1) -> None:
        """Add ``count`` observations of one value, in the metric's unit, to a histogram."""
        series = self._histogram(metric, labels)
        series.counts[bisect_left(metric.buckets, value)] += count
        series.total += value * count

    def observe_sketch(self, metric: Metric, labels: Labels, latency: Mapping[int, int]) -> None:
        """Add a latency sketch (bucket of ``streams.model.sketch`` to count) to a histogram in seconds."""
        try:
            series = self._histograms[metric][labels]
        except KeyError:
            series = self._histogram(metric, labels)
        places, counts, total = _places(metric.buckets), series.counts, series.total
        for bucket, count in latency.items():
            index, seconds = places[bucket]
            counts[index] += count
            total += seconds * count
        series.total = total

    def forget(self, metric: Metric, labels: Labels) -> None:
        """Drop one series, which another process now exposes; does nothing if the series does not exist."""
        self._scalars.get(metric, {}).pop(labels, None)

    def labels(self, metric: Metric) -> frozenset[Labels]:
        """Return the label values of every current series of a counter or gauge."""
        return frozenset(self._scalars.get(metric, {}))

    def value(self, metric: Metric, labels: Labels) -> float | None:
        """Return the value of a counter or gauge, or None if there is no such series."""
        series = self._scalars.get(metric, {}).get(labels)
        return None if series is None else series.shown

    def expose(self, *, openmetrics: bool) -> str:
        """Return every series as text, in the Prometheus or the OpenMetrics format (without its end mark)."""
        lines: list[str] = []
        last: Metric | None = None
        with self.lock:
            for sample in self.samples():
                if sample.metric is not last:
                    last = sample.metric
                    lines.append(head(last, openmetrics=openmetrics))
                lines.append(f"{sample.text} {sample.value!r}\n")
        return "".join(lines)

    def samples(self) -> Iterator[Sample]:
        """Yield every current sample, grouped by metric."""
        now_ms = self._clock_ms()
        for metric, scalars in self._scalars.items():
            for one in scalars.values():
                shown = one.shown
                value = (now_ms - shown) / 1000 if metric.kind == "age" else shown
                yield Sample(metric, one.text, one.text, value)
        for metric, histograms in self._histograms.items():
            for each in histograms.values():
                running = 0
                for text, count in zip(each.texts, each.counts, strict=True):
                    running += count
                    yield Sample(metric, each.labels, text, running)
                yield Sample(metric, each.labels, f"{metric.name}_count{each.labels}", running)
                yield Sample(metric, each.labels, f"{metric.name}_sum{each.labels}", each.total)

    def _scalar(self, metric: Metric, labels: Labels) -> _Scalar:
        family = self._scalars.setdefault(metric, {})
        series = family.get(labels)
        if series is None:
            labels = self._bounded(metric, labels, family)
            series = family.get(labels)
        if series is None:
            inner = _label_text(metric.labels, labels)
            series = family[labels] = _Scalar(f"{metric.name}{{{inner}}}" if inner else metric.name)
        return series

    def _histogram(self, metric: Metric, labels: Labels) -> _Histogram:
        family = self._histograms.setdefault(metric, {})
        series = family.get(labels)
        if series is None:
            labels = self._bounded(metric, labels, family)
            series = family.get(labels)
        if series is None:
            series = family[labels] = _Histogram(metric, labels)
        return series

    def _bounded(self, metric: Metric, labels: Labels, family: Mapping[Labels, object]) -> Labels:
        """Return the labels with ``other`` for each value beyond its label's or the metric's limit."""
        bounded = tuple(self._admit(name, value) for name, value in zip(metric.labels, labels, strict=True))
        if bounded in family or metric.series_limit is None or len(family) < metric.series_limit:
            return bounded
        return tuple(
            OTHER if name in self._limits else value
            for name, value in zip(metric.labels, bounded, strict=True)
        )

    def _admit(self, name: str, value: str) -> str:
        admitted = self._admitted.get(name)
        if admitted is None or value in admitted:
            return value
        if len(admitted) >= self._limits[name]:
            return OTHER
        admitted.add(value)
        return value


@cache
def _places(bounds: tuple[float, ...]) -> tuple[tuple[int, float], ...]:
    """Return, for each latency bucket, the index of its exposed bound and the seconds it stands for."""
    last = len(BUCKET_LOWER_MS) - 1
    return tuple(
        # The top bucket is open: its values are beyond every bound, not at its own lower bound.
        (len(bounds) if bucket == last else bisect_left(bounds, bucket_value_ms(bucket) / 1000),
         bucket_value_ms(bucket) / 1000)
        for bucket in range(last + 1)
    )  # fmt: skip


def _label_text(names: Labels, values: Labels) -> str:
    return ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in zip(names, values, strict=True)
    )


def head(metric: Metric, *, openmetrics: bool) -> str:
    """Return the lines that introduce a metric's samples in the text formats."""
    kind = "gauge" if metric.kind == "age" else metric.kind
    name = metric.name.removesuffix("_total") if openmetrics else metric.name
    lines = f"# HELP {name} {metric.help}\n# TYPE {name} {kind}\n"
    if openmetrics and name.endswith(f"_{metric.unit}"):
        lines += f"# UNIT {name} {metric.unit}\n"
    return lines
