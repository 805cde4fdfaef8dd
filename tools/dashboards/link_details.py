"""The lower half of the Link dashboard: where the time goes, who is affected, what else was found."""

from typing import Final

from tools.dashboards import queries as q
from tools.dashboards.shared import bars, counted
from tools.dashboards.spec import AMBER, GREEN, RED, VIOLET, Column, Panel, Query
from tools.dashboards.words import Words

_LATENCY: Final = "portallink_lookup_latency_seconds"
_PROVIDER: Final = "portallink_provider_latency_seconds"


def _mean(histogram: str) -> str:
    total, count = (q.rate(f"{histogram}_{part}", q.LINK) for part in ("sum", "count"))
    return f"sum by (link) ({total}) / (sum by (link) ({count}) > 0)"


def latency() -> tuple[Panel, ...]:
    """Return the panels of where the time goes."""
    slow = q.by_link("portallink_link_normal_slow_seconds")
    return (
        Panel(
            title=Words("Latency of answered lookups", "Độ trễ của lượt có trả lời"),
            description=Words(
                "How many lookups were answered within each span of time.",
                "Bao nhiêu lượt tra cứu được trả lời trong mỗi khoảng thời gian.",
            ),
            shape="heatmap",
            unit="s",
            queries=(Query(f"sum by (le) ({q.increase(_LATENCY + '_bucket', q.LINK)})", "{{le}}"),),
            width=8,
        ),
        Panel(
            title=Words("Latency quantiles", "Phân vị độ trễ"),
            description=Words(
                "Of answered lookups at the portal. The dashed series is the latency from which an answer is"
                " slow for this link, where that has been raised.",
                "Của lượt có trả lời, tại cổng. Chuỗi «chậm từ» là mức trễ bị coi là chậm, nếu đã được nâng.",
            ),
            shape="timeseries",
            unit="s",
            decimals=2,
            minimum=0,
            queries=(
                *q.quantiles((0.5, 0.95, 0.99), _LATENCY, q.LINK),
                Query(slow, Words("slow from", "chậm từ"), rare=True),
            ),
            colours={"p50": GREEN, "p95": AMBER, "p99": RED},
            width=8,
        ),
        Panel(
            title=Words("Provider against network", "Bên cung cấp so với mạng"),
            description=Words(
                "Mean time spent at the provider, where it reports, and the rest: line, gateways and queues."
                " Clock skew between the two sides can make the rest negative.",
                "Thời gian trung bình ở bên cung cấp, nếu có báo, và phần còn lại: đường truyền, cổng kết"
                " nối,"
                " hàng đợi. Lệch đồng hồ hai bên có thể làm phần còn lại âm.",
            ),
            shape="timeseries",
            unit="s",
            decimals=2,
            queries=(
                Query(_mean(_PROVIDER), Words("provider", "bên cung cấp")),
                Query(f"{_mean(_LATENCY)} - {_mean(_PROVIDER)}", Words("line and gateways", "đường truyền")),
            ),
            colours={"provider": VIOLET, "line and gateways": RED},
            width=8,
        ),
    )


def sufferers() -> tuple[Panel, ...]:
    """Return the panels of who is affected."""
    return (
        bars(
            Words("Services hit", "Dịch vụ bị ảnh hưởng"),
            Words(
                "Failed lookups within the range, by the service that needed them; the ten most.",
                "Lượt tra cứu lỗi trong khoảng xem, theo dịch vụ cần đến; mười dịch vụ nhiều nhất.",
            ),
            "portallink_failed_lookups_by_service_total",
            "service",
            q.LINK,
            colour=RED,
        ),
        bars(
            Words("Agencies hit", "Cơ quan bị ảnh hưởng"),
            Words(
                "Failed lookups within the range, by the agency that needed them; the ten most.",
                "Lượt tra cứu lỗi trong khoảng xem, theo cơ quan cần đến; mười cơ quan nhiều nhất.",
            ),
            "portallink_failed_lookups_by_agency_total",
            "agency",
            q.LINK,
            colour=RED,
        ),
    )


def _time_by_state() -> Panel:
    by_state = f"sum by (state) ({q.grown('portallink_link_state_seconds_total', '$__range', q.LINK)})"
    outages = f"sum({q.grown('portallink_link_downtime_seconds_total', '$__range', q.LINK)})"
    return Panel(
        title=Words("Where the time went", "Thời gian theo trạng thái"),
        description=Words(
            "Event time within the range by state: every second is in exactly one. The last row is the time"
            " inside outages of kind down, also where nobody could tell.",
            "Thời gian sự kiện trong khoảng xem theo trạng thái: mỗi giây thuộc đúng một trạng thái. Dòng"
            " cuối là thời gian trong các đợt gián đoạn, kể cả khi không thể xác định.",
        ),
        shape="table",
        queries=(
            Query(f'{by_state} or label_replace({outages}, "state", "in outages", "", "")', "{{state}}"),
        ),
        instant=True,
        width=8,
        height=8,
        columns=(
            Column(of="state", title=Words("State", "Trạng thái")),
            Column(of="A", title=Words("Time", "Thời gian"), unit="dthms", decimals=0, width=130),
        ),
        worst=("-A",),
    )


def beside() -> tuple[Panel, ...]:
    """Return the panels of other notable findings, which are not outages."""
    since = q.by_link("portallink_link_normal_since_timestamp_seconds")
    names = ("failures", "failure_seconds", "failure_lookups")
    metrics = [f"portallink_short_{name}_total" for name in names]
    short = {
        what: q.grown(metric, "$__range", q.LINK)
        for what, metric in zip(("failures", "seconds", "lookups"), metrics, strict=True)
    }
    return (
        counted(
            Words("Failures too short to be an outage", "Gián đoạn quá ngắn"),
            Words(
                "Full failures within the range that were shorter than the rule's minimum: how many, how many"
                " seconds together, how many lookups.",
                "Các lần lỗi hoàn toàn trong khoảng xem nhưng ngắn hơn mức tối thiểu: số lần, tổng số"
                " giây, số"
                " lượt tra cứu.",
            ),
            short,
            colour=AMBER,
        ),
        _time_by_state(),
        Panel(
            title=Words("State changes", "Số lần đổi trạng thái"),
            description=Words(
                "Changes among up, degraded and down in each hour before: many are flapping.",
                "Số lần đổi giữa hoạt động, suy giảm và gián đoạn trong mỗi giờ trước đó: nhiều là chập"
                " chờn.",
            ),
            shape="timeseries",
            decimals=0,
            minimum=0,
            queries=(
                Query(
                    f"sum by (link) ({q.increase('portallink_link_state_changes_total', q.LINK, over='1h')})",
                    Words("changes in 1 h", "lần trong 1 giờ"),
                ),
            ),
            width=8,
            height=8,
        ),
        Panel(
            title=Words("Raised normal", "Mức bình thường bị nâng"),
            description=Words(
                "The share of lookups that fails normally on this link, and for how many days. Nothing where"
                " nothing is raised.",
                "Tỷ lệ lỗi đã thành bình thường của kết nối này, và từ bao nhiêu ngày. Trống nếu không có.",
            ),
            shape="timeseries",
            decimals=3,
            minimum=0,
            quiet=True,
            queries=(
                Query(q.by_link("portallink_link_normal_failure_share"), Words("failing share", "tỷ lệ lỗi")),
                Query(f"({q.EVENT_NOW} - {since}) / 86400", Words("for days", "số ngày")),
            ),
            width=24,
            height=6,
        ),
    )
