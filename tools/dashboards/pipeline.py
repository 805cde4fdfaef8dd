"""Pipeline: is our own system healthy? Stages, broker, consumer groups, ledger."""

from typing import Final

from streams.watch.settings import WatchSettings
from tools.dashboards import queries as q
from tools.dashboards.pipeline_details import collected, flow, ledger, lines
from tools.dashboards.shared import INSTANCE, JOB, RECORDS_A_MINUTE, REGIONS_OF_ALL, counted
from tools.dashboards.spec import (
    AMBER,
    GREEN,
    RED,
    Board,
    Column,
    Meaning,
    Panel,
    Query,
    Row,
)
from tools.dashboards.words import Words

SHOULD_NOT_HAPPEN: Final = (
    ("portallink_dead_letters_total", "dead letters"),
    ("portallink_records_lost_total", "records lost"),
    ("portallink_logs_began_again_total", "logs that began again"),
    ("portallink_source_gaps_total", "gaps in the sources"),
    ("portallink_sources_idle_total", "idle sources"),
    ("portallink_measurements_incomplete_total", "incomplete measurements"),
    ("portallink_event_id_conflicts_total", "event id conflicts"),
)
TROUBLE: Final = ("broker_away", "stage_blocked", "stage_stalled", "stage_failed", "last_commit_failed")
"""Occurrences about a broker or a database that does not answer, and about a stage in trouble."""


def pipeline(settings: WatchSettings) -> Board:
    """Return the board."""
    return Board(
        uid="portallink-pipeline",
        title=Words("portallink · Pipeline", "portallink · Hệ thống"),
        description=Words(
            "Are we ourselves well: stages, broker, consumer groups, ledger, throughput and lag.",
            "Bản thân hệ thống có tốt không: công đoạn, broker, nhóm tiêu thụ, sổ cái, lưu lượng và độ trễ.",
        ),
        variables=(JOB, INSTANCE),
        regions=REGIONS_OF_ALL,
        runbooks=(
            "PortallinkStageAbsent",
            "PortallinkWatermarkLag",
            "PortallinkDeadLetters",
            "PortallinkConsumerLag",
            "PortallinkExportsRefused",
        ),
        rows=(
            Row(Words("Is every stage well?", "Các công đoạn có tốt không?"), _stages()),
            Row(Words("Broker and consumer groups", "Broker và nhóm tiêu thụ"), _broker(settings)),
            Row(Words("Ledger and page", "Sổ cái và trang tra cứu"), ledger()),
            Row(Words("What went through", "Dữ liệu đã qua"), flow()),
            Row(Words("Spans that were collected", "Span đã thu thập"), collected()),
            Row(Words("Processes", "Tiến trình"), _processes()),
        ),
    )


def _stages() -> tuple[Panel, ...]:
    running = f"count by (stage, version) ({q.scraped('portallink_build_info')})"
    ready = f"min by (stage) ({q.scraped('portallink_stage_ready')})"
    age = f"max by (stage) ({q.scraped('portallink_stage_progress_age_seconds')})"
    lag = f"max by (stage) ({q.scraped('portallink_watermark_lag_seconds')})"
    yes_no = {
        "0": Meaning(Words("waits", "đang chờ"), AMBER),
        "1": Meaning(Words("ready", "sẵn sàng"), GREEN),
    }
    return (
        Panel(
            title=Words("Stages", "Công đoạn"),
            description=Words(
                "Each stage: version, processes, whether all have their partitions, the time since the last"
                " progress, and how far the watermark of its worst partition is behind the clock.",
                "Từng công đoạn: phiên bản, số tiến trình, đã nhận phân vùng chưa, thời gian từ lần tiến"
                " triển"
                " gần nhất, và watermark của phân vùng chậm nhất trễ bao nhiêu.",
            ),
            shape="table",
            queries=(
                Query(running, "{{stage}} {{version}}"),
                Query(ready, "{{stage}}"),
                Query(age, "{{stage}}"),
                Query(lag, "{{stage}}"),
            ),
            instant=True,
            width=16,
            height=8,
            columns=(
                Column(of="stage", title=Words("Stage", "Công đoạn")),
                Column(of="version", title=Words("Version", "Phiên bản")),
                Column(of="A", title=Words("Processes", "Tiến trình"), decimals=0),
                Column(of="B", title=Words("Ready", "Sẵn sàng"), meanings=yes_no),
                Column(of="C", title=Words("Without progress", "Không tiến triển"), unit="s", decimals=0),
                Column(of="D", title=Words("Watermark lag", "Watermark trễ"), unit="s", decimals=0),
            ),
            worst=("B",),
        ),
        counted(
            Words("What should not happen", "Những điều không nên xảy ra"),
            Words(
                "How often within the range; zero throughout while all is well.",
                "Số lần trong khoảng xem; bằng 0 khi mọi thứ bình thường.",
            ),
            {name: q.grown(metric, "$__range") for metric, name in SHOULD_NOT_HAPPEN},
            colour=RED,
        ),
    )


