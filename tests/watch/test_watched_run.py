"""A ten-minute outage on the population-database link, from Kafka to Alertmanager, sixty times as fast."""

import re
import urllib.request

import pytest

from streams.ledger.read.figures import link_figures
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.store.database import open_ledger, reading
from streams.ledger.store.days import link_lives
from streams.watch.api import PrometheusApi, WatchApiError
from streams.watch.rules import rule_files
from streams.watch.settings import WatchSettings
from tools.dashboards.build import boards
from tools.dashboards.render import MAIN_PANELS, at_home, render
from tools.dashboards.words import said

pytestmark = [pytest.mark.prometheus, pytest.mark.kafka, pytest.mark.slow]

DOWN = "PortallinkLinkDown"
BOARDS = boards(WatchSettings())


def first(moments, wanted):
    """Return the first moment at which something was seen, or fail saying that it never was."""
    for moment, seen in moments:
        if wanted(seen):
            return moment
    raise AssertionError("never seen")


def in_groups(groups, name, **labels):
    """Return the alerts of a name among Alertmanager's groups, with their group."""
    return [
        (group, alert)
        for group in groups
        for alert in group["alerts"]
        if alert["labels"]["alertname"] == name and labels.items() <= alert["labels"].items()
    ]


def test_the_outage_fires_arrives_grouped_inhibits_and_resolves(watched, record_property, capsys):
    """The alert's way through Prometheus and Alertmanager, with how long each step took in event time."""

    def fires(seen):
        return any(
            a["labels"]["alertname"] == DOWN
            and a["labels"]["link"] == watched.link
            and a["state"] == "firing"
            for a in seen
        )

    fired = first(watched.alerts, fires)
    arrived = first(watched.groups, lambda seen: in_groups(seen, DOWN, link=watched.link))
    resolved = first(
        [entry for entry in watched.groups if entry[0] > arrived],
        lambda seen: not in_groups(seen, DOWN, link=watched.link),
    )
    seconds = {
        "fired": (watched.event_ms(fired) - watched.fault_start_ms) / 1000,
        "arrived": (watched.event_ms(arrived) - watched.fault_start_ms) / 1000,
        "resolved": (watched.event_ms(resolved) - watched.fault_end_ms) / 1000,
    }
    for step, took in seconds.items():
        record_property(f"{step}_event_seconds", round(took))
    with capsys.disabled():
        print(
            f"\nat {watched.pace} times the pace, in event time: fired {seconds['fired']:.0f} s and arrived"
            f" {seconds['arrived']:.0f} s after the outage began, resolved {seconds['resolved']:.0f} s after"
            " it ended"
        )
    assert 0 < seconds["fired"] < 240
    assert seconds["fired"] <= seconds["arrived"] < 400
    assert 0 < seconds["resolved"] < 600


def test_an_incident_is_one_group(watched):
    """The link's outage is in the group of links that are down, its other alerts in one of their own."""
    groups = [in_groups(seen, DOWN, link=watched.link) for _, seen in watched.groups]
    group, alert = next(found for found in groups if found)[0]
    assert group["labels"] == {"group": "links-down"}
    since = r"2023-03-13 08:0[789]:\d\d"
    assert re.fullmatch(rf"{watched.link} has been down since {since}", alert["annotations"]["summary"])
    assert re.fullmatch(rf"Kết nối {watched.link} gián đoạn từ {since}", alert["annotations"]["summary_vi"])
    assert re.search(r"Dossiers affected: \d+\. Services hit most: \w", alert["annotations"]["description"])
    assert alert["annotations"]["dashboard_url"].endswith(f"/d/portallink-link?var-link={watched.link}")
    incidents = {
        group["labels"]["incident"]
        for _, seen in watched.groups
        for group in seen
        for alert in group["alerts"]
        if alert["labels"].get("link") == watched.link and "incident" in group["labels"]
    }
    assert incidents == {f"link/{watched.link}"}


