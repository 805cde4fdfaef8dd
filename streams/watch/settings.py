"""What an SRE chooses: targets, thresholds, office hours and addresses, read from one YAML file.

No law or published source gives a target for these links, so every number here is a starting point for the
people responsible for the service. The defaults below equal those in ``deploy/slo.yaml``.
"""

from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from streams.model.border import UNREADABLE
from streams.telemetry.labels import ACCEPTANCE_BUCKETS

FAST_BURN: Final = 14.4
"""Burn rate of the fastest alert: 2 % of a 30-day budget in one hour (Google SRE workbook, ch. 5)."""

Share = Annotated[float, Meta(gt=0, lt=1)]
Seconds = Annotated[int, Meta(gt=0)]
Count = Annotated[int, Meta(gt=0)]
Url = Annotated[str, Meta(pattern=r"^https?://\S+$")]
ClockTime = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Weekday = Annotated[int, Meta(ge=0, le=6)]


class SettingsError(ValueError):
    """A settings file is wrong; the message names the file, the field and the reason."""


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class OfficeHours(_Part, frozen=True):
    """When the pager is called: ``[first, last)`` local time (Asia/Ho_Chi_Minh); weekday 0 is Sunday.

    The service calendar says which days are worked: holidays are left out, and Saturdays worked in exchange
    for a day off are added. There is no lunch break: a link that is down at noon is down for everyone.
    """

    first: ClockTime = "07:30"
    last: ClockTime = "17:00"
    weekdays: tuple[Weekday, ...] = (1, 2, 3, 4, 5)

    def __post_init__(self) -> None:
        if self.first >= self.last:
            raise ValueError(f"`first` ({self.first}) must come before `last` ({self.last})")
        if not self.weekdays:
            raise ValueError("`weekdays` must name at least one day")


def _check_target(name: str, target: float) -> None:
    least = 1 - 1 / FAST_BURN
    if target <= least:
        raise ValueError(
            f"{name} is {target}, but must be above {least:.4f}: at a lower target even a link that fails"
            f" every lookup burns its budget less than {FAST_BURN} times too fast, so no page would go out"
        )


class Lookups(_Part, frozen=True):
    """The objective of a link: the share of attempts without link or provider fault, over 30 days.

    ``targets`` overrides the target of single links. Fewer failures than ``minimum_failures`` within a window
    never page, so that one failure on a quiet night does not count as half of an hour's lookups.
    """

    success_target: Share = 0.99
    targets: dict[str, Share] = field(default_factory=dict)
    minimum_failures: Count = 20

    def __post_init__(self) -> None:
        _check_target("`success_target`", self.success_target)
        for link, target in self.targets.items():
            _check_target(f"the target of link {link!r}", target)


class Submissions(_Part, frozen=True):
    """The objective of a portal: the share accepted within a time, and how much may be held up by a link."""

    accepted_within_seconds: float = 60.0
    accepted_share: Share = 0.95
    blocked_share: Share = 0.2
    minimum_submissions: Count = 20

    def __post_init__(self) -> None:
        if self.accepted_within_seconds not in ACCEPTANCE_BUCKETS:
            bounds = ", ".join(f"{bound:g}" for bound in ACCEPTANCE_BUCKETS)
            raise ValueError(
                f"`accepted_within_seconds` is {self.accepted_within_seconds:g}, but must be a bound of the"
                f" histogram: {bounds}"
            )


class Links(_Part, frozen=True):
    """When the state of a link triggers an alert.

    ``availability_target`` is the target share of known time in which a link is not down, over 30 days;
    ``availability_targets`` overrides it for single links. Outages that the ledger groups as one incident are
    reported as shared if they affect at least ``shared_outage_links`` links. ``coverage_target`` only colours
    the dashboards.
    """

    availability_target: Share = 0.99
    availability_targets: dict[str, Share] = field(default_factory=dict)
    degraded_for_seconds: Seconds = 60
    blind_for_seconds: Seconds = 120
    flapping_changes_per_hour: Count = 6
    shared_outage_links: Annotated[int, Meta(ge=2)] = 2
    coverage_target: Share = 0.95


