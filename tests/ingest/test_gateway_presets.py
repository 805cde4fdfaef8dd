"""Each map that comes along, on lines in its gateway's real format: outcomes, names, an outage of a day."""

import gzip
import json
import re
from pathlib import Path

import pytest
from gateway_lines import CLIENT, COARSE_MS, PATH, WRITERS, LoggedCall, day_of_calls
from typer.testing import CliRunner

from streams.cli import app
from streams.ingest.shell import load_mapper, preset_names, preset_text
from streams.logs.read import read_log
from streams.replay.analyze import analyze

T0 = 1_795_741_200_000  # 2026-11-27 08:00 Asia/Ho_Chi_Minh
EXPECTED = {
    "ok": "ok",
    "missing": "not_found",
    "refused": "unreachable",
    "timeout": "timeout",
    "gone": "cancelled",
}
# What a format cannot tell apart.
OTHERS = {
    ("aws-alb", "refused"): "reset",
    ("apache", "gone"): "ok",
}
LINKS = {
    "ingress-nginx": "city-npd-8080",
    "nginx-combined": "upstream",
    "envoy-json": "outbound|8080||npd.city.svc.cluster.local",
    "istio-text": "outbound|8080||npd.city.svc.cluster.local",
    "traefik": "npd@file",
    "apache": "balancer://npd",
}
TIMES_OUT = {"wso2"}
"""Gateways that do not say how long a call took that failed."""


def run(*arguments):
    """Run `portallink ingest http` and return its result."""
    return CliRunner().invoke(app, ["ingest", "http", *map(str, arguments)])


def imported(tmp_path, preset, lines):
    """Import lines by a preset; return the figures and the log's events."""
    (tmp_path / "access.log").write_text("\n".join(lines) + "\n")
    out = tmp_path / "log.ndjson"
    result = run("--map", preset, tmp_path / "access.log", "--out", out, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), [json.loads(record.value) for record in read_log(out)]


def test_every_preset_has_a_writer():
    """Each map of lines that comes along is tried on lines of its gateway, and no other."""
    assert sorted(WRITERS) == [name for name in preset_names() if load_mapper(name).said.format is not None]


def test_presets_are_listed_and_printed():
    """`ingest maps` names every map that comes along, and prints each as it is."""
    listed = CliRunner().invoke(app, ["ingest", "maps"])
    assert [line.split()[0] for line in listed.stdout.splitlines()] == preset_names()
    assert CliRunner().invoke(app, ["ingest", "maps", "kong"]).stdout == preset_text("kong")
    assert CliRunner().invoke(app, ["ingest", "maps", "kongo"]).exit_code == 2


@pytest.mark.parametrize("preset", WRITERS)
def test_a_preset_tells_how_calls_ended(tmp_path, preset):
    """Answers, refusals, time-outs and clients that left are told apart; names hold nothing private."""
    took_ms = {"timeout": 60_001, "gone": 2_500}
    calls = [
        LoggedCall(T0 + 100_000 * number, took_ms.get(ended, 120), ended, number)
        for number, ended in enumerate(EXPECTED)
    ]
    calls.append(LoggedCall(T0 + 900_000, 60_000, "gone", 99))
    figures, events = imported(tmp_path, preset, [WRITERS[preset](call) for call in calls])
    assert (figures["calls"], figures["rejected"], figures["skipped"]) == (6, 0, 0)
    done = sorted(
        (event for event in events if event["type"] == "lookup.completed"), key=lambda e: e["occurred_at_ms"]
    )
    expected = [OTHERS.get((preset, ended), outcome) for ended, outcome in EXPECTED.items()]
    assert [event["outcome"] for event in done[:5]] == expected
    # A client that waited for as long as the time-out did not leave of its own will.
    assert done[5]["outcome"] == {"apache": "ok", "wso2": "cancelled"}.get(preset, "timeout")
    requested = {event["lookup_id"]: event for event in events if event["type"] == "lookup.requested"}
    coarse = COARSE_MS.get(preset, 1)
    for event, call in zip(done, calls, strict=True):
        asked_ms = requested[event["lookup_id"]]["occurred_at_ms"]
        assert abs(asked_ms - call.start_ms) <= coarse
        if not (preset in TIMES_OUT and call.ended in ("refused", "timeout")):
            assert abs(event["occurred_at_ms"] - call.start_ms - call.took_ms) <= coarse
    assert {event.get("link") for event in events} - {None} == {LINKS.get(preset, "npd")}
    text = json.dumps(events)
    for private in ("079090001234", "secret", "203.0.113.9", "Mozilla", "curl"):
        assert private not in text


