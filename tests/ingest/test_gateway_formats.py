"""Access logs in every form that a map can name, whole, damaged or hostile, through the command."""

import gzip
import io
import json
import subprocess
import sys
import time
import zipfile
from collections import Counter
from itertools import pairwise

import pytest
import yaml
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from streams.cli import app
from streams.ingest.gateway.formats import Format
from streams.ingest.gateway.order import TimeOrder
from streams.ingest.mapping.places import MapError
from streams.ingest.shell import mapper_of
from streams.intake.errors import CutOffError
from streams.intake.lines import Block, blocks
from streams.intake.split import MAX_DOCUMENT_BYTES, Damage
from streams.logs.read import read_log
from streams.model.events import lookup_decoder
from streams.model.located import Located
from streams.model.wire import Lookup
from streams.replay.analyze import analyze

AT_MS = 1_795_741_200_000
JSON_MAP = {
    "format": "json",
    "end": {"field": "t", "format": "epoch_ms"},
    "duration": {"field": "took", "unit": "ms"},
    "status": "status",
    "link": "{up}",
}
CALLS = [{"t": AT_MS + 1000 * n, "took": 100, "status": 200, "up": "npd", "uri": "/x"} for n in range(3)]


def run(*arguments, stdin=None):
    """Run `portallink ingest http` and return its result."""
    return CliRunner().invoke(app, ["ingest", "http", *map(str, arguments)], input=stdin)


def write_map(tmp_path, **keys):
    """Write a map, with keys put in the place of its own, and return its path."""
    path = tmp_path / "map.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in (JSON_MAP | keys).items() if v is not None}))
    return path


def imported(tmp_path, content, *options, **keys):
    """Import some bytes by a map; return the figures and the completions of the log."""
    (tmp_path / "in").write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "log.ndjson"
    result = run(tmp_path / "in", "--map", write_map(tmp_path, **keys), "--out", out, "--json", *options)
    assert result.exit_code == 0, result.output
    events = [json.loads(record.value) for record in read_log(out)]
    return json.loads(result.stdout), [e for e in events if e["type"] == "lookup.completed"]


def refused(tmp_path, content, **keys):
    """Return why some bytes are refused; nothing is left of a log."""
    (tmp_path / "in").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run(tmp_path / "in", "--map", write_map(tmp_path, **keys), "--out", tmp_path / "log.ndjson")
    assert result.exit_code == 2, result.output
    assert list(tmp_path.glob("log.ndjson*")) == []
    return result.stderr


def lines(calls=CALLS):
    """Return calls as NDJSON."""
    return "".join(json.dumps(call) + "\n" for call in calls)


def rows(separator, end="\n"):
    """Return calls as rows of values."""
    return "".join(separator.join(map(str, call.values())) + end for call in CALLS)


