"""The dashboards of targets and of the pipeline itself: SLO, Pipeline."""

from streams.watch.recording import BUDGET, OFFICE_HOURS, availability_name, coverage_name, ratio_name
from streams.watch.settings import FAST_BURN
from tools.dashboards.spec import (
    INSTANCE,
    JOB,
    LINK,
    LINKS,
    SCRAPED,
    Board,
    Panel,
    Query,
    quantile,
    rate,
    scraped,
)


def _ratio(window: str) -> str:
    return f"{ratio_name(window)}{{{LINK}}}"


def _burn(window: str) -> Query:
    return Query(f"{_ratio(window)} / on (link) {BUDGET}{{{LINK}}}", f"{{{{link}}}} {window}")


SLO = Board(
    uid="portallink-slo",
    title="portallink · SLO",
    description="How much of each link's error budget is left, and how fast it goes. Targets are settings.",
    variables=(JOB, INSTANCE, LINKS),
    time_from="now-24h",
    runbooks=("PortallinkErrorBudgetBurnFast", "PortallinkErrorBudgetBurnSlow"),
    rows={
        "Budget": (
            Panel(
                title="Budget left, 30 days",
                description="1 is untouched, 0 is used up, below 0 the target is missed.",
                shape="bargauge",
                unit="percentunit",
                queries=(Query(f"1 - {_ratio('30d')} / on (link) {BUDGET}{{{LINK}}}", "{{link}}"),),
                width=8,
                instant=True,
                limits=((-1, "#c4312f"), (0, "#e0a030"), (0.25, "#3d9a50")),
            ),
            Panel(
                title="Success, 30 days",
                description="Share of attempts without link or provider fault: the request-weighted view.",
                shape="bargauge",
                unit="percentunit",
                queries=(Query(f"1 - {_ratio('30d')}", "{{link}}"),),
                width=8,
                instant=True,
            ),
            Panel(
                title="Target",
                description="The share that must succeed, from deploy/slo.yaml.",
                shape="bargauge",
                unit="percentunit",
                queries=(Query(f"1 - {BUDGET}{{{LINK}}}", "{{link}}"),),
                width=8,
                instant=True,
            ),
        ),
        "Burn": (
            Panel(
                title="Fast burn",
                description=f"How many times too fast the budget goes. Above {FAST_BURN} in both 1 h and"
                " 5 min, or above 6 in both 6 h and 30 min, someone is called.",
                shape="timeseries",
                unit="short",
                queries=(_burn("5m"), _burn("30m"), _burn("1h"), _burn("6h")),
                limits=((0, "#3d9a50"), (FAST_BURN, "#c4312f")),
            ),
            Panel(
                title="Slow burn",
                description="Above 3 in both 1 d and 2 h, or above 1 in both 3 d and 6 h, a ticket is"
                " written.",
                shape="timeseries",
                unit="short",
                queries=(_burn("2h"), _burn("1d"), _burn("3d")),
                limits=((0, "#3d9a50"), (1, "#e0a030")),
            ),
            Panel(
                title="Attempts and failures",
                description="What the ratios stand on, per second in five minutes.",
                shape="timeseries",
                unit="ops",
                queries=(
                    Query(f"portallink:lookup_attempts:rate5m{{{LINK}}}", "{{link}} attempts"),
                    Query(f"portallink:lookup_failures:rate5m{{{LINK}}}", "{{link}} failures"),
                ),
            ),
            Panel(
                title="Availability and coverage by the hour",
                description="Of each hour, as settled 15 minutes after its end; the ledger's figures know"
                " later corrections.",
                shape="timeseries",
                unit="percentunit",
                queries=(
                    Query(f"{availability_name('1h')}{{{LINK}}}", "{{link}} available"),
                    Query(f"{coverage_name('1h')}{{{LINK}}}", "{{link}} known"),
                ),
            ),
            Panel(
                title="Office hours",
                description="1 while pages go out; outside, the same alerts are tickets.",
                shape="timeseries",
                unit="short",
                queries=(Query(OFFICE_HOURS, "office hours"),),
            ),
        ),
    },
)

_RECORDS = "portallink_records_total"


def _share(result: str) -> str:
    some = rate(_RECORDS, f'result="{result}"')
    return f"sum by (stage) ({some}) / (sum by (stage) ({rate(_RECORDS)}) > 0)"


def _events(
    metric: str, label: str, *, title: str, description: str, unit: str = "ops", quiet: bool = False
) -> Panel:
    query = Query(f"sum by ({label}) ({rate(metric)})", f"{{{{{label}}}}}")
    return Panel(
        title=title,
        description=description,
        shape="timeseries",
        unit=unit,
        queries=(query,),
        width=8,
        quiet=quiet,
    )


