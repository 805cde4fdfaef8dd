"""The rule files and the Alertmanager configuration, as YAML made from the settings.

``pace`` lets the same rules follow a clock that runs faster: at 60 an hour of event time is a minute of
windows, waits and intervals. Production runs at 1; a demo or a test of a whole morning does not.
"""

from typing import Any, Final

import yaml

from streams.watch.alerts import link_alerts, pipeline_alerts, slo_alerts, submission_alerts
from streams.watch.promql import span_at
from streams.watch.recording import Rule, hourly_rules, link_rules, slo_rules
from streams.watch.settings import WatchSettings

MADE_BY: Final = "# Generated from deploy/slo.yaml by `portallink watch rules`; change that file instead.\n"

GROUP_WAIT_SECONDS: Final = 30
GROUP_INTERVAL_SECONDS: Final = 300
REPEAT_SECONDS: Final = 4 * 3_600
RESOLVE_SECONDS: Final = 300


def rule_files(settings: WatchSettings, pace: float = 1) -> dict[str, str]:
    """Return the rule files by name, as text."""
    span = span_at(pace)

    def group(name: str, interval_seconds: float, rules: list[Rule]) -> dict[str, Any]:
        return {"name": f"portallink-{name}", "interval": span(interval_seconds), "rules": rules}

    alerts = {
        "link-alerts": link_alerts(settings, span),
        "slo-alerts": slo_alerts(settings, pace),
        "submission-alerts": submission_alerts(settings, span),
        "pipeline-alerts": pipeline_alerts(settings, span),
    }
    return {
        "recording.yml": _yaml(
            {
                "groups": [
                    group("links", 15, link_rules(settings, span)),
                    group("hourly", 3_600, hourly_rules(span)),
                    group("slo", 60, slo_rules(span)),
                ]
            }
        ),
        "alerts.yml": _yaml(
            {
                "groups": [
                    group(name, 15, [rule for alert in some for rule in alert.rules(settings, span)])
                    for name, some in alerts.items()
                ]
            }
        ),
    }


def alertmanager_file(settings: WatchSettings, pace: float = 1) -> str:
    """Return the Alertmanager configuration, as text.

    An incident is one notification. What a link's outage causes is silent while its own alert stands: its
    burn rates, its degraded and flapping alerts, the submissions it blocks. Many links down together silence
    each link's own; a stage that is gone silences the lags that follow from it.
    """
    span = span_at(pace)
    receivers = [
        _receiver("page", settings.notify.page_webhook),
        _receiver("ticket", settings.notify.ticket_webhook),
    ]
    caused_by_down = (
        "PortallinkErrorBudgetBurnFast|PortallinkErrorBudgetBurnSlow|PortallinkLinkDegraded"
        "|PortallinkLinkFlapping|PortallinkSubmissionsBlocked"
    )
    return _yaml(
        {
            "global": {"resolve_timeout": span(RESOLVE_SECONDS)},
            "route": {
                "receiver": "ticket",
                "group_by": ["incident"],
                "group_wait": span(GROUP_WAIT_SECONDS),
                "group_interval": span(GROUP_INTERVAL_SECONDS),
                "repeat_interval": span(REPEAT_SECONDS),
                "routes": [{"matchers": ['severity="page"'], "receiver": "page"}],
            },
            "inhibit_rules": [
                {
                    "source_matchers": ['alertname="PortallinkLinkDown"'],
                    "target_matchers": [f'alertname=~"{caused_by_down}"'],
                    "equal": ["link"],
                },
                {
                    "source_matchers": ['alertname="PortallinkSharedOutage"'],
                    "target_matchers": ['alertname="PortallinkLinkDown"'],
                },
                {
                    "source_matchers": ['alertname="PortallinkStageAbsent"'],
                    "target_matchers": [
                        'alertname=~"PortallinkWatermarkLag|PortallinkConsumerLag|PortallinkTargetDown"'
                    ],
                },
            ],
            "receivers": receivers,
        }
    )


def _receiver(name: str, webhook: str | None) -> dict[str, Any]:
    if webhook is None:
        return {"name": name}
    return {"name": name, "webhook_configs": [{"url": webhook, "send_resolved": True}]}


def _yaml(document: dict[str, Any]) -> str:
    return MADE_BY + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=110)
