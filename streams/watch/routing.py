"""Alertmanager's configuration: who is notified of what, when, and in which groups.

- ``ticket`` gets every alert at any hour; ``page`` gets those that cannot wait, during its hours.
- Links that go down together arrive in one notification that names each; a link that follows is notified
  within ``LINKS_INTERVAL_SECONDS``. PagerDuty keeps one incident per link, since an updated group would not
  ring again.
- Effects of a link's outage (burn rates, degradation, flapping, blocked submissions of that link) are muted
  while its own alert is active; announced maintenance mutes alerts about its link. No link mutes another.
"""

from typing import Any, Final

import yaml

from streams.watch.alerts.alert import LINKS_DOWN
from streams.watch.hours import HOLIDAYS, WORKED_DAYS, WORKING_HOURS, time_intervals
from streams.watch.promql import Span, span_at
from streams.watch.settings import Email, Receiver, WatchSettings

TEMPLATE_FILE: Final = "portallink.tmpl"
GROUP_WAIT_SECONDS: Final = 30
GROUP_INTERVAL_SECONDS: Final = 300
LINKS_INTERVAL_SECONDS: Final = 60
REPEAT_SECONDS: Final = 4 * 3_600
RESOLVE_SECONDS: Final = 300
WATCHDOG_SECONDS: Final = 300
CAUSED_BY_DOWN: Final = (
    "PortallinkErrorBudgetBurnFast",
    "PortallinkErrorBudgetBurnSlow",
    "PortallinkAvailabilityBudgetBurn",
    "PortallinkLinkDegraded",
    "PortallinkLinkFlapping",
    "PortallinkSubmissionsBlocked",
)
MUTED_BY_MAINTENANCE: Final = ("PortallinkLinkDown", "PortallinkLinkBlind", *CAUSED_BY_DOWN)
FOLLOW_FROM_ABSENCE: Final = ("PortallinkWatermarkLag", "PortallinkConsumerLag", "PortallinkTargetDown")


def alertmanager_config(
    settings: WatchSettings,
    years: range,
    *,
    pace: float = 1,
    intervals: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the configuration as a document; ``years`` are those whose holidays are listed.

    ``pace`` shortens every wait for a faster clock; ``intervals`` replaces the time intervals.
    """
    span = span_at(pace)
    return {
        "global": {"resolve_timeout": span(RESOLVE_SECONDS)},
        "templates": [TEMPLATE_FILE],
        "time_intervals": intervals or time_intervals(settings.office_hours, years),
        "route": {
            "receiver": "ticket",
            "group_by": ["incident"],
            "group_wait": span(GROUP_WAIT_SECONDS),
            "group_interval": span(GROUP_INTERVAL_SECONDS),
            "repeat_interval": span(REPEAT_SECONDS),
            "routes": _routes(settings, span),
        },
        "inhibit_rules": [
            _inhibits("PortallinkLinkDown", CAUSED_BY_DOWN, ["link"]),
            _inhibits("PortallinkLinkMaintenance", MUTED_BY_MAINTENANCE, ["link"]),
            _inhibits("PortallinkStageAbsent", FOLLOW_FROM_ABSENCE, []),
        ],
        "receivers": _receivers(settings),
    }


def _inhibits(source: str, targets: tuple[str, ...], equal: list[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "source_matchers": [f'alertname="{source}"'],
        "target_matchers": [f'alertname=~"{"|".join(targets)}"'],
    }
    return rule | ({"equal": equal} if equal else {})


def _routes(settings: WatchSettings, span: Span) -> list[dict[str, Any]]:
    """Return the routes in order. Time intervals are not inherited, so each paging route names them."""
    together = {"group_by": ["group"], "group_interval": span(LINKS_INTERVAL_SECONDS)}
    of_links, pages = f'group="{LINKS_DOWN}"', 'severity="page"'
    in_hours = (
        {"active_time_intervals": [WORKING_HOURS, WORKED_DAYS], "mute_time_intervals": [HOLIDAYS]}
        if settings.notify.pages == "office-hours"
        else {}
    )
    paging: list[dict[str, Any]] = [
        {"matchers": [pages, of_links], "receiver": "page", "continue": True} | together | in_hours,
        {"matchers": [pages, f'group!="{LINKS_DOWN}"'], "receiver": "page", "continue": True} | in_hours,
    ]
    if settings.notify.page.pagerduty:
        paging.append({"matchers": [pages], "receiver": "pagerduty", "continue": True} | in_hours)
    return [
        {
            "matchers": ['alertname="PortallinkWatchdog"'],
            "receiver": "watchdog",
            "group_wait": span(1),
            "group_interval": span(WATCHDOG_SECONDS),
            # Less than the interval: if they were equal, every second flush could be skipped.
            "repeat_interval": span(WATCHDOG_SECONDS * 4 // 5),
        },
        {"matchers": ['severity="none"'], "receiver": "nobody"},
        *paging,
        {"matchers": [of_links], "receiver": "ticket"} | together,
        {"receiver": "ticket"},  # Alertmanager uses the root only if no child matched
    ]


def _receivers(settings: WatchSettings) -> list[dict[str, Any]]:
    notify = settings.notify
    receivers = [
        _receiver("page", notify.page, notify.language),
        _receiver("ticket", notify.ticket, notify.language),
        _receiver("watchdog", notify.watchdog, notify.language, resolved=False),
        {"name": "nobody"},
    ]
    if notify.page.pagerduty:
        keys = [{"routing_key_file": one.routing_key_file} for one in notify.page.pagerduty]
        title = _template("title", notify.language)
        receivers.append(
            {"name": "pagerduty", "pagerduty_configs": [key | {"description": title} for key in keys]}
        )
        receivers[0].pop("pagerduty_configs", None)
    return receivers


def _template(part: str, language: str) -> str:
    return f'{{{{ template "portallink.{part}.{language}" . }}}}'


def _receiver(name: str, to: Receiver, language: str, *, resolved: bool = True) -> dict[str, Any]:
    """Return a receiver with every channel that it names."""
    title, text = _template("title", language), _template("text", language)
    channels: dict[str, list[dict[str, Any]]] = {
        "email_configs": [
            _email(one) | {"headers": {"Subject": title}, "html": "", "text": text} for one in to.email
        ],
        "slack_configs": [
            {"channel": one.channel, "api_url_file": one.api_url_file, "title": title, "text": text}
            for one in to.slack
        ],
        "telegram_configs": [
            {
                "chat_id": one.chat_id,
                "bot_token_file": one.bot_token_file,
                "parse_mode": "",
                "message": f"{title}\n{text}",
            }
            for one in to.telegram
        ],
        "pagerduty_configs": [
            {"routing_key_file": one.routing_key_file, "description": title} for one in to.pagerduty
        ],
        "webhook_configs": [{"url": url} for url in to.webhook],
    }
    return {"name": name} | {
        channel: [one | {"send_resolved": resolved} for one in configs]
        for channel, configs in channels.items()
        if configs
    }


def _email(one: Email) -> dict[str, Any]:
    account: dict[str, Any] = {"to": one.to, "from": one.sender, "smarthost": one.smarthost}
    if one.username is not None:
        account["auth_username"] = one.username
    if one.password_file is not None:
        account["auth_password_file"] = one.password_file
    return account


class _Plain(yaml.SafeDumper):
    """Writes repeated values out in full: anchors are hard to read in a file meant for people."""

    def ignore_aliases(self, data: Any) -> bool:
        del data
        return True


def as_yaml(document: dict[str, Any]) -> str:
    """Return a document as YAML, in the style of the generated files."""
    text: str = yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
    return text
