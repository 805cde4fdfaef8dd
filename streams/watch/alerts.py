"""Alert rules: each with its condition, severity, texts in English and Vietnamese, runbook and dashboard.

``severity`` is page (someone gets up), ticket (someone looks at it in the morning). An alert whose severity
follows office hours is written twice, with complementary conditions, under one name. ``incident`` is what
Alertmanager groups by: everything about one link is one notification.
"""

from dataclasses import dataclass
from typing import Final, Literal

from streams.watch.promql import WINDOWS, Span
from streams.watch.recording import BUDGET, OFFICE_HOURS, Rule, rate_name, ratio_name
from streams.watch.settings import FAST_BURN, WatchSettings

Severity = Literal["page", "ticket", "page in office hours"]
LINK: Final = "link/{{ $labels.link }}"
PORTAL: Final = "portal/{{ $labels.portal }}"
PIPELINE: Final = "pipeline"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """One alert; texts may use Prometheus templates. ``for_seconds`` is event time."""

    name: str
    expr: str
    severity: Severity
    incident: str
    dashboard: str
    summary: str
    summary_vi: str
    description: str
    description_vi: str
    for_seconds: int = 0

    def rules(self, settings: WatchSettings, span: Span) -> list[Rule]:
        """Return the alert as one or two Prometheus rules."""
        if self.severity != "page in office hours":
            return [self._rule(self.expr, self.severity, settings, span)]
        return [
            self._rule(f"({self.expr}) and on () ({OFFICE_HOURS} == {flag})", severity, settings, span)
            for flag, severity in ((1, "page"), (0, "ticket"))
        ]

    def _rule(self, expr: str, severity: str, settings: WatchSettings, span: Span) -> Rule:
        rule: Rule = {"alert": self.name, "expr": expr}
        if self.for_seconds:
            rule["for"] = span(self.for_seconds)
        rule["labels"] = {"severity": severity, "incident": self.incident}
        rule["annotations"] = {
            "summary": self.summary,
            "summary_vi": self.summary_vi,
            "description": self.description,
            "description_vi": self.description_vi,
            "runbook_url": f"{settings.urls.runbooks}/{self.name}.md",
            "dashboard_url": f"{settings.urls.grafana}/d/{self.dashboard}",
        }
        return rule


