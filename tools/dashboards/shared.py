"""Parts shared by dashboards: variables, regions, units, the timeline, the tables of outages."""

from collections.abc import Mapping
from typing import Final

from streams.watch.settings import WatchSettings
from tools.dashboards import queries as q
from tools.dashboards.spec import (
    AMBER,
    BLUE,
    DOMAINS,
    GREEN,
    KINDS,
    RED,
    STATES,
    Column,
    Limits,
    Meaning,
    Panel,
    Query,
    Region,
    Variable,
)
from tools.dashboards.words import Words

LOOKUPS_A_MINUTE: Final = Words("lookups a minute", "lượt mỗi phút")
SUBMISSIONS_A_MINUTE: Final = Words("submissions a minute", "hồ sơ mỗi phút")
RECORDS_A_MINUTE: Final = Words("records a minute", "bản ghi mỗi phút")
MOMENT: Final = "time:DD/MM HH:mm:ss"
LINK_BOARD: Final = "portallink-link?var-link="

JOB: Final = Variable(
    "job",
    Words("Job", "Job"),
    "portallink_build_info",
    "",
    Words("Prometheus job of the pipeline's processes.", "Job Prometheus của các tiến trình."),
)
INSTANCE: Final = Variable(
    "instance",
    Words("Instance", "Instance"),
    "portallink_build_info",
    'job=~"$job"',
    Words("One process of the pipeline.", "Một tiến trình của hệ thống."),
)
_A_LINK: Final = Words("A link to a provider's database.", "Kết nối đến CSDL của bên cung cấp.")
LINKS: Final = Variable("link", Words("Link", "Kết nối"), "portallink_link_state", q.SCRAPED, _A_LINK)
ONE_LINK: Final = Variable(
    "link", Words("Link", "Kết nối"), "portallink_link_state", q.SCRAPED, _A_LINK, one=True
)
EACH_LINK: Final = Variable(
    "link", Words("Link", "Kết nối"), "portallink_link_state", q.SCRAPED, _A_LINK, repeats=True
)
PORTALS: Final = Variable(
    "portal",
    Words("Portal", "Cổng"),
    "portallink_submissions_total",
    q.SCRAPED,
    Words("A public-service portal.", "Một cổng dịch vụ công."),
)


def _outages(kind: str, name: Words, colour: str, title: Words) -> Region:
    return Region(name, f"{q.open_outage(kind)} > 0", colour, title)


REGIONS_OF_LINK: Final = (
    _outages("down", Words("Down", "Gián đoạn"), RED, Words("{{link}} is down", "{{link}} gián đoạn")),
    _outages(
        "degraded", Words("Degraded", "Suy giảm"), AMBER, Words("{{link}} is degraded", "{{link}} suy giảm")
    ),
    Region(
        Words("Maintenance", "Bảo trì"),
        f"{q.by_link('portallink_link_maintenance')} > 0",
        BLUE,
        Words("{{link}}: announced maintenance", "{{link}}: bảo trì theo thông báo"),
    ),
)
"""The trouble of single links: for boards that show few."""

REGIONS_OF_ALL: Final = (
    Region(
        Words("Dossiers are affected", "Hồ sơ bị ảnh hưởng"),
        f"max({q.DOSSIERS}) > 0",
        RED,
        Words("An open outage affects dossiers", "Đợt gián đoạn đang mở ảnh hưởng đến hồ sơ"),
    ),
)
"""One region while there is any outage; separate bands of twenty links would overlap to a red wall."""


def share_limits(target: float) -> Limits:
    """Return colours of a share that should reach a target: amber just below it, red at twice the loss."""
    return ((0, RED), (round(1 - 2 * (1 - target), 6), AMBER), (target, GREEN))


TIMELINE: Final = Panel(
    title=Words("State of each link", "Trạng thái từng kết nối"),
    description=Words(
        "In event time, links in trouble first. While an outage is open the link is red or amber, also where"
        " hardly anyone asks. Violet: no observer is alive, so nobody knows. Grey: too little traffic to"
        " tell."
        " Click a link for its own dashboard.",
        "Theo thời gian sự kiện, kết nối có sự cố xếp trước. Khi đợt gián đoạn còn mở, kết nối có màu đỏ hoặc"
        " vàng cả khi gần như không có lượt tra cứu. Tím: không còn điểm quan sát nên không ai biết. Xám: quá"
        " ít lượt tra cứu để xác định. Bấm vào kết nối để mở bảng riêng.",
    ),
    shape="statetimeline",
    queries=(Query(q.states_worst_first(), "{{link}}"),),
    width=24,
    height=10,
    link_to=LINK_BOARD + "${__field.labels.link:percentencode}",
    meanings=STATES,
)

