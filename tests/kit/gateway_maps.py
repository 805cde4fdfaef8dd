"""A map of a made-up gateway, its calls in several forms, and what imports them."""

import json

import yaml
from typer.testing import CliRunner

from streams.cli import app
from streams.logs.read import read_log

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