def link_alerts(settings: WatchSettings, span: Span) -> list[Alert]:
    """Return the alerts on what `detect` found of each link."""
    links = settings.links
    down = 'max by (link) (portallink_link_outage_active{kind="down"}) == 1'
    dashboard = "portallink-link?var-link={{ $labels.link | urlquery }}"
    return [
        Alert(
            name="PortallinkLinkDown",
            expr=down,
            severity="page in office hours",
            incident=LINK,
            dashboard=dashboard,
            summary="{{ $labels.link }} is down",
            summary_vi="Kết nối {{ $labels.link }} đang gián đoạn",
            description="At least half of the lookups over {{ $labels.link }} fail by fault of the link"
            " or the provider; an outage is open.",
            description_vi="Ít nhất một nửa số lượt tra cứu qua {{ $labels.link }} thất bại do đường"
            " truyền hoặc do bên cung cấp; hệ thống đã mở một đợt gián đoạn.",
        ),
        Alert(
            name="PortallinkSharedOutage",
            expr=f"count({down}) >= {links.shared_outage_links}",
            severity="page",
            incident="shared",
            dashboard="portallink-overview",
            summary="{{ $value }} links are down together",
            summary_vi="{{ $value }} kết nối cùng gián đoạn",
            description="{{ $value }} links are down at the same time: look for a common cause (exchange"
            " platform, line, provider) before looking at single links.",
            description_vi="{{ $value }} kết nối gián đoạn cùng lúc: hãy tìm nguyên nhân chung (trục tích"
            " hợp, đường truyền, bên cung cấp) trước khi xem từng kết nối.",
        ),
        Alert(
            name="PortallinkLinkDegraded",
            expr='max by (link) (portallink_link_outage_active{kind="degraded"}) == 1',
            for_seconds=links.degraded_for_seconds,
            severity="ticket",
            incident=LINK,
            dashboard=dashboard,
            summary="{{ $labels.link }} is degraded",
            summary_vi="Kết nối {{ $labels.link }} suy giảm",
            description="Lookups over {{ $labels.link }} fail, or take, clearly more than is normal for"
            " this link, but fewer than half fail.",
            description_vi="Lượt tra cứu qua {{ $labels.link }} lỗi hoặc chậm hơn hẳn mức bình thường của"
            " kết nối này, nhưng chưa đến một nửa thất bại.",
        ),
        Alert(
            name="PortallinkLinkBlind",
            expr="max by (link) (portallink_link_observed) == 0",
            for_seconds=links.blind_for_seconds,
            severity="page in office hours",
            incident=LINK,
            dashboard=dashboard,
            summary="We cannot see {{ $labels.link }}",
            summary_vi="Mất khả năng quan sát {{ $labels.link }}",
            description="No observer of {{ $labels.link }} sends heartbeats: the link may be up or down,"
            " and this time counts as neither.",
            description_vi="Không còn bộ quan sát nào của {{ $labels.link }} gửi tín hiệu: không biết kết"
            " nối tốt hay hỏng, thời gian này không tính vào bên nào.",
        ),
        Alert(
            name="PortallinkLinkFlapping",
            expr=f"sum by (link) (increase(portallink_link_state_changes_total[{span(3600)}]))"
            f" >= {links.flapping_changes_per_hour}",
            severity="ticket",
            incident=LINK,
            dashboard=dashboard,
            summary="{{ $labels.link }} is flapping",
            summary_vi="Kết nối {{ $labels.link }} chập chờn",
            description="{{ $labels.link }} changed its state about {{ $value | humanize }} times within"
            " an hour.",
            description_vi="{{ $labels.link }} đổi trạng thái khoảng {{ $value | humanize }} lần trong"
            " một giờ.",
        ),
    ]


def slo_alerts(settings: WatchSettings, pace: float) -> list[Alert]:
    """Return the multi-window, multi-burn-rate alerts (Google SRE workbook, ch. 5)."""
    dashboard = "portallink-slo?var-link={{ $labels.link | urlquery }}"

    def burn(long: str, short: str, factor: float) -> str:
        # Both windows must burn: the long one for significance, the short one so that the alert ends soon.
        failures = f"{rate_name('lookup_failures', long)} * {WINDOWS[long] / pace:.15g}"
        return (
            f"({ratio_name(long)} > {factor:g} * {BUDGET} and {ratio_name(short)} > {factor:g} * {BUDGET}"
            f" and {failures} >= {settings.lookups.minimum_failures})"
        )

    return [
        Alert(
            name="PortallinkErrorBudgetBurnFast",
            expr=f"{burn('1h', '5m', FAST_BURN)} or {burn('6h', '30m', 6)}",
            severity="page in office hours",
            incident=LINK,
            dashboard=dashboard,
            summary="{{ $labels.link }} burns its error budget fast",
            summary_vi="{{ $labels.link }} tiêu hao nhanh ngân sách lỗi",
            description="{{ $value | humanizePercentage }} of the lookups over {{ $labels.link }} fail;"
            " at this rate the month's budget is gone within days.",
            description_vi="{{ $value | humanizePercentage }} lượt tra cứu qua {{ $labels.link }} thất"
            " bại; với tốc độ này ngân sách lỗi của tháng sẽ hết trong vài ngày.",
        ),
        Alert(
            name="PortallinkErrorBudgetBurnSlow",
            expr=f"{burn('1d', '2h', 3)} or {burn('3d', '6h', 1)}",
            severity="ticket",
            incident=LINK,
            dashboard=dashboard,
            summary="{{ $labels.link }} burns its error budget steadily",
            summary_vi="{{ $labels.link }} tiêu hao dần ngân sách lỗi",
            description="{{ $value | humanizePercentage }} of the lookups over {{ $labels.link }} have"
            " failed for a long time: the month's budget will not last.",
            description_vi="{{ $value | humanizePercentage }} lượt tra cứu qua {{ $labels.link }} thất"
            " bại kéo dài: ngân sách lỗi của tháng sẽ không đủ.",
        ),
    ]


