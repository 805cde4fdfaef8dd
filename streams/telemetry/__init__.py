"""Telemetry: an occurrence is one object that writes a log line and updates metrics together.

    telemetry.configure("measure")
    port = telemetry.start_http()
    telemetry.emit(telemetry.MeasurementCut(measurement))

No file outside this package touches structlog or prometheus_client. ``contract.py`` holds every metric;
a new occurrence is a small frozen class with a ``name``, a ``level``, ``fields()`` and ``move()``.
"""

from streams.telemetry.collecting import ExportAnswered, SourcesAlive, SpansRejected, SpansTaken
from streams.telemetry.common import (
    ConsumerLag,
    LogBeganAgain,
    PartitionsAssigned,
    PartitionsRevoked,
    RecordRejected,
    RecordsLost,
    RecordsRead,
)
from streams.telemetry.detecting import (
    LinkReleased,
    LinkRestored,
    OutagePublished,
    SlotFinalised,
    WindowPublished,
)
from streams.telemetry.edges import (
    HeadNotPublished,
    HeadPublished,
    HeadsDiverge,
    LedgerShown,
    LedgerWritten,
    LinksJudged,
    RequestServed,
    SharedIncidents,
    TrailBehind,
    TrailWritten,
)
from streams.telemetry.governing import RetirementLearned, RuleLearned, SettingsCompared
from streams.telemetry.hub import Occurrence, Telemetry, configure, current, emit, start_http
from streams.telemetry.logs import BrokerSilence
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
from streams.telemetry.merging import (
    MeasurementApplied,
    MeasurementDuplicate,
    MeasurementEarly,
    SourceGap,
    SourceIdle,
)
from streams.telemetry.stages import (
    AddressServed,
    BrokerAway,
    BrokerBack,
    LastCommitFailed,
    StageAdvised,
    StageBlocked,
    StageFailed,
    StageMoved,
    StageReady,
    StageStalled,
    StageStarted,
    StageStopped,
    StageUnblocked,
)

__all__ = [
    "AddressServed",
    "BrokerAway",
    "BrokerBack",
    "BrokerSilence",
    "CommitDone",
    "ConsumerLag",
    "DeadLetterLimitReached",
    "DeadLettered",
    "EventIdsConflict",
    "ExportAnswered",
    "HeadNotPublished",
    "HeadPublished",
    "HeadsDiverge",
    "LastCommitFailed",
    "LedgerShown",
    "LedgerWritten",
    "LinkReleased",
    "LinkRestored",
    "LinksJudged",
    "LogBeganAgain",
    "MeasurementApplied",
    "MeasurementCut",
    "MeasurementDuplicate",
    "MeasurementEarly",
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
    "RetirementLearned",
    "RuleLearned",
    "SettingsCompared",
    "SharedIncidents",
    "SlotFinalised",
    "SourceGap",
    "SourceIdle",
    "SourcesAlive",
    "SpansRejected",
    "SpansTaken",
    "StageAdvised",
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
