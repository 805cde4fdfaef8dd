"""The metrics contract as data: every metric, its labels, unit, help and where it comes from.

``docs/metrics.md`` is generated from this file, and rules, dashboards and alerts may name nothing else.
Names follow the Prometheus conventions: one prefix, base units, ``_total`` on counters only. Labels are
bounded (`LABEL_LIMITS`), and none ever holds a dossier or a person.
"""

from dataclasses import dataclass
from typing import Final, Literal

from streams.telemetry.labels import (
    ACCEPTANCE_BUCKETS,
    DELAY_BUCKETS,
    LABEL_LIMITS,
    LATENCY_BUCKETS,
    LISTED_CLOSED,
    LISTED_OPEN,
    PAIR_LIMIT,
    REQUEST_BUCKETS,
)

Kind = Literal["counter", "gauge", "age", "histogram"]
"""``age`` is exposed as a gauge: the seconds since a stored time, computed at each scrape."""

PREFIX: Final = "portallink_"


@dataclass(frozen=True, eq=False, slots=True)
class Metric:
    """One metric of the contract; ``stages`` are the processes that expose it.

    ``listed`` is the most series of a metric that lists items, which its labels do not bound.
    """

    name: str
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    help: str
    stages: tuple[str, ...]
    buckets: tuple[float, ...] = ()
    listed: int | None = None

    @property
    def series_limit(self) -> int | None:
        """The most series one process may have of this metric, or None if the labels bound it enough."""
        return PAIR_LIMIT if sum(label in LABEL_LIMITS for label in self.labels) > 1 else None


EVERY: Final = ("every stage",)
MEASURE: Final = ("measure",)
DETECT: Final = ("detect",)
RECORD: Final = ("record",)
READERS: Final = ("measure", "detect", "record")

BUILD_INFO: Final = Metric(
    "portallink_build_info", "gauge", "1", ("stage", "version", "python_version"),
    "Constant 1; the labels say what runs.", EVERY,
)  # fmt: skip
OCCURRENCES: Final = Metric(
    "portallink_occurrences_total", "counter", "occurrences", ("stage", "occurrence"),
    "Occurrences by kind; each is also a log line of that name.", EVERY,
)  # fmt: skip
RECORDS: Final = Metric(
    "portallink_records_total", "counter", "records", ("stage", "result"),
    "Records read from Kafka, by result; the results add up to the records read.", READERS,
)  # fmt: skip
DEAD_LETTERS: Final = Metric(
    "portallink_dead_letters_total", "counter", "records", ("stage", "reason"),
    "Records sent to the dead-letter topic, by reason.", READERS,
)  # fmt: skip
WATERMARK_LAG: Final = Metric(
    "portallink_watermark_lag_seconds", "age", "seconds", ("stage", "partition"),
    "Wall-clock time less the event-time watermark of a source partition.", ("measure", "detect"),
)  # fmt: skip
CONSUMER_LAG: Final = Metric(
    "portallink_consumer_lag_records", "gauge", "records", ("stage", "partition"),
    "Records of an assigned partition that are written but not yet read.", READERS,
)  # fmt: skip
PARTITIONS_ASSIGNED: Final = Metric(
    "portallink_partitions_assigned", "gauge", "partitions", ("stage",),
    "Source partitions this process reads.", READERS,
)  # fmt: skip
SETTINGS_DIFFER: Final = Metric(
    "portallink_settings_differ", "gauge", "1", ("stage", "partition"),
    "1 while the settings of a source partition's measurements differ from this stage's.", DETECT,
)  # fmt: skip
RECORDS_REREAD: Final = Metric(
    "portallink_records_reread_total", "counter", "records", ("stage",),
    "Records read again to rebuild state after an assignment; not in records_total.", MEASURE,
)  # fmt: skip
RECORDS_LOST: Final = Metric(
    "portallink_records_lost_total", "counter", "records", ("stage", "partition"),
    "Records that were deleted from a source before this stage had read them.", READERS,
)  # fmt: skip
LOGS_BEGAN_AGAIN: Final = Metric(
    "portallink_logs_began_again_total", "counter", "logs", ("stage", "partition"),
    "Times a source partition was found recreated, or with its end cut off.", READERS,
)  # fmt: skip
STAGE_READY: Final = Metric(
    "portallink_stage_ready", "gauge", "1", ("stage",),
    "1 while the stage has its partitions and can work, 0 while it waits for the broker or its group.",
    READERS,
)  # fmt: skip
STAGE_PROGRESS_AGE: Final = Metric(
    "portallink_stage_progress_age_seconds", "age", "seconds", ("stage",),
    "Time since the stage last made progress, or had nothing to read.", READERS,
)  # fmt: skip

