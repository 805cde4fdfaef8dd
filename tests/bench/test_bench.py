"""The benchmark on a real broker, small. What is tested is that it measures, never how fast."""

from collections import Counter

import pytest

from streams.bench.run import as_json, run_bench
from streams.bench.workload import HOUR_MS, OUTAGE_LINK, START_MS, Workload
from streams.measure.meter import Meter
from streams.model.settings import MeasureSettings


def test_every_subject_gives_its_figures(kafka):
    """A run of a few thousand events gives figures above zero for each stage and reference, and ratios."""
    told = set()
    result = as_json(run_bench(4_000, lambda what, _done, _of: told.add(what), kafka))
    assert result["stages"].keys() == {"measure", "detect", "end_to_end"}
    assert result["references"].keys() == {"aiokafka_raw", "faust_idiomatic"}
    for figures in (*result["stages"].values(), *result["references"].values()):
        assert figures.keys() == {"events", "events_per_s", "events_per_cpu_s", "peak_rss_bytes"}
        assert figures["events_per_s"] > 0
        assert figures["events_per_cpu_s"] > 0
        assert 0 <= figures["events"] <= result["events"]
        assert figures["peak_rss_bytes"] > 1_000_000
    assert result["ratios"]["measure_to_aiokafka_raw"] > 0
    assert {"load", *result["stages"], *result["references"]} == told


@pytest.fixture(scope="module")
def metered():
    """Return a workload of 20,000 events, its records by partition, and a meter that has read each."""
    workload = Workload(20_000, 2)
    by_partition = {}
    for record in workload.records():
        by_partition.setdefault((record.topic, record.partition), []).append(tuple(record[2:]))
    meters = {source: Meter(*source, MeasureSettings()) for source in by_partition}
    for source, entries in by_partition.items():
        meters[source].feed(entries)
    return workload, by_partition, meters


def test_workload_is_what_it_says(metered):
    """Duplicates are about one in a hundred, nothing is late or refused, and one link has one outage."""
    workload, by_partition, meters = metered
    counts = Counter()
    failures = Counter()
    for meter in meters.values():
        assert meter.dead_letters == []
        totals = meter.totals()
        counts.update(duplicate=totals.duplicate, late=totals.late)
        for measurement in meter.measurements:
            for cells in measurement.links:
                for slot in (*cells.slots, *cells.late_slots):
                    failures[cells.link] += slot.outcomes.get("timeout", 0)
                    counts["no_response"] += slot.outcomes.get("no_response", 0)
                    counts["requested"] += slot.requested
    assert workload.dossiers == 4_000
    events = sum(len([entry for entry in entries if entry[2]]) for entries in by_partition.values())
    assert 0.005 < counts["duplicate"] / events < 0.015
    assert counts["late"] == 0
    assert counts["requested"] == 8_000
    assert 0.002 < counts["no_response"] / 8_000 < 0.01
    assert all((count > 0) == (link == OUTAGE_LINK) for link, count in failures.items())


def test_full_workload_spans_an_hour_with_ten_minutes_of_outage():
    """A million events take an hour of event time, and the outage in it takes ten minutes."""
    workload = Workload(1_000_000, 4)
    assert workload.end_ms - START_MS == HOUR_MS + 1
    assert workload.outage[1] - workload.outage[0] == 600_000


def test_too_few_events_are_refused():
    """A workload of less than one dossier is a wrong question."""
    with pytest.raises(ValueError, match="at least 5 events"):
        Workload(4, 1)
