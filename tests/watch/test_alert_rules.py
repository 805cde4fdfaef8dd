"""Every alert in Prometheus's own rule tester: what fires it, and the near miss that does not.

promtool starts its clock at epoch 0, a Thursday, 07:00 in Viet Nam; office hours begin at minute 30.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from streams.telemetry.labels import METRICS_PORTS
from streams.watch.promql import span_at
from streams.watch.rules import rule_files
from streams.watch.settings import Links, Lookups, WatchSettings

OFFICE, NIGHT = "60m", "12h"
DAY = 1440


def flat(value: float, minutes: int = 900) -> str:
    """Return a series that stays."""
    return f"{value}x{minutes}"


def up(per_minute: float, minutes: int = 900, start: float = 0) -> str:
    """Return a counter that grows evenly."""
    return f"{start}+{per_minute}x{minutes}"


def lookups(link: str, ok: str, timeout: str) -> dict[str, str]:
    """Return the two outcome counters of a link."""
    name = f'portallink_lookups_total{{link="{link}",outcome='
    return {f'{name}"ok"}}': ok, f'{name}"timeout"}}': timeout}


def spent(link: str, **states: str) -> dict[str, str]:
    """Return the totals of a link's time by state, in seconds."""
    name = f'portallink_link_state_seconds_total{{link="{link}",state='
    return {f'{name}"{state}"}}': values for state, values in states.items()}


def active(link: str, kind: str) -> str:
    """Return the name of the gauge of an open outage."""
    return f'portallink_link_outage_active{{link="{link}",kind="{kind}"}}'


def in_incident(incident_id: str, link: str) -> str:
    """Return the name of the gauge of a link in an open incident."""
    return f'portallink_incident_link{{incident_id="{incident_id}",common_cause="provider",link="{link}"}}'


@dataclass
class Case:
    """Series by name, and which alerts of the named ones stand at a time: label sets without fixed ones."""

    alert: str
    series: dict[str, str]
    firing: list[dict[str, str]] = field(default_factory=list)
    at: str = OFFICE
    settings: WatchSettings = field(default_factory=WatchSettings)

    @property
    def every(self) -> str:
        """How often rules are evaluated: seldom over long histories, as each evaluation takes its time."""
        minutes = 720 if self.at == NIGHT else int(self.at.partition("m")[0])
        # A sample is seen for five minutes, so that four is the longest that leaves no gap.
        return "4m" if minutes >= 700 else "1m"


def link_alert(link: str, severity: str = "page") -> dict[str, str]:
    """Return the labels of an alert on a link."""
    return {"link": link, "severity": severity, "incident": f"link/{link}"}


def down_alert(link: str) -> dict[str, str]:
    """Return the labels of the alert of a link that is down."""
    return {**link_alert(link), "group": "links-down"}


def pipeline_alert(severity: str, **labels: str) -> dict[str, str]:
    """Return the labels of an alert on the pipeline."""
    return {**labels, "severity": severity, "incident": "pipeline"}


STAGES = {f'portallink_build_info{{stage="{s}"}}': flat(1) for s in ("measure", "detect", "record", "serve")}
WITHOUT_DETECT = {name: values for name, values in STAGES.items() if "detect" not in name}
RECORDS = 'portallink_records_total{stage="measure",result='
BLOCKED = 'portallink_submissions_blocked_total{portal="hcmc",link="npd"}'
PASSED = 'portallink_submissions_total{portal="hcmc",type="accepted"}'
HELD = 'portallink_submissions_total{portal="hcmc",type="deferred"}'
ACCEPTED = 'portallink_submission_acceptance_seconds_count{portal="hcmc"}'
WITHIN = 'portallink_submission_acceptance_seconds_bucket{portal="hcmc",le="60.0"}'
EXPORTS = 'portallink_exports_total{way="http",signal="traces",status='
SPANS = "portallink_spans_total{result="
PROGRESS = "portallink_stage_progress_age_seconds{stage="
LATE = 'portallink_watermark_lag_seconds{stage="measure",partition="npd.lookups-0"}'
LAG = 'portallink_consumer_lag_records{stage="measure",partition="npd.lookups-'
CHANGES = 'portallink_link_state_changes_total{link="npd"}'
FAST, SLOW = "PortallinkErrorBudgetBurnFast", "PortallinkErrorBudgetBurnSlow"
TIME = "PortallinkAvailabilityBudgetBurn"
blocked_by_npd = {"portal": "hcmc", **link_alert("npd")}