LOOKUPS: Final = Metric(
    "portallink_lookups_total", "counter", "lookups", ("link", "outcome"),
    "Lookups by outcome as the portal saw them, counted when the outcome became known.", MEASURE,
)  # fmt: skip
LOOKUPS_REQUESTED: Final = Metric(
    "portallink_lookups_requested_total", "counter", "lookups", ("link",),
    "Lookups sent over a link, as the portal saw them leave.", MEASURE,
)  # fmt: skip
LOOKUP_LATENCY: Final = Metric(
    "portallink_lookup_latency_seconds", "histogram", "seconds", ("link",),
    "Time from request to answer at the portal, for lookups that were answered.", MEASURE,
    LATENCY_BUCKETS,
)  # fmt: skip
PROVIDER_LATENCY: Final = Metric(
    "portallink_provider_latency_seconds", "histogram", "seconds", ("link",),
    "The part of the lookup latency spent at the provider, where it reports.", MEASURE,
    LATENCY_BUCKETS,
)  # fmt: skip
FAILED_BY_SERVICE: Final = Metric(
    "portallink_failed_lookups_by_service_total", "counter", "lookups", ("link", "service"),
    "Lookups that failed by link or provider fault, by the service that needed them.", MEASURE,
)  # fmt: skip
FAILED_BY_AGENCY: Final = Metric(
    "portallink_failed_lookups_by_agency_total", "counter", "lookups", ("link", "agency"),
    "Lookups that failed by link or provider fault, by the agency that needed them.", MEASURE,
)  # fmt: skip
SUBMISSIONS: Final = Metric(
    "portallink_submissions_total", "counter", "submissions", ("portal", "type"),
    "Submission events by type.", MEASURE,
)  # fmt: skip
SUBMISSIONS_BY_AGENCY: Final = Metric(
    "portallink_submissions_by_agency_total", "counter", "submissions", ("portal", "agency"),
    "Submission events of all types, by agency.", MEASURE,
)  # fmt: skip
SUBMISSIONS_BY_SERVICE: Final = Metric(
    "portallink_submissions_by_service_total", "counter", "submissions", ("portal", "service"),
    "Submission events of all types, by service.", MEASURE,
)  # fmt: skip
SUBMISSIONS_BLOCKED: Final = Metric(
    "portallink_submissions_blocked_total", "counter", "submissions", ("portal", "link"),
    "Deferred or failed submissions, by the link that blocked them.", MEASURE,
)  # fmt: skip
ACCEPTANCE: Final = Metric(
    "portallink_submission_acceptance_seconds", "histogram", "seconds", ("portal",),
    "Time from a submission's receipt to its acceptance.", MEASURE,
    ACCEPTANCE_BUCKETS,
)  # fmt: skip
EVENT_ID_CONFLICTS: Final = Metric(
    "portallink_event_id_conflicts_total", "counter", "events", ("partition",),
    "Failed lookups whose event id was used for something else before; each is still counted.", MEASURE,
)  # fmt: skip
MEASUREMENTS_INCOMPLETE: Final = Metric(
    "portallink_measurements_incomplete_total", "counter", "measurements", ("partition",),
    "Measurements too large for a record, sent without their sums; their time is unknown.", MEASURE,
)  # fmt: skip