def _broker(settings: WatchSettings) -> tuple[Panel, ...]:
    occurrences = "portallink_occurrences_total"
    lag = f"sum by (stage) ({q.scraped('portallink_consumer_lag_records')})"
    assigned = f"sum by (stage) ({q.scraped('portallink_partitions_assigned')})"
    differ = f"sum by (stage) ({q.scraped('portallink_settings_differ')}) > 0"
    return (
        lines(
            Words("Consumer lag", "Độ trễ nhóm tiêu thụ"),
            Words(
                "Records written and not yet read, by the stage's consumer group. From the dashed line on an"
                " alert is raised.",
                "Bản ghi đã ghi mà chưa đọc, theo nhóm tiêu thụ của công đoạn. Từ đường đứt nét có cảnh báo.",
            ),
            (Query(lag, "{{stage}}"),),
            limit=settings.pipeline.consumer_lag_records,
        ),
        lines(
            Words("Partitions", "Phân vùng"),
            Words(
                "Source partitions read, by stage: a fall means that a group rebalances or lost a process.",
                "Số phân vùng đang đọc, theo công đoạn: giảm nghĩa là nhóm đang chia lại hoặc mất tiến"
                " trình.",
            ),
            (Query(assigned, "{{stage}}"),),
        ),
        lines(
            Words("Broker or database away", "Mất broker hoặc cơ sở dữ liệu"),
            Words(
                "Occurrences a minute that tell of a broker or a ledger that does not answer, or of a stage"
                " that stalls or fails. Nothing while all is well.",
                "Số sự kiện mỗi phút cho thấy broker hoặc sổ cái không trả lời, hoặc công đoạn đứng hay hỏng."
                " Trống khi mọi thứ bình thường.",
            ),
            (
                Query(
                    q.per_minute(occurrences, "stage, occurrence", f'occurrence=~"{"|".join(TROUBLE)}"'),
                    "{{stage}} {{occurrence}}",
                ),
            ),
            decimals=1,
            quiet=True,
        ),
        lines(
            Words("Settings that differ", "Cấu hình khác nhau"),
            Words(
                "Source partitions measured under other settings than the stage's own. Nothing while all is"
                " well.",
                "Số phân vùng được đo với cấu hình khác cấu hình của công đoạn. Trống khi bình thường.",
            ),
            (Query(differ, "{{stage}}"),),
            quiet=True,
        ),
        lines(
            Words("Records read again", "Bản ghi đọc lại"),
            Words(
                "Records a minute read again to rebuild state after an assignment.",
                "Bản ghi mỗi phút đọc lại để dựng trạng thái sau khi nhận phân vùng.",
            ),
            (Query(f"60 * sum by (stage) ({q.rate('portallink_records_reread_total')})", "{{stage}}"),),
            axis=RECORDS_A_MINUTE,
        ),
        lines(
            Words("Records written", "Bản ghi đã ghi"),
            Words("Records a minute written to each topic.", "Bản ghi mỗi phút ghi vào từng topic."),
            q.events("portallink_records_sent_total", "topic"),
            axis=RECORDS_A_MINUTE,
        ),
    )


def _processes() -> tuple[Panel, ...]:
    info = f"max by (stage, version, python_version, instance) ({q.scraped('portallink_build_info')})"
    return (
        Panel(
            title=Words("Processes", "Tiến trình"),
            description=Words(
                "What runs: stage, version and Python of each process that answers.",
                "Đang chạy: công đoạn, phiên bản và Python của từng tiến trình.",
            ),
            shape="table",
            queries=(Query(info, "{{stage}} {{instance}}"),),
            instant=True,
            width=8,
            height=8,
            columns=(
                Column(of="stage", title=Words("Stage", "Công đoạn")),
                Column(of="instance", title=Words("Instance", "Instance")),
                Column(of="version", title=Words("Version", "Phiên bản")),
                Column(of="python_version", title=Words("Python", "Python")),
            ),
            worst=("stage",),
        ),
        lines(
            Words("Memory", "Bộ nhớ"),
            Words("Resident memory of each process.", "Bộ nhớ thường trú của từng tiến trình."),
            (Query(q.scraped("process_resident_memory_bytes"), "{{instance}}"),),
            unit="bytes",
            decimals=1,
        ),
        lines(
            Words("Processor", "Bộ xử lý"),
            Words(
                "Share of one processor that each process uses.", "Phần một bộ xử lý mà từng tiến trình dùng."
            ),
            (Query(q.rate("process_cpu_seconds_total"), "{{instance}}"),),
            unit="percentunit",
        ),
    )
