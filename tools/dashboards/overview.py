"""Overview: every link at once, for the engineer who has just been called.

The first screen answers in ten seconds: which links are down, since when, how many dossiers are affected, and
whether it is our fault.
"""

from streams.watch.settings import WatchSettings
from tools.dashboards import queries as q
from tools.dashboards.shared import (
    INSTANCE,
    JOB,
    LINKS,
    REGIONS_OF_ALL,
    SUBMISSIONS_A_MINUTE,
    TIMELINE,
    availability_table,
    open_outages,
    recent_outages,
)
from tools.dashboards.spec import (
    AMBER,
    CLEAR,
    GREEN,
    RED,
    VIOLET,
    Board,
    Column,
    Limits,
    Meaning,
    Panel,
    Query,
    Row,
)
from tools.dashboards.words import Words

DOWN_FROM = 0.5
"""A link is down when at least half of its attempts fail: see `streams.detect.rule.shares`."""


def overview(settings: WatchSettings) -> Board:
    """Return the board."""
    return Board(
        uid="portallink-overview",
        title=Words("portallink · Overview", "portallink · Tổng quan"),
        description=Words(
            "Which links are down right now, since when, whom does it hit, and is it us?",
            "Kết nối nào đang gián đoạn, từ khi nào, ảnh hưởng đến ai, và có phải do hệ thống của ta không?",
        ),
        variables=(JOB, INSTANCE, LINKS),
        regions=REGIONS_OF_ALL,
        time_from="now-12h",
        runbooks=("PortallinkLinkDown", "PortallinkSharedOutage", "PortallinkLinkBlind"),
        rows=(
            Row(
                Words("Now", "Hiện tại"),
                (
                    *_strip(settings),
                    TIMELINE,
                    open_outages(width=14, height=10),
                    availability_table(settings, width=10, height=10),
                ),
            ),
            Row(
                Words("Who suffers, and how much fails", "Ai chịu ảnh hưởng, và bao nhiêu thất bại"),
                (held_up_by_link(), _failed_shares()),
            ),
            Row(
                Words("What was, and what was told", "Đã xảy ra và đã cảnh báo"),
                (recent_outages(width=24, height=10), _alerts()),
            ),
        ),
    )


def _strip(settings: WatchSettings) -> tuple[Panel, ...]:
    blind = f"sum(group by (link) ({q.BLIND})) or vector(0)"
    held_up = f"round(sum({q.grown(q.BLOCKED, '15m', q.LINK)})) or vector(0)"
    return (
        _count(
            Words("Links down", "Kết nối gián đoạn"),
            Words("Links with an open outage of kind down.", "Kết nối có đợt gián đoạn đang mở."),
            f"sum({q.open_outage('down')})",
            RED,
        ),
        _count(
            Words("Links degraded", "Kết nối suy giảm"),
            Words("Links with an open outage of kind degraded.", "Kết nối có đợt suy giảm đang mở."),
            f"sum({q.open_outage('degraded')})",
            AMBER,
        ),
        _count(
            Words("Links we cannot see", "Kết nối mất quan sát"),
            Words(
                "Links of which no observer is alive, retired ones left out: nobody knows how they are.",
                "Kết nối không còn điểm quan sát, trừ kết nối đã ngừng: không ai biết trạng thái.",
            ),
            blind,
            VIOLET,
        ),
        _count(
            Words("Dossiers affected now", "Hồ sơ đang bị ảnh hưởng"),
            Words(
                "Distinct dossiers with a failed lookup by now in the outages that are open, added over"
                " links: a dossier that needs two links that are both down counts twice.",
                "Số hồ sơ khác nhau đến nay có lượt tra cứu thất bại trong các đợt đang mở, cộng theo kết"
                " nối:"
                " hồ sơ cần hai kết nối cùng gián đoạn được tính hai lần.",
            ),
            f"sum({q.DOSSIERS})",
            AMBER,
        ),
        _count(
            Words("Held up, last 15 min", "Bị hoãn, 15 phút qua"),
            Words(
                "Submissions deferred or failed because of a link in the last 15 minutes. A dossier that is"
                " deferred again counts again.",
                "Hồ sơ bị hoãn hoặc thất bại do kết nối trong 15 phút qua. Hồ sơ bị hoãn lần nữa được tính"
                " lại.",
            ),
            held_up,
            AMBER,
        ),
        _pipeline(settings),
    )


def _count(title: Words, description: Words, expr: str, colour: str) -> Panel:
    return Panel(
        title=title,
        description=description,
        shape="stat",
        decimals=0,
        queries=(Query(expr, title),),
        width=4,
        height=4,
        instant=True,
        limits=((0, GREEN), (1, colour)),
    )


