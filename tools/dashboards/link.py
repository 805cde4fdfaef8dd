"""Link: one link in depth."""

from streams.watch.promql import ATTEMPT_MATCH, FAILURE_MATCH
from streams.watch.recording import ratio_name
from streams.watch.settings import WatchSettings
from tools.dashboards import queries as q
from tools.dashboards.link_details import beside, latency, sufferers
from tools.dashboards.overview import DOWN_FROM
from tools.dashboards.shared import (
    INSTANCE,
    JOB,
    LOOKUPS_A_MINUTE,
    ONE_LINK,
    REGIONS_OF_LINK,
    SUBMISSIONS_A_MINUTE,
    open_outages,
    recent_outages,
    share_limits,
)
from tools.dashboards.spec import (
    AMBER,
    BLUE,
    CLEAR,
    GREEN,
    GREY,
    OUTCOME_COLOURS,
    RED,
    STATES,
    VIOLET,
    Board,
    Meaning,
    Panel,
    Query,
    Row,
)
from tools.dashboards.words import Words


def link_board(settings: WatchSettings) -> Board:
    """Return the board."""
    return Board(
        uid="portallink-link",
        title=Words("portallink · Link", "portallink · Kết nối"),
        description=Words(
            "One link: is it us, the line or the provider, and which services and agencies suffer?",
            "Một kết nối: do ta, đường truyền hay bên cung cấp; dịch vụ và cơ quan nào bị ảnh hưởng?",
        ),
        variables=(JOB, INSTANCE, ONE_LINK),
        regions=REGIONS_OF_LINK,
        runbooks=("PortallinkLinkDown", "PortallinkLinkDegraded", "PortallinkLinkFlapping"),
        rows=(
            Row(Words("Now", "Hiện tại"), (*_now(), *_figures(settings))),
            Row(Words("What happens", "Diễn biến"), (_timeline(), *_lookups(settings))),
            Row(Words("Where the time goes", "Thời gian mất ở đâu"), latency()),
            Row(Words("Who suffers", "Ai chịu ảnh hưởng"), sufferers()),
            Row(
                Words("What was found", "Đã phát hiện"),
                (recent_outages(width=24, height=9), *beside()),
            ),
        ),
    )


def _now() -> tuple[Panel, ...]:
    return (
        Panel(
            title=Words("State", "Trạng thái"),
            description=Words("The link's state now.", "Trạng thái hiện tại của kết nối."),
            shape="stat",
            queries=(Query(q.state(), "{{link}}"),),
            width=4,
            height=5,
            instant=True,
            limits=((0, GREY), (0.5, VIOLET), (1, GREEN), (2, AMBER), (3, RED)),
            meanings=STATES,
        ),
        open_outages(width=20, height=5),
    )


def _figures(settings: WatchSettings) -> tuple[Panel, ...]:
    available = share_limits(settings.links.availability_target)
    covered = share_limits(settings.links.coverage_target)
    success = f"1 - {ratio_name('30d')}{{{q.LINK}}}"
    ledger = Words(
        "The ledger's own figure, corrections and exclusions included, rounded down.",
        "Số liệu của chính sổ cái, gồm đính chính và loại trừ, làm tròn xuống.",
    )
    rows = (
        (
            Words("Availability today", "Sẵn sàng hôm nay"),
            q.ledger("availability", "today"),
            available,
            ledger,
        ),
        (Words("This month", "Tháng này"), q.ledger("availability", "month"), available, ledger),
        (Words("30 days", "30 ngày"), q.ledger("availability", "30d"), available, ledger),
        (Words("Coverage today", "Độ phủ hôm nay"), q.ledger("coverage", "today"), covered, ledger),
        (Words("Coverage, 30 days", "Độ phủ 30 ngày"), q.ledger("coverage", "30d"), covered, ledger),
        (
            Words("Success, 30 days", "Thành công 30 ngày"),
            q.rounded_down(success),
            share_limits(settings.lookups.success_target),
            Words(
                "Share of attempts without a fault of link or provider: the view weighted by requests.",
                "Tỷ lệ lượt thử không lỗi do kết nối hay bên cung cấp: tính theo số lượt.",
            ),
        ),
    )
    return tuple(
        Panel(
            title=title,
            description=description,
            shape="stat",
            unit="percentunit",
            decimals=2,
            queries=(Query(expr, "{{link}}"),),
            width=4,
            height=4,
            instant=True,
            limits=limits,
        )
        for title, expr, limits, description in rows
    )


