"""Each figure that a dashboard shows, from a real Prometheus, against a count by hand of the same log.

Seventy minutes of a small city: one link is down for ten minutes, one is degraded, one is blind for a while.
A sample at a time holds what was measured by then, up to 5 s of disorder, so a count up to a moment lies
between the counts some seconds before it and after it.
"""

import shutil
from datetime import datetime
from typing import Any

import pytest
import typer
import yaml
from hand_counts import Counts
from typer.testing import CliRunner

from streams.cli.events.simulate import simulate
from streams.cli.logs.backfill import backfill
from streams.model.hours.calendar import from_local, to_local
from streams.replay.analyze import analyze
from streams.servers.prometheus import Prometheus
from streams.watch.api import PrometheusApi
from streams.watch.settings import WatchSettings
from tools.dashboards.build import boards
from tools.dashboards.render import at_home

pytestmark = [pytest.mark.slow, pytest.mark.prometheus]

SCENARIO = """
name: figures
title: {vi: Bảy mươi phút, en: Seventy minutes}
start: 2023-03-13T08:00
end: 2023-03-13T09:10
links: [hcmc-npd, hcmc-vneid, police-npd]
flows:
  - id: residents
    portal: hcmc
    agencies: hcmc-districts
    count: 2600
    services: {dang-ky-tam-tru: 3, dang-ky-khai-sinh: 1}
  - {id: police, portal: police, agencies: hcmc-police, count: 600, services: {dang-ky-tam-tru: 1}}
faults:
  - {id: a, cause: line_cut, links: [hcmc-npd], start: 2023-03-13T08:20, minutes: 10}
  - {id: b, cause: servers_hang, links: [hcmc-vneid], start: 2023-03-13T08:38, minutes: 10, share: 0.3}
  - {id: c, cause: observer_blind, portals: [police], start: 2023-03-13T08:50, minutes: 8}
"""
# What only rules make: a budget of 1 % of which 78.95 % is spent, and alerts.
RULED = """# TYPE portallink:link_error_budget:ratio gauge
portallink:link_error_budget:ratio{{link="npd"}} 0.01 {at}
# TYPE portallink:lookup_failures:ratio_rate30d gauge
portallink:lookup_failures:ratio_rate30d{{link="npd"}} 0.00789512 {at}
# TYPE portallink:lookup_failures:ratio_rate1h gauge
portallink:lookup_failures:ratio_rate1h{{link="npd"}} 0.144 {at}
# TYPE ALERTS gauge
ALERTS{{alertname="PortallinkLinkDown",severity="page",incident="link/npd",alertstate="firing"}} 1 {at}
ALERTS{{alertname="PortallinkLinkBlind",severity="page",incident="link/x",alertstate="pending"}} 1 {at}
ALERTS{{alertname="PortallinkWatchdog",severity="none",incident="pipeline",alertstate="firing"}} 1 {at}
# TYPE ALERTS_FOR_STATE gauge
ALERTS_FOR_STATE{{alertname="PortallinkLinkDown",severity="page",incident="link/npd"}} 1678670000 {at}
# EOF
"""
BOARDS = {board.uid.removeprefix("portallink-"): board for board in boards(WatchSettings())}
SLACK_MS = 12_000


def at(clock):
    """Return a moment of the morning in epoch seconds."""
    return from_local(datetime.fromisoformat(f"2023-03-13T{clock}")) // 1000


class Shown:
    """The dashboards over a Prometheus that holds the morning, and what the log itself says."""

    def __init__(self, api: PrometheusApi, counts: Counts, outages: list[Any], windows: list[Any]) -> None:
        self.api, self.counts, self.outages, self.windows = api, counts, outages, windows

    def panel(self, board, title):
        """Return a panel by its English title."""
        return next(panel for panel in BOARDS[board].panels if panel.title.en == title)

    def value(self, board, title, moment, *, link=".+", letter="A", span="70m"):
        """Return what one query of a panel gives at a moment, by its labels."""
        query = self.panel(board, title).queries["ABCDEFGH".index(letter)]
        expr = at_home(query.expr, rate_interval="60s", whole_range=span, link=link)
        found = self.api.instant(expr, moment)
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in found}

    def one(self, board, title, moment, **how):
        """Return the only value."""
        (value,) = self.value(board, title, moment, **how).values()
        return value

    def by(self, label, board, title, moment, **how):
        """Return the values by one label."""
        return {dict(labels).get(label): v for labels, v in self.value(board, title, moment, **how).items()}

    def outage(self, link):
        """Return the only final outage of a link."""
        (outage,) = (one for one in self.outages if one.link == link)
        return outage


