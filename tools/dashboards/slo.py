"""SLO: how much of each link's error budget is spent, and how fast it goes."""

from typing import Final

from streams.watch.recording import (
    BUDGET,
    OFFICE_HOURS,
    TARGET,
    availability_name,
    coverage_name,
    ratio_name,
)
from streams.watch.settings import FAST_BURN, WatchSettings
from tools.dashboards import queries as q
from tools.dashboards.shared import (
    EACH_LINK,
    INSTANCE,
    JOB,
    LINK_BOARD,
    LOOKUPS_A_MINUTE,
    REGIONS_OF_LINK,
    share_limits,
)
from tools.dashboards.spec import (
    AMBER,
    BLUE,
    CLEAR,
    GREEN,
    GREY,
    RED,
    Board,
    Column,
    Panel,
    Query,
    Region,
    Row,
)
from tools.dashboards.words import Words

PAIRS: Final = (
    ("1h", "5m", FAST_BURN, RED),
    ("6h", "30m", 6.0, RED),
    ("1d", "2h", 3.0, AMBER),
    ("3d", "6h", 1.0, AMBER),
)
"""The pairs of windows of the burn-rate alerts, with the rate from which each is raised."""


def slo(settings: WatchSettings) -> Board:
    """Return the board."""
    office = Region(
        Words("Office hours", "Giờ hành chính"),
        f"{OFFICE_HOURS} > 0",
        GREY,
        Words("Office hours", "Giờ hành chính"),
    )
    return Board(
        uid="portallink-slo",
        title=Words("portallink · SLO", "portallink · SLO"),
        description=Words(
            "How much of each link's error budget is spent, and how fast it goes. Targets are settings.",
            "Ngân sách lỗi của từng kết nối đã dùng bao nhiêu, và hết nhanh thế nào. Mục tiêu lấy từ cấu"
            " hình.",
        ),
        variables=(JOB, INSTANCE, EACH_LINK),
        regions=(*REGIONS_OF_LINK, office),
        time_from="now-24h",
        runbooks=("PortallinkErrorBudgetBurnFast", "PortallinkErrorBudgetBurnSlow"),
        rows=(
            Row(Words("Budget of every link", "Ngân sách của mọi kết nối"), (_table(settings),)),
            Row("$link", _burns(settings), repeat="link"),
        ),
    )


def _table(settings: WatchSettings) -> Panel:
    ratio = ratio_name("30d")
    spent = ((0.0, GREEN), (0.75, AMBER), (1.0, RED))
    burns = (
        Column(
            of=letter,
            title=Words(f"Burn {window}", f"Tốc độ {window}"),
            unit="suffix: ×",
            decimals=1,
            limits=((0, CLEAR), (limit, colour)),
            width=110,
        )
        for letter, (window, _, limit, colour) in zip("DEFG", PAIRS, strict=True)
    )
    return Panel(
        title=Words("Error budget, 30 days", "Ngân sách lỗi, 30 ngày"),
        description=Words(
            "Target, success of attempts, the share of the budget that is spent (100 %: used up), and how"
            " many"
            " times too fast it goes now. Success is rounded down, what is spent is rounded up. Available and"
            " known are shares of the last 30 days, as the alerts see them.",
            "Mục tiêu, tỷ lệ lượt thành công, phần ngân sách đã dùng (100 %: đã hết), và hiện hết nhanh"
            " gấp bao nhiêu lần."
            " Tỷ lệ thành công làm tròn xuống, phần đã dùng làm tròn lên. Sẵn sàng và xác định được"
            " là của 30 ngày qua, theo cách tính của cảnh báo.",
        ),
        shape="table",
        queries=(
            Query(q.rounded_down(f"1 - {BUDGET}"), "{{link}}"),
            Query(q.rounded_down(f"1 - {ratio}"), "{{link}}"),
            Query(f"ceil({ratio} / on (link) {BUDGET} * 1e3 - 1e-9) / 1e3", "{{link}}"),
            *(Query(f"{ratio_name(window)} / on (link) {BUDGET}", "{{link}}") for window, *_ in PAIRS),
            Query(q.rounded_down(availability_name("30d")), "{{link}}"),
            Query(q.rounded_down(coverage_name("30d")), "{{link}}"),
        ),
        instant=True,
        width=24,
        height=11,
        columns=(
            Column(
                of="link",
                title=Words("Link", "Kết nối"),
                link_to=LINK_BOARD + "${__value.raw:percentencode}",
            ),
            Column(of="A", title=Words("Target", "Mục tiêu"), unit="percentunit", decimals=2, width=110),
            Column(of="B", title=Words("Success", "Thành công"), unit="percentunit", decimals=2, width=110),
            Column(
                of="C",
                title=Words("Spent", "Đã dùng"),
                unit="percentunit",
                decimals=1,
                limits=spent,
                width=110,
            ),
            *burns,
            Column(
                of="H",
                title=Words("Available", "Sẵn sàng"),
                unit="percentunit",
                decimals=2,
                limits=share_limits(settings.links.availability_target),
                width=110,
            ),
            Column(
                of="I",
                title=Words("Known", "Xác định được"),
                unit="percentunit",
                decimals=2,
                limits=share_limits(settings.links.coverage_target),
                width=120,
            ),
        ),
        worst=("-C",),
    )


