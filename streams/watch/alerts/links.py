"""Alerts on the state of each link as found by `detect`.

Texts ask Prometheus for what an engineer wants to know at once: since when (Asia/Ho_Chi_Minh), how many
dossiers, which services. Prometheus writes times in UTC, so seven hours are added first.
"""

from typing import Final

from streams.model.incidents import IncidentSettings
from streams.watch.alerts.alert import LINK, LINKS_DOWN, Alert
from streams.watch.promql import Span
from streams.watch.settings import WatchSettings

_TOGETHER_SECONDS: Final = IncidentSettings().shared_start_ms // 1000
_DASHBOARD: Final = "portallink-link?var-link={{ $labels.link | urlquery }}"
_OF_LINK: Final = "{link=%q}"


def _asked(query: str, then: str) -> str:
    """Return template text that queries Prometheus for the alert's link and prints the first result."""
    asked = f'{{{{ with printf "{query}" $labels.link | query }}}}'
    return f"{asked}{{{{ . | first | value | {then} }}}}{{{{ end }}}}"


SINCE: Final = _asked(
    f"max(portallink_link_outage_start_timestamp_seconds{_OF_LINK}) + 25200",
    r'humanizeTimestamp | reReplaceAll "([.]\\d+)? [+]0000 UTC.*" ""',
)
DOSSIERS: Final = _asked(f"max(portallink_link_dossiers_affected{_OF_LINK})", 'printf "%.0f"')


def _services(span: Span) -> str:
    """Return template text that names the three services with the most failures of the last 15 minutes."""
    failed = f"increase(portallink_failed_lookups_by_service_total{_OF_LINK}[{span(900)}])"
    query = f"topk(3, sum by (service) ({failed}) > 0)"
    return (
        f'{{{{ range printf "{query}" $labels.link | query }}}} {{{{ .Labels.service }}}}'
        "{{ else }} –{{ end }}"
    )


def link_alerts(settings: WatchSettings, span: Span) -> list[Alert]:
    """Return the alerts on links: down, down together, degraded, blind, flapping."""
    return [*_outages(settings, span), *_other(settings, span)]


def _outages(settings: WatchSettings, span: Span) -> list[Alert]:
    services = _services(span)
    return [
        Alert(
            name="PortallinkLinkDown",
            expr='max by (link) (portallink_link_outage_active{kind="down"}) == 1',
            severity="page",
            incident=LINK,
            group=LINKS_DOWN,
            dashboard=_DASHBOARD,
            summary=f"{{{{ $labels.link }}}} has been down since {SINCE}",
            summary_vi=f"Kết nối {{{{ $labels.link }}}} gián đoạn từ {SINCE}",
            description="At least half of the lookups over {{ $labels.link }} fail by a fault of the link or"
            f" the provider. Dossiers affected: {DOSSIERS}. Services hit most:{services}.",
            description_vi="Ít nhất một nửa số lượt tra cứu qua {{ $labels.link }} thất bại do đường"
            f" truyền hoặc do bên cung cấp. Hồ sơ bị ảnh hưởng: {DOSSIERS}. Dịch vụ bị ảnh hưởng nhiều"
            f" nhất:{services}.",
        ),
        Alert(
            name="PortallinkSharedOutage",
            expr=_began_together(settings),
            severity="page",
            incident="shared/{{ $labels.incident_id }}",
            group=LINKS_DOWN,
            dashboard="portallink-overview",
            summary="{{ $value }} links went down together",
            summary_vi="{{ $value }} kết nối gián đoạn cùng lúc",
            description="Their outages began within "
            f"{_TOGETHER_SECONDS} s of each other:{_NAMES}. What they share:"
            " {{ $labels.common_cause }}. Look there before looking at single links.",
            description_vi="Các đợt gián đoạn bắt đầu cách nhau không quá"
            f" {_TOGETHER_SECONDS} giây:{_NAMES}. Phần dùng chung:"
            " {{ $labels.common_cause }}. Hãy kiểm tra phần này trước khi xem từng kết nối.",
        ),
        Alert(
            name="PortallinkLinkDegraded",
            expr='max by (link) (portallink_link_outage_active{kind="degraded"}) == 1',
            for_seconds=settings.links.degraded_for_seconds,
            severity="ticket",
            incident=LINK,
            dashboard=_DASHBOARD,
            summary=f"{{{{ $labels.link }}}} has been degraded since {SINCE}",
            summary_vi=f"Kết nối {{{{ $labels.link }}}} suy giảm từ {SINCE}",
            description="Lookups over {{ $labels.link }} fail or take clearly more than is normal for"
            f" this link, but fewer than half fail. Dossiers affected: {DOSSIERS}.",
            description_vi="Lượt tra cứu qua {{ $labels.link }} lỗi hoặc chậm hơn hẳn mức bình thường của"
            f" kết nối này, nhưng chưa đến một nửa thất bại. Hồ sơ bị ảnh hưởng: {DOSSIERS}.",
        ),
    ]