CASES = {
    # Link down: one severity at every hour.
    "an open outage pages in office hours": Case(
        "PortallinkLinkDown", {active("npd", "down"): flat(1)}, [down_alert("npd")]
    ),
    "and at night: who is called is routing": Case(
        "PortallinkLinkDown", {active("npd", "down"): flat(1)}, [down_alert("npd")], NIGHT
    ),
    "an outage over the end of office hours is one alert": Case(
        "PortallinkLinkDown", {active("npd", "down"): "0x569 1x60 0x2400"}, [down_alert("npd")], "601m"
    ),
    "a link that is down for weeks leaves another its own alert": Case(
        "PortallinkLinkDown",
        {active("paper", "down"): flat(1, 2000), active("npd", "down"): "0x1199 1x100"},
        [down_alert("npd"), down_alert("paper")],
        "1210m",
    ),
    "an outage that closed is over": Case("PortallinkLinkDown", {active("npd", "down"): "1x30 0x900"}),
    "a degraded link is not down": Case(
        "PortallinkLinkDown", {active("npd", "degraded"): flat(1), active("npd", "down"): flat(0)}
    ),
    "two processes that know of one outage are one alert": Case(
        "PortallinkLinkDown",
        {
            'portallink_link_outage_active{link="npd",kind="down",instance="a"}': flat(1),
            'portallink_link_outage_active{link="npd",kind="down",instance="b"}': flat(0),
        },
        [down_alert("npd")],
    ),
    # Shared.
    "two links of one incident are a shared outage": Case(
        "PortallinkSharedOutage",
        {in_incident("i-1", "npd"): flat(1), in_incident("i-1", "bhxh"): flat(1)},
        [
            {
                "incident_id": "i-1",
                "common_cause": "provider",
                "severity": "page",
                "incident": "shared/i-1",
                "group": "links-down",
            }
        ],
    ),
    "links that are down at the same time, but began apart, are not": Case(
        "PortallinkSharedOutage",
        {
            active("npd", "down"): flat(1),
            active("bhxh", "down"): flat(1),
            in_incident("i-1", "npd"): flat(1),
            in_incident("i-2", "bhxh"): flat(1),
        },
    ),
    # Maintenance and the sign of life.
    "announced maintenance notifies nobody": Case(
        "PortallinkLinkMaintenance",
        {'portallink_link_maintenance{link="npd"}': flat(1)},
        [link_alert("npd", "none")],
    ),
    "no maintenance is none": Case(
        "PortallinkLinkMaintenance", {'portallink_link_maintenance{link="npd"}': flat(0)}
    ),
    "the watchdog always fires": Case(
        "PortallinkWatchdog", {"up": flat(0)}, [{"severity": "none", "incident": "watchdog"}]
    ),
    # Degraded.
    "a degraded link is a ticket": Case(
        "PortallinkLinkDegraded", {active("npd", "degraded"): flat(1)}, [link_alert("npd", "ticket")]
    ),
    "half a minute of degradation is nothing": Case(
        "PortallinkLinkDegraded", {active("npd", "degraded"): "0x58 1 0x900"}, at="59m30s"
    ),
    # Blind.
    "a blind observer pages": Case(
        "PortallinkLinkBlind", {'portallink_link_observed{link="npd"}': flat(0)}, [link_alert("npd")]
    ),
    "a minute of blindness does not": Case(
        "PortallinkLinkBlind", {'portallink_link_observed{link="npd"}': "1x58 0x900"}, at="60m"
    ),
    "a link that is retired is not blind": Case(
        "PortallinkLinkBlind",
        {'portallink_link_observed{link="npd"}': flat(0), 'portallink_link_retired{link="npd"}': flat(1)},
    ),
    "another link's retirement hides nothing": Case(
        "PortallinkLinkBlind",
        {'portallink_link_observed{link="npd"}': flat(0), 'portallink_link_retired{link="old"}': flat(1)},
        [link_alert("npd")],
    ),
    "a quiet night, unknown but observed, is not blind": Case(
        "PortallinkLinkBlind",
        {'portallink_link_observed{link="npd"}': flat(1), 'portallink_link_state{link="npd"}': flat(0)},
        at=NIGHT,
    ),
    # Flapping.
    "eight changes in an hour are flapping": Case(
        "PortallinkLinkFlapping", {CHANGES: "0+1x8 8x900"}, [link_alert("npd", "ticket")], "45m"
    ),
    "four changes in an hour are not": Case("PortallinkLinkFlapping", {CHANGES: "0+1x4 4x900"}, at="45m"),
    "a counter reset is no change": Case("PortallinkLinkFlapping", {CHANGES: "50x30 0x900"}, at="60m"),
    # Raised normals, settings.
    "trouble that became normal is a ticket": Case(
        "PortallinkRaisedNormal",
        {'portallink_link_normal_since_timestamp_seconds{link="npd"}': flat(100)},
        [link_alert("npd", "ticket")],
    ),
    "a link without a raised normal is not": Case(
        "PortallinkRaisedNormal",
        {'portallink_link_normal_since_timestamp_seconds{link="npd"}': "100x30 stale"},
    ),
    "stages on different settings are a ticket": Case(
        "PortallinkSettingsDiffer",
        {'portallink_settings_differ{stage="detect",partition="npd.lookups-0"}': flat(1)},
        [pipeline_alert("ticket", stage="detect", partition="npd.lookups-0")],
    ),
    "a difference of a minute, while stages restart, is not": Case(
        "PortallinkSettingsDiffer",
        {'portallink_settings_differ{stage="detect",partition="npd.lookups-0"}': "0x57 1x1 0x900"},
        at="60m",
    ),
    # Burn rates.
    "a fifth failing for an hour burns fast": Case(
        FAST, lookups("npd", up(80), up(20)), [link_alert("npd")], "90m"
    ),
    "a tenth failing does not burn fourteen times too fast": Case(
        FAST, lookups("npd", up(95), up(5)), at="90m"
    ),
    "what ended an hour ago pages no more": Case(FAST, lookups("npd", up(80), "0+20x60 1200x900"), at="130m"),
    "three failures of four on a quiet night are too few": Case(
        FAST, lookups("npd", "0x700 1x200", "0x700 3x200"), at="715m"
    ),
    "no traffic burns nothing": Case(FAST, lookups("npd", flat(1000), flat(10)), at="90m"),
    "a counter reset is no burst of failures": Case(
        FAST, lookups("npd", "5000+100x40 0+100x60", "500+1x40 0+1x60"), at="60m"
    ),
    "denied clients burn no budget": Case(
        FAST,
        {
            'portallink_lookups_total{link="npd",outcome="denied"}': up(90),
            'portallink_lookups_total{link="npd",outcome="ok"}': up(10),
        },
        at="90m",
    ),
    "citizens not found burn no budget": Case(
        FAST,
        {
            'portallink_lookups_total{link="npd",outcome="not_found"}': up(90),
            'portallink_lookups_total{link="npd",outcome="ok"}': up(10),
        },
        at="90m",
    ),
    "a stricter target of one link pages where the default would not": Case(
        FAST,
        lookups("npd", up(95), up(5)) | lookups("bhxh", up(95), up(5)),
        [link_alert("npd")],
        "90m",
        WatchSettings(lookups=Lookups(targets={"npd": 0.999})),
    ),
    "two links failing together are two alerts": Case(
        FAST,
        lookups("npd", up(50), up(50)) | lookups("bhxh", up(50), up(50)),
        [link_alert("bhxh"), link_alert("npd")],
        "90m",
    ),
    "five per cent failing all day burns slowly": Case(
        SLOW, lookups("npd", up(95, 2 * DAY), up(5, 2 * DAY)), [link_alert("npd", "ticket")], "1500m"
    ),
    "half a per cent failing all day is within budget": Case(
        SLOW, lookups("npd", up(995, 2 * DAY), up(5, 2 * DAY)), at="1500m"
    ),
    "a bad quiet night does not outweigh a good day": Case(
        SLOW, lookups("npd", "0+1000x600 600000+1x900", "0x600 0+1x900"), at="1440m"
    ),
    # What availability may be missed by.
    "an hour down of a day is too much": Case(
        TIME,
        spent("npd", up="0+60x1380 82800x120", down="0x1380 0+60x60 3600x60", unknown=flat(0, 1500)),
        [link_alert("npd", "ticket")],
        "1450m",
    ),
    "ten minutes are within what may be missed": Case(
        TIME, spent("npd", up="0+60x1430 85800x90", down="0x1430 0+60x10 600x80"), at="1450m"
    ),
    "a night in which nobody could tell misses nothing": Case(
        TIME, spent("npd", up="0+60x700 42000x800", unknown="0x700 0+60x800", down=flat(0, 1500)), at="1450m"
    ),
    "a day that another process goes on with is no burst": Case(
        TIME,
        {
            'portallink_link_state_seconds_total{link="npd",state="down",instance="a"}': "5000x700 stale",
            'portallink_link_state_seconds_total{link="npd",state="up",instance="a"}': "9000+60x700 stale",
            'portallink_link_state_seconds_total{link="npd",state="down",instance="b"}': "_x704 5000x800",
            'portallink_link_state_seconds_total{link="npd",state="up",instance="b"}': "_x704 51240+60x800",
        },
        at="1450m",
    ),
    "a stricter target of one link": Case(
        TIME,
        spent("npd", up="0+60x1430 85800x90", down="0x1430 0+60x10 600x80"),
        [link_alert("npd", "ticket")],
        "1450m",
        WatchSettings(links=Links(availability_targets={"npd": 0.999})),
    ),
    # Submissions.
    "a link that holds up a third of submissions pages": Case(
        "PortallinkSubmissionsBlocked", {PASSED: up(6), HELD: up(3), BLOCKED: up(3)}, [blocked_by_npd]
    ),
    "what waited and is accepted at last is no longer held up": Case(
        "PortallinkSubmissionsBlocked", {PASSED: up(30), HELD: up(3), BLOCKED: up(3)}
    ),
    "a tenth held up does not": Case(
        "PortallinkSubmissionsBlocked", {PASSED: up(9), HELD: up(1), BLOCKED: up(1)}
    ),
    "one of two held up at lunch is too few": Case(
        "PortallinkSubmissionsBlocked", {PASSED: up(0.05), HELD: up(0.05), BLOCKED: up(0.05)}
    ),
    "acceptance within the time for four of five is slow": Case(
        "PortallinkAcceptanceSlow",
        {ACCEPTED: up(10), WITHIN: up(8)},
        [{"portal": "hcmc", "severity": "ticket", "incident": "portal/hcmc"}],
    ),
    "acceptance within the time for 97 % is not": Case(
        "PortallinkAcceptanceSlow", {ACCEPTED: up(100), WITHIN: up(97)}
    ),
    # The pipeline itself.
    "a stage without a process pages": Case(
        "PortallinkStageAbsent", WITHOUT_DETECT, [pipeline_alert("page", stage="detect")]
    ),
    "with every stage there, none is absent": Case("PortallinkStageAbsent", STAGES),
    "a restart of one minute is no absence": Case(
        "PortallinkStageAbsent",
        WITHOUT_DETECT | {'portallink_build_info{stage="detect"}': "1x50 stale 1x900"},
        at="52m",
    ),
    "a target that does not answer is a ticket": Case(
        "PortallinkTargetDown",
        {'up{job="portallink",instance="measure-2:9100"}': flat(0)},
        [pipeline_alert("ticket", job="portallink", instance="measure-2:9100")],
    ),
    "another job's target is not ours": Case(
        "PortallinkTargetDown", {'up{job="node",instance="x"}': flat(0)}
    ),
    "two per cent dead letters page": Case(
        "PortallinkDeadLetters",
        {f'{RECORDS}"applied"}}': up(980), f'{RECORDS}"dead_letter"}}': up(20)},
        [pipeline_alert("page", stage="measure")],
    ),
    "half a per cent does not": Case(
        "PortallinkDeadLetters", {f'{RECORDS}"applied"}}': up(995), f'{RECORDS}"dead_letter"}}': up(5)}
    ),
    "a tenth of the exports refused is a ticket that names the status": Case(
        "PortallinkExportsRefused",
        {f'{EXPORTS}"200"}}': up(90), f'{EXPORTS}"401"}}': up(10)},
        [pipeline_alert("ticket", status="401")],
    ),
    "one in fifty refused, and strangers who look for other paths, are not": Case(
        "PortallinkExportsRefused",
        {
            f'{EXPORTS}"200"}}': up(98),
            f'{EXPORTS}"503"}}': up(2),
            'portallink_exports_total{way="http",signal="unknown",status="404"}': up(500),
        },
    ),
    "two per cent of the spans rejected is a ticket": Case(
        "PortallinkSpansRejected",
        {f'{SPANS}"lookup"}}': up(980), f'{SPANS}"rejected"}}': up(20)},
        [pipeline_alert("ticket")],
    ),
    "spans that are no calls are not rejected": Case(
        "PortallinkSpansRejected", {f'{SPANS}"lookup"}}': up(10), f'{SPANS}"passed_over"}}': up(990)}
    ),
    "a collect whose heartbeats are not confirmed pages": Case(
        "PortallinkCollectStalled",
        {f'{PROGRESS}"collect",instance="a"}}': flat(120), f'{PROGRESS}"collect",instance="b"}}': flat(1)},
        [pipeline_alert("page", instance="a")],
    ),
    "another stage with nothing to do does not": Case(
        "PortallinkCollectStalled", {f'{PROGRESS}"detect",instance="a"}}': flat(600)}
    ),
    "a watermark ten minutes behind pages": Case(
        "PortallinkWatermarkLag", {LATE: flat(600)}, [pipeline_alert("page", stage="measure")]
    ),
    "a watermark a minute behind does not": Case("PortallinkWatermarkLag", {LATE: flat(60)}),
    "lag over all partitions together is a ticket": Case(
        "PortallinkConsumerLag",
        {f'{LAG}0"}}': flat(60_000), f'{LAG}1"}}': flat(60_000)},
        [pipeline_alert("ticket", stage="measure")],
    ),
    "a short burst of lag is not": Case(
        "PortallinkConsumerLag", {f'{LAG}0"}}': "0x55 200000x3 0x900"}, at="59m"
    ),
    "links counted as other are a ticket": Case(
        "PortallinkLabelLimit",
        {'portallink_lookups_total{link="other",outcome="ok"}': up(1)},
        [pipeline_alert("ticket")],
    ),
    "a link of any other name is not": Case(
        "PortallinkLabelLimit", {'portallink_lookups_total{link="another",outcome="ok"}': up(1)}
    ),
}


