"""The rule files and the Alertmanager configuration, generated as YAML from the settings.

``pace`` adapts the rules to a faster clock: at 60, an hour of event time becomes a minute in windows, waits
and intervals. Production runs at 1; a demo or a test of a whole morning runs faster.
"""

from typing import Any, Final

from streams.model.hours.holidays import YEARS
from streams.telemetry.labels import METRICS_PORTS
from streams.watch.alerts.budgets import slo_alerts
from streams.watch.alerts.links import link_alerts
from streams.watch.alerts.pipeline import pipeline_alerts
from streams.watch.alerts.submissions import submission_alerts
from streams.watch.notification import template_file
from streams.watch.promql import span_at
from streams.watch.recording import Rule, recording_rules
from streams.watch.routing import TEMPLATE_FILE, alertmanager_config, as_yaml
from streams.watch.settings import Pipeline, WatchSettings

MADE_BY: Final = "# Generated from deploy/slo.yaml by `portallink watch rules`; change that file instead.\n"

KNOWN_YEARS: Final = range(2026, YEARS.stop)
"""The years for which the routing lists holidays and worked Saturdays by date."""


LOCAL: Final = """# For stages on this machine: prometheus --config.file=deploy/prometheus/local.yml
# Each serves its metrics on the port that it takes unless told otherwise. Made by streams/watch/rules.py.
"""

SLO_FILE: Final = "slo.yml"
ALERTS_FILE: Final = "alerts.yml"


def rule_files(settings: WatchSettings, pace: float = 1) -> dict[str, str]:
    """Return the rule files by name, as text.

    Prometheus evaluates groups in parallel, and the rules of one group in order. So all recording rules, and
    all alerts that read them, form one group (`SLO_FILE`); the alerts in `ALERTS_FILE` read only metrics.
    """
    span = span_at(pace)

    def group(name: str, interval_seconds: float, rules: list[Rule]) -> dict[str, Any]:
        return {"name": f"portallink-{name}", "interval": span(interval_seconds), "rules": rules}

    alerts = {
        "link-alerts": link_alerts(settings, span),
        "submission-alerts": submission_alerts(settings, span),
        "pipeline-alerts": pipeline_alerts(settings, span),
    }
    slo = [alert.rule(settings, span) for alert in slo_alerts(settings, pace)]
    files = {
        SLO_FILE: [group("slo", 60, [*recording_rules(settings, span), *slo])],
        ALERTS_FILE: [
            group(name, 15, [alert.rule(settings, span) for alert in some]) for name, some in alerts.items()
        ],
    }
    return {name: MADE_BY + as_yaml({"groups": groups}) for name, groups in files.items()}


def local_config() -> str:
    """Return a Prometheus configuration for stages on the same machine, on their default ports."""
    config = {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": ["rules/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["localhost:9093"]}]}]},
        "scrape_configs": [
            {
                "job_name": "portallink",
                "static_configs": [
                    {"targets": [f"localhost:{port}"], "labels": {"process": stage}}
                    for stage, port in METRICS_PORTS.items()
                    if stage in Pipeline().stages
                ],
            },
            {"job_name": "prometheus", "static_configs": [{"targets": ["localhost:9090"]}]},
            {"job_name": "alertmanager", "static_configs": [{"targets": ["localhost:9093"]}]},
        ],
    }
    return LOCAL + as_yaml(config)


def alertmanager_files(settings: WatchSettings, pace: float = 1) -> dict[str, str]:
    """Return Alertmanager's configuration and its template file by name, as text."""
    config = alertmanager_config(settings, KNOWN_YEARS, pace=pace)
    return {"alertmanager.yml": MADE_BY + as_yaml(config), TEMPLATE_FILE: template_file()}