PIPELINE = Board(
    uid="portallink-pipeline",
    title="portallink · Pipeline",
    description="Are we ourselves well: throughput, lag, rejected, late and duplicate records, watermarks.",
    variables=(JOB, INSTANCE),
    runbooks=(
        "PortallinkStageAbsent",
        "PortallinkWatermarkLag",
        "PortallinkDeadLetters",
        "PortallinkConsumerLag",
    ),
    rows={
        "Flow": (
            Panel(
                title="Records read",
                description="Records a second by stage and how they ended; they add up to the records read.",
                shape="timeseries",
                unit="ops",
                queries=(Query(f"sum by (stage, result) ({rate(_RECORDS)})", "{{stage}} {{result}}"),),
                width=8,
            ),
            Panel(
                title="Late, duplicate and rejected share",
                description="Of the records read, by stage.",
                shape="timeseries",
                unit="percentunit",
                queries=tuple(
                    Query(_share(result), f"{{{{stage}}}} {name}")
                    for result, name in (
                        ("late", "late"),
                        ("duplicate", "duplicate"),
                        ("dead_letter", "dead letter"),
                    )
                ),
                width=8,
            ),
            _events(
                "portallink_dead_letters_total",
                "reason",
                title="Dead letters by reason",
                description="Records sent to the dead-letter topic a second.",
            ),
            Panel(
                title="Watermark lag",
                description="Wall-clock time less event-time watermark, the worst partition of each stage.",
                shape="timeseries",
                unit="s",
                queries=(
                    Query(f"max by (stage) ({scraped('portallink_watermark_lag_seconds')})", "{{stage}}"),
                ),
                width=8,
            ),
            Panel(
                title="Consumer lag",
                description="Records written but not yet read, by stage and partition.",
                shape="timeseries",
                unit="short",
                queries=(
                    Query(
                        f"sum by (stage, partition) ({scraped('portallink_consumer_lag_records')})",
                        "{{stage}} {{partition}}",
                    ),
                ),
                width=8,
            ),
            _events(
                "portallink_records_sent_total",
                "topic",
                title="Records written",
                description="Records a second written to each topic.",
            ),
        ),
        "Completeness": (
            _events(
                "portallink_records_lost_total",
                "partition",
                title="Records lost",
                description="Records a second that were deleted from a source before a stage had read them.",
                quiet=True,
            ),
            _events(
                "portallink_logs_began_again_total",
                "partition",
                title="Logs that began again",
                description="Sources found made again, or with their end cut off.",
                quiet=True,
            ),
            _events(
                "portallink_source_gaps_total",
                "reason",
                title="Gaps in the sources",
                description="Stretches of which records are missing; the time each covers is unknown.",
                quiet=True,
            ),
            _events(
                "portallink_sources_idle_total",
                "partition",
                title="Idle sources",
                description="Partitions without which the clock went on, as nobody writes to them.",
                quiet=True,
            ),
            _events(
                "portallink_measurements_incomplete_total",
                "partition",
                title="Incomplete measurements",
                description="Measurements too large for a record; the time they cover is unknown.",
                quiet=True,
            ),
            _events(
                "portallink_event_id_conflicts_total",
                "partition",
                title="Event id conflicts",
                description="Failed lookups a second that came under an event id used for something else.",
                quiet=True,
            ),
            Panel(
                title="Ready",
                description="1 while a stage has its partitions and can work.",
                shape="timeseries",
                unit="short",
                queries=(
                    Query(
                        f"min by (stage, instance) ({scraped('portallink_stage_ready')})",
                        "{{stage}} {{instance}}",
                    ),
                ),
                width=8,
            ),
            Panel(
                title="Time without progress",
                description="Time since each stage last moved, or had nothing to read.",
                shape="timeseries",
                unit="s",
                queries=(
                    Query(
                        f"max by (stage) ({scraped('portallink_stage_progress_age_seconds')})",
                        "{{stage}}",
                    ),
                ),
                width=8,
            ),
        ),
        "Results": (
            _events(
                "portallink_windows_total",
                "kind",
                title="Windows published",
                description="One-minute windows a second: first results, and revisions by late records.",
            ),
            _events(
                "portallink_outage_revisions_total",
                "reason",
                title="Outage revisions",
                description="Revisions a second by reason; late and duplicate ones correct published"
                " history.",
            ),
            _events(
                "portallink_ledger_rows_total",
                "table",
                title="Ledger",
                description="Rows a second that the ledger took in, by table.",
            ),
            _events(
                "portallink_http_requests_total",
                "status",
                title="Auditors' requests",
                description="HTTP requests a second by status.",
                unit="reqps",
            ),
            Panel(
                title="Auditors' waiting time",
                description="Time to answer an HTTP request, 95th percentile over all routes.",
                shape="timeseries",
                unit="s",
                queries=(Query(quantile(0.95, "portallink_http_request_seconds"), "p95"),),
                width=8,
            ),
        ),
        "Processes": (
            Panel(
                title="Processes",
                description="What runs: stage, version and Python of each process that answers.",
                shape="table",
                unit="short",
                queries=(
                    Query(
                        "max by (stage, version, python_version, instance)"
                        f" ({scraped('portallink_build_info')})",
                        "{{stage}} {{version}}",
                    ),
                ),
                width=8,
                instant=True,
            ),
            Panel(
                title="Partitions",
                description="Source partitions each process reads.",
                shape="timeseries",
                unit="short",
                queries=(
                    Query(
                        f"sum by (stage, instance) ({scraped('portallink_partitions_assigned')})",
                        "{{stage}} {{instance}}",
                    ),
                ),
                width=8,
            ),
            _events(
                "portallink_records_reread_total",
                "stage",
                title="Records read again",
                description="Records a second read again to rebuild state after an assignment.",
            ),
            _events(
                "portallink_occurrences_total",
                "occurrence",
                title="Occurrences",
                description="Every kind of occurrence a second; each is a log line of that name.",
            ),
            Panel(
                title="Memory",
                description="Resident memory of each process.",
                shape="timeseries",
                unit="bytes",
                queries=(Query(f"process_resident_memory_bytes{{{SCRAPED}}}", "{{instance}}"),),
                width=8,
            ),
            Panel(
                title="Processor",
                description="Processor seconds a second of each process.",
                shape="timeseries",
                unit="short",
                queries=(Query(rate("process_cpu_seconds_total"), "{{instance}}"),),
                width=8,
            ),
        ),
    },
)
