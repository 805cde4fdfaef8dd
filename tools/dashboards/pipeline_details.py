"""The lower half of the Pipeline dashboard: the ledger, and what went through."""

from typing import Final

from tools.dashboards import queries as q
from tools.dashboards.shared import RECORDS_A_MINUTE
from tools.dashboards.spec import AMBER, CLEAR, RED, Limits, Panel, Query
from tools.dashboards.words import Text, Words

_RECORDS: Final = "portallink_records_total"


def lines(
    title: Words,
    description: Words,
    queries: tuple[Query, ...],
    *,
    unit: str = "none",
    axis: Text = "",
    decimals: int = 0,
    limit: float | None = None,
    quiet: bool = False,
    stacked: bool = False,
    colours: dict[str, str] | None = None,
) -> Panel:
    """Return a panel of lines, a third of the width."""
    limits: Limits = () if limit is None else ((0, CLEAR), (limit, RED))
    return Panel(
        title=title,
        description=description,
        shape="timeseries",
        unit=unit,
        axis=axis,
        decimals=decimals,
        minimum=0,
        queries=queries,
        limits=limits,
        lines=limit is not None,
        quiet=quiet,
        stacked=stacked,
        colours=colours or {},
        width=8,
    )


def ledger() -> tuple[Panel, ...]:
    """Return the panels of the ledger and the page."""
    behind = f"{q.EVENT_NOW} - max({q.scraped('portallink_ledger_until_timestamp_seconds')})"
    return (
        lines(
            Words("Rows written to the ledger", "Dòng ghi vào sổ cái"),
            Words("Rows a minute, by table.", "Số dòng mỗi phút, theo bảng."),
            q.events("portallink_ledger_rows_total", "table"),
            axis=Words("rows a minute", "dòng mỗi phút"),
        ),
        lines(
            Words("How far the ledger is behind", "Sổ cái chậm bao lâu"),
            Words(
                "Event time that `detect` has reached less the end of the ledger's data: a minute or two, and"
                " more when PostgreSQL is slow or away.",
                "Thời gian sự kiện `detect` đã đạt trừ cuối dữ liệu sổ cái: một hai phút; hơn khi PostgreSQL"
                " chậm hoặc mất.",
            ),
            (Query(behind, Words("behind", "chậm")),),
            unit="s",
            decimals=1,
        ),
        lines(
            Words("Auditors' waiting time", "Thời gian chờ của kiểm toán viên"),
            Words(
                "Time to answer an HTTP request, over all routes.",
                "Thời gian trả lời một yêu cầu HTTP, trên mọi đường dẫn.",
            ),
            q.quantiles((0.5, 0.95), "portallink_http_request_seconds"),
            unit="s",
            decimals=2,
        ),
        lines(
            Words("Auditors' requests", "Yêu cầu của kiểm toán viên"),
            Words("HTTP requests a minute, by status.", "Yêu cầu HTTP mỗi phút, theo mã trả lời."),
            q.events("portallink_http_requests_total", "status"),
            axis=Words("requests a minute", "yêu cầu mỗi phút"),
            decimals=1,
        ),
        lines(
            Words("Windows published", "Cửa sổ phút đã công bố"),
            Words(
                "One-minute windows a minute: first results, and revisions by late records.",
                "Cửa sổ một phút, mỗi phút: kết quả đầu và đính chính do bản ghi đến muộn.",
            ),
            q.events("portallink_windows_total", "kind"),
        ),
        lines(
            Words("Outage revisions", "Phiên bản đợt gián đoạn"),
            Words(
                "Revisions within the last hour, by reason; `late` corrects published history.",
                "Số phiên bản trong giờ qua, theo lý do; `late` đính chính lịch sử đã công bố.",
            ),
            (
                Query(
                    f"sum by (reason) ({q.grown('portallink_outage_revisions_total', '1h')})",
                    "{{reason}}",
                ),
            ),
        ),
    )