def _timeline() -> Panel:
    maintenance = f"4 * ({q.by_link('portallink_link_maintenance')} > 0)"
    shared = f"5 * (max by (link) ({q.scraped('portallink_incident_link', q.LINK)}) > 0)"
    seen = f"{q.by_link('portallink_link_observed')} + 6"
    return Panel(
        title=Words("State, sight and circumstances", "Trạng thái, quan sát và hoàn cảnh"),
        description=Words(
            "The state that the rule gave, whether an observer was alive, announced maintenance, and"
            " incidents"
            " shared with other links.",
            "Trạng thái theo quy tắc, có điểm quan sát hay không, bảo trì theo thông báo, và sự cố chung với"
            " kết nối khác.",
        ),
        shape="statetimeline",
        queries=(
            Query(q.state(), Words("state", "trạng thái")),
            Query(seen, Words("sight", "quan sát")),
            Query(maintenance, Words("maintenance", "bảo trì"), rare=True),
            Query(shared, Words("shared incident", "sự cố chung"), rare=True),
        ),
        width=24,
        height=6,
        meanings={
            **STATES,
            "4": Meaning(Words("Announced maintenance", "Bảo trì theo thông báo"), BLUE),
            "5": Meaning(Words("Down with others", "Gián đoạn cùng kết nối khác"), RED),
            "6": Meaning(Words("Blind", "Mất quan sát"), VIOLET),
            "7": Meaning(Words("Seen", "Quan sát được"), GREEN),
        },
    )


def _lookups(settings: WatchSettings) -> tuple[Panel, ...]:
    failed, tried = (
        f"sum by (link) ({q.increase(q.LOOKUPS, q.LINK, match, over='1h')})"
        for match in (FAILURE_MATCH, ATTEMPT_MATCH)
    )
    asked = q.rate("portallink_lookups_requested_total", q.LINK)
    budget = round(1 - settings.lookups.success_target, 6)
    return (
        Panel(
            title=Words("Outcomes", "Kết quả tra cứu"),
            description=Words(
                "Lookups a minute by outcome, as the portal saw them. Green and grey are answers, warm"
                " colours"
                " are failures.",
                "Lượt tra cứu mỗi phút theo kết quả, nhìn từ cổng. Xanh và xám là có trả lời, màu nóng là"
                " lỗi.",
            ),
            shape="timeseries",
            axis=LOOKUPS_A_MINUTE,
            decimals=1,
            minimum=0,
            queries=q.events(q.LOOKUPS, "outcome", q.LINK),
            colours=OUTCOME_COLOURS,
            stacked=True,
            height=11,
        ),
        Panel(
            title=Words("Failed share of lookups", "Tỷ lệ tra cứu lỗi"),
            description=Words(
                f"Failures by fault of the link or the provider over attempts. The lower line is the error"
                f" budget ({budget:.3g}), the upper one is where a link is down.",
                f"Lượt lỗi do kết nối hoặc bên cung cấp trên số lượt thử. Đường dưới là ngân sách lỗi"
                f" ({budget:.3g}), đường trên là mức gián đoạn.",
            ),
            shape="timeseries",
            unit="percentunit",
            decimals=1,
            minimum=0,
            maximum=1,
            queries=(
                Query(q.failed_share(), Words("now", "hiện tại")),
                Query(f"{failed} / ({tried} > 0)", Words("over 1 h", "trong 1 giờ")),
            ),
            limits=((0, CLEAR), (budget, AMBER), (DOWN_FROM, RED)),
            lines=True,
            colours={"now": RED, "over 1 h": BLUE},
            height=11,
        ),
        Panel(
            title=Words("Asked and not yet answered for", "Đã hỏi mà chưa rõ kết quả"),
            description=Words(
                "Lookups asked a minute less outcomes that became known. Above zero for long: requests are"
                " swallowed. It swings around zero while all is well.",
                "Lượt hỏi mỗi phút trừ lượt đã rõ kết quả. Dương kéo dài: yêu cầu bị nuốt. Khi bình thường"
                " dao"
                " động quanh 0.",
            ),
            shape="timeseries",
            axis=LOOKUPS_A_MINUTE,
            decimals=1,
            queries=(
                Query(
                    f"60 * (sum by (link) ({asked}) - sum by (link) ({q.rate(q.LOOKUPS, q.LINK)}))",
                    Words("asked less known", "hỏi trừ đã rõ"),
                ),
            ),
        ),
        Panel(
            title=Words("Held up, by portal", "Hồ sơ bị hoãn, theo cổng"),
            description=Words(
                "Submissions deferred or failed a minute because of this link, by portal.",
                "Hồ sơ bị hoãn hoặc thất bại mỗi phút do kết nối này, theo cổng.",
            ),
            shape="timeseries",
            axis=SUBMISSIONS_A_MINUTE,
            decimals=1,
            minimum=0,
            queries=q.events(q.BLOCKED, "portal", q.LINK),
            stacked=True,
            quiet=True,
        ),
    )
