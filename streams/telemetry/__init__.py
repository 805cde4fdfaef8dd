"""Telemetry: an occurrence is one object that writes its log line and moves its metrics together.

    telemetry.configure("measure")
    port = telemetry.start_http()
    telemetry.emit(telemetry.MeasurementCut(measurement))

No file outside this package touches structlog or prometheus_client. ``contract.py`` holds every metric;
a new occurrence is a small frozen class with a ``name``, a ``level``, ``fields()`` and ``move()``.
"""

from streams.telemetry.common import (
    AddressServed,
    ConsumerLag,
    PartitionsAssigned,
    PartitionsRevoked,
    RecordRejected,
    RecordsRead,
    StageFailed,
    StageStarted,
    StageStopped,
)
from streams.telemetry.detecting import (
    LinkReleased,
    LinkRestored,
    MeasurementApplied,
    MeasurementDuplicate,
    OutagePublished,
    RuleLearned,
    SlotFinalised,
    WindowPublished,
)
from streams.telemetry.edges import LedgerWritten, RequestServed
from streams.telemetry.hub import Occurrence, Telemetry, configure, current, emit, start_http
from streams.telemetry.measuring import (
    BrakeApplied,
    CommitDone,
    DeadLettered,
    MeasurementCut,
    PartitionRebuilt,
    RecordsMetered,
)

__all__ = [
    "AddressServed",
    "BrakeApplied",
    "CommitDone",
    "ConsumerLag",
    "DeadLettered",
    "LedgerWritten",
    "LinkReleased",
    "LinkRestored",
    "MeasurementApplied",
    "MeasurementCut",
    "MeasurementDuplicate",
    "Occurrence",
    "OutagePublished",
    "PartitionRebuilt",
    "PartitionsAssigned",
    "PartitionsRevoked",
    "RecordRejected",
    "RecordsMetered",
    "RecordsRead",
    "RequestServed",
    "RuleLearned",
    "SlotFinalised",
    "StageFailed",
    "StageStarted",
    "StageStopped",
    "Telemetry",
    "WindowPublished",
    "configure",
    "current",
    "emit",
    "start_http",
]