@pytest.mark.parametrize("preset", WRITERS)
def test_a_day_with_a_three_minute_outage_gives_that_outage(tmp_path, preset):
    """Of a day's log in which three minutes were refused, that outage is found within 2 s at both ends."""
    calls = day_of_calls(T0, 21_600, 180)
    failed = [call.start_ms for call in calls if call.ended == "refused"]
    after_ms = min(call.start_ms for call in calls if call.start_ms > max(failed) and call.ended != "refused")
    (tmp_path / "access.log.gz").write_bytes(
        gzip.compress("".join(WRITERS[preset](call) + "\n" for call in calls).encode(), 1)
    )
    result = run("--map", preset, tmp_path / "access.log.gz", "--out", tmp_path / "log.ndjson")
    assert result.exit_code == 0, result.output
    analysis = analyze(tmp_path / "log.ndjson", beside=False, outages_only=True)
    [outage] = analysis.final()
    assert (outage.kind, outage.fault_domain, outage.status) == ("down", "link", "closed")
    assert abs(outage.start_ms - min(failed)) <= 2_000
    assert outage.end_ms is not None
    assert abs(outage.end_ms - after_ms) <= 2_000
    assert analysis.records.late == analysis.records.dead_letter == analysis.records.duplicate == 0


def caddy(call: LoggedCall) -> str:
    """Caddy's access log in JSON."""
    asked = {"remote_ip": CLIENT, "method": "GET", "host": "npd.gateway.example", "uri": "/v2" + PATH}
    logged = {"level": "info", "ts": (call.start_ms + call.took_ms) / 1000, "msg": "handled request"}
    ended = {"user_id": "", "duration": call.took_ms / 1000, "size": 12, "status": call.status}
    return json.dumps(logged | {"request": asked} | ended)


def iis(call: LoggedCall) -> str:
    """IIS, W3C extended, with a header now and then as it writes when it starts again."""
    fields = "date time s-ip cs-method cs-uri-stem cs-uri-query s-port cs-username c-ip cs(User-Agent)"
    header = (
        f"#Version: 1.0\n#Fields: {fields} cs(Referer) sc-status sc-substatus sc-win32-status time-taken\n"
    )
    path = "/v2" + PATH.partition("?")[0]
    line = f"{call.over():%Y-%m-%d %H:%M:%S} 10.0.0.4 GET {path} - 443 - {CLIENT} portal/2 - "
    refused = call.ended == "refused"
    line += f"{call.status} {3 if refused else 0} {12029 if refused else 0} {call.took_ms}"
    return header * (call.number % 100 == 0) + line


@pytest.mark.parametrize(("number", "write"), [(0, caddy), (1, iis)], ids=["caddy", "iis"])
def test_the_maps_of_the_documentation_find_the_outage(tmp_path, number, write):
    """The maps of docs/gateways.md for two more formats give a made-up outage, and name nothing private."""
    text = (Path(__file__).parents[2] / "docs" / "gateways.md").read_text("utf-8")
    (tmp_path / "map.yaml").write_text(re.findall(r"```yaml\n(format: .*?)```", text, re.DOTALL)[number])
    calls = day_of_calls(T0, 600, 180, seconds_=1_200, every_s=2)
    figures, events = imported(tmp_path, tmp_path / "map.yaml", map(write, calls))
    assert (figures["calls"], figures["rejected"]) == (len(calls), 0)
    assert {event["service"] for event in events if "service" in event} == {"verify-citizen"}
    (outage,) = analyze(tmp_path / "log.ndjson", beside=False, outages_only=True).final()
    assert (outage.link, outage.kind, outage.fault_domain) == ("npd", "down", "link")
    assert abs(outage.start_ms - (T0 + 600_000)) <= 2_000
    assert abs(outage.end_ms - (T0 + 780_000)) <= 2_000
