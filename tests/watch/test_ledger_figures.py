"""The same facts in a real Prometheus and in the ledger give the same availability and coverage."""

import shutil

import pytest
import yaml
from small_logs import EVENTFUL, by_watermark, detect, eventful_log, measure

from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import Rules
from streams.ledger.read.figures import link_figures
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, reading, sqlite_url
from streams.ledger.store.days import link_lives
from streams.model.canonical import encode
from streams.model.record import Record
from streams.model.settings import DetectSettings
from streams.model.topics import OUTAGES, WINDOWS
from streams.servers.prometheus import Prometheus
from streams.telemetry.labels import LINK_STATES
from streams.watch.api import PrometheusApi
from streams.watch.backfill import make_blocks, write_openmetrics

pytestmark = [pytest.mark.prometheus, pytest.mark.slow]

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
POINTS = 0.01
"""How far the two may differ, in points of a percent."""


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    """Return a ledger of two eventful hours, and the measurements that they were judged from."""
    measurements = measure(eventful_log())
    found = detect(measurements)
    records = [Record(WINDOWS, 0, n, 0, b"", encode(one)) for n, one in enumerate(found.windows)]
    records += [Record(OUTAGES, 0, n, 0, b"", encode(one)) for n, one in enumerate(found.outages)]
    engine = open_ledger(sqlite_url(tmp_path_factory.mktemp("ledger") / "ledger.db"), create=True)
    apply_records(engine, records)
    yield engine, by_watermark(measurements)
    engine.dispose()


@pytest.fixture(scope="module")
def prometheus(ledger, tmp_path_factory):
    """Return a Prometheus that holds what would have been scraped of these hours, and when they ended."""
    folder = tmp_path_factory.mktemp("scraped")
    rules, settings = Rules(Rule()), DetectSettings()
    written = write_openmetrics(ledger[1], rules, settings, folder / "text", step_seconds=15)
    make_blocks(written.files, folder / "blocks")
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": []}), "utf-8")
    shutil.copytree(folder / "blocks", folder / "history" / "data")
    keep = ["--storage.tsdb.retention.time=100y"]
    with Prometheus(folder / "history", folder / "prometheus.yml", extra_arguments=keep) as server:
        yield PrometheusApi(server.url), written.first_ms / 1000, written.last_ms / 1000


@pytest.fixture(scope="module")
def totals(prometheus):
    """Return each link's milliseconds by state, by how much time was counted in all."""
    api, first, last = prometheus
    found: dict[str, dict[float, dict[str, int]]] = {}
    for series in api.ranged("portallink_link_state_seconds_total", first, last, 15):
        by_time = found.setdefault(series["metric"]["link"], {})
        for at, value in series["values"]:
            by_time.setdefault(at, {})[series["metric"]["state"]] = round(float(value) * 1000)
    return {
        link: {sum(states.values()): states for states in by_time.values()} for link, by_time in found.items()
    }


@pytest.mark.usefixtures("promtool")
@pytest.mark.parametrize("link", EVENTFUL)
def test_every_hour_is_the_ledgers(link, ledger, totals):
    """What the counters grew by over any hour gives the ledger's availability and coverage of that hour."""
    engine, _ = ledger
    counted = totals[link]
    assert max(counted) > HOUR_MS + 40 * MINUTE_MS
    with reading(engine) as connection:
        began_ms = link_lives(connection)[link].first_ms
        for passed_ms in sorted(one for one in counted if one >= HOUR_MS):
            before, after = counted[passed_ms - HOUR_MS], counted[passed_ms]
            grew = {state: after[state] - before[state] for state in LINK_STATES}
            assert sum(grew.values()) == HOUR_MS
            known_ms = grew["up"] + grew["degraded"] + grew["down"]
            end_ms = began_ms + passed_ms
            hour = Standing(connection, Question(end_ms - HOUR_MS, end_ms, link=link))
            expected = link_figures(hour)[link].figures
            available = 100 * (1 - grew["down"] / known_ms)
            assert available == pytest.approx(expected.availability_pct, abs=POINTS)
            assert 100 * known_ms / HOUR_MS == pytest.approx(expected.coverage_pct, abs=POINTS)