def submission_alerts(settings: WatchSettings, span: Span) -> list[Alert]:
    """Return the alerts on what citizens' submissions go through."""
    goal, window = settings.submissions, span(900)
    received = f'sum by (portal) (increase(portallink_submissions_total{{type="received"}}[{window}]))'
    blocked = f"sum by (portal, link) (increase(portallink_submissions_blocked_total[{window}]))"
    count = f"sum by (portal) (increase(portallink_submission_acceptance_seconds_count[{window}]))"
    within = (
        "sum by (portal) (increase(portallink_submission_acceptance_seconds_bucket"
        f'{{le="{goal.accepted_within_seconds!r}"}}[{window}]))'
    )
    return [
        Alert(
            name="PortallinkSubmissionsBlocked",
            expr=f"{blocked} / on (portal) group_left () {received} > {goal.blocked_share}"
            f" and on (portal) {received} >= {goal.minimum_submissions}",
            for_seconds=300,
            severity="page in office hours",
            incident=LINK,
            dashboard="portallink-submissions?var-portal={{ $labels.portal | urlquery }}",
            summary="{{ $labels.link }} holds up submissions at {{ $labels.portal }}",
            summary_vi="{{ $labels.link }} làm ách tắc hồ sơ tại {{ $labels.portal }}",
            description="{{ $value | humanizePercentage }} of the submissions at {{ $labels.portal }} are"
            " deferred or failed because of {{ $labels.link }}.",
            description_vi="{{ $value | humanizePercentage }} hồ sơ nộp tại {{ $labels.portal }} bị hoãn hoặc"
            " thất bại do {{ $labels.link }}.",
        ),
        Alert(
            name="PortallinkAcceptanceSlow",
            expr=f"{within} / {count} < {goal.accepted_share} and {count} >= {goal.minimum_submissions}",
            for_seconds=300,
            severity="ticket",
            incident=PORTAL,
            dashboard="portallink-submissions?var-portal={{ $labels.portal | urlquery }}",
            summary="{{ $labels.portal }} accepts submissions late",
            summary_vi="{{ $labels.portal }} tiếp nhận hồ sơ chậm",
            description="Only {{ $value | humanizePercentage }} of the submissions at"
            f" {{ $labels.portal }} are accepted within {goal.accepted_within_seconds:g} s.",
            description_vi="Chỉ {{ $value | humanizePercentage }} hồ sơ tại {{ $labels.portal }} được"
            f" tiếp nhận trong {goal.accepted_within_seconds:g} giây.",
        ),
    ]


