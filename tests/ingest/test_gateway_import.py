"""What `ingest http` makes of whole files: counts, order, ids, submissions; and hostile ones."""

import gzip
import json
import subprocess
import sys
import time
from collections import Counter

import pytest
import yaml
from gateway_maps import AT_MS, CALLS, COLUMNS, JSON_MAP, imported, lines, run, write_map
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.ingest.gateway.formats import Format
from streams.ingest.gateway.order import TimeOrder
from streams.ingest.shell import mapper_of
from streams.intake.errors import CutOffError
from streams.intake.lines import Block, blocks
from streams.intake.split import Damage
from streams.model.events import lookup_decoder
from streams.model.located import Located
from streams.model.wire import Lookup
from streams.replay.analyze import analyze


def test_check_shows_events_outcomes_and_what_the_map_misses(tmp_path):
    """`--check` writes nothing and shows ten events, counts, values without a rule, and fields never seen."""
    calls = [call | {"status": 418 if n else 502, "flags": "XX"} for n, call in enumerate(CALLS * 3)]
    (tmp_path / "in").write_text(lines(calls))
    rules = [{"when": {"status": 502}, "is": "unreachable"}, {"when": {"flag": "UT"}, "is": "timeout"}]
    named = write_map(tmp_path, outcome=rules)
    shown = run(tmp_path / "in", "--map", named, "--check")
    assert shown.exit_code == 0, shown.output
    events = [line for line in shown.stdout.splitlines() if line.startswith("{")]
    assert len(events) == 10
    assert all(lookup_decoder.decode(line) for line in events)
    assert "denied 8" in shown.stdout
    assert "status=418 flag=- 8" in shown.stdout
    assert "no line has: flag" in shown.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "map.yaml"]
    figures = json.loads(run(tmp_path / "in", "--map", named, "--check", "--json").stdout)
    assert (figures["never_seen"], figures["outcomes"]) == (["flag"], {"denied": 8, "unreachable": 1})
    assert len(figures["first_events"]) == 10
    assert run(tmp_path / "in", "--map", named, "--check", "--out", tmp_path / "x").exit_code == 2


def test_files_in_any_order_become_one_log(tmp_path):
    """Rotated files and those of two gateways, given in any order, give one log in event time."""
    calls = [CALLS[0] | {"t": AT_MS + 500 * n, "up": f"npd{n % 2}"} for n in range(2_000)]
    parts = {"b.log": calls[1000::2], "a.log": calls[:1000:2], "c.log.gz": calls[1::2]}
    for name, part in parts.items():
        content = lines(part).encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    logs = []
    for names in (sorted(parts), sorted(parts, reverse=True)):
        out = tmp_path / "log.ndjson"
        result = run(
            *(tmp_path / name for name in names), "--map", write_map(tmp_path), "--out", out, "--json"
        )
        assert (json.loads(result.stdout)["calls"], json.loads(result.stdout)["late"]) == (2_000, 0)
        logs.append(out.read_bytes())
    assert logs[0] == logs[1]
    times = [json.loads(line)["logged_at_ms"] for line in logs[0].splitlines()]
    assert times == sorted(times)


def test_the_same_lines_have_the_same_ids_in_every_packing(tmp_path):
    """A log and its rotated, packed copy give the same event ids, and lines that are alike are two calls."""
    content = lines([*CALLS, CALLS[2]]).encode()
    ids = []
    for packed in (content, gzip.compress(content), content.replace(b"\n", b"\r\n")):
        _, done = imported(tmp_path, packed)
        ids.append([event["event_id"] for event in done])
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids[0])) == 4


def test_a_line_that_stands_there_twice_is_read_twice(tmp_path):
    """Two lines of one call, by its id and times, give the same events twice, which count once."""
    calls = [call | {"id": f"r{n}"} for n, call in enumerate(CALLS)]
    figures, done = imported(tmp_path, lines(calls + calls), id="{id}")
    assert figures["calls"] == 6
    assert len({event["event_id"] for event in done}) == 3
    assert analyze(tmp_path / "log.ndjson", beside=False).records.duplicate == 6


def test_calls_longer_than_the_settings_time_out_are_said(tmp_path):
    """Where calls took longer than measure waits, the command says what to set."""
    (tmp_path / "in").write_text(lines([CALLS[0] | {"took": 45_000}]))
    result = run(tmp_path / "in", "--map", write_map(tmp_path), "--out", tmp_path / "log.ndjson")
    assert "lookup_timeout_ms = 60000" in result.stderr
    (tmp_path / "settings.toml").write_text("lookup_timeout_ms = 60000\n")
    settings_file = tmp_path / "settings.toml"
    result = run(
        tmp_path / "in",
        "--map",
        write_map(tmp_path),
        "--out",
        tmp_path / "l.ndjson",
        "--settings",
        settings_file,
    )
    assert "warning" not in result.stderr


def test_a_line_that_never_ends_is_dropped_in_bounded_memory():
    """Of a line of 100 MB nothing is kept, and the lines around it come."""
    pieces = [b"a\n", *[b"x" * 1_000_000] * 100, b"\nb\n"]
    found = list(blocks(pieces))
    assert found == [Block(1, b"a\n"), Damage(2, "longer than 1 MiB"), Block(3, b"b\n")]
    assert isinstance(next(blocks([b"x" * 3_000_000])), Damage)
    mixed = list(blocks([b"a\n" + b"x" * 2_000_000 + b"\nb\n"]))
    assert [entry.line for entry in mixed] == [1, 2, 3]