_TOGETHER: Final = "max by (incident_id, common_cause, link) (portallink_incident_link)"
_NAMES: Final = (
    '{{ range printf "portallink_incident_link{incident_id=%q}" $labels.incident_id | query }}'
    " {{ .Labels.link }};{{ end }}"
)


def _began_together(settings: WatchSettings) -> str:
    """Return an expression for the ledger's open incidents of several links, grouped by when they began."""
    return f"count by (incident_id, common_cause) ({_TOGETHER} == 1) >= {settings.links.shared_outage_links}"


def _other(settings: WatchSettings, span: Span) -> list[Alert]:
    links = settings.links
    return [
        Alert(
            name="PortallinkLinkBlind",
            expr="max by (link) (portallink_link_observed) == 0"
            " unless on (link) max by (link) (portallink_link_retired) == 1",
            for_seconds=links.blind_for_seconds,
            severity="page",
            incident=LINK,
            dashboard=_DASHBOARD,
            summary="We cannot see {{ $labels.link }}",
            summary_vi="Mất khả năng quan sát {{ $labels.link }}",
            description="No observer of {{ $labels.link }} sends heartbeats: the link may be up or down,"
            " and this time counts as unknown.",
            description_vi="Không còn điểm quan sát nào của {{ $labels.link }} gửi tín hiệu hoạt động:"
            " không xác định được trạng thái kết nối trong thời gian này.",
        ),
        Alert(
            name="PortallinkLinkMaintenance",
            expr="max by (link) (portallink_link_maintenance) == 1",
            severity="none",
            incident=LINK,
            dashboard=_DASHBOARD,
            summary="Announced maintenance of {{ $labels.link }}",
            summary_vi="Kết nối {{ $labels.link }} đang bảo trì theo thông báo",
            description="It notifies nobody, and mutes the alerts about outages of {{ $labels.link }} until"
            " the announced end.",
            description_vi="Không gửi cho ai; tạm ẩn cảnh báo về gián đoạn của {{ $labels.link }} cho đến"
            " thời điểm kết thúc đã thông báo.",
        ),
        Alert(
            name="PortallinkRaisedNormal",
            expr="max by (link) (portallink_link_normal_since_timestamp_seconds) > 0",
            severity="ticket",
            incident=LINK,
            dashboard=_DASHBOARD,
            summary="Trouble has become normal for {{ $labels.link }}",
            summary_vi="Lỗi kéo dài đã thành mức bình thường của {{ $labels.link }}",
            description="{{ $labels.link }} has failed or been slow at one level for so long that it counts"
            " as its normal. No outage is open for it any more: somebody has to decide what to do.",
            description_vi="{{ $labels.link }} lỗi hoặc chậm ở một mức quá lâu nên được coi là bình thường."
            " Không còn đợt nào đang mở: cần có quyết định xử lý.",
        ),
        Alert(
            name="PortallinkLinkFlapping",
            expr=f"sum by (link) (increase(portallink_link_state_changes_total[{span(3600)}]))"
            f" >= {links.flapping_changes_per_hour}",
            severity="ticket",
            incident=LINK,
            dashboard=_DASHBOARD,
            summary="{{ $labels.link }} is flapping",
            summary_vi="Kết nối {{ $labels.link }} chập chờn",
            description="{{ $labels.link }} changed its state about {{ $value | humanize }} times within"
            " an hour.",
            description_vi="{{ $labels.link }} đổi trạng thái khoảng {{ $value | humanize }} lần trong"
            " một giờ.",
        ),
    ]
