"""The demo as a newcomer meets it: every process up, the outages found, every address answering."""

import os
import re
import signal
import subprocess
import sys
import time
from io import StringIO
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from streams.demo.board import comparison, try_next
from streams.demo.match import match_up
from streams.demo.shell import Demo
from streams.servers.debian import Program


def _complaints(promtool: Program, metrics: str) -> str:
    checked = promtool.run("check", "metrics", stdin=metrics)
    return checked.stdout + checked.stderr


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_a_demo_that_is_stopped_leaves_nothing_behind(tmp_path: Path, asked: signal.Signals):
    """Asked to end while it starts its servers, the demo says so, and takes its folder with it."""
    with subprocess.Popen(
        [sys.executable, "-m", "streams", "demo"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        while demo.poll() is None and not list(tmp_path.glob("portallink-demo-*/*")):
            time.sleep(0.05)
        demo.send_signal(asked)
        printed, _ = demo.communicate(timeout=60)
    assert "stopped" in printed
    assert demo.returncode == 0
    assert list(tmp_path.glob("portallink-demo-*")) == []


@pytest.mark.slow
@pytest.mark.kafka
@pytest.mark.timeout(420)
def test_the_demo_finds_the_outages_and_every_address_answers(tmp_path: Path, promtool: Program):
    """The demo finds each true outage and no other; each address answers, and what it says to try works."""
    refreshed = []
    with Demo(tmp_path, None, Console(quiet=True)) as demo:
        outages = demo.play(lambda: refreshed.append(True))
        complaints = {
            what: _complaints(promtool, httpx.get(address).text)
            for what, address in demo.board.addresses.items()
            if what.endswith("metrics")
        }
        page = httpx.get(demo.board.addresses["page"])
        answered = {
            what: httpx.get(address, follow_redirects=True).status_code
            for what, address in demo.board.addresses.items()
            if address.startswith("http")
        }
        told = try_next(str(demo.folder), demo.board.addresses["Kafka"], demo.board.addresses["page"]).plain
        settings = dict(re.findall(r"export (\w+)=(\S+)", told))
        tried = {
            words: subprocess.run(
                [sys.executable, "-m", "streams", *words.split()],
                env=os.environ | settings,
                cwd=tmp_path,
                check=False,
                capture_output=True,
            )
            for words in re.findall(r"^  portallink (.*)$", told, re.MULTILINE)
        }
    assert refreshed
    assert set(answered.values()) == {httpx.codes.OK}, answered
    assert len(tried) == 3
    assert {words: done.stderr for words, done in tried.items() if done.returncode} == {}
    assert demo.board.alerts is not None
    assert demo.truth is not None
    matches = match_up(demo.truth.faults, outages, demo.truth.end_ms)
    assert all(match.fault is not None and match.outage is not None for match in matches)
    assert {match.outage.kind for match in matches} == {"down", "degraded"}
    # In the degraded spell one request in five fails, of one in two seconds: first failures lie far apart.
    within = {"down": 5, "degraded": 60}
    assert all(abs(match.start_error_seconds) < within[match.outage.kind] for match in matches)
    assert len(complaints) == 4
    assert not any(complaints.values())
    assert page.status_code == httpx.codes.OK
    assert "<html" in page.text
    printed = Console(width=80, file=StringIO(), record=True)
    printed.print(comparison(matches))
    text = printed.export_text()
    assert "\u2026" not in text
    assert all(f"{match.start_error_seconds:+.1f} s" in text for match in matches)