@given(st.lists(st.tuples(st.integers(0, 100_000), st.integers(0, 9_000)), max_size=60), st.integers(0, 12))
def test_events_come_back_in_the_order_of_time(calls, disorder_s):
    """Calls logged when they end come back whole, and in the order of their times."""
    order = TimeOrder(10_000 + disorder_s * 1_000)
    calls = sorted((start + took, start, number) for number, (start, took) in enumerate(calls))
    given_back = []
    for end, start, number in calls:
        about = (f"l{number}", "d", "npd", "a", "s", 1, "portal")
        order.add(
            [
                Lookup(f"{number}-r", "lookup.requested", start, *about),
                Lookup(f"{number}-c", "lookup.completed", end, *about, "ok"),
            ]
        )
        if order.is_due:
            given_back += order.due()
    given_back += order.until(None)
    assert len(given_back) == 2 * len(calls)
    assert order.late == 0
    times = [entry[0] for entry in given_back]
    assert times == sorted(times)


@settings(max_examples=200)
@given(st.binary(max_size=400), st.sampled_from(["json", "columns", "regex", "csv", "prefix"]))
def test_garbage_is_rejected_and_never_raises(garbage, form):
    """Whatever a log holds, each line of it is values or damage with its line."""
    said = (
        JSON_MAP
        | {
            "json": {},
            "prefix": {"prefix": "acc:"},
            "csv": {"format": "csv"},
            "regex": {"format": "regex", "pattern": "(?P<t>.)(?P<took>.)(?P<status>.)(?P<up>.*)"},
            "columns": COLUMNS,
        }[form]
    )
    mapper = mapper_of(Located(yaml.safe_dump(said), "map.yaml"))
    good = lines().encode() if form != "prefix" else b"acc: " + lines().encode()
    try:
        found = list(Format(said=mapper.said, fields=mapper.fields).read([good, garbage, b"\n", good]))
    except CutOffError:
        found = []
    assert all(entry[0] >= 1 for entry in found)


@pytest.mark.parametrize("token", ['"a b" ', "[a b] ", '"a b', "a, ", "a : ", '\\" "', "[[a ] "])
def test_no_line_takes_long_to_be_refused(token):
    """A line made to be read in many ways is read in one, and refused at once."""
    columns = {"format": "columns", "columns": ["t", *["-"] * 60, "took", "status", "up"]}
    mapper = mapper_of(Located(yaml.safe_dump(JSON_MAP | columns), "map.yaml"))
    form = Format(mapper.said, mapper.fields)
    begun = time.process_time()
    list(form.read([(token * 40 + "\n").encode(), (token * 20_000 + "\n").encode()]))
    assert time.process_time() - begun < 5


@pytest.mark.slow
def test_heaps_of_garbage_are_refused_in_bounded_memory(tmp_path):
    """A quarter of a million lines that are none end the command with one reason, in bounded memory."""
    with (tmp_path / "in").open("wb") as file:
        for number in range(250):
            file.write(b"%d \x00\xff garbage {[ \n" % number * 1_000)
    program = (
        "import resource, sys\n"
        "from streams.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (400_000_000, 400_000_000))\n"
        f"sys.argv = ['portallink', 'ingest', 'http', {str(tmp_path / 'in')!r}, '--map', "
        f"{str(write_map(tmp_path))!r}, '--out', {str(tmp_path / 'log.ndjson')!r}]\n"
        "main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 2, ended.stderr
    assert "none of its records can be used: not a JSON object" in ended.stderr


def test_submissions_and_lookups_come_of_one_log(tmp_path):
    """A portal's own log gives its dossiers' submissions and its lookups, each on its topic."""
    calls = [
        {"t": AT_MS + 1000 * n, "took": 100, "status": 201 if n % 4 else 503, "uri": uri, "d": f"H29-{n}"}
        for n, uri in enumerate(["/nop-ho-so/khai-sinh?cccd=079090001234", "/tra-cuu", "/trang-chu"] * 20)
    ]
    submissions = {
        "when": [{"uri": {"match": "^/nop-ho-so/"}}],
        "portal": "dichvucong",
        "dossier": "{d}",
        "service": {"from": "{uri}", "patterns": [{"match": "sinh", "name": "birth"}], "otherwise": "-"},
        "blocked_by": "npd",
    }
    skip = [{"uri": "/trang-chu"}]
    (tmp_path / "in").write_text(lines(calls))
    out = tmp_path / "log.ndjson"
    named = write_map(tmp_path, link="npd", submissions=submissions, skip=skip)
    result = run(tmp_path / "in", "--map", named, "--out", out, "--json")
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert (figures["calls"], figures["skipped"]) == (40, 20)
    assert figures["submissions"] == {"received": 20, "accepted": 15, "failed": 5}
    assert sum(figures["outcomes"].values()) == 20
    assert "079090001234" not in out.read_text()
    analysis = analyze(out, beside=False)
    assert analysis.records.dead_letter == analysis.records.late == 0
    portals = [p for m in analysis.measurements for p in m.portals]
    kinds = Counter(kind for p in portals for slot in p.slots for kind in slot.types)
    assert set(kinds) == {"received", "accepted", "failed"}
    assert {p.portal for p in portals} == {"dichvucong"}
