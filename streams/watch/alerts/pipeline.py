"""Alerts on the pipeline itself."""

from typing import Final

from streams.watch.alerts.alert import PIPELINE, Alert
from streams.watch.promql import Span
from streams.watch.settings import Pipeline, WatchSettings

DASHBOARD: Final = "portallink-pipeline"


def pipeline_alerts(settings: WatchSettings, span: Span) -> list[Alert]:
    """Return the alerts on the pipeline itself."""
    pipeline, dashboard = settings.pipeline, DASHBOARD
    window = span(600)
    records = f"sum by (stage) (rate(portallink_records_total[{window}]))"
    rejected = f'sum by (stage) (rate(portallink_records_total{{result="dead_letter"}}[{window}]))'
    absent = " or ".join(f'absent(portallink_build_info{{stage="{stage}"}})' for stage in pipeline.stages)
    alerts = [
        Alert(
            name="PortallinkWatchdog",
            expr="vector(1)",
            severity="none",
            incident="watchdog",
            dashboard=dashboard,
            summary="Alerting works",
            summary_vi="Hệ thống cảnh báo đang hoạt động",
            description="This alert always fires. Its receiver must raise the alarm when it stops coming.",
            description_vi="Cảnh báo này luôn được gửi. Bên nhận phải báo động khi không còn nhận được.",
        ),
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
            name="PortallinkSettingsDiffer",
            expr="max by (stage, partition) (portallink_settings_differ) == 1",
            for_seconds=300,
            severity="ticket",
            incident=PIPELINE,
            dashboard=dashboard,
            summary="{{ $labels.stage }} has other settings than measure",
            summary_vi="{{ $labels.stage }} dùng cấu hình khác với measure",
            description="Measurements of {{ $labels.partition }} are made under other settings than those of"
            " {{ $labels.stage }}: start both with the same settings file.",
            description_vi="Số đo của {{ $labels.partition }} được tạo với cấu hình khác với"
            " {{ $labels.stage }}: hãy khởi động cả hai với cùng một tệp cấu hình.",
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
            severity="page",
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
    alerts += _collect_alerts(pipeline, window)
    if pipeline.watermark_lag_seconds is not None:
        alerts.append(
            Alert(
                name="PortallinkWatermarkLag",
                expr="max by (stage) (portallink_watermark_lag_seconds) > "
                + str(pipeline.watermark_lag_seconds),
                for_seconds=120,
                severity="page",
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


def _collect_alerts(pipeline: Pipeline, window: str) -> list[Alert]:
    """Return the alerts on what `collect` is sent; where nobody runs it they stay silent."""
    exports = f'rate(portallink_exports_total{{signal="traces"}}[{window}])'
    refused = f'rate(portallink_exports_total{{signal="traces",status!="200"}}[{window}])'
    spans = f"sum(rate(portallink_spans_total[{window}]))"
    unusable = f'sum(rate(portallink_spans_total{{result="rejected"}}[{window}]))'
    return [
        Alert(
            name="PortallinkExportsRefused",
            expr=f"sum by (status) ({refused}) / on () group_left () sum({exports})"
            f" > {pipeline.refused_export_share}",
            for_seconds=120,
            severity="ticket",
            incident=PIPELINE,
            dashboard=DASHBOARD,
            summary="collect refuses exports with {{ $labels.status }}",
            summary_vi="collect từ chối dữ liệu gửi đến với mã {{ $labels.status }}",
            description="{{ $value | humanizePercentage }} of the exports of spans are answered with"
            " {{ $labels.status }}: their senders keep them for a while, and then drop them.",
            description_vi="{{ $value | humanizePercentage }} số lần gửi span bị trả lời"
            " {{ $labels.status }}: bên gửi giữ lại một thời gian rồi bỏ đi.",
        ),
        Alert(
            name="PortallinkSpansRejected",
            expr=f"{unusable} / {spans} > {pipeline.dead_letter_share}",
            for_seconds=120,
            severity="ticket",
            incident=PIPELINE,
            dashboard=DASHBOARD,
            summary="collect cannot use some spans",
            summary_vi="collect không dùng được một số span",
            description="{{ $value | humanizePercentage }} of the spans cannot be used: their calls are in"
            " no figure. Their senders were told why.",
            description_vi="{{ $value | humanizePercentage }} số span không dùng được: các lượt gọi đó không"
            " có trong số liệu. Bên gửi đã được báo lý do.",
        ),
        Alert(
            name="PortallinkCollectStalled",
            expr='max by (instance) (portallink_stage_progress_age_seconds{stage="collect"})'
            f" > {pipeline.collect_stalled_seconds}",
            for_seconds=60,
            severity="page",
            incident=PIPELINE,
            dashboard=DASHBOARD,
            summary="collect at {{ $labels.instance }} delivers nothing",
            summary_vi="collect tại {{ $labels.instance }} không chuyển được dữ liệu",
            description="For {{ $value | humanizeDuration }} the broker has confirmed neither a span nor a"
            " heartbeat of collect at {{ $labels.instance }}: the links that it watches become unknown.",
            description_vi="Trong {{ $value | humanizeDuration }}, broker không xác nhận span hay tín hiệu"
            " nào của collect tại {{ $labels.instance }}: các kết nối liên quan sẽ không xác định.",
        ),
    ]
