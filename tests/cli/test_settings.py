"""The settings file: what it refuses, what is documented, and what a change at an event time does."""

import re
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_logs import START_MS, Fault, by_watermark, draw_log, measure
from typer.testing import CliRunner

from streams.cli import app
from streams.logs.settings_file import SettingsFileError, read_settings
from streams.measure.meter import Meter
from streams.model.canonical import encode
from streams.model.events import Heartbeat, LookupCompleted, LookupRequested
from streams.model.settings import CHANGE_GRID_MS, CHANGEABLE, SHAPING, Change, Settings
from streams.model.topics import LOOKUPS

PAGE = Path("docs/configure.md")
CHANGE_MS = -(-(START_MS + 300_000) // CHANGE_GRID_MS) * CHANGE_GRID_MS


def changed(**values):
    """Return settings that change in the middle of the small logs."""
    return Settings(changes=[Change(datetime.fromtimestamp(CHANGE_MS / 1000, tz=UTC), **values)])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("slot_ms = 7_000", "`slot_ms` 7000 does not divide a minute"),
        ("slot_ms = '5 s'", "$.slot_ms"),
        ("lookup_timeout_ms = 32_000", "`lookup_timeout_ms` 32000 is not a multiple of `slot_ms` 5000"),
        ("lookup_timeout_s = 30", "lookup_timeout_s"),
        ("max_links = 0", "$.max_links"),
        ("dead_letter_share = 1.5", "$.dead_letter_share"),
        ("max_clock_skew_ms = 300_000", "`rule_lead_ms` 120000 must be greater than `max_clock_skew_ms`"),
        ("[[changes]]\nfrom = 2026-12-01T00:00:00", "$.changes[0].from"),
        ("[[changes]]\nfrom = 2026-12-01T00:00:00+07:00", "`changes[0]` changes nothing"),
        ("[[changes]]\nfrom = 2026-12-01T00:05:00+07:00\nmax_links = 5", "not a full ten minutes"),
        ("[[changes]]\nfrom = 2026-12-01T00:00:00+07:00\nslot_ms = 1_000", "slot_ms"),
        ("[[changes]]\nfrom = 2026-12-01T00:00:00+07:00\nlookup_timeout_ms = 31_000", "not a multiple"),
        ("max_links =", "max_links ="),
    ],
)
def test_a_wrong_value_is_refused_with_file_and_field(tmp_path, text, named):
    """Whatever is wrong, the error names the file and the field, and the command ends with exit 2."""
    file = tmp_path / "stages.toml"
    file.write_text(text)
    with pytest.raises(SettingsFileError) as refused:
        read_settings(file)
    assert str(file) in str(refused.value)
    if named != text:
        assert named in str(refused.value)
    log = tmp_path / "log.ndjson"
    log.write_text("")
    for how in ({"args": ["--settings", str(file)]}, {"env": {"PORTALLINK_SETTINGS": str(file)}}):
        done = CliRunner().invoke(app, ["analyze", str(log), *how.get("args", [])], env=how.get("env"))
        assert done.exit_code == 2
        assert str(file) in done.output.replace("\n", "")


def test_every_setting_is_documented_with_its_default():
    """The table of the page holds the fields of the code, with the values that hold without a file."""
    table = PAGE.read_text("utf-8").partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", table, re.MULTILINE)
    tables = {"changes", "calendars"}
    built_in = {
        name: value for name, value in msgspec.structs.asdict(Settings()).items() if name not in tables
    }
    assert {name: float(text.replace(",", "")) for name, text in rows} == built_in
    listed = re.search(r"may change .*?: (.+?)\.", PAGE.read_text("utf-8"), re.DOTALL)
    assert tuple(re.findall(r"`(\w+)`", listed[1])) == CHANGEABLE


