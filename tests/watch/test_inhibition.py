"""Grouping and inhibition in a real Alertmanager, for what a run of the pipeline does not bring about."""

import time

import httpx
import pytest

from streams.watch.api import AlertmanagerApi
from streams.watch.rules import alertmanager_files
from streams.watch.settings import WatchSettings

pytestmark = pytest.mark.prometheus


def alert(name, incident, severity="page", **labels):
    """Return an alert as Prometheus would send it."""
    return {"labels": {"alertname": name, "incident": incident, "severity": severity, **labels}}


def down(link):
    """Return the alert of a link that is down."""
    return alert("PortallinkLinkDown", f"link/{link}", link=link, group="links-down")


CASES = {
    "links that go down together mute nothing": (
        [
            alert("PortallinkSharedOutage", "shared/i-1", incident_id="i-1", group="links-down"),
            down("npd"),
            down("bhyt"),
        ],
        set(),
    ),
    "announced maintenance mutes its link, and no other": (
        [
            alert("PortallinkLinkMaintenance", "link/npd", "none", link="npd"),
            alert("PortallinkLinkBlind", "link/npd", link="npd"),
            alert("PortallinkStageAbsent", "pipeline", stage="serve"),
            down("bhyt"),
        ],
        {"PortallinkLinkBlind"},
    ),
    "a link that is down silences what it causes": (
        [
            down("npd"),
            alert("PortallinkErrorBudgetBurnSlow", "link/npd", "ticket", link="npd"),
            alert("PortallinkSubmissionsBlocked", "link/npd", link="npd", portal="hcmc"),
        ],
        {"PortallinkErrorBudgetBurnSlow", "PortallinkSubmissionsBlocked"},
    ),
    "a link that is down silences no other link": (
        [down("npd"), alert("PortallinkErrorBudgetBurnFast", "link/bhyt", link="bhyt")],
        set(),
    ),
    "blindness is not silenced: down and blind contradict each other": (
        [down("npd"), alert("PortallinkLinkBlind", "link/npd", link="npd")],
        set(),
    ),
    "a stage that is gone silences the lags that follow": (
        [
            alert("PortallinkStageAbsent", "pipeline", stage="measure"),
            alert("PortallinkWatermarkLag", "pipeline", stage="detect"),
            alert("PortallinkDeadLetters", "pipeline", stage="detect"),
        ],
        {"PortallinkWatermarkLag"},
    ),
}


@pytest.mark.parametrize(("alerts", "silent"), CASES.values(), ids=CASES)
def test_inhibition(alerts, silent, alertmanager, tmp_path):
    """Exactly the alerts that follow from another are muted."""
    for name, text in alertmanager_files(WatchSettings()).items():
        (tmp_path / name).write_text(text, "utf-8")
    server = alertmanager(tmp_path / "alertmanager.yml")
    httpx.post(f"{server.url}/api/v2/alerts", json=alerts).raise_for_status()
    deadline = time.monotonic() + 30
    while True:
        groups = AlertmanagerApi(server.url).groups()
        # An alert that goes to the pager and to the tickets is in a group of each.
        seen = list({one["fingerprint"]: one for group in groups for one in group["alerts"]}.values())
        # An alert is judged a moment after it arrives.
        if len(seen) == len(alerts) and all(one["status"]["state"] != "unprocessed" for one in seen):
            break
        assert time.monotonic() < deadline, seen
        time.sleep(0.1)
    states = {one["labels"]["alertname"]: one["status"]["state"] for one in seen}
    assert {name for name, state in states.items() if state == "suppressed"} == silent
