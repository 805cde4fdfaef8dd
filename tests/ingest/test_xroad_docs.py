"""What docs/xroad.md says is read or refused, line by line: a line without a test here fails."""

import csv
import gzip
import io
import json
import re
from pathlib import Path

import pytest
from foreign_files import ARRANGEMENTS, FAULT, PACKINGS, lines
from typer.testing import CliRunner
from xroad_samples import T0, client, network_error, parsed, producer

from streams.cli import app
from streams.cli.events.rejects import MAX_KEPT
from streams.ingest.xroad import calls
from streams.ingest.xroad.events import closing_ms_after
from streams.intake import parts, split, unpack
from streams.logs.read import read_log
from streams.model.settings import MeasureSettings

DOCS = (Path(__file__).parents[2] / "docs" / "xroad.md").read_text("utf-8")
CALLS = [client(T0, "a1"), producer(T0, "a1"), client(T0 + 1000, "a2"), network_error(T0 + 2000, "a3")]
COUNTS = {"records": 4, "pairs": 1, "singles": 2, "duplicates": 0, "rejected": 0}
CONTENT = lines(CALLS).encode()


def run(*arguments, stdin=None):
    """Run `portallink ingest xroad` and return its result."""
    return CliRunner().invoke(app, ["ingest", "xroad", *map(str, arguments)], input=stdin)


