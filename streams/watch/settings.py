"""What an SRE chooses: targets, thresholds, office hours and addresses, read from one YAML file.

No law or published source gives a target for these links, so every number here is a starting point to be
set by whoever answers for the service. The defaults below are what ``deploy/slo.yaml`` says.
"""

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct, field

from streams.telemetry.contract import ACCEPTANCE_BUCKETS

FAST_BURN: Final = 14.4
"""Burn rate of the fastest alert: 2 % of a 30-day budget in one hour (Google SRE workbook, ch. 5)."""

Share = Annotated[float, Meta(gt=0, lt=1)]
Seconds = Annotated[int, Meta(gt=0)]
Count = Annotated[int, Meta(gt=0)]
ClockTime = Annotated[str, Meta(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")]
Weekday = Annotated[int, Meta(ge=0, le=6)]


class SettingsError(ValueError):
    """A settings file is wrong; the message names the file, the field and the reason."""


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class OfficeHours(_Part, frozen=True):
    """When a page goes out instead of a ticket: ``[first, last)`` local time; weekday 0 is Sunday.

    Viet Nam keeps no daylight saving time, so a fixed offset is exact. Holidays are not known here: on one
    the worst case is a page too many.
    """

    first: ClockTime = "07:30"
    last: ClockTime = "17:00"
    weekdays: tuple[Weekday, ...] = (1, 2, 3, 4, 5)
    utc_offset_seconds: Annotated[int, Meta(ge=-50_400, le=50_400)] = 25_200

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

    ``targets`` sets single links apart. ``minimum_failures`` keeps one failure on a quiet night from being
    half of its hour: fewer failures within a window never page.
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
    """When the state of a link is worth an alert of its own."""

    degraded_for_seconds: Seconds = 60
    blind_for_seconds: Seconds = 120
    flapping_changes_per_hour: Count = 6
    shared_outage_links: Annotated[int, Meta(ge=2)] = 2


class Pipeline(_Part, frozen=True):
    """When the pipeline itself is in trouble; a None switches an alert off."""

    stages: tuple[str, ...] = ("measure", "detect", "record", "serve")
    absent_for_seconds: Seconds = 120
    watermark_lag_seconds: Seconds | None = 120
    dead_letter_share: Share = 0.01
    consumer_lag_records: Count = 100_000


class Urls(_Part, frozen=True):
    """Where alerts and dashboards point to: Grafana, the auditors' page and the runbooks."""

    grafana: str = "http://localhost:3000"
    page: str = "http://localhost:8080"
    runbooks: str = "http://localhost:3000/public/runbooks"


class Notify(_Part, frozen=True):
    """Webhooks that get pages and tickets; None keeps them in Alertmanager's own page and API."""

    page_webhook: str | None = None
    ticket_webhook: str | None = None


class WatchSettings(_Part, frozen=True):
    """The whole file."""

    office_hours: OfficeHours = OfficeHours()
    lookups: Lookups = Lookups()
    submissions: Submissions = Submissions()
    links: Links = Links()
    pipeline: Pipeline = Pipeline()
    urls: Urls = Urls()
    notify: Notify = Notify()


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
    except msgspec.DecodeError as error:
        raise SettingsError(f"{path}: not YAML: {error}") from error