COLUMNS = {"format": "columns", "columns": ["t", "took", "status", "up", "-"]}
FORMS = {
    "lines": (lines(), {}),
    "lines, CRLF and blank ones": (lines().replace("\n", "\r\n\r\n"), {}),
    "no break at the end": (lines().rstrip(), {}),
    "byte order mark": (b"\xef\xbb\xbf" + lines().encode(), {}),
    "record separators": (lines().replace("{", "\x1e{"), {}),
    "array": (json.dumps(CALLS), {}),
    "array over lines": (json.dumps(CALLS, indent=2), {}),
    "objects over lines": ("\n".join(json.dumps(call, indent=1) for call in CALLS), {}),
    "an answer": (json.dumps({"took": 3, "hits": {"total": 3, "hits": CALLS}}), {}),
    "joined on one line": (lines().replace("\n", ""), {}),
    "two on one line of many": (lines(CALLS[:1]) + lines(CALLS[1:]).replace("\n", " "), {}),
    "names within objects": (
        lines([{"t": c["t"], "r": {"took": c["took"], "s": {"code": 200}}, "up": "npd"} for c in CALLS]),
        {"duration": {"field": "r.took", "unit": "ms"}, "status": "r.s.code"},
    ),
    "names with dots in them": (
        lines([{"t": c["t"], "r.took": c["took"], "r.s.code": 200, "up": "npd"} for c in CALLS]),
        {"duration": {"field": "r.took", "unit": "ms"}, "status": "r.s.code"},
    ),
    "both a value and an object": (
        lines([{"t": c["t"], "took": 100, "status": {"code": 200}, "up": "npd"} for c in CALLS]),
        {"status": ["status.code", "status"]},
    ),
    "prefix": (
        "".join(f"Nov 27 gw {{x}} acc: {line}\n" for line in lines().splitlines()),
        {"prefix": "acc:"},
    ),
    "prefix with a field": (
        "".join(f"gw [npd] {line}\n" for line in lines().splitlines()),
        {"prefix": r"\[(?P<cluster>\w+)\]", "link": "{cluster}"},
    ),
    "columns": (rows(" "), COLUMNS),
    "columns, quoted": (rows('" "').replace("17957", '"17957').replace("/x", '/x"'), COLUMNS),
    "columns, separated": (rows("|"), COLUMNS | {"separator": "|"}),
    "columns, tabs": (rows("\t", "\r\n"), COLUMNS | {"separator": "\t"}),
    "regex": (
        rows(" "),
        {"format": "regex", "pattern": r"(?P<t>\d+) (?P<took>\d+) (?P<status>\d+) (?P<up>\w+)"},
    ),
    "CSV": ("t,took,status,up,uri\n" + rows(","), {"format": "csv"}),
    "CSV, semicolons": ("t;took;status;up;uri\r\n" + rows(";", "\r\n"), {"format": "csv"}),
    "CSV without a header": (rows(","), {"format": "csv", "columns": ["t", "took", "status", "up", "uri"]}),
    "UTF-16": (lines().encode("utf-16"), {}),
    "gzip": (gzip.compress(lines().encode()), {}),
    "zstd": (zstandard.compress(lines().encode()), {}),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_calls(tmp_path, form):
    """However the three calls are written down, they are the same calls."""
    content, keys = FORMS[form]
    figures, done = imported(tmp_path, content, **keys)
    assert (figures["lines"], figures["calls"], figures["rejected"]) == (3, 3, 0)
    assert [event["occurred_at_ms"] for event in done] == [call["t"] for call in CALLS]
    assert {(event["link"], event["outcome"], event["status_code"]) for event in done} == {("npd", "ok", 200)}


def test_an_archive_of_rotated_files_is_read(tmp_path):
    """A zip of files is read member by member, and a rejected line is named by its member."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("access.log.1", lines(CALLS[:2]))
        archive.writestr("access.log", lines(CALLS[2:]) + "{}\n")
    figures, done = imported(tmp_path, packed.getvalue())
    assert len(done) == 3
    assert figures["rejects"][0]["file"].endswith("in!access.log")


DAMAGED = {
    "not JSON": ("{nonsense\n", {}, "not a JSON object"),
    "a text": ("hello\n", {}, "not a JSON object"),
    "cut off": ('{"t": 1, "to', {}, "not a JSON object"),
    "too long": ('{"t": "' + "x" * MAX_DOCUMENT_BYTES + '"}\n', {}, "longer than 1 MiB"),
    "too deep": ("[" * 200_000 + "\n", {}, "not a JSON object"),
    "nested deep in a field": ('{"t": ' + '{"a":' * 3_000 + "1" + "}" * 3_000 + "}\n", {}, "nested|`end`"),
    "no time": ('{"took": 1, "status": 200, "up": "npd"}\n', {}, "`end` has no value"),
    "no status": ('{"t": 1795741200000, "up": "npd"}\n', {}, "no status"),
    "too few columns": ("1795741200000 100\n", COLUMNS, "fewer columns"),
    "half a last line": ("1795741200000 100 20", COLUMNS, "cut off: the last line"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_line_costs_itself_alone(tmp_path, kind):
    """One bad line among good ones is named by line and reason, and the others are used."""
    content, keys, reason = DAMAGED[kind]
    good = rows(" ") if keys else lines()
    figures, done = imported(tmp_path, good + content, **keys)
    assert len(done) == 3
    assert (figures["calls"], figures["rejected"]) == (3, 1)
    [reject] = figures["rejects"]
    assert reject["line"] == 4
    assert any(one in reject["reason"] for one in reason.split("|"))
    assert "17957" not in reject["reason"]


def test_bad_text_does_not_cost_the_line(tmp_path):
    """A line with invalid UTF-8, or half of a surrogate pair, is used."""
    bad = lines().encode().replace(b'"/x"', b'"/\xff\xfe"').replace(b"npd", b"npd\\ud800")
    figures, done = imported(tmp_path, bad)
    assert figures["rejected"] == 0
    assert len(done) == 3


WORTHLESS = {
    "nothing": ("", "there is nothing in it"),
    "other fields": ('{"a": 1}\n' * 5, "`link` is empty: no value in up"),
    "more bad than good": (lines() + "x\n" * 4, "only 3 of 7 can be used: not a JSON object"),
    "HTML": ("<html><body>log in</body></html>", "HTML page"),
    "an array cut off": (json.dumps(CALLS)[:-5], "cut off"),
    "gzip cut off": (gzip.compress(lines().encode())[:-9], "cut off"),
    "a bomb": (gzip.compress(b"0" * 300_000_000, 9), "decompression bomb"),
}


@pytest.mark.parametrize("kind", WORTHLESS)
def test_a_file_of_little_use_is_refused(tmp_path, kind):
    """Where nothing, or less than half, could be used, the command ends with 2, a reason and no log."""
    content, reason = WORTHLESS[kind]
    assert reason in refused(tmp_path, content)


WRONG_MAPS = [
    ({"format": None}, "no map of a log's lines"),
    ({"columns": ["a"]}, "`columns` belongs to the format columns or csv"),
    ({"format": "regex"}, "needs a `pattern`"),
    ({"format": "columns"}, "needs `columns`"),
    ({"format": "columns", "columns": ["t", "took"]}, "`status` is none of the fields that `columns` gives"),
    ({"format": "regex", "pattern": "(?P<t>.)"}, "`took` is none of the fields that `pattern` gives: t"),
    ({"format": "regex", "pattern": "(?P<t>."}, "no regular expression"),
    ({"link": "{uri}"}, "may hold a path"),
]


@pytest.mark.parametrize(("keys", "reason"), WRONG_MAPS)
def test_a_map_that_cannot_read_lines_is_refused_before_anything_is_read(tmp_path, keys, reason):
    """A map whose keys do not fit its format ends the command with 2 and a reason."""
    assert reason in refused(tmp_path, lines(), **keys)


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


@given(
    texts=st.lists(st.binary(max_size=30).map(lambda text: text.replace(b"\n", b"")), max_size=20),
    cuts=st.lists(st.integers(0, 700), max_size=10),
    whole=st.booleans(),
)
def test_blocks_are_the_lines_of_a_text_however_it_is_cut(texts, cuts, whole):
    """The lines of all blocks, with their numbers, are those of the text, wherever its pieces end."""
    text = b"\n".join(texts) + (b"\n" if texts and whole else b"")
    text = text.removeprefix(b"\xef\xbb\xbf")
    places = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    found = {
        number: line
        for block in blocks(pieces)
        for number, line in enumerate(block.data.removesuffix(b"\n").split(b"\n"), start=block.line)
    }
    expected = text.removesuffix(b"\n").split(b"\n") if text else []
    assert found == dict(enumerate(expected, start=1))


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


def test_a_map_for_spans_reads_no_lines():
    """A map without a format is refused as one of lines."""
    said = {key: value for key, value in JSON_MAP.items() if key != "format"}
    mapper = mapper_of(Located(yaml.safe_dump(said), "map.yaml"))
    with pytest.raises(MapError, match="no map of a log's lines"):
        Format(mapper.said, mapper.fields)


@pytest.mark.slow
def test_a_million_lines_of_garbage_are_refused_in_bounded_memory(tmp_path):
    """A million lines that are none end the command with one reason, and memory stays as it was."""
    with (tmp_path / "in").open("wb") as file:
        for number in range(1_000):
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
