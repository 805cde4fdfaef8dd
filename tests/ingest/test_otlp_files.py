"""Files of spans, in each form in which they are written, give the same outages as the calls themselves."""

import gzip
import json

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from spans import CLIENT, as_json, as_protobuf, span
from typer.testing import CliRunner

from streams.cli import app
from streams.ingest.otlp.files import exports
from streams.intake.errors import IntakeError
from streams.logs.read import read_log

DOWN = {name: CLIENT[name] for name in ("http.request.method", "server.address")} | {
    "error.type": "ETIMEDOUT"
}


def day():
    """Return exports of twenty minutes of calls, five minutes of them time-outs, in batches of ten."""
    calls = [span(n, DOWN if 600 <= n < 900 else CLIENT) for n in range(1, 1_201)]
    return [calls[at : at + 10] for at in range(0, len(calls), 10)]


def whole():
    """Return the same calls in one batch."""
    return [call for batch in day() for call in batch]


def framed(parts):
    """Return exports as the file exporter writes protobuf."""
    return b"".join(len(part).to_bytes(4) + part for part in parts)


FORMS = {
    "lines of JSON": lambda: b"\n".join(map(as_json, day())) + b"\n",
    "lines of JSON, gzip": lambda: gzip.compress(b"\n".join(map(as_json, day()))),
    "frames": lambda: framed(map(as_protobuf, day())),
    "frames, each Zstandard": lambda: framed(zstandard.compress(as_protobuf(one)) for one in day()),
    "frames, all Zstandard": lambda: zstandard.compress(framed(map(as_protobuf, day()))),
    "one export": lambda: as_protobuf(whole()),
    "one JSON over many lines": lambda: json.dumps(json.loads(as_json(whole())), indent=1).encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_file_in_any_form_gives_the_outage(form, tmp_path):
    """Whatever form a file of spans has, its log has the outage that the calls had, to the second."""
    path, log = tmp_path / "spans", tmp_path / "log.ndjson"
    path.write_bytes(FORMS[form]())
    ended = CliRunner().invoke(app, ["ingest", "otlp", str(path), "--out", str(log), "--json"])
    assert ended.exit_code == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["spans"], told["lookups"], told["events"]) == (1_200, 1_200, 2_400)
    assert told["outcomes"] == {"ok": 900, "timeout": 300}
    times = [(record.partition, record.logged_at_ms) for record in read_log(log)]
    assert times == sorted(times, key=lambda time: time[1])
    found = CliRunner().invoke(app, ["analyze", str(log)])
    (outage,) = map(json.loads, found.stdout.splitlines())
    assert (outage["link"], outage["kind"]) == ("portal > npd.example", "down")
    assert (outage["start_ms"], outage["end_ms"]) == (1_750_032_600_000, 1_750_032_900_000)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "there is no export of spans in it"),
        (b"hello\n", "there is no export of spans in it"),
        (framed([as_protobuf([span(1)])])[:-1], "export 1: cut off"),
        (b"\0\0\0", "export 1: impossible length"),
        (gzip.compress(framed([as_protobuf([span(1)])]))[:-12], "cut off"),
    ],
)
def test_what_is_no_file_of_spans_is_refused(content, told, tmp_path):
    """A file without spans, or one that is cut off: exit 2 and the reason; nothing is written."""
    path, log = tmp_path / "spans", tmp_path / "log.ndjson"
    path.write_bytes(content)
    ended = CliRunner().invoke(app, ["ingest", "otlp", str(path), "--out", str(log)])
    assert ended.exit_code == 2
    assert told in ended.stderr
    assert not log.exists()


def test_a_bad_line_is_named_and_costs_itself(tmp_path):
    """A line that is no export is named with its number, and the others are used."""
    path, log = tmp_path / "spans.json", tmp_path / "log.ndjson"
    path.write_bytes(b"\n".join([as_json([span(1)]), b'{"resourceSpans": 1}', as_json([span(2)])]))
    ended = CliRunner().invoke(app, ["ingest", "otlp", str(path), "--out", str(log)])
    assert ended.exit_code == 0
    assert "line 2, record 2: no export of spans: Expected `array`" in ended.stderr


@given(st.binary(max_size=200), st.integers(1, 50))
def test_pieces_are_the_same_however_the_bytes_come(content, size):
    """What a file holds does not depend on how its bytes are cut, and any bytes give pieces or a reason."""

    def read(chunks):
        found = []
        try:
            for piece in exports(iter(chunks), lambda data: data):
                found.append(piece)  # noqa: PERF402 - what came before a fault counts
        except IntakeError as error:
            return found, error.reason
        return found, None

    assert read([content]) == read([content[at : at + size] for at in range(0, len(content), size)])
