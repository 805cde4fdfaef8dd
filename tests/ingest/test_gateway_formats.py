"""Access logs in every form that a map can name, whole or damaged, through the command."""

import gzip
import io
import json
import zipfile
from itertools import pairwise

import pytest
import yaml
import zstandard
from gateway_maps import CALLS, COLUMNS, JSON_MAP, imported, lines, refused, rows
from hypothesis import given
from hypothesis import strategies as st

from streams.ingest.gateway.formats import Format
from streams.ingest.mapping.places import MapError
from streams.ingest.shell import mapper_of
from streams.intake.lines import blocks
from streams.intake.split import MAX_DOCUMENT_BYTES
from streams.model.located import Located

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
    "columns, date and time apart, comments between": (
        "#Fields: date time\n"
        + "".join(f"2026-11-27 01:00:0{n} 100 200 npd\n#Date: 2026-11-27\n" for n in range(3)),
        {
            "format": "columns",
            "columns": ["date", "time", "took", "status", "up"],
            "comment": "#",
            "end": {"field": "{date} {time}", "zone": "UTC"},
        },
    ),
    "regex, comments between": (
        "; of the gateway\n" + rows(" "),
        {
            "format": "regex",
            "pattern": r"(?P<t>\d+) (?P<took>\d+) (?P<status>\d+) (?P<up>\w+)",
            "comment": ";",
        },
    ),
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
    "nothing": ("", "it is empty"),
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
    ({"format": None}, "not one for a log's lines"),
    ({"columns": ["a"]}, "`columns` belongs to the format columns or csv"),
    ({"format": "regex"}, "needs a `pattern`"),
    ({"format": "columns"}, "needs `columns`"),
    ({"format": "columns", "columns": ["t", "took"]}, "`status` is not one of the fields from `columns`"),
    ({"format": "regex", "pattern": "(?P<t>.)"}, "`took` is not one of the fields from `pattern`: t"),
    ({"format": "regex", "pattern": "(?P<t>."}, "not a valid regular expression"),
    ({"link": "{uri}"}, "may hold a path"),
]


@pytest.mark.parametrize(("keys", "reason"), WRONG_MAPS)
def test_a_map_that_cannot_read_lines_is_refused_before_anything_is_read(tmp_path, keys, reason):
    """A map whose keys do not fit its format ends the command with 2 and a reason."""
    assert reason in refused(tmp_path, lines(), **keys)


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


def test_a_map_for_spans_reads_no_lines():
    """A map without a format is refused as one of lines."""
    said = {key: value for key, value in JSON_MAP.items() if key != "format"}
    mapper = mapper_of(Located(yaml.safe_dump(said), "map.yaml"))
    with pytest.raises(MapError, match="not one for a log's lines"):
        Format(mapper.said, mapper.fields)