def test_the_down_alert_silences_what_it_causes(watched):
    """While the link is down its burn-rate alert stands, inhibited, and the down alert does not."""
    both = [
        (down[0][1], burn[0][1])
        for _, seen in watched.groups
        if (down := in_groups(seen, DOWN, link=watched.link))
        and (burn := in_groups(seen, "PortallinkErrorBudgetBurnFast", link=watched.link))
    ]
    assert both
    down, burn = both[-1]
    assert burn["status"] == {
        "state": "suppressed",
        "inhibitedBy": [down["fingerprint"]],
        "silencedBy": [],
    }
    assert down["status"]["state"] == "active"


def test_no_other_link_is_blamed(watched):
    """The links that worked all along paged nobody; their usual failures may write a ticket."""
    blamed = {
        alert["labels"]["link"]
        for _, seen in watched.alerts
        for alert in seen
        if alert["state"] == "firing" and "link" in alert["labels"] and alert["labels"]["severity"] == "page"
    }
    assert blamed == {watched.link}


def test_downtime_and_state_agree_with_the_truth(watched):
    """The downtime counter shows the ten minutes, and the state the link had."""
    api = watched.watch.prometheus
    (downtime,) = api.instant(
        f'portallink_link_downtime_seconds_total{{link="{watched.link}"}}', watched.ended
    )
    assert float(downtime["value"][1]) == pytest.approx(600, abs=20)
    states = api.ranged(f'portallink_link_state{{link="{watched.link}"}}', watched.started, watched.ended, 1)
    assert {value for one in states for _, value in one["values"]} >= {"1", "3"}


def test_time_by_state_is_the_ledgers(watched):
    """What was scraped of each link's time gives the availability and coverage that the ledger answers."""
    series = watched.watch.prometheus.instant("portallink_link_state_seconds_total", watched.ended)
    ledger = open_ledger(watched.ledger)
    with reading(ledger) as connection:
        for link, life in link_lives(connection).items():
            ms = {
                one["metric"]["state"]: round(float(one["value"][1]) * 1000)
                for one in series
                if one["metric"]["link"] == link
            }
            known_ms = ms["up"] + ms["degraded"] + ms["down"]
            question = Question(life.first_ms, life.first_ms + sum(ms.values()), link=link)
            expected = link_figures(Standing(connection, question))[link].figures
            assert 100 * (1 - ms["down"] / known_ms) == pytest.approx(expected.availability_pct, abs=0.01)
            assert 100 * known_ms / sum(ms.values()) == pytest.approx(expected.coverage_pct, abs=0.01)
            assert (ms["down"] > 0) == (link == watched.link)
    ledger.dispose()


def test_every_target_is_scraped(watched):
    """Prometheus reaches each process, as the job the dashboards ask for."""
    targets = watched.watch.prometheus.targets()
    assert {target["health"] for target in targets} == {"up"}
    assert {target["labels"]["job"] for target in targets} == {"portallink"}
    assert len(targets) == sum(map(len, watched.ports.values()))


def test_every_rule_evaluates_well_under_a_second(watched):
    """No rule has an error, and each is evaluated in time."""
    rules = list(watched.watch.prometheus.rules())
    assert (
        len(rules)
        == sum(
            text.count("- record:") + text.count("- alert:") for text in rule_files(WatchSettings()).values()
        )
        - 1
    )
    assert {rule["health"] for rule in rules} == {"ok"}
    assert max(rule["evaluationTime"] for rule in rules) < 1


def test_promtool_is_silent_on_every_endpoint(watched, promtool):
    """Every process's metrics pass Prometheus's own linter without a word."""
    for ports in watched.ports.values():
        for port in ports:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
            result = promtool.run("check", "metrics", stdin=text)
            assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


LEGEND = re.compile(r"\{\{(\w+)\}\}")


