"""Multi-window, multi-burn-rate alerts on each link's error budgets (Google SRE workbook, ch. 5).

There are two budgets. The lookup budget is spent while lookups fail, so the person on call hears of a partial
failure, which is not an outage, while it lasts. The availability budget is spent by down time, which is final
only once no decision about it is pending. A page on it would come long after the outage, which already paged
when it began; so it is a ticket.
"""

from streams.watch.alerts.alert import LINK, Alert
from streams.watch.promql import WINDOWS
from streams.watch.recording import BUDGET, TARGET, availability_name, rate_name, ratio_name
from streams.watch.settings import FAST_BURN, WatchSettings


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

    def spent(long: str, short: str, factor: float) -> str:
        down = " and ".join(
            f"1 - {availability_name(window)} > {factor:g} * (1 - {TARGET})" for window in (long, short)
        )
        return f"({down})"

    return [
        Alert(
            name="PortallinkErrorBudgetBurnFast",
            expr=f"{burn('1h', '5m', FAST_BURN)} or {burn('6h', '30m', 6)}",
            severity="page",
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
        Alert(
            name="PortallinkAvailabilityBudgetBurn",
            expr=f"{spent('1d', '2h', 3)} or {spent('3d', '6h', 1)}",
            severity="ticket",
            incident=LINK,
            dashboard=dashboard,
            summary="{{ $labels.link }} is down more than its target allows",
            summary_vi="{{ $labels.link }} gián đoạn vượt mức mục tiêu cho phép",
            description="{{ $labels.link }} was down for {{ $value | humanizePercentage }} of the time in"
            " which its state was known: the month's target will be missed.",
            description_vi="{{ $labels.link }} gián đoạn {{ $value | humanizePercentage }} thời gian xác định"
            " được trạng thái: mục tiêu của tháng sẽ không đạt.",
        ),
    ]