def imported(tmp_path, content, *options):
    """Import some bytes; return the figures and the log's records."""
    (tmp_path / "in").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run(tmp_path / "in", "--out", tmp_path / "log.ndjson", "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), list(read_log(tmp_path / "log.ndjson"))


def refused(tmp_path, content):
    """Return why some bytes are refused; nothing is left of a log."""
    (tmp_path / "in").write_bytes(content if isinstance(content, bytes) else content.encode())
    result = run(tmp_path / "in", "--out", tmp_path / "log.ndjson")
    assert result.exit_code == 2, result.output
    assert list(tmp_path.glob("log.ndjson*")) == []
    return result.stderr


def snake(record):
    """Return a record under the names of the database's columns."""
    names = {"clientXRoadInstance": "client_xroad_instance", "serviceXRoadInstance": "service_xroad_instance"}
    return {names.get(n) or re.sub("([A-Z])", r"_\1", n).lower(): value for n, value in record.items()}


def table(separator, names=snake):
    """Return the records as CSV."""
    rows = [names(record) for record in CALLS]
    file = io.StringIO()
    header = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(file, header, delimiter=separator, lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def bson(record):
    """Return a record in MongoDB's canonical extended JSON."""
    numbers = {
        name: {"$numberLong" if value > 2**31 else "$numberInt": str(value)}
        for name, value in record.items()
        if type(value) is int
    }
    return {"_id": {"$oid": "0" * 24}, **record, **numbers}


def both_sides(numbers=lambda record: record):
    """Return the collector's documents: both sides of a call, a side that saw nothing null."""
    return [
        {
            "xRequestId": "a1",
            "client": numbers(CALLS[0]),
            "producer": numbers(CALLS[1]),
            "totalDuration": 160,
        },
        {"xRequestId": "a2", "client": numbers(CALLS[2]), "producer": None},
        {"xRequestId": "a3", "client": numbers(CALLS[3]), "producer": None},
    ]


def texts(record):
    """Return a record with its values as text, and words for nothing."""
    said = {name: f"{value}.0" if type(value) is int else value for name, value in record.items()}
    return said | {"succeeded": "t" if record["succeeded"] else "f", "soapFaultCode": "None", "x": "\\N"}


def wrapped(name, as_text=False):
    """Return the records wrapped in something, as objects or as their text."""
    return lines([{"n": 1, name: json.dumps(r) if as_text else r} for r in CALLS])


READ = {
    "compression": [PACKINGS[name] for name in PACKINGS if "UTF" not in name],
    "archives": [PACKINGS["tar, gzip"], PACKINGS["zip"]],
    "answers": [PACKINGS[name] for name in PACKINGS if "answer" in name],
    "text": [PACKINGS[name] for name in PACKINGS if "UTF" in name],
    "JSON": [lambda _, how=how: how(CALLS) for how in ARRANGEMENTS.values()],
    "tables": [lambda _, how=how: table(how) for how in ",;\t|"]
    + [lambda _: table(",", dict), lambda _: table(";").encode("utf-16-le")],
    "Elasticsearch": [
        lambda _: json.dumps({"took": 1, "hits": {"total": 4, "hits": [{"_source": r} for r in CALLS]}}),
        lambda _: lines([{"_index": "x", "_source": record} for record in CALLS]),
        lambda _: lines([item for record in CALLS for item in ({"index": {"_index": "x"}}, record)]),
    ],
    "MongoDB": [
        lambda _: lines(map(bson, CALLS)),
        lambda _: json.dumps(list(map(bson, CALLS)), indent=2),
        lambda _: lines(both_sides()),
        lambda _: lines(both_sides(bson)),
    ],
    "databases": [
        lambda _: lines(map(snake, CALLS)),
        lambda _: lines([{"row_to_json": snake(record)} for record in CALLS]),
        lambda _: json.dumps([{"json_agg": list(map(snake, CALLS))}]),
        lambda _: json.dumps({"json_agg": list(map(snake, CALLS))}),
    ],
    "queues": [
        lambda _, n=name, t=as_text: wrapped(n, t)
        for name in ("payload", "value", "message")
        for as_text in (False, True)
    ],
    "field names": [
        lambda _: lines([{name.lower(): value for name, value in record.items()} for record in CALLS]),
        lambda _: lines(
            [{("soap" + n[0].upper() + n[1:] if "fault" in n else n): v for n, v in r.items()} for r in CALLS]
        ),
    ],
    "values": [lambda _: lines(map(texts, CALLS))],
}


def test_every_line_of_the_table_is_tested():
    """The table of what is read has the lines that are tested here, and no other."""
    told = DOCS.split("## What is read")[1].split("## What is refused")[0]
    assert re.findall(r"^\| ([\w ]+) \|", told, re.MULTILINE) == ["layer", *READ]


@pytest.mark.parametrize("line", READ)
def test_what_is_said_to_be_read_is_read(tmp_path, line):
    """Each shape of a line gives the same log as the records one a line."""
    _, reference = imported(tmp_path, CONTENT)
    for how in READ[line]:
        figures, log = imported(tmp_path, how(CONTENT))
        assert {name: figures[name] for name in COUNTS} == COUNTS
        assert log == reference


DAY = {
    "requestInDate": "2025-06-16",
    "requestInTs": 1_750_032_000_000,
    "totalDuration": 160,
    "succeeded": True,
}
REFUSED = [
    (CONTENT[:-5], "line 4: cut off in the middle of a record"),
    (gzip.compress(CONTENT, mtime=0)[:-5], "cut off in the middle of its gzip stream"),
    (json.dumps(CALLS)[:-1], "cut off: an array is not closed"),
    (table(",")[:-2], "cut off in the middle of a row"),
    (b"\x1f\x8b\x08\x00" + bytes(40), "its gzip stream is damaged"),
    (gzip.compress(bytes(80 << 20), 9, mtime=0), "a decompression bomb"),
    (b"", r'it is empty; an answer without records is [] or {"records": []}'),
    (b" \n", "it is empty"),
    (
        lines(CALLS[:1]) + '{"requestInTs": 1}\n' * 2,
        "only 1 of 3 can be used: requestInTs is outside the years",
    ),
    (FAULT, "Server.ServerProxy.AccessDenied"),
    (b"<html>Log in</html>", "an HTML page"),
    (b"PAR1", "duckdb -c"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "save the sheet as CSV"),
    (b"7z\xbc\xaf\x27\x1c", "7z x FILE"),
    (lines([DAY] * 3), "open data, whose times are rounded to the hour"),
]


@pytest.mark.parametrize(("content", "reason"), REFUSED)
def test_what_is_said_to_be_refused_is_refused(tmp_path, content, reason):
    """Each case of the list ends with exit code 2, the file's name, the reason, and no log."""
    said = refused(tmp_path, content)
    assert reason in said
    assert f"error: {tmp_path / 'in'}: " in said


@pytest.mark.parametrize("content", ["[]", '{"records": []}', "[]\n", '{"hits": {"hits": []}}'])
def test_an_answer_without_records_is_an_answer(tmp_path, content):
    """Nothing happened is something that can be said, and gives an empty log."""
    figures, log = imported(tmp_path, content)
    assert (figures["records"], log) == (0, [])


BAD = [
    ('{"requestInTs": NaN}', "not a JSON object: invalid character"),
    ('{"requestInTs": 1 2}', "not a JSON object: its brackets"),
    ('{"a": "' + "x" * (1 << 20) + '"}', "longer than 1 MiB"),
    ('{"a": ' * 70 + "1" + "}" * 70, "nested deeper than 64 brackets"),
    ('{"temperature": 21}', "it has none of the fields"),
    (json.dumps(client(responseOutTs=None, responseInTs=None)), "responseOutTs is missing"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD)
def test_a_single_bad_record_is_named_and_the_others_are_used(tmp_path, bad, reason):
    """It is named by file, line and reason, in figures and file of rejects; the rest is the same log."""
    _, reference = imported(tmp_path, CONTENT)
    content = "\n".join([*lines(CALLS[:2]).splitlines(), bad, *lines(CALLS[2:]).splitlines()])
    figures, log = imported(tmp_path, content)
    assert log == reference
    [reject] = figures["rejects"]
    assert (reject["file"], reject["line"], reject["record"]) == (str(tmp_path / "in"), 3, 3)
    assert reject["reason"].startswith(reason)
    assert list(figures["reasons"].values()) == [1]
    imported(tmp_path, content, "--rejects", tmp_path / "rejects.ndjson")
    assert json.loads((tmp_path / "rejects.ndjson").read_text()) == reject


@pytest.mark.parametrize("text", [b"\xf5", b"caf\xe9", b"\\ud83d", b"\\udc00\\ud800", b"\\\\\\ud83d"])
@pytest.mark.parametrize("field", ["faultString", "messageIssue", "securityServerInternalIp"])
def test_text_that_is_none_does_not_cost_the_record(tmp_path, text, field):
    """A record with invalid UTF-8 or half a surrogate pair in any field still counts."""
    bad = network_error(T0 + 2000, "a3") | {field: "HERE"}
    content = lines([*CALLS[:3], bad]).encode().replace(b"HERE", text)
    figures, _ = imported(tmp_path, content)
    assert {name: figures[name] for name in COUNTS} == COUNTS
    assert figures["outcomes"] == {"ok": 2, "unreachable": 1}


def test_an_id_that_comes_twice_is_two_calls_and_said(tmp_path):
    """One request id on two calls: both count, both sides of each are paired, and the import says so."""
    again = [client(T0 + 86_400_000, "a1"), producer(T0 + 86_400_000, "a1")]
    figures, log = imported(tmp_path, lines(CALLS[:2] + again))
    assert (figures["pairs"], figures["duplicates"], figures["request_ids_reused"]) == (2, 0, 1)
    events = [json.loads(record.value) for record in log]
    assert {e["lookup_id"] for e in events if "lookup_id" in e} == {f"a1@{T0}", f"a1@{T0 + 86_400_000}"}
    assert (
        "request ids that stand for more than one call: 1;"
        in run(tmp_path / "in", "--out", tmp_path / "l").stderr
    )
    other = client(T0 + 10, "a1", serviceCode="other")
    figures, _ = imported(tmp_path, lines([*CALLS[:2], other]))
    assert (figures["pairs"], figures["singles"], figures["duplicates"]) == (1, 1, 0)


def test_one_code_in_two_instances_or_classes_is_two_members(tmp_path):
    """Instance and class stand before a code that stands for two members, and before no other."""
    laos = {"clientXRoadInstance": "LA", "clientMemberClass": "COM"}
    figures, _ = imported(tmp_path, lines([client(T0, "b1"), client(T0 + 1, "b2", **laos)]))
    assert figures["links"] == {"LA/COM/H29/portal > G01/npd": 1, "VN/GOV/H29/portal > G01/npd": 1}
    early = client(T0, "b3", clientXRoadInstance=None, clientMemberClass=None)
    figures, _ = imported(tmp_path, lines([client(T0, "b1"), early]))
    assert figures["links"] == {"H29/portal > G01/npd": 2}


def test_more_links_than_the_bound_are_said(tmp_path):
    """The import of more links than are judged says so."""
    many = [client(T0 + n, f"c{n}", clientMemberCode=f"M{n}") for n in range(1_001)]
    (tmp_path / "in").write_text(lines(many))
    result = run(tmp_path / "in", "--out", tmp_path / "log.ndjson")
    assert result.exit_code == 0
    assert "1,001 links" in result.stderr
    assert "max_links" in result.stderr
    (tmp_path / "more.toml").write_text("max_links = 2000\n")
    options = ("--settings", tmp_path / "more.toml")
    again = run(tmp_path / "in", "--out", tmp_path / "log.ndjson", "--partitions", "1", *options)
    assert (again.exit_code, "links, and" in again.stderr) == (0, False)
    judged = CliRunner().invoke(app, ["analyze", str(tmp_path / "log.ndjson"), *map(str, options)])
    assert (judged.exit_code, ", 0 dead letters" in judged.stderr) == (0, True)


def test_every_outcome_has_its_line_in_the_docs():
    """The table of outcomes names those that a record can come to, and whom each counts against."""
    told = DOCS.split("## Outcomes")[1]
    named = re.findall(r"\| `(\w+)` \| ?([\w ]*?) ?\|$", told, re.MULTILINE)
    assert {(outcome, party.removeprefix("the ")) for outcome, party in named} == {
        ("ok", ""),
        ("not_found", ""),
        ("denied", "client"),
        ("cancelled", "nobody"),
        ("throttled", "provider"),
        ("provider_error", "provider"),
        ("unreachable", "link"),
        ("reset", "link"),
        ("tls_error", "link"),
        ("timeout", "link"),
        ("protocol_error", "link"),
    }


def test_status_nought_is_no_status():
    """A network fault with status 0 is a network fault."""
    assert parsed(network_error(T0, "a") | {"statusCode": 0}).outcome() == "unreachable"


def test_the_figures_in_the_docs_are_those_in_the_code():
    """Each bound that the page gives is the bound that the code has."""
    figures = {
        "windows up to 256 MiB": unpack.MAX_WINDOW_BYTES == 256 << 20,
        "up to five layers deep": parts.MAX_LAYERS == 5,
        "more than 500 times its size and 64 MiB": (unpack.BOMB_RATIO, unpack.BOMB_FLOOR_BYTES)
        == (500, 64 << 20),
        "longer than 1 MiB": split.MAX_DOCUMENT_BYTES == 1 << 20,
        "nested deeper than 64 brackets": split.MAX_DEPTH == 64,
        "lists the first 10,000 bad records": MAX_KEPT == 10_000,
        "came within an hour": calls.SAME_ID_WINDOW_MS == 3_600_000,
        "first, within a minute": calls.PAIRING_WINDOW_MS == 60_000,
        "`max_links` (1,000": MeasureSettings().max_links == 1_000,
        "55 s past the last event": closing_ms_after(MeasureSettings()) == 55_000,
    }
    said = " ".join(DOCS.split())
    assert [figure for figure, held in figures.items() if figure not in said or not held] == []