def test_the_digest_names_what_shapes_results():
    """A setting that shapes results changes the digest, no other one does; a later change in its time."""
    others = {"slot_ms": 6_000, "dead_letter_share": 0.9, "allowed_lateness_ms": 3_600_000}
    for name in Settings.__struct_fields__:
        if name in {"changes", "calendars"}:
            continue
        value = others.get(name, getattr(Settings(), name) + 30_000)
        one = Settings(**{name: value})
        assert (one.digest != Settings().digest) == (name in SHAPING), name
    assert changed(max_links=5).digest == Settings(calendars=[]).digest == Settings().digest
    assert changed(max_links=5).measure().at(CHANGE_MS).digest == Settings(max_links=5).digest
    assert changed(max_links=5).detect().at(CHANGE_MS).digest == Settings(max_links=5).digest


def entries_of(log):
    """Return a log of one partition as a meter takes it."""
    end_ms = max(told.told_ms for told in log)
    keys = (None if isinstance(t.event, Heartbeat) else t.event.dossier_id.encode() for t in log)
    told = sorted(zip(log, keys, strict=True), key=lambda one: one[0].told_ms)
    return [(n, end_ms, key, encode(one.event)) for n, (one, key) in enumerate(told)]


def given_up(measurements):
    """Return how many requests were given up in each slot."""
    counts = Counter()
    for measurement in measurements:
        for cells in measurement.links:
            for slot in (*cells.slots, *cells.late_slots):
                counts[slot.start_ms] += slot.outcomes.get("no_response", 0)
    return +counts


def expected_given_up(log, timeout_ms, watermark_ms):
    """Return the same from the definition: unanswered, by the time-out of when it was asked."""
    events = [told.event for told in log]
    answered = {event.lookup_id for event in events if isinstance(event, LookupCompleted)}
    counts = Counter()
    for event in events:
        if isinstance(event, LookupRequested) and event.lookup_id not in answered:
            asked_ms = event.occurred_at_ms
            deadline_ms = asked_ms + (timeout_ms if asked_ms >= CHANGE_MS else 30_000)
            if deadline_ms // 5_000 < watermark_ms // 5_000:
                counts[deadline_ms // 5_000 * 5_000] += 1
    return counts


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6), st.sampled_from([10_000, 20_000, 60_000, 120_000]))
def test_a_change_holds_from_its_time_on_whatever_the_batches(seed, timeout_ms):
    """Requests keep the time-out that held when they were asked; what was measured before the time stays; and
    neither the size of batches nor a restart changes a byte.
    """
    log = draw_log(seed, seconds=900, faults=[Fault(120, 600, 0.3, outcome=None)], partitions=1)
    chosen = changed(lookup_timeout_ms=timeout_ms).measure()
    plain, whole = (measure(log, one)[0] for one in (Settings().measure(), chosen))
    early = [m for m in plain if m.watermark_ms < CHANGE_MS]
    assert [encode(m) for m in whole[: len(early)]] == [encode(m) for m in early]
    assert given_up(whole) == expected_given_up(log, timeout_ms, whole[-1].watermark_ms)
    entries = entries_of(log)
    meter, found, rng = Meter(LOOKUPS, 0, chosen), [], Random(seed)
    at = 0
    while at < len(entries):
        size = rng.randrange(1, 200)
        meter.feed(entries[at : at + size])
        at += size
        found += meter.measurements
        meter.measurements.clear()
    assert [encode(m) for m in found] == [encode(m) for m in whole]


def test_a_bound_changes_with_the_watermark():
    """A later bound on links judges the records behind the cut at which the watermark passed its time."""
    log = [t for link in ("a", "b", "c") for t in draw_log(1, seconds=900, link=link, partitions=1)]
    meter = Meter(LOOKUPS, 0, changed(max_links=2).measure())
    meter.feed(entries_of(log))
    refused = [msgspec.json.decode(letter.value)["occurred_at_ms"] for letter in meter.dead_letters]
    assert {letter.reason for letter in meter.dead_letters} <= {"too_many_links"}
    assert all(at_ms > CHANGE_MS for at_ms in refused)
    assert by_watermark({0: meter.measurements})[-1].settings == Settings(max_links=2).digest