def _pipeline(settings: WatchSettings) -> Panel:
    stages = settings.pipeline.stages
    named = q.scraped("portallink_build_info", f'stage=~"{"|".join(stages)}"')
    missing = f"((count(count by (stage) ({named})) or vector(0)) < bool {len(stages)})"
    expr = f"2 * {missing}"
    if (limit := settings.pipeline.watermark_lag_seconds) is not None:
        lag = q.scraped("portallink_watermark_lag_seconds")
        expr = f"clamp_max({expr} + (min(max by (stage) ({lag})) > bool {limit} or vector(0)), 2)"
    return Panel(
        title=Words("Is it us?", "Có phải do ta?"),
        description=Words(
            "Whether every stage of the pipeline runs and keeps up with the time.",
            "Mọi công đoạn của hệ thống có đang chạy và theo kịp thời gian hay không.",
        ),
        shape="stat",
        queries=(Query(expr, Words("pipeline", "hệ thống")),),
        width=4,
        height=4,
        instant=True,
        limits=((0, GREEN), (1, AMBER), (2, RED)),
        meanings={
            "0": Meaning(Words("Pipeline well", "Hệ thống tốt"), GREEN),
            "1": Meaning(Words("Behind", "Đang trễ"), AMBER),
            "2": Meaning(Words("Stage missing", "Thiếu công đoạn"), RED),
        },
        link_to="portallink-pipeline",
    )


def held_up_by_link(*, width: int = 12) -> Panel:
    """Return the panel that shows whose fault it is."""
    return Panel(
        title=Words("Held up, by link", "Bị hoãn, theo kết nối"),
        description=Words(
            "Submissions deferred or failed a minute, by the link that blocked them: the eight worst.",
            "Hồ sơ bị hoãn hoặc thất bại mỗi phút, theo kết nối gây ra: tám kết nối xấu nhất.",
        ),
        shape="timeseries",
        axis=SUBMISSIONS_A_MINUTE,
        decimals=1,
        minimum=0,
        queries=(Query(q.worst_held_up(8), "{{link}}"),),
        stacked=True,
        quiet=True,
        width=width,
        height=9,
    )


def _failed_shares() -> Panel:
    limits: Limits = ((0, CLEAR), (DOWN_FROM, RED))
    return Panel(
        title=Words(
            "Failed share of lookups, the worst eight links", "Tỷ lệ tra cứu lỗi, tám kết nối xấu nhất"
        ),
        description=Words(
            "Failures by fault of the link or the provider over attempts, of the eight links on which most"
            " lookups failed within the range. From the dashed line on a link is down.",
            "Lượt thất bại do kết nối hoặc bên cung cấp trên số lượt thử, của tám kết nối có nhiều lượt lỗi"
            " nhất. Từ đường đứt nét trở lên là gián đoạn.",
        ),
        shape="timeseries",
        unit="percentunit",
        decimals=1,
        minimum=0,
        maximum=1,
        queries=(Query(q.worst_failed_shares(8), "{{link}}"),),
        limits=limits,
        lines=True,
        quiet=True,
        height=9,
    )


def _alerts() -> Panel:
    selector = 'alertname=~"Portallink.*",severity!="none"'
    by = "severity, alertname, incident"
    firing = f'ALERTS{{{selector},alertstate="firing"}}'
    expr = f"max by ({by}) (ALERTS_FOR_STATE{{{selector}}}) * 1000 and on ({by}) {firing}"
    severities = {
        "page": Meaning(Words("page", "gọi ngay"), RED),
        "ticket": Meaning(Words("ticket", "phiếu"), AMBER),
    }
    return Panel(
        title=Words("Alerts", "Cảnh báo"),
        description=Words(
            "What fires now, what cannot wait first. Those that an open outage mutes are among it.",
            "Cảnh báo đang bật, loại không thể chờ xếp trước. Gồm cả cảnh báo bị đợt đang mở ẩn đi.",
        ),
        shape="table",
        queries=(Query(expr, "{{alertname}}"),),
        instant=True,
        quiet=True,
        width=24,
        height=8,
        columns=(
            Column(of="severity", title=Words("Severity", "Mức độ"), meanings=severities, width=110),
            Column(of="A", title=Words("Since", "Từ lúc"), unit="time:DD/MM HH:mm:ss", width=150),
            Column(of="alertname", title=Words("Alert", "Cảnh báo"), width=330),
            Column(of="incident", title=Words("About", "Về")),
        ),
        worst=("severity", "-A"),
    )