def ask(watched, query, instant):
    """Return the series of a dashboard's query over the whole run."""
    span = watched.ended - watched.started
    expr = at_home(query, rate_interval="10s", whole_range=f"{round(span)}s")
    api = watched.watch.prometheus
    if not instant:
        return api.ranged(expr, watched.started, watched.ended, 1)
    # An instant panel shows what is so at one moment: any moment of the run will do.
    moments = [watched.started + span * share for share in (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1)]
    return [one for moment in moments for one in api.instant(expr, moment)]


@pytest.mark.parametrize(
    ("query", "panel"),
    [
        pytest.param(query, panel, id=f"{board.uid}-{panel.title.en}-{number}")
        for board in BOARDS
        for panel in board.panels
        for number, query in enumerate(panel.queries)
    ],
)
def test_a_panel_shows_series_with_the_labels_of_its_legend(watched, query, panel):
    """Each query returns series with the labels of its legend; one of a quiet panel may return none."""
    series = ask(watched, query.expr, panel.instant)
    assert series or panel.quiet or query.rare, at_home(query.expr)
    labels = set(LEGEND.findall(said(query.legend, "en")))
    assert all(labels <= set(one["metric"]) for one in series)


@pytest.mark.parametrize(
    "variable",
    {(v.name, v.query): v for board in BOARDS for v in board.variables}.values(),
    ids=lambda variable: variable.name,
)
def test_a_variable_has_values(watched, variable):
    """Each variable's query offers values."""
    metric, _, label = variable.query.removeprefix("label_values(").removesuffix(")").rpartition(", ")
    found = watched.watch.prometheus.label_values(label, at_home(metric), watched.started, watched.ended)
    assert found


def test_the_outage_is_drawn_as_a_region(watched):
    """The annotation of down outages has values during the outage and none before and after."""
    down = next(region for board in BOARDS for region in board.regions if region.name.en == "Down")
    (series,) = ask(watched, down.expr, instant=False)
    assert series["metric"] == {"link": watched.link}
    drawn_from, drawn_to = (watched.event_ms(series["values"][end][0]) for end in (0, -1))
    assert drawn_from == pytest.approx(watched.fault_start_ms, abs=180_000)
    assert drawn_to == pytest.approx(watched.fault_end_ms, abs=180_000)


@pytest.mark.parametrize(
    ("board", "panel"),
    [
        pytest.param(board, panel, id=f"{board.uid}-{panel.title.en}")
        for board in BOARDS
        for panel in board.panels
        if panel.title.en in MAIN_PANELS[board.uid]
    ],
)
def test_a_main_panel_can_be_drawn(watched, board, panel, tmp_path):
    """The drawing is an SVG that has the panel's title, and says it twice alike."""
    files = [tmp_path / "once.svg", tmp_path / "twice.svg"]
    for file in files:
        render(
            board, panel, watched.watch.prometheus, watched.started, watched.ended, file, pace=watched.pace
        )
    once, twice = (file.read_text("utf-8") for file in files)
    assert once.startswith("<?xml")
    assert panel.title.en in once
    assert once == twice


def test_a_refused_question_says_what_and_why(watched):
    """Prometheus's own words come through, with the question."""
    with pytest.raises(WatchApiError, match=r"sum\(.*400.*parse error"):
        watched.watch.prometheus.instant("sum(")


def test_a_prometheus_that_is_not_there_is_named():
    """An address where nothing listens is an error that names it."""
    with pytest.raises(WatchApiError, match=r"127\.0\.0\.1:9/.* does not answer"):
        PrometheusApi("http://127.0.0.1:9").instant("up")


def test_main_panels_are_panels():
    """What is drawn for the documentation exists, dashboard by dashboard."""
    titles = {board.uid: {panel.title.en for panel in board.panels} for board in BOARDS}
    assert all(set(wanted) <= titles[uid] for uid, wanted in MAIN_PANELS.items())
