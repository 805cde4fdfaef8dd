"""Occurrences in the life of a stage: it starts, waits for the broker, stalls, stops."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from streams.telemetry.common import Quiet
from streams.telemetry.contract import (
    STAGE_PROGRESS_AGE,
    STAGE_READY,
)
from streams.telemetry.health import Health
from streams.telemetry.hub import Level
from streams.telemetry.store import Store


@dataclass(frozen=True, slots=True)
class StageStarted(Quiet):
    """A stage is ready to work; ``settings`` are those that affect it (no secrets)."""

    name: ClassVar[str] = "stage_started"
    settings: Mapping[str, object] = field(default_factory=dict)

    def fields(self) -> Mapping[str, object]:
        """Return the settings."""
        return self.settings


@dataclass(frozen=True, slots=True)
class StageStopped(Quiet):
    """A stage ended normally."""

    name: ClassVar[str] = "stage_stopped"
    reason: str

    def fields(self) -> Mapping[str, object]:
        """Return the reason."""
        return {"reason": self.reason}


@dataclass(frozen=True, slots=True)
class StageFailed(Quiet):
    """A stage ends because of an error, whose text says what to do about it.

    ``exception`` is the traceback of an unexpected error.
    """

    name: ClassVar[str] = "stage_failed"
    level: ClassVar[Level] = "error"
    error: str
    exception: str = ""

    def fields(self) -> Mapping[str, object]:
        """Return the error, and its traceback if there is one."""
        return {"error": self.error} | ({"exception": self.exception} if self.exception else {})


@dataclass(frozen=True, slots=True)
class StageAdvised(Quiet):
    """A warning about the way a stage was started."""

    name: ClassVar[str] = "stage_advised"
    level: ClassVar[Level] = "warning"
    advice: str

    def fields(self) -> Mapping[str, object]:
        """Return the advice."""
        return {"advice": self.advice}


@dataclass(frozen=True, slots=True)
class StageReady:
    """Whether the stage can work: it is connected and has its partitions."""

    name: ClassVar[str] = "stage_ready"
    level: ClassVar[Level] = "debug"
    ready: bool

    def fields(self) -> Mapping[str, object]:
        """Return whether it is ready."""
        return {"ready": self.ready}

    def move(self, store: Store, stage: str, /) -> None:
        """Set the gauge and the answer of `/readyz`."""
        store.ledger(Health).ready = self.ready
        store.set(STAGE_READY, (stage,), int(self.ready))


@dataclass(frozen=True, slots=True)
class StageMoved:
    """The stage processed records, or has none to process."""

    name: ClassVar[str] = "stage_moved"
    level: ClassVar[Level] = "debug"

    def fields(self) -> Mapping[str, object]:
        """Return nothing."""
        return {}

    def move(self, store: Store, stage: str, /) -> None:
        """Reset the age of its progress, and the answer of `/healthz`."""
        store.ledger(Health).moved()
        store.set(STAGE_PROGRESS_AGE, (stage,), store.now_ms())


@dataclass(frozen=True, slots=True)
class BrokerAway(Quiet):
    """The broker cannot be reached; the stage waits for it. Reported once until it is back."""

    name: ClassVar[str] = "broker_away"
    level: ClassVar[Level] = "warning"
    error: str

    def fields(self) -> Mapping[str, object]:
        """Return the client's error."""
        return {"error": self.error}

    def is_news(self, store: Store, /) -> bool:
        """Return whether this was not reported yet."""
        health = store.ledger(Health)
        told, health.broker_away = health.broker_away, True
        return not told


@dataclass(frozen=True, slots=True)
class BrokerBack(Quiet):
    """The broker answers again; the stage continues from its last commit."""

    name: ClassVar[str] = "broker_back"

    def fields(self) -> Mapping[str, object]:
        """Return nothing."""
        return {}

    def is_news(self, store: Store, /) -> bool:
        """Return whether the broker was reported as away."""
        health = store.ledger(Health)
        told, health.broker_away = health.broker_away, False
        return told


@dataclass(frozen=True, slots=True)
class StageBlocked(Quiet):
    """The stage cannot process its records now and tries again; nothing is committed meanwhile."""

    name: ClassVar[str] = "stage_blocked"
    level: ClassVar[Level] = "warning"
    reason: str

    def fields(self) -> Mapping[str, object]:
        """Return what it waits for."""
        return {"reason": self.reason}


@dataclass(frozen=True, slots=True)
class StageUnblocked(Quiet):
    """What the stage waited for is back."""

    name: ClassVar[str] = "stage_unblocked"

    def fields(self) -> Mapping[str, object]:
        """Return nothing."""
        return {}


@dataclass(frozen=True, slots=True)
class StageStalled(Quiet):
    """The stage made no progress for a long time although there are records to read, so it ends."""

    name: ClassVar[str] = "stage_stalled"
    level: ClassVar[Level] = "error"
    idle_seconds: float

    def fields(self) -> Mapping[str, object]:
        """Return for how long."""
        return {"idle_seconds": round(self.idle_seconds, 1)}


@dataclass(frozen=True, slots=True)
class LastCommitFailed(Quiet):
    """The last commit before stopping failed: its records will be read again, and nothing is lost."""

    name: ClassVar[str] = "last_commit_failed"
    level: ClassVar[Level] = "warning"
    error: str

    def fields(self) -> Mapping[str, object]:
        """Return the error."""
        return {"error": self.error}


@dataclass(frozen=True, slots=True)
class AddressServed(Quiet):
    """This process, or a server it started, answers at an address."""

    name: ClassVar[str] = "address_served"
    what: str
    address: str

    def fields(self) -> Mapping[str, object]:
        """Return what answers, and where."""
        return {"what": self.what, "address": self.address}