def _burns(settings: WatchSettings) -> tuple[Panel, ...]:
    budget = f"{BUDGET}{{{q.LINK}}}"

    def burn(long: str, short: str, limit: float, colour: str) -> Panel:
        call = (
            Words("someone is called", "gọi người trực") if colour == RED else Words("a ticket", "lập phiếu")
        )
        return Panel(
            title=Words(f"Burn rate, {long} and {short}", f"Tốc độ tiêu hao, {long} và {short}"),
            description=Words(
                f"How many times too fast the budget goes. Above {limit:g} in both windows: {call.en}.",
                f"Ngân sách hết nhanh gấp bao nhiêu lần. Trên {limit:g} ở cả hai cửa sổ: {call.vi}.",
            ),
            shape="timeseries",
            unit="none",
            decimals=1,
            minimum=0,
            queries=tuple(
                Query(f"{ratio_name(window)}{{{q.LINK}}} / on (link) {budget}", window)
                for window in (long, short)
            ),
            limits=((0, CLEAR), (limit, colour)),
            lines=True,
            colours={long: BLUE, short: GREY},
            width=6,
            height=7,
        )

    rates = (
        (f"60 * portallink:lookup_attempts:rate5m{{{q.LINK}}}", Words("attempts", "lượt thử")),
        (f"60 * portallink:lookup_failures:rate5m{{{q.LINK}}}", Words("failures", "lượt lỗi")),
    )
    least = settings.lookups.minimum_failures
    return (
        *(burn(*pair) for pair in PAIRS),
        Panel(
            title=Words("Attempts and failures", "Lượt thử và lượt lỗi"),
            description=Words(
                f"What the ratios stand on, a minute in five minutes. Fewer than {least} failures in a window"
                " never raise an alert.",
                f"Cơ sở của các tỷ lệ, mỗi phút tính trên năm phút. Dưới {least} lượt lỗi trong một cửa sổ"
                " thì"
                " không cảnh báo.",
            ),
            shape="timeseries",
            axis=LOOKUPS_A_MINUTE,
            decimals=1,
            minimum=0,
            queries=tuple(Query(expr, legend) for expr, legend in rates),
            colours={"attempts": GREEN, "failures": RED},
            height=7,
        ),
        _by_the_hour(),
    )


def _by_the_hour() -> Panel:
    return Panel(
        title=Words("Availability and coverage by the hour", "Mức sẵn sàng và độ phủ theo giờ"),
        description=Words(
            "Of the hour before, as settled 15 minutes after its end, and the availability that is aimed at."
            " The ledger's figures know later corrections.",
            "Của giờ trước đó, chốt 15 phút sau khi hết giờ, và mức sẵn sàng mục tiêu. Số liệu sổ cái gồm cả"
            " đính chính về sau.",
        ),
        shape="timeseries",
        unit="percentunit",
        decimals=2,
        minimum=0,
        maximum=1,
        queries=(
            Query(f"{availability_name('1h')}{{{q.LINK}}}", Words("available", "sẵn sàng")),
            Query(f"{coverage_name('1h')}{{{q.LINK}}}", Words("known", "xác định được")),
            Query(f"{TARGET}{{{q.LINK}}}", Words("target", "mục tiêu")),
        ),
        colours={"available": GREEN, "known": BLUE, "target": AMBER},
        height=7,
    )