LINK_STATE: Final = Metric(
    "portallink_link_state", "gauge", "code", ("link",),
    "State of the last finalised slot: 0 unknown, 1 up, 2 degraded, 3 down.", DETECT,
)  # fmt: skip
LINK_OBSERVED: Final = Metric(
    "portallink_link_observed", "gauge", "1", ("link",),
    "1 while an observer of the link is alive, 0 while nobody observes it.", DETECT,
)  # fmt: skip
LINK_STATE_SECONDS: Final = Metric(
    "portallink_link_state_seconds_total", "counter", "seconds", ("link", "state"),
    "Event time by state: up, degraded, down, unknown or not_in_service; each second is in exactly one,"
    " silent ones too. A second is counted 15 minutes after it passed, when its state is final.",
    DETECT,
)  # fmt: skip
LINK_STATE_CHANGES: Final = Metric(
    "portallink_link_state_changes_total", "counter", "changes", ("link",),
    "Changes between up, degraded and down, by slot; unknown time in between does not count.", DETECT,
)  # fmt: skip
LINK_OUTAGE_ACTIVE: Final = Metric(
    "portallink_link_outage_active", "gauge", "1", ("link", "kind"),
    "1 while an outage of that kind is open on the link; a confined outage is degraded.", DETECT,
)  # fmt: skip
LINK_OUTAGE_START: Final = Metric(
    "portallink_link_outage_start_timestamp_seconds", "gauge", "seconds", ("link",),
    "Start of the link's open outage, as a Unix time; absent without one.", DETECT,
)  # fmt: skip
LINK_DOWNTIME: Final = Metric(
    "portallink_link_downtime_seconds_total", "counter", "seconds", ("link",),
    "Event time in which the link was down: portallink_link_state_seconds_total of that state.", DETECT,
)  # fmt: skip
LINK_DOSSIERS: Final = Metric(
    "portallink_link_dossiers_affected", "gauge", "dossiers", ("link",),
    "Distinct dossiers with a failed attempt in the link's open outage; 0 without one.", DETECT,
)  # fmt: skip
OUTAGES: Final = Metric(
    "portallink_outages_total", "counter", "outages", ("link", "kind"),
    "Outages found, each counted once, not once per revision.", DETECT,
)  # fmt: skip
OUTAGE_REVISIONS: Final = Metric(
    "portallink_outage_revisions_total", "counter", "revisions", ("reason",),
    "Published outage revisions by reason.", DETECT,
)  # fmt: skip
DETECTION_DELAY: Final = Metric(
    "portallink_outage_detection_delay_seconds", "histogram", "seconds", ("kind",),
    "Event time from an outage's first failing request to the end of the slot that decided it.", DETECT,
    DELAY_BUCKETS,
)  # fmt: skip
SHORT_FAILURES: Final = Metric(
    "portallink_short_failures_total", "counter", "failures", ("link",),
    "Full failures of a link too short to be an outage, counted a minute after their first one.", DETECT,
)  # fmt: skip
SHORT_FAILURE_SECONDS: Final = Metric(
    "portallink_short_failure_seconds_total", "counter", "seconds", ("link",),
    "Total duration of full failures too short to be an outage.", DETECT,
)  # fmt: skip
SHORT_FAILURE_LOOKUPS: Final = Metric(
    "portallink_short_failure_lookups_total", "counter", "lookups", ("link",),
    "Failed lookups in full failures too short to be an outage.", DETECT,
)  # fmt: skip
LINK_NORMAL_FAILURE_SHARE: Final = Metric(
    "portallink_link_normal_failure_share", "gauge", "ratio", ("link",),
    "Normal failure share of a link, if it is above the rule's own normal; otherwise no series.",
    DETECT,
)  # fmt: skip
LINK_NORMAL_SLOW: Final = Metric(
    "portallink_link_normal_slow_seconds", "gauge", "seconds", ("link",),
    "Latency from which an answer is slow, if the link became slower for good; otherwise no series.", DETECT,
)  # fmt: skip
LINK_NORMAL_SINCE: Final = Metric(
    "portallink_link_normal_since_timestamp_seconds", "gauge", "seconds", ("link",),
    "Since when a link's normal is raised, as Unix time; otherwise no series.", DETECT,
)  # fmt: skip
WINDOWS: Final = Metric(
    "portallink_windows_total", "counter", "windows", ("kind",),
    "One-minute windows published: first results and revisions of them.", DETECT,
)  # fmt: skip