class Pipeline(_Part, frozen=True):
    """Thresholds for alerts on the pipeline itself; None switches an alert off."""

    stages: tuple[str, ...] = ("measure", "detect", "record", "serve")
    absent_for_seconds: Seconds = 120
    watermark_lag_seconds: Seconds | None = 120
    dead_letter_share: Share = 0.01
    consumer_lag_records: Count = 100_000
    refused_export_share: Share = 0.05
    collect_stalled_seconds: Seconds = 60


class Urls(_Part, frozen=True):
    """The addresses that alerts and dashboards link to: Grafana, the page, and its runbooks."""

    grafana: str = "http://localhost:3000"
    page: str = "http://localhost:8080"
    runbooks: str = "http://localhost:8080/runbooks"


class Email(_Part, frozen=True):
    """Mail through an SMTP server; the password is read from a file on Alertmanager's machine."""

    to: Annotated[str, Meta(min_length=3)]
    smarthost: Annotated[str, Meta(pattern=r"^[^:/\s]+:\d+$")]
    sender: Annotated[str, Meta(min_length=3)]
    username: str | None = None
    password_file: str | None = None


class Slack(_Part, frozen=True):
    """A Slack channel; the webhook's address is a secret and read from a file."""

    channel: Annotated[str, Meta(min_length=2)]
    api_url_file: Annotated[str, Meta(min_length=1)]


class Telegram(_Part, frozen=True):
    """A Telegram chat; the bot's token is read from a file (Alertmanager 0.26 or later)."""

    chat_id: int
    bot_token_file: Annotated[str, Meta(min_length=1)]


class PagerDuty(_Part, frozen=True):
    """A PagerDuty service (Events API v2); the routing key is read from a file."""

    routing_key_file: Annotated[str, Meta(min_length=1)]


class Receiver(_Part, frozen=True):
    """Where notifications of one severity go; every list may be empty.

    ``webhook`` can also reach Zalo, through your own relay.
    """

    email: tuple[Email, ...] = ()
    slack: tuple[Slack, ...] = ()
    telegram: tuple[Telegram, ...] = ()
    pagerduty: tuple[PagerDuty, ...] = ()
    webhook: tuple[Url, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether nobody would be notified."""
        return not (self.email or self.slack or self.telegram or self.pagerduty or self.webhook)


class Contact(_Part, frozen=True):
    """Whom to call, as the runbooks show it."""

    who: Annotated[str, Meta(min_length=1)]
    when: Annotated[str, Meta(min_length=1)]
    how: Annotated[str, Meta(min_length=1)]


class Notify(_Part, frozen=True):
    """Who is notified of what, and when.

    ``page`` gets alerts that cannot wait; ``pages`` says during which hours. ``ticket`` gets everything, at
    any hour. ``watchdog`` gets a heartbeat every five minutes and should raise an alarm when it stops.
    """

    language: Literal["vi", "en", "both"] = "both"
    pages: Literal["office-hours", "always"] = "office-hours"
    page: Receiver = Receiver()
    ticket: Receiver = Receiver()
    watchdog: Receiver = Receiver()
    contacts: tuple[Contact, ...] = ()


class WatchSettings(_Part, frozen=True):
    """The whole file."""

    office_hours: OfficeHours = OfficeHours()
    lookups: Lookups = Lookups()
    submissions: Submissions = Submissions()
    links: Links = Links()
    pipeline: Pipeline = Pipeline()
    urls: Urls = Urls()
    notify: Notify = Notify()

    @property
    def warnings(self) -> list[str]:
        """Warnings about these settings, one sentence each."""
        return [
            f"notify.{name} has no receiver: {what}"
            for name, receiver, what in (
                ("page", self.notify.page, "nobody is called when a link is down"),
                ("ticket", self.notify.ticket, "nobody is notified about anything else"),
                ("watchdog", self.notify.watchdog, "nobody notices when the alerting itself stops"),
            )
            if receiver.empty
        ]


def load_settings(path: Path) -> WatchSettings:
    """Return the settings of a YAML file.

    Raises SettingsError, which names the file, the field and the reason.
    """
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=WatchSettings)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at `$")
        where = place.strip("`.") or "the file itself"
        raise SettingsError(f"{path}: {where}: {reason}") from error
    except UNREADABLE as error:
        raise SettingsError(f"{path}: not YAML: {error}") from error
