"""Submissions: how a link's trouble affects citizens."""

from typing import Final

from streams.watch.settings import WatchSettings
from tools.dashboards import queries as q
from tools.dashboards.overview import held_up_by_link
from tools.dashboards.shared import INSTANCE, JOB, LINKS, PORTALS, REGIONS_OF_ALL, SUBMISSIONS_A_MINUTE, bars
from tools.dashboards.spec import (
    AMBER,
    BLUE,
    CLEAR,
    GREEN,
    RED,
    TYPE_COLOURS,
    Board,
    Panel,
    Query,
    Row,
)
from tools.dashboards.words import Words

_ACCEPTANCE: Final = "portallink_submission_acceptance_seconds"


def submissions(settings: WatchSettings) -> Board:
    """Return the board."""
    return Board(
        uid="portallink-submissions",
        title=Words("portallink · Submissions", "portallink · Hồ sơ"),
        description=Words(
            "What citizens' submissions go through: received, accepted, held up, and by which link.",
            "Hồ sơ của người dân: tiếp nhận, chấp nhận, bị hoãn, và do kết nối nào.",
        ),
        variables=(JOB, INSTANCE, PORTALS, LINKS),
        regions=REGIONS_OF_ALL,
        runbooks=("PortallinkSubmissionsBlocked", "PortallinkAcceptanceSlow"),
        rows=(
            Row(Words("Who is held up, and by what", "Ai bị hoãn, và do đâu"), _held_up(settings)),
            Row(Words("Time to acceptance", "Thời gian tiếp nhận"), _acceptance(settings)),
            Row(Words("Flow", "Luồng hồ sơ"), _flow()),
        ),
    )


def _held_up(settings: WatchSettings) -> tuple[Panel, ...]:
    return (
        held_up_by_link(),
        Panel(
            title=Words("Held up share", "Tỷ lệ bị hoãn"),
            description=Words(
                "Submissions that a link held up, over those of which anything became known in the same span:"
                " accepted, deferred, rejected or failed. From the dashed line on an alert is raised.",
                "Hồ sơ bị kết nối làm hoãn trên số hồ sơ đã rõ kết quả trong cùng khoảng: chấp nhận, hoãn, từ"
                " chối hoặc thất bại. Từ đường đứt nét trở lên có cảnh báo.",
            ),
            shape="timeseries",
            unit="percentunit",
            decimals=1,
            minimum=0,
            maximum=1,
            queries=(Query(q.held_up_share(), "{{portal}}"),),
            limits=((0, CLEAR), (settings.submissions.blocked_share, RED)),
            lines=True,
            height=9,
        ),
    )


def _acceptance(settings: WatchSettings) -> tuple[Panel, ...]:
    goal = settings.submissions
    within, count = (
        f"sum by (portal) ({q.rate(_ACCEPTANCE + part, q.PORTAL, *more)})"
        for part, more in (("_bucket", (f'le="{goal.accepted_within_seconds!r}"',)), ("_count", ()))
    )
    return (
        Panel(
            title=Words("Accepted in time", "Tiếp nhận đúng hạn"),
            description=Words(
                f"Share of acceptances within {goal.accepted_within_seconds:g} s of receipt. Below the dashed"
                " line a ticket is written.",
                f"Tỷ lệ được tiếp nhận trong {goal.accepted_within_seconds:g} giây. Dưới đường đứt nét có"
                " phiếu"
                " cảnh báo.",
            ),
            shape="timeseries",
            unit="percentunit",
            decimals=1,
            minimum=0,
            maximum=1,
            queries=(Query(f"{within} / ({count} > 0)", "{{portal}}"),),
            limits=((0, CLEAR), (goal.accepted_share, AMBER)),
            lines=True,
            width=8,
        ),
        Panel(
            title=Words("Acceptance time quantiles", "Phân vị thời gian tiếp nhận"),
            description=Words(
                "Over the chosen portals together. A day is the most that can be told.",
                "Tính chung các cổng đã chọn. Tối đa thể hiện được là một ngày.",
            ),
            shape="timeseries",
            unit="s",
            decimals=1,
            minimum=0,
            queries=q.quantiles((0.5, 0.95), _ACCEPTANCE, q.PORTAL),
            limits=((0, CLEAR), (goal.accepted_within_seconds, RED)),
            lines=True,
            colours={"p50": GREEN, "p95": AMBER},
            width=8,
        ),
        Panel(
            title=Words("Acceptance time", "Thời gian tiếp nhận"),
            description=Words(
                "How many submissions were accepted within each span of time after receipt.",
                "Bao nhiêu hồ sơ được tiếp nhận trong mỗi khoảng thời gian sau khi nộp.",
            ),
            shape="heatmap",
            unit="s",
            queries=(Query(f"sum by (le) ({q.increase(_ACCEPTANCE + '_bucket', q.PORTAL)})", "{{le}}"),),
            width=8,
        ),
    )


def _flow() -> tuple[Panel, ...]:
    return (
        Panel(
            title=Words("Submissions by type", "Hồ sơ theo loại sự kiện"),
            description=Words(
                "Events a minute: received, accepted, deferred, rejected, failed, completed.",
                "Sự kiện mỗi phút: tiếp nhận, chấp nhận, hoãn, từ chối, thất bại, hoàn thành.",
            ),
            shape="timeseries",
            axis=SUBMISSIONS_A_MINUTE,
            decimals=1,
            minimum=0,
            queries=q.events(q.SUBMISSIONS, "type", q.PORTAL),
            colours=TYPE_COLOURS,
            height=10,
        ),
        Panel(
            title=Words("Received, by portal", "Tiếp nhận, theo cổng"),
            description=Words(
                "Submissions received a minute at each portal.", "Hồ sơ tiếp nhận mỗi phút tại từng cổng."
            ),
            shape="timeseries",
            axis=SUBMISSIONS_A_MINUTE,
            decimals=1,
            minimum=0,
            queries=q.events(q.SUBMISSIONS, "portal", q.PORTAL, 'type="received"'),
            stacked=True,
            height=10,
        ),
        bars(
            Words("The busiest agencies", "Cơ quan nhiều hồ sơ nhất"),
            Words(
                "Submission events of all types within the range; ten agencies.",
                "Sự kiện hồ sơ mọi loại trong khoảng xem; mười cơ quan.",
            ),
            "portallink_submissions_by_agency_total",
            "agency",
            q.PORTAL,
            colour=BLUE,
        ),
        bars(
            Words("The busiest services", "Dịch vụ nhiều hồ sơ nhất"),
            Words(
                "Submission events of all types within the range; ten services.",
                "Sự kiện hồ sơ mọi loại trong khoảng xem; mười dịch vụ.",
            ),
            "portallink_submissions_by_service_total",
            "service",
            q.PORTAL,
            colour=BLUE,
        ),
    )