LINK_MAINTENANCE: Final = Metric(
    "portallink_link_maintenance", "gauge", "1", ("link",),
    "1 during maintenance that was announced before it began; absent otherwise.", RECORD,
)  # fmt: skip
LINK_RETIRED: Final = Metric(
    "portallink_link_retired", "gauge", "1", ("link",),
    "1 while the link is retired, which mutes its alerts; absent otherwise.", RECORD,
)  # fmt: skip
INCIDENT_LINK: Final = Metric(
    "portallink_incident_link", "gauge", "1", ("incident_id", "common_cause", "link"),
    "1 for each link of an open incident of several links: their outages began together.",
    RECORD,
)  # fmt: skip
LEDGER_AVAILABILITY: Final = Metric(
    "portallink_ledger_availability_ratio", "gauge", "ratio", ("link", "period"),
    "Availability of the local day, the local month and the last 30 days up to the end of the data, exactly"
    " as the ledger reports it, including corrections and exclusions, rounded down; absent if nothing was"
    " observed.", RECORD,
)  # fmt: skip
LEDGER_COVERAGE: Final = Metric(
    "portallink_ledger_coverage_ratio", "gauge", "ratio", ("link", "period"),
    "Share of the agreed time of the same periods in which the link was observed, as the ledger reports it.",
    RECORD,
)  # fmt: skip
LEDGER_UNTIL: Final = Metric(
    "portallink_ledger_until_timestamp_seconds", "gauge", "seconds", (),
    "The end of the ledger's data and of its figures, as Unix time.", RECORD,
)  # fmt: skip
LEDGER_OUTAGE_START: Final = Metric(
    "portallink_ledger_outage_start_timestamp_seconds", "gauge", "seconds",
    ("outage_id", "link", "kind", "fault_domain", "confined_to", "status"),
    f"Start of the open outages (at most {LISTED_OPEN}) and of the last {LISTED_CLOSED} closed ones,"
    " as Unix time.", RECORD,
    listed=LISTED_OPEN + LISTED_CLOSED,
)  # fmt: skip
LEDGER_OUTAGE_DURATION: Final = Metric(
    "portallink_ledger_outage_duration_seconds", "gauge", "seconds", ("outage_id", "link"),
    "Duration of each of these outages; of an open one, up to the end of the ledger's data.", RECORD,
    listed=LISTED_OPEN + LISTED_CLOSED,
)  # fmt: skip
LEDGER_OUTAGE_DOSSIERS: Final = Metric(
    "portallink_ledger_outage_dossiers", "gauge", "dossiers", ("outage_id", "link"),
    "Distinct dossiers with a failed attempt in each of these outages, as last published.", RECORD,
    listed=LISTED_OPEN + LISTED_CLOSED,
)  # fmt: skip
SOURCES_IDLE: Final = Metric(
    "portallink_sources_idle_total", "counter", "sources", ("partition",),
    "Times the clock advanced without a source partition because nobody writes to it.", DETECT,
)  # fmt: skip
SOURCE_GAPS: Final = Metric(
    "portallink_source_gaps_total", "counter", "gaps", ("partition", "reason"),
    "Gaps in a source, where records are missing; the time that each covers counts as unknown.", DETECT,
)  # fmt: skip

LEDGER_ROWS: Final = Metric(
    "portallink_ledger_rows_total", "counter", "rows", ("table",),
    "Rows added to the ledger, by table.", RECORD,
)  # fmt: skip
HTTP_REQUESTS: Final = Metric(
    "portallink_http_requests_total", "counter", "requests", ("method", "route", "status"),
    "HTTP requests answered, by the route's pattern.", ("serve",),
)  # fmt: skip
HTTP_SECONDS: Final = Metric(
    "portallink_http_request_seconds", "histogram", "seconds", ("route",),
    "Time to answer an HTTP request.", ("serve",),
    REQUEST_BUCKETS,
)  # fmt: skip
SPANS: Final = Metric(
    "portallink_spans_total", "counter", "spans", ("result",),
    "Spans received, by result: lookup, submission, passed_over, rejected.", ("collect",),
)  # fmt: skip
SPAN_AGE: Final = Metric(
    "portallink_span_age_seconds", "histogram", "seconds", (),
    "Time from the end of the oldest call of an export to its arrival.", ("collect",),
    DELAY_BUCKETS,
)  # fmt: skip
SPAN_SOURCES: Final = Metric(
    "portallink_span_sources", "gauge", "sources", (),
    "Sources that have sent spans recently, whose links heartbeats report as watched.", ("collect",),
)  # fmt: skip
EXPORTS: Final = Metric(
    "portallink_exports_total", "counter", "exports", ("way", "signal", "status"),
    "Exports answered, by transport (http, grpc, kafka), signal and HTTP status.", ("collect",),
)  # fmt: skip
RECORDS_SENT: Final = Metric(
    "portallink_records_sent_total", "counter", "records", ("stage", "topic"),
    "Records written to each topic by this stage.", ("measure", "detect", "collect"),
)  # fmt: skip

CONTRACT: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Metric))
"""Every metric, in the order of this file."""