WHOLE_LINK: Final = Words("whole link", "toàn kết nối")
_LINK_COLUMN: Final = Column(
    of="link", title=Words("Link", "Kết nối"), link_to=LINK_BOARD + "${__value.raw:percentencode}"
)
_KIND: Final = Column(of="kind", title=Words("Kind", "Loại"), meanings=KINDS, width=90)
_DOMAIN: Final = Column(
    of="fault_domain",
    title=Words("Whose fault", "Do bên nào"),
    meanings=DOMAINS,
    width=210,  # the longest name in Vietnamese, uncut
)
_CONFINED: Final = Column(
    of="confined_to",
    title=Words("Confined to", "Giới hạn trong"),
    meanings={"all": Meaning(WHOLE_LINK, "text")},
)


def _column(letter: str, title: Words, unit: str, width: int) -> Column:
    return Column(of=letter, title=title, unit=unit, decimals=0, width=width)


def open_outages(*, width: int, height: int) -> Panel:
    """Return the table of outages that are open now, the worst first."""
    told = q.scraped("portallink_ledger_outage_start_timestamp_seconds", q.LINK, 'status="open"')
    kind = f"max by (link, kind) ({q.scraped('portallink_link_outage_active', q.LINK)}) > 0"
    stories = f"group by (link, fault_domain, confined_to) ({told}) and on (link) ({kind})"
    # An outage that is confined to nothing has an empty label, which a table would leave blank.
    named = f'label_replace({stories}, "confined_to", "all", "confined_to", "")'
    return Panel(
        title=Words("Open outages", "Đợt gián đoạn đang mở"),
        description=Words(
            "Each link with an open outage: since when, for how long, and how many distinct dossiers had a"
            " failed lookup by now. Whose fault, and what it is confined to, is what was last published.",
            "Mỗi kết nối có đợt gián đoạn đang mở: từ khi nào, thời lượng, và đến nay bao nhiêu hồ sơ khác"
            " nhau"
            " có lượt tra cứu thất bại. Do bên nào và giới hạn trong phạm vi nào là theo lần công bố gần"
            " nhất.",
        ),
        shape="table",
        queries=(
            Query(f"{q.DOSSIERS} * on (link) group_right () ({kind})", "{{link}} {{kind}}"),
            Query(f"{q.SINCE} * 1000", "{{link}}"),
            Query(f"{q.EVENT_NOW} - {q.SINCE}", "{{link}}"),
            Query(named, "{{link}} {{fault_domain}}"),
        ),
        instant=True,
        quiet=True,
        width=width,
        height=height,
        columns=(
            _KIND,
            _LINK_COLUMN,
            _column("B", Words("Since", "Từ lúc"), MOMENT, 140),
            _column("C", Words("Duration", "Thời lượng"), "dthms", 110),
            _column("A", Words("Dossiers", "Hồ sơ"), "none", 90),
            _DOMAIN,
            _CONFINED,
        ),
        worst=("-kind", "-A"),
    )


def recent_outages(*, width: int, height: int) -> Panel:
    """Return the table of the outages that closed last."""
    labels = "outage_id, link, kind, fault_domain, confined_to"
    closed = q.scraped("portallink_ledger_outage_start_timestamp_seconds", q.LINK, 'status="closed"')
    start = f"max by ({labels}) ({closed})"
    ids = f"and on (outage_id) ({start})"

    def own(what: str) -> str:
        return f"max by (outage_id) ({q.scraped(f'portallink_ledger_outage_{what}', q.LINK)})"

    duration = own("duration_seconds")
    end = f"({start} + on (outage_id) group_left () {duration}) * 1000"
    return Panel(
        title=Words("Recent outages", "Các đợt gián đoạn gần đây"),
        description=Words(
            "The outages that closed last, as the ledger has them, the latest first. Their evidence is on the"
            " auditors' page.",
            "Các đợt gián đoạn kết thúc gần nhất theo sổ cái, mới nhất trước. Bằng chứng có trên trang"
            " kiểm toán.",
        ),
        shape="table",
        queries=(
            Query(f'label_replace({start} * 1000, "confined_to", "all", "confined_to", "")', "{{link}}"),
            Query(f"max by (outage_id) ({end})", "{{outage_id}}"),
            Query(f"{duration} {ids}", "{{outage_id}}"),
            Query(f"{own('dossiers')} {ids}", "{{outage_id}}"),
        ),
        instant=True,
        quiet=True,
        width=width,
        height=height,
        columns=(
            _column("A", Words("Start", "Bắt đầu"), MOMENT, 140),
            _column("B", Words("End", "Kết thúc"), MOMENT, 140),
            _column("C", Words("Duration", "Thời lượng"), "dthms", 110),
            _KIND,
            _LINK_COLUMN,
            _column("D", Words("Dossiers", "Hồ sơ"), "none", 90),
            _DOMAIN,
            _CONFINED,
            Column(of="outage_id", title=Words("Outage", "Mã đợt")),
        ),
        worst=("-A",),
    )


