"""The other parts are the real programs, on the loopback interface, and do their work."""

import contextlib
import json
import os
import subprocess
import time
import urllib.parse
import urllib.request

import psutil
import pytest

from streams.servers import debian
from streams.servers.chromium import screenshot
from streams.servers.debian import find_program
from streams.servers.errors import PartError, PartUnavailableError
from streams.servers.process import free_port
from streams.servers.prometheus import Prometheus

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def call(url: str, data: bytes | None = None) -> bytes:
    """Send a request to a local server, by POST if there are data, and return its answer."""
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310 - ours
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return answer.read()


def listening_addresses() -> set[str]:
    """Return every address on which a descendant of the tests listens."""
    addresses = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # a database's helpers come and go
            addresses |= {
                connection.laddr.ip.removeprefix("::ffff:")
                for connection in process.net_connections("tcp")
                if connection.status == psutil.CONN_LISTEN
            }
    return addresses


def test_prometheus_scrapes_itself(prometheus, tmp_path):
    """A started Prometheus scrapes what its configuration names and answers queries on it."""
    config, port = tmp_path / "prometheus.yml", free_port()
    job = {"job_name": "self", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
    config.write_text(json.dumps({"global": {"scrape_interval": "200ms"}, "scrape_configs": [job]}))
    server = prometheus(config, port=port)
    query = urllib.parse.urlencode({"query": 'up{job="self"}'})
    deadline = time.monotonic() + 30
    while not (result := json.loads(call(f"{server.url}/api/v1/query?{query}"))["data"]["result"]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert [sample["value"][1] for sample in result] == ["1"]
    assert listening_addresses() <= {"127.0.0.1"}


def test_wrong_prometheus_configuration_is_shown(prometheus, tmp_path):
    """When a server refuses its configuration, the error holds its own words."""
    config = tmp_path / "prometheus.yml"
    config.write_text("scrape_configs: 7\n")
    with pytest.raises(PartError, match=r"(?s)prometheus ended while starting.*unmarshal"):
        prometheus(config)


def test_alertmanager_takes_an_alert(alertmanager, tmp_path):
    """An alert sent to Alertmanager is shown by its API."""
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    server = alertmanager(config)
    call(f"{server.url}/api/v2/alerts", json.dumps([{"labels": {"alertname": "LinkDown"}}]).encode())
    assert [alert["labels"] for alert in json.loads(call(f"{server.url}/api/v2/alerts"))] == [
        {"alertname": "LinkDown"}
    ]
    assert listening_addresses() <= {"127.0.0.1"}


def test_checkers_refuse_what_is_wrong(promtool, amtool, tmp_path):
    """Both checkers pass a good file and refuse a bad one."""
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text("groups: [{name: a, rules: [{record: 'a:b', expr: 'vector(1)'}]}]\n")
    bad.write_text("groups: [{name: a, rules: [{record: 'a:b', expr: 'vector(1'}]}]\n")
    assert promtool.run("check", "rules", good).returncode == 0
    assert promtool.run("check", "rules", bad).returncode == 1
    assert promtool.run("check", "metrics", stdin="# HELP a b\n# TYPE a gauge\na 1\n").returncode == 0
    good.write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    bad.write_text("route: {receiver: somebody}\nreceivers: [{name: nobody}]\n")
    assert amtool.run("check-config", good).returncode == 0
    assert amtool.run("check-config", bad).returncode == 1


def test_postgres_answers_only_with_its_password(postgres):
    """PostgreSQL runs SQL for who has the address with its password, and refuses another one."""
    psql = find_program("postgres").path.with_name("psql")

    def ask(url: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [psql, url, "-tAc", "select 6 * 7"], capture_output=True, text=True, check=False
        )

    assert ask(postgres.url()).stdout.strip() == "42"
    password = urllib.parse.urlsplit(postgres.url()).password
    refused = ask(postgres.url().replace(password, "guess"))
    assert refused.returncode != 0
    assert "password authentication failed" in refused.stderr
    assert postgres.url("x", driver="psycopg").startswith("postgresql+psycopg://")
    assert listening_addresses() <= {"127.0.0.1"}


@pytest.mark.usefixtures("chromium")
def test_chromium_takes_a_picture_of_a_page(tmp_path):
    """A picture of a page with Vietnamese text is a PNG of the wanted size and not blank."""
    page, blank = tmp_path / "page.html", tmp_path / "blank.html"
    page.write_text("<meta charset=utf-8><h1>Đường truyền ổn định: đúng, đủ, sạch, sống</h1>", "utf-8")
    blank.write_text("<meta charset=utf-8>")
    for source in (page, blank):
        screenshot(source.as_uri(), source.with_suffix(".png"), width=640, height=240)
    picture = page.with_suffix(".png").read_bytes()
    assert picture.startswith(PNG_SIGNATURE)
    assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (640, 240)
    assert len(picture) > 2 * len(blank.with_suffix(".png").read_bytes())


def test_chromium_is_driven_over_its_protocol(chromium):
    """A started Chromium says over its DevTools protocol what it is."""
    assert "Chrom" in json.loads(call(f"{chromium.url}/json/version"))["Browser"]


def test_program_that_cannot_be_had_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    """Without the program, the cache and apt-get, the error names the part and the package."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PORTALLINK_CACHE", str(tmp_path))
    with pytest.raises(PartUnavailableError, match=r"promtool .* no apt-get: install .*prometheus"):
        find_program("promtool")
    with pytest.raises(PartUnavailableError), Prometheus(tmp_path, tmp_path / "none.yml"):
        pass


def test_failed_download_is_told_with_its_reason_and_leaves_nothing(tmp_path, monkeypatch):
    """When apt-get finds no package the error holds its words, and the cache has no half of a program."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, script in {"apt-get": "echo 'E: no route to the mirror' >&2; exit 100", "dpkg-deb": ""}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}/bin")
    monkeypatch.setattr(debian, "_installed", lambda _source: None)
    monkeypatch.setenv("PORTALLINK_CACHE", str(tmp_path / "cache"))
    with pytest.raises(PartUnavailableError, match="no route to the mirror"):
        find_program("amtool")
    assert [
        path.name for path in (tmp_path / "cache" / "debian").iterdir() if not path.name.startswith("lock")
    ] == ["apt"]