def run(command, *arguments):
    """Run a command of the command line as a person would."""
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def shown(tmp_path_factory, promtool):
    """Simulate the morning, write its history into a Prometheus, and count its log."""
    folder = tmp_path_factory.mktemp("figures")
    (folder / "morning.yaml").write_text(SCENARIO, "utf-8")
    run(simulate, folder / "morning.yaml", "--seed", 5, "--out", folder / "log.ndjson")
    run(backfill, folder / "log.ndjson", "--out", folder / "out")
    shutil.copytree(folder / "out" / "blocks", folder / "history" / "data")
    (folder / "ruled.om.txt").write_text(RULED.format(at=at("09:05")), "utf-8")
    made = promtool.run(
        "tsdb", "create-blocks-from", "openmetrics", folder / "ruled.om.txt", folder / "history" / "data"
    )
    assert made.returncode == 0, made.stderr
    (folder / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": []}), "utf-8")
    flags = ["--storage.tsdb.retention.time=100y", "--query.lookback-delta=1m"]
    analysis = analyze(folder / "log.ndjson")
    with Prometheus(folder / "history", folder / "prometheus.yml", extra_arguments=flags) as server:
        log = Counts(folder / "log.ndjson")
        yield Shown(PrometheusApi(server.url), log, analysis.final(), list(analysis.windows))


@pytest.mark.parametrize(
    ("clock", "down", "degraded", "blind"),
    [("08:10", 0, 0, 0), ("08:26", 1, 0, 0), ("08:46", 0, 1, 0), ("08:56", 0, 0, 1), ("09:06", 0, 0, 0)],
)
def test_the_strip_counts_the_links_in_trouble(shown, clock, down, degraded, blind):
    """Links down, degraded and blind are those of the scenario at that time, and the pipeline is well."""
    titles = ("Links down", "Links degraded", "Links we cannot see", "Is it us?")
    found = [shown.one("overview", title, at(clock)) for title in titles]
    assert found == [down, degraded, blind, 0]


@pytest.mark.parametrize("clock", ["08:22", "08:25", "08:29"])
def test_dossiers_affected_now_grow_with_the_outage(shown, clock):
    """The figure is the number of distinct dossiers with a failed lookup since the outage began."""
    start_ms, now_ms = shown.outage("hcmc-npd").start_ms, at(clock) * 1000
    least, most = (
        len(shown.counts.dossiers("hcmc-npd", start_ms, now_ms + ms)) for ms in (-SLACK_MS, SLACK_MS)
    )
    assert least <= shown.one("overview", "Dossiers affected now", at(clock)) <= most
    rows = shown.by("link", "overview", "Open outages", at(clock))
    assert rows == {"hcmc-npd": pytest.approx((least + most) / 2, abs=(most - least) / 2)}


def test_an_open_outage_tells_since_when_how_long_and_whose_fault(shown):
    """The table has the start to the millisecond, the time since, and the domain and scope published."""
    now, outage = at("08:28"), shown.outage("hcmc-npd")
    assert shown.by("link", "overview", "Open outages", now, letter="B") == {"hcmc-npd": outage.start_ms}
    lasted = shown.one("overview", "Open outages", now, letter="C")
    assert lasted == pytest.approx(now - outage.start_ms / 1000, abs=20)
    (labels,) = shown.value("overview", "Open outages", now, letter="D")
    assert dict(labels) == {"confined_to": "all", "fault_domain": outage.fault_domain, "link": "hcmc-npd"}
    (kind,) = shown.value("overview", "Open outages", now)
    assert dict(kind)["kind"] == outage.kind == "down"


def test_recent_outages_are_those_of_the_analysis(shown):
    """Start, end, duration and dossiers of each closed outage are its last revision's, to the digit."""
    now = at("09:09")
    columns = [shown.by("outage_id", "overview", "Recent outages", now, letter=x) for x in "ABCD"]
    rows = {name: tuple(column[name] for column in columns) for name in columns[0]}
    assert rows == {
        one.outage_id: (
            one.start_ms,
            pytest.approx(one.end_ms, abs=1),
            pytest.approx((one.end_ms - one.start_ms) / 1000),
            one.dossiers_affected,
        )
        for one in shown.outages
    }
    assert len(rows) >= 2


def test_what_was_held_up_is_counted(shown):
    """Submissions held up in fifteen minutes are the deferred and failed ones of the log."""
    now_ms = at("08:31") * 1000
    bounds = []
    for slack_ms in (-SLACK_MS, SLACK_MS):
        kinds = [
            shown.counts.submissions(kind, now_ms - 900_000 - slack_ms, now_ms + slack_ms)
            for kind in ("deferred", "failed")
        ]
        bounds.append(sum(len([event for event in kind if event.get("blocked_by")]) for kind in kinds))
    assert bounds[0] <= shown.one("overview", "Held up, last 15 min", at("08:31")) <= bounds[1]
    assert bounds[1] > 20


@pytest.mark.parametrize("clock", ["08:27", "08:43", "09:05"])
@pytest.mark.parametrize("link", ["hcmc-npd", "hcmc-vneid"])
def test_the_failed_share_is_failures_over_attempts(shown, clock, link):
    """Failed share over a minute is that of the log, on Overview and on Link alike."""
    now_ms = at(clock) * 1000
    # Four samples lie in a minute, so three quarters of it are between the first and the last of them.
    shares = [
        shown.counts.failed_share(link, end_ms - 45_000, end_ms)
        for end_ms in range(now_ms - SLACK_MS, now_ms + 1, 1_000)
    ]
    overview = shown.by("link", "overview", "Failed share of lookups, the worst eight links", at(clock))
    one = shown.one("link", "Failed share of lookups", at(clock), link=link)
    assert overview[link] == one
    assert min(shares) - 0.08 <= one <= max(shares) + 0.08  # a lookup or two more or less


def test_outcomes_are_counted_by_the_minute(shown):
    """Lookups a minute by outcome are those that became known in that minute."""
    now_ms = at("08:27") * 1000
    found = shown.by("outcome", "link", "Outcomes", at("08:27"), link="hcmc-npd")
    expected = shown.counts.outcomes("hcmc-npd", now_ms - 60_000, now_ms)
    assert found["unreachable"] == pytest.approx(expected["unreachable"], rel=0.3)
    assert found["ok"] == 0 == expected["ok"]
    assert "provider_error" not in found  # it never came in the morning


def test_no_share_is_ever_above_one_or_below_zero(shown):
    """Failed, held-up and in-time shares stay within 0 and 1 over the whole morning, at every step."""
    panels = [p for b in BOARDS.values() for p in b.panels if p.unit == "percentunit" and p.maximum == 1]
    assert len(panels) >= 4
    for panel in panels:
        for query in panel.queries:
            expr = at_home(query.expr, rate_interval="60s", whole_range="70m")
            for one in shown.api.ranged(expr, at("08:01"), at("09:09"), 15):
                assert all(0 <= float(value) <= 1 for _, value in one["values"] if value != "NaN"), expr


def test_the_held_up_share_is_of_what_was_decided(shown):
    """At the height of the outage it is the log's share of deferred ones among those decided."""
    now_ms = at("08:28") * 1000
    parts = {
        kind: shown.counts.submissions(kind, now_ms - 60_000, now_ms, portal="hcmc")
        for kind in ("accepted", "deferred", "failed", "rejected")
    }
    blocked = [e for kind in ("deferred", "failed") for e in parts[kind] if e.get("blocked_by")]
    expected = len(blocked) / sum(map(len, parts.values()))
    found = shown.by("portal", "submissions", "Held up share", at("08:28"))["hcmc"]
    assert found == pytest.approx(expected, abs=0.15)
    assert expected > 0.5


@pytest.mark.parametrize(("title", "label"), [("Services hit", "service"), ("Agencies hit", "agency")])
def test_who_is_hit_is_counted_to_the_lookup(shown, title, label):
    """Failed lookups by service and by agency over the range are the log's; one or two came too late."""
    found = shown.by(label, "link", title, at("09:09"), link="hcmc-npd", span="75m")
    expected = shown.counts.failed_by("hcmc-npd", label)
    assert len(found) == min(10, len(expected))
    assert found == {name: pytest.approx(expected[name], abs=2) for name in found}
    assert min(found.values()) >= sorted(expected.values(), reverse=True)[len(found) - 1] - 2


def test_availability_and_coverage_are_those_of_windows_and_outages(shown):
    """Today's figures are the downtime that was observed over the time observed, rounded down."""
    now = at("09:09")
    (until,) = shown.api.instant("portallink_ledger_until_timestamp_seconds", now)
    until_ms = float(until["value"][1]) * 1000
    for link in ("hcmc-npd", "hcmc-vneid", "police-npd"):
        last = {w.start_ms: w for w in shown.windows if w.link == link and w.end_ms <= until_ms}
        spent = {s: sum(w.state_ms.get(s, 0) for w in last.values()) for s in ("UP", "DEGRADED", "DOWN")}
        observed = sum(spent.values())
        expected = (observed - spent["DOWN"]) / observed
        for title, letter in (("today", "A"), ("month", "B"), ("30d", "C")):
            shown_now = shown.by("link", "overview", "Availability and coverage", now, letter=letter)[link]
            assert shown_now <= expected + 1e-3, title
            assert shown_now == pytest.approx(expected, abs=0.003)
            assert round(shown_now, 4) == shown_now
        coverage = shown.by("link", "overview", "Availability and coverage", now, letter="D")[link]
        begun_ms = min(last)
        assert coverage == pytest.approx(observed / (until_ms - begun_ms), abs=0.01)


@pytest.mark.parametrize(
    ("clock", "npd", "vneid", "police"), [("08:28", 1, 5, 5), ("08:46", 4, 2, 5), ("08:56", 4, 4, 3)]
)
def test_the_timeline_shows_the_worst_first(shown, clock, npd, vneid, police):
    """Links come by what they are at the end of the range: down, degraded, blind, in trouble before, well."""
    (query,) = shown.panel("overview", "State of each link").queries
    expr = at_home(query.expr, whole_range="50m")
    found = [one["metric"] for one in shown.api.ranged(expr, at(clock) - 1500, at(clock), 15)]
    groups = {one["link"]: int(one["group"]) for one in found}
    assert groups == {"hcmc-npd": npd, "hcmc-vneid": vneid, "police-npd": police}
    assert list(groups.values()) == sorted(groups.values())


def test_an_open_outage_stays_red_where_hardly_anyone_asks(shown):
    """From the moment it is known until its end the link is drawn as down, without a gap."""
    query = shown.panel("link", "State, sight and circumstances").queries[0]
    (line,) = shown.api.ranged(at_home(query.expr, link="hcmc-npd"), at("08:21"), at("08:29:30"), 15)
    assert {value for _, value in line["values"]} == {"3"}
    (line,) = shown.api.ranged(at_home(query.expr, link="police-npd"), at("08:53"), at("08:57"), 15)
    assert {value for _, value in line["values"]} == {"0.5"}


def test_what_should_not_happen_reads_zero(shown):
    """Every row is there and says 0 on a morning on which nothing of it happened."""
    found = shown.by("what", "pipeline", "What should not happen", at("09:09"))
    assert len(found) == 7
    assert set(found.values()) == {0}


def test_the_budget_is_spent_as_the_rules_say(shown):
    """Success is rounded down and what is spent rounded up; burn rates are multiples of the budget."""
    now = at("09:05")
    a, b, c, d = (shown.one("slo", "Error budget, 30 days", now, letter=letter) for letter in "ABCD")
    assert (a, b, c) == (0.99, 0.9921, 0.79)
    assert d == pytest.approx(14.4)


def test_alerts_that_fire_are_listed_with_their_start(shown):
    """What is pending, or notifies nobody, is not in the table."""
    found = shown.value("overview", "Alerts", at("09:05"))
    (labels,) = found
    assert dict(labels) == {"alertname": "PortallinkLinkDown", "incident": "link/npd", "severity": "page"}
    assert found[labels] == 1_678_670_000_000
    assert to_local(1_678_670_000_000).strftime("%H:%M") == "08:13"