def availability_table(settings: WatchSettings, *, width: int, height: int) -> Panel:
    """Return the table of the ledger's figures of each link, the worst first."""
    available = share_limits(settings.links.availability_target)
    covered = share_limits(settings.links.coverage_target)

    def figure(letter: str, title: Words, limits: Limits) -> Column:
        return Column(of=letter, title=title, unit="percentunit", decimals=2, limits=limits, width=95)

    return Panel(
        title=Words("Availability and coverage", "Mức sẵn sàng và độ phủ"),
        description=Words(
            "The ledger's own figures up to the end of its data, corrections and exclusions included, rounded"
            " down. Coverage is the share of time in which anyone could tell. The report on the auditors'"
            " page"
            " says the same.",
            "Số liệu của chính sổ cái đến hết dữ liệu, gồm đính chính và loại trừ, làm tròn xuống. Độ phủ là"
            " phần thời gian có thể xác định trạng thái. Báo cáo trên trang kiểm toán cho cùng kết quả.",
        ),
        shape="table",
        queries=(
            Query(q.ledger("availability", "today"), "{{link}}"),
            Query(q.ledger("availability", "month"), "{{link}}"),
            Query(q.ledger("availability", "30d"), "{{link}}"),
            Query(q.ledger("coverage", "today"), "{{link}}"),
            Query(q.ledger("coverage", "30d"), "{{link}}"),
        ),
        instant=True,
        width=width,
        height=height,
        columns=(
            _LINK_COLUMN,
            figure("A", Words("Today", "Hôm nay"), available),
            figure("B", Words("Month", "Tháng này"), available),
            figure("C", Words("30 days", "30 ngày"), available),
            figure("D", Words("Cov. today", "Phủ hôm nay"), covered),
            figure("E", Words("Cov. 30 d", "Phủ 30 ngày"), covered),
        ),
        worst=("A",),
    )


_PARTS: Final = {"service": Words("Service", "Dịch vụ"), "agency": Words("Agency", "Cơ quan")}


def bars(title: Words, description: Words, metric: str, label: str, *selectors: str, colour: str) -> Panel:
    """Return a table of the ten values of a label that grew most within the range, with a bar for each."""
    return Panel(
        title=title,
        description=description,
        shape="table",
        queries=q.top(metric, label, *selectors),
        instant=True,
        quiet=True,
        width=12,
        height=10,
        columns=(
            Column(of=label, title=_PARTS[label]),
            Column(of="A", title=Words("Number", "Số lượng"), unit="none", decimals=0, bar=colour),
        ),
        worst=("-A",),
    )


def counted(title: Words, description: Words, rows: Mapping[str, str], *, colour: str) -> Panel:
    """Return a table of counts that should be zero, with a row for each, even without a series."""
    queries = (
        f'label_replace(round(sum({expr})) or vector(0), "what", "{name}", "", "")'
        for name, expr in rows.items()
    )
    return Panel(
        title=title,
        description=description,
        shape="table",
        queries=(Query(" or ".join(queries), "{{what}}"),),
        instant=True,
        width=8,
        height=8,
        columns=(
            Column(of="what", title=Words("What", "Điều gì")),
            Column(
                of="A",
                title=Words("Times", "Số lần"),
                unit="none",
                decimals=0,
                limits=((0, GREEN), (1, colour)),
                width=110,
            ),
        ),
        worst=("-A",),
    )
