"""Telemetry: an occurrence is one object that writes its log line and moves its metrics together.

    telemetry.configure("measure")
    port = telemetry.start_http()
    telemetry.emit(telemetry.MeasurementCut(measurement))

No file outside this package touches structlog or prometheus_client. ``contract.py`` holds every metric;
a new occurrence is a small frozen class with a ``name``, a ``level``, ``fields()`` and ``move()``.
"""

from streams.telemetry.common import (
    AddressServed,
    BrokerAway,
    BrokerBack,
    ConsumerLag,
    LastCommitFailed,
    LogBeganAgain,
    PartitionsAssigned,
    PartitionsRevoked,
    RecordRejected,
    RecordsLost,
    RecordsRead,
    StageBlocked,
    StageFailed,
    StageMoved,
    StageReady,
    StageStalled,
    StageStarted,
    StageStopped,
    StageUnblocked,
)
from streams.telemetry.detecting import (
    LinkReleased,
    LinkRestored,
    MeasurementApplied,
    MeasurementDuplicate,
    OutagePublished,
    SlotFinalised,
    SourceGap,
    SourceIdle,
    WindowPublished,
)
from streams.telemetry.edges import (
    LedgerWritten,
    LinksJudged,
    RequestServed,
    SharedIncidents,
    TrailBehind,
    TrailWritten,
)
from streams.telemetry.governing import RuleLearned, SettingsCompared
from streams.telemetry.hub import Occurrence, Telemetry, configure, current, emit, start_http
from streams.telemetry.measuring import (
    CommitDone,
    DeadLettered,
    DeadLetterLimitReached,
    EventIdsConflict,
    MeasurementCut,
    MeasurementTooLarge,
    PartiallyRebuilt,
    PartitionRebuilt,
    PartitionsNotUsed,
    RecordsMetered,
)

__all__ = [
    "AddressServed",
    "BrokerAway",
    "BrokerBack",
    "CommitDone",
    "ConsumerLag",
    "DeadLetterLimitReached",
    "DeadLettered",
    "EventIdsConflict",
    "LastCommitFailed",
    "LedgerWritten",
    "LinkReleased",
    "LinkRestored",
    "LinksJudged",
    "LogBeganAgain",
    "MeasurementApplied",
    "MeasurementCut",
    "MeasurementDuplicate",
    "MeasurementTooLarge",
    "Occurrence",
    "OutagePublished",
    "PartiallyRebuilt",
    "PartitionRebuilt",
    "PartitionsAssigned",
    "PartitionsNotUsed",
    "PartitionsRevoked",
    "RecordRejected",
    "RecordsLost",
    "RecordsMetered",
    "RecordsRead",
    "RequestServed",
    "RuleLearned",
    "SettingsCompared",
    "SharedIncidents",
    "SlotFinalised",
    "SourceGap",
    "SourceIdle",
    "StageBlocked",
    "StageFailed",
    "StageMoved",
    "StageReady",
    "StageStalled",
    "StageStarted",
    "StageStopped",
    "StageUnblocked",
    "Telemetry",
    "TrailBehind",
    "TrailWritten",
    "WindowPublished",
    "configure",
    "current",
    "emit",
    "start_http",
]