@pytest.mark.prometheus
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_alert(case, promtool, tmp_path):
    """The alert stands at the given time with exactly these labels, or not at all."""
    rules = rule_files(case.settings)
    for name, text in rules.items():
        (tmp_path / name).write_text(text, "utf-8")
    names = [name for name, text in rules.items() if f"alert: {case.alert}\n" in text]

    def expected(labels: dict[str, str]) -> dict[str, object]:
        whole = {"alertname": case.alert, "alertstate": "firing", **labels}
        inner = ",".join(f'{name}="{value}"' for name, value in whole.items())
        return {"labels": f"ALERTS{{{inner}}}", "value": 1}

    document = {
        "rule_files": names,
        # Else promtool takes the groups in any order, and an alert may see what was recorded a minute ago.
        "group_eval_order": [
            group["name"] for name in names for group in yaml.safe_load(rules[name])["groups"]
        ],
        "evaluation_interval": case.every,
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
                "promql_expr_test": [
                    {
                        "expr": f'ALERTS{{alertname="{case.alert}",alertstate="firing"}}',
                        "eval_time": case.at,
                        "exp_samples": [expected(labels) for labels in case.firing],
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(document), "utf-8")
    result = promtool.run("test", "rules", "test.yml", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_alert_has_a_case_that_fires_and_a_near_miss():
    """No alert is untested, and none is only ever seen firing or silent."""
    groups = [
        group for text in rule_files(WatchSettings()).values() for group in yaml.safe_load(text)["groups"]
    ]
    rules = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    names = {rule["alert"] for rule in rules}
    assert {case.alert for case in CASES.values() if case.firing} == names
    assert {case.alert for case in CASES.values() if not case.firing} == names - {"PortallinkWatchdog"}


@pytest.mark.prometheus
@pytest.mark.parametrize("pace", [1, 60, 600])
def test_rules_are_valid_at_any_pace(pace, promtool, tmp_path):
    """The rules are accepted by promtool as production runs them and accelerated."""
    paths = []
    for name, text in rule_files(WatchSettings(), pace).items():
        paths.append(tmp_path / name)
        paths[-1].write_text(text, "utf-8")
    result = promtool.run("check", "rules", "--lint-fatal", *paths)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""


@pytest.mark.prometheus
def test_the_local_configuration_scrapes_every_stage_where_it_serves(promtool):
    """Prometheus accepts deploy/prometheus/local.yml and its rules; it asks each stage's default port."""
    path = Path(__file__).resolve().parents[2] / "deploy" / "prometheus" / "local.yml"
    result = promtool.run("check", "config", path)
    assert result.returncode == 0, result.stdout + result.stderr
    (job, *_) = yaml.safe_load(path.read_text("utf-8"))["scrape_configs"]
    targets = {one["labels"]["process"]: one["targets"] for one in job["static_configs"]}
    assert targets == {
        stage: [f"localhost:{METRICS_PORTS[stage]}"] for stage in WatchSettings().pipeline.stages
    }


@pytest.mark.parametrize(
    ("seconds", "pace", "text"),
    [(300, 1, "5m"), (300, 60, "5s"), (15, 60, "250ms"), (86_400, 1, "1d"), (5_400, 1, "90m")],
)
def test_durations_are_written_in_the_largest_whole_unit(seconds, pace, text):
    """A duration of event time is the shorter the faster the clock, to the millisecond."""
    assert span_at(pace)(seconds) == text
