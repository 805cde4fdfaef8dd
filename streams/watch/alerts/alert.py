"""What an alert is: one condition, one severity, texts in English and Vietnamese, a runbook, a dashboard.

Severity says what the alert means and never changes while it is active: ``page`` cannot wait, ``ticket`` can
wait until the morning, ``none`` notifies nobody. Routing (`routing.py`) decides who is called at which hour,
so no alert resolves just because working hours end.

``incident`` is the label by which Alertmanager groups: alerts about one link arrive together. ``LINKS_DOWN``
marks the alerts that arrive in one notification however many links they name.
"""

from dataclasses import dataclass
from typing import Final, Literal

from streams.watch.promql import Span
from streams.watch.recording import Rule
from streams.watch.settings import WatchSettings

Severity = Literal["page", "ticket", "none"]
LINK: Final = "link/{{ $labels.link }}"
PORTAL: Final = "portal/{{ $labels.portal }}"
PIPELINE: Final = "pipeline"
LINKS_DOWN: Final = "links-down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert; texts may use Prometheus templates. ``for_seconds`` is event time."""

    name: str
    expr: str
    severity: Severity
    incident: str
    dashboard: str
    summary: str
    summary_vi: str
    description: str
    description_vi: str
    for_seconds: int = 0
    group: str | None = None

    def rule(self, settings: WatchSettings, span: Span) -> Rule:
        """Return the alert as a Prometheus rule."""
        rule: Rule = {"alert": self.name, "expr": self.expr}
        if self.for_seconds:
            rule["for"] = span(self.for_seconds)
        rule["labels"] = {"severity": self.severity, "incident": self.incident}
        if self.group is not None:
            rule["labels"]["group"] = self.group
        rule["annotations"] = {
            "summary": self.summary,
            "summary_vi": self.summary_vi,
            "description": self.description,
            "description_vi": self.description_vi,
            "runbook_url": f"{settings.urls.runbooks}/{self.name}",
            "dashboard_url": f"{settings.urls.grafana}/d/{self.dashboard}",
        }
        return rule