def flow() -> tuple[Panel, ...]:
    """Return the panels of what went through."""
    others = q.rate(_RECORDS, 'result!="applied"')
    share = f"sum by (stage, result) ({others})"
    every = f"sum by (stage) ({q.rate(_RECORDS)})"
    delay = "portallink_outage_detection_delay_seconds"
    return (
        lines(
            Words("Records read", "Bản ghi đã đọc"),
            Words(
                "Records a minute by stage and how they ended; they add up to the records read.",
                "Bản ghi mỗi phút theo công đoạn và kết cục; cộng lại bằng số bản ghi đã đọc.",
            ),
            (
                Query(
                    q.per_minute(_RECORDS, "stage, result"),
                    "{{stage}} {{result}}",
                ),
            ),
            axis=RECORDS_A_MINUTE,
        ),
        lines(
            Words("Late, duplicate and rejected share", "Tỷ lệ muộn, trùng và bị loại"),
            Words("Of the records read, by stage.", "Trên số bản ghi đã đọc, theo công đoạn."),
            (Query(f"{share} / on (stage) group_left () ({every} > 0) > 0", "{{stage}} {{result}}"),),
            unit="percentunit",
            decimals=2,
        ),
        lines(
            Words("Dead letters by reason", "Bản ghi lỗi theo lý do"),
            Words(
                "Records a minute sent to the dead-letter topic. Nothing while all is well.",
                "Bản ghi mỗi phút bị chuyển sang topic lỗi. Trống khi bình thường.",
            ),
            q.events("portallink_dead_letters_total", "reason"),
            axis=RECORDS_A_MINUTE,
            decimals=1,
            quiet=True,
        ),
        lines(
            Words("Detection delay", "Độ trễ phát hiện"),
            Words(
                "Event time from an outage's first failing request to the end of the slot that decided it, of"
                " the outages of the last hour.",
                "Thời gian sự kiện từ yêu cầu lỗi đầu tiên đến cuối khoảng quyết định, của các đợt trong"
                " giờ qua.",
            ),
            tuple(
                Query(
                    f"histogram_quantile({share}, sum by (le) ({q.increase(delay + '_bucket', over='1h')}))",
                    f"p{share * 100:g}",
                )
                for share in (0.5, 0.95)
            ),
            unit="s",
        ),
        lines(
            Words("Outages found", "Đợt gián đoạn đã tìm thấy"),
            Words(
                "Outages found within the last hour, each counted once.",
                "Số đợt tìm thấy trong giờ qua, mỗi đợt tính một lần.",
            ),
            (Query(f"sum by (kind) ({q.grown('portallink_outages_total', '1h')})", "{{kind}}"),),
            colours={"down": RED, "degraded": AMBER},
        ),
        lines(
            Words("Occurrences", "Sự kiện"),
            Words(
                "Every kind of occurrence a minute; each is a log line of that name.",
                "Mọi loại sự kiện mỗi phút; mỗi sự kiện là một dòng log cùng tên.",
            ),
            q.events("portallink_occurrences_total", "occurrence"),
            decimals=1,
        ),
    )


def collected() -> tuple[Panel, ...]:
    """Return the panels of `collect`; where nobody sends spans there is nothing to show."""
    spans, age = "portallink_spans_total", "portallink_span_age_seconds"
    sources = f"sum({q.scraped('portallink_span_sources')})"
    return (
        lines(
            Words("Spans", "Span"),
            Words(
                "Spans received a minute, by what they became.", "Số span nhận mỗi phút, theo kết quả xử lý."
            ),
            q.events(spans, "result"),
            axis=Words("spans a minute", "span mỗi phút"),
            quiet=True,
        ),
        lines(
            Words("Age of spans on arrival", "Tuổi của span khi đến"),
            Words(
                "Time from the end of the oldest call of an export to its arrival.",
                "Thời gian từ khi lượt gọi cũ nhất của một lần gửi kết thúc đến khi nhận được.",
            ),
            q.quantiles((0.5, 0.95), age),
            unit="s",
            quiet=True,
        ),
        lines(
            Words("Exports and sources", "Lần gửi và nguồn gửi"),
            Words(
                "Exports answered a minute by status, and the sources that have sent spans lately.",
                "Số lần gửi được trả lời mỗi phút theo mã, và số nguồn có gửi span gần đây.",
            ),
            (
                *q.events("portallink_exports_total", "way, status", legend="{{way}} {{status}}"),
                Query(sources, Words("sources", "nguồn gửi"), rare=True),
            ),
            decimals=1,
            quiet=True,
        ),
    )
