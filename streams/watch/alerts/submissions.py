"""Alerts on the progress of citizens' submissions."""

from streams.watch.alerts.alert import LINK, PORTAL, Alert
from streams.watch.promql import DECIDED_MATCH, Span
from streams.watch.settings import WatchSettings


def submission_alerts(settings: WatchSettings, span: Span) -> list[Alert]:
    """Return the alerts on the progress of citizens' submissions."""
    goal, window = settings.submissions, span(900)
    decided = f"sum by (portal) (increase(portallink_submissions_total{{{DECIDED_MATCH}}}[{window}]))"
    blocked = f"sum by (portal, link) (increase(portallink_submissions_blocked_total[{window}]))"
    count = f"sum by (portal) (increase(portallink_submission_acceptance_seconds_count[{window}]))"
    within = (
        "sum by (portal) (increase(portallink_submission_acceptance_seconds_bucket"
        f'{{le="{goal.accepted_within_seconds!r}"}}[{window}]))'
    )
    return [
        Alert(
            name="PortallinkSubmissionsBlocked",
            expr=f"{blocked} / on (portal) group_left () {decided} > {goal.blocked_share}"
            f" and on (portal) {decided} >= {goal.minimum_submissions}",
            for_seconds=300,
            severity="page",
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
