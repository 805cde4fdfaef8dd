"""Values and their text form, held against prometheus_client's own writer and parsers."""

from collections.abc import Iterator

import hypothesis.strategies as st
import pytest
from hypothesis import given
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from streams.model.sketch import BUCKET_LOWER_MS, bucket_of, bucket_value_ms
from streams.telemetry.contract import CONSUMER_LAG, FAILED_BY_SERVICE, LOOKUP_LATENCY, LOOKUPS, WATERMARK_LAG
from streams.telemetry.labels import OTHER, PAIR_LIMIT
from streams.telemetry.store import Store

NOW_MS = 1_700_000_060_000.0
texts = st.text(max_size=8)
counts = st.integers(0, 10**12)


class Oracle:
    """The same values as a collector of prometheus_client."""

    def __init__(self, lookups, lags, latencies):
        self.lookups, self.lags, self.latencies = lookups, lags, latencies

    def collect(self) -> Iterator[Family]:
        """Yield what the store should show."""
        if self.lookups:
            counter = CounterMetricFamily(LOOKUPS.name, LOOKUPS.help, labels=LOOKUPS.labels)
            for labels, value in self.lookups.items():
                counter.add_metric(labels, value)
            yield counter
        if self.lags:
            gauge = GaugeMetricFamily(CONSUMER_LAG.name, CONSUMER_LAG.help, labels=CONSUMER_LAG.labels)
            for labels, value in self.lags.items():
                gauge.add_metric(labels, value)
            yield gauge
        if self.latencies:
            histogram = HistogramMetricFamily(
                LOOKUP_LATENCY.name, LOOKUP_LATENCY.help, labels=LOOKUP_LATENCY.labels
            )
            for link, sketch in self.latencies.items():
                bounds = [*LOOKUP_LATENCY.buckets, float("inf")]
                buckets = [
                    (
                        "+Inf" if bound == float("inf") else repr(bound),
                        sum(
                            n
                            for b, n in sketch.items()
                            if bound == float("inf")
                            or (b < len(BUCKET_LOWER_MS) - 1 and bucket_value_ms(b) / 1000 <= bound)
                        ),
                    )
                    for bound in bounds
                ]
                total = sum(bucket_value_ms(b) / 1000 * n for b, n in sketch.items())
                histogram.add_metric([link], buckets, sum_value=total)
            yield histogram


def comparable(families):
    """Return families as data, sums rounded: the order of addition is not part of the contract."""
    return sorted(
        (
            family.name,
            family.type,
            family.documentation,
            sorted(
                (s.name, sorted(s.labels.items()), pytest.approx(s.value, rel=1e-9)) for s in family.samples
            ),
        )
        for family in families
    )


@given(
    lookups=st.dictionaries(st.tuples(texts, texts), counts, max_size=5),
    lags=st.dictionaries(st.tuples(texts, texts), counts, max_size=3),
    latencies=st.dictionaries(
        texts,
        st.dictionaries(st.integers(0, len(BUCKET_LOWER_MS) - 1), st.integers(1, 1000), min_size=1),
        max_size=3,
    ),
)
def test_text_is_what_prometheus_client_writes(lookups, lags, latencies):
    """For any labels and values both formats read back as the library's own output does."""
    store = Store(lambda: NOW_MS)
    for labels, value in lookups.items():
        store.add(LOOKUPS, labels, value)
    for labels, value in lags.items():
        store.set(CONSUMER_LAG, labels, value)
    for link, sketch in latencies.items():
        store.observe_sketch(LOOKUP_LATENCY, (link,), sketch)
    registry = CollectorRegistry()
    registry.register(Oracle(lookups, lags, latencies))
    ours = parse_text(store.expose(openmetrics=False))
    assert comparable(ours) == comparable(parse_text(generate_latest(registry).decode()))
    ours = parse_openmetrics(store.expose(openmetrics=True) + "# EOF\n")
    assert comparable(ours) == comparable(parse_openmetrics(generate_openmetrics(registry).decode()))


@given(st.lists(st.integers(-50, 50), max_size=60))
def test_a_counter_never_falls_and_never_counts_twice(steps):
    """Whatever is taken back, what a counter shows is the greatest true value so far."""
    store, true, greatest = Store(lambda: NOW_MS), 0, 0
    for step in steps:
        store.add(LOOKUPS, ("npd", "no_response"), step)
        true += step
        greatest = max(greatest, true)
        assert store.value(LOOKUPS, ("npd", "no_response")) == greatest


def test_links_beyond_the_limit_share_one_series():
    """The link after the limit is counted under `other`, known links keep their own series."""
    store = Store(lambda: NOW_MS, {"link": 2})
    for link in ("a", "b", "c", "d", "a"):
        store.add(LOOKUPS, (link, "ok"))
    shown = {link: store.value(LOOKUPS, (link, "ok")) for link in ("a", "b", "c", OTHER)}
    assert shown == {"a": 2, "b": 1, "c": None, OTHER: 2}


def test_pairs_of_labels_are_bounded_together():
    """A metric with two labels from data has at most PAIR_LIMIT series and one for the rest."""
    store = Store(lambda: NOW_MS)
    for link in range(100):
        for service in range(100):
            store.add(FAILED_BY_SERVICE, (f"link-{link}", f"service-{service}"))
    lines = [line for line in store.expose(openmetrics=False).splitlines() if line[0] != "#"]
    assert len(lines) == PAIR_LIMIT + 1
    assert store.value(FAILED_BY_SERVICE, (OTHER, OTHER)) == 10_000 - PAIR_LIMIT


def test_an_age_grows_with_the_clock_alone():
    """A watermark that nobody moves any more shows a lag that goes on growing."""
    now = [NOW_MS]
    store = Store(lambda: now[0])
    store.set(WATERMARK_LAG, ("measure", "npd.lookups-0"), NOW_MS - 7_000)
    series = 'portallink_watermark_lag_seconds{stage="measure",partition="npd.lookups-0"} '
    assert series + "7.0\n" in store.expose(openmetrics=False)
    now[0] += 90_000
    assert series + "97.0\n" in store.expose(openmetrics=False)


def test_a_latency_beyond_the_sketch_is_beyond_every_bound():
    """The sketch's open top bucket counts in +Inf only."""
    store = Store(lambda: NOW_MS)
    store.observe_sketch(LOOKUP_LATENCY, ("npd",), {bucket_of(100_000_000): 1, bucket_of(30_000): 1})
    text = store.expose(openmetrics=False)
    assert 'le="30.0"} 1\n' in text
    assert 'le="+Inf"} 2\n' in text