def pipeline_alerts(settings: WatchSettings, span: Span) -> list[Alert]:
    """Return the alerts on the pipeline itself."""
    pipeline, dashboard = settings.pipeline, "portallink-pipeline"
    window = span(600)
    records = f"sum by (stage) (rate(portallink_records_total[{window}]))"
    rejected = f'sum by (stage) (rate(portallink_records_total{{result="dead_letter"}}[{window}]))'
    absent = " or ".join(f'absent(portallink_build_info{{stage="{stage}"}})' for stage in pipeline.stages)
    alerts = [
        Alert(
            name="PortallinkStageAbsent",
            expr=absent,
            for_seconds=pipeline.absent_for_seconds,
            severity="page",
            incident=PIPELINE,
            dashboard=dashboard,
            summary="No {{ $labels.stage }} process is running",
            summary_vi="Không có tiến trình {{ $labels.stage }} nào đang chạy",
            description="Prometheus reaches no {{ $labels.stage }} process: nothing said about links is"
            " current.",
            description_vi="Prometheus không thấy tiến trình {{ $labels.stage }}: mọi thông tin về kết"
            " nối hiện không còn cập nhật.",
        ),
        Alert(
            name="PortallinkTargetDown",
            expr='up{job="portallink"} == 0',
            for_seconds=pipeline.absent_for_seconds,
            severity="ticket",
            incident=PIPELINE,
            dashboard=dashboard,
            summary="{{ $labels.instance }} does not answer",
            summary_vi="{{ $labels.instance }} không phản hồi",
            description="Prometheus cannot scrape {{ $labels.instance }}; others may still share its work.",
            description_vi="Prometheus không đọc được số liệu của {{ $labels.instance }}; tiến trình khác"
            " có thể vẫn gánh phần việc này.",
        ),
        Alert(
            name="PortallinkDeadLetters",
            expr=f"{rejected} / {records} > {pipeline.dead_letter_share}",
            for_seconds=120,
            severity="page in office hours",
            incident=PIPELINE,
            dashboard=dashboard,
            summary="{{ $labels.stage }} rejects records",
            summary_vi="{{ $labels.stage }} loại bỏ bản ghi",
            description="{{ $value | humanizePercentage }} of the records that {{ $labels.stage }} reads"
            " go to the dead-letter topic: likely a wrong deploy of a sender.",
            description_vi="{{ $value | humanizePercentage }} bản ghi mà {{ $labels.stage }} đọc bị"
            " chuyển sang hàng lỗi: có thể bên gửi vừa triển khai sai.",
        ),
        Alert(
            name="PortallinkConsumerLag",
            expr=f"sum by (stage) (portallink_consumer_lag_records) > {pipeline.consumer_lag_records}",
            for_seconds=600,
            severity="ticket",
            incident=PIPELINE,
            dashboard=dashboard,
            summary="{{ $labels.stage }} falls behind",
            summary_vi="{{ $labels.stage }} xử lý không kịp",
            description="{{ $labels.stage }} has {{ $value | humanize }} records still to read.",
            description_vi="{{ $labels.stage }} còn {{ $value | humanize }} bản ghi chưa đọc.",
        ),
        Alert(
            name="PortallinkLabelLimit",
            expr='sum(portallink_lookups_total{link="other"}) > 0',
            severity="ticket",
            incident=PIPELINE,
            dashboard=dashboard,
            summary="More links than the metrics may hold",
            summary_vi="Số kết nối vượt giới hạn số liệu",
            description="Links beyond the bound are counted together as `other`; outages are still found for"
            " each, but rates and budgets are not.",
            description_vi="Các kết nối vượt giới hạn được gộp chung là `other`; gián đoạn vẫn được phát hiện"
            " từng kết nối, nhưng tỷ lệ và ngân sách thì không.",
        ),
    ]
    if pipeline.watermark_lag_seconds is not None:
        alerts.append(
            Alert(
                name="PortallinkWatermarkLag",
                expr="max by (stage) (portallink_watermark_lag_seconds) > "
                + str(pipeline.watermark_lag_seconds),
                for_seconds=120,
                severity="page in office hours",
                incident=PIPELINE,
                dashboard=dashboard,
                summary="{{ $labels.stage }} lags {{ $value | humanizeDuration }} behind the present",
                summary_vi="{{ $labels.stage }} chậm {{ $value | humanizeDuration }} so với hiện tại",
                description="The watermark of {{ $labels.stage }} stands still or creeps: what is shown"
                " of links is {{ $value | humanizeDuration }} old.",
                description_vi="Mốc thời gian của {{ $labels.stage }} đứng yên hoặc tiến chậm: trạng thái"
                " kết nối đang hiển thị đã cũ {{ $value | humanizeDuration }}.",
            )
        )
    return alerts
