"""Scores found outages against true faults: per incident, per range, by traffic and by duration.

Incidents that nobody could see are counted separately and do not count as missed (`streams.score.incidents`).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from streams.model.canonical import final_outages
from streams.model.intervals import length_ms, union
from streams.model.outage import Outage
from streams.score.downtime import Down, LinkDowntime, Together, VolumeDowntime, link_downtime, mean_errors
from streams.score.incidents import Incident, Match, incidents_of, match_up, overlaps_any, range_of
from streams.score.ranges import range_precision, range_recall
from streams.score.truth import Truth

WEEK_MS: Final = 7 * 86_400_000
VOLUME_CLASSES: Final = (
    (1.0, "under 1/min"),
    (10.0, "1-10/min"),
    (60.0, "10-60/min"),
    (float("inf"), "over 1/s"),
)
OFF_PP: Final = 0.01
"""The availability error, in percentage points, from which a link is listed as off."""
DURATION_CLASSES: Final = (
    (2.0, "under 2 min"),
    (10.0, "2-10 min"),
    (60.0, "10-60 min"),
    (float("inf"), "over 60 min"),
)


class Quantiles(Struct, frozen=True):
    """Median and 95th percentile (nearest rank) of absolute values; None if there are no values."""

    count: int
    p50: float | None
    p95: float | None


class Part(Struct, frozen=True):
    """The score of a group of incidents; ``found`` of the ``incidents`` seen were reported."""

    incidents: int
    found: int
    recall: float | None
    range_recall: float | None
    start_error_ms: Quantiles
    end_error_ms: Quantiles
    delay_ms: Quantiles


class ByCause(Struct, frozen=True):
    """The score of the incidents with one cause.

    ``domain`` is the share of matches in which an outage has the cause's fault domain; ``named`` counts the
    fault domains of the outages. An incident with several causes counts for each.
    """

    incidents: int
    found: int
    range_recall: float | None
    start_error_ms: Quantiles
    delay_ms: Quantiles
    kind: float | None
    domain: float | None
    named: dict[str, int]


class Score(Struct, frozen=True):
    """How well outages agree with the truth.

    Errors are absolute, in milliseconds: start and end against those of the fault, and the delay from when
    the first failure was known to the first revision (None if the file lacks first revisions).
    ``availability_error_pp`` is the mean over links of |found - true|, in percentage points, counting the
    down time of incidents that were seen; ``availability_error_all_pp`` also counts unseen ones, and
    ``availability_error_asked_pp`` counts each from its first failing request on, before which nobody could
    know of it. ``availability_by_volume`` gives the means by traffic, ``downtime_off`` the links that are
    off, worst first, with the reasons (`streams.score.downtime`).
    """

    scenario: str
    seed: int
    scale: float
    link_weeks: float
    outages: int
    false_outages: int
    false_outages_per_link_week: float
    unseen_incidents: int
    precision: float | None
    range_precision: float | None
    kind_agrees: float | None
    domain_agrees: float | None
    availability_error_pp: float
    availability_error_worst_pp: float
    availability_error_all_pp: float
    availability_error_asked_pp: float
    availability_by_volume: dict[str, VolumeDowntime]
    downtime_off: list[LinkDowntime]
    all: Part
    by_volume: dict[str, Part]
    by_duration: dict[str, Part]
    by_cause: dict[str, ByCause]
    false_by_link: dict[str, int]
    missed: list[Incident]


def score(outages: Iterable[Outage], truth: Truth) -> Score:
    """Score outage revisions against the truth of the log they were found in.

    ``outages`` may hold every revision, in any order: the last of each ``outage_id`` counts unless it is a
    retraction, and the first says when the outage was detected. An outage still open lasts to the end of the
    log.
    """
    revisions: dict[str, list[Outage]] = {}
    for outage in outages:
        revisions.setdefault(outage.outage_id, []).append(outage)
    first, final = {}, []
    for id_, mine in revisions.items():
        mine.sort(key=lambda outage: outage.revision)
        if mine[0].supersedes is None:
            first[id_] = mine[0].detected_at_ms
        if mine[-1].status != "retracted":
            final.append(mine[-1])
    incidents = incidents_of(truth.faults)
    seen = [incident for incident in incidents if incident.seen]
    matches = match_up(seen, final, truth.end_ms)
    unseen = [incident for incident in incidents if not incident.seen]
    false = [outage for outage in final if not overlaps_any(outage, incidents, truth.end_ms)]
    weeks = len(truth.links) * (truth.end_ms - truth.start_ms) / WEEK_MS
    precisions = _by_link(incidents, final, truth.end_ms, precision=True)
    errors_all = _availability_errors(truth, incidents, final)
    downtimes = _downtimes(truth, seen, matches, final)
    means = mean_errors(downtimes)
    return Score(
        scenario=truth.scenario,
        seed=truth.seed,
        scale=truth.scale,
        link_weeks=round(weeks, 4),
        outages=len(final),
        false_outages=len(false),
        false_outages_per_link_week=round(len(false) / weeks, 4) if weeks else 0.0,
        unseen_incidents=len(unseen),
        precision=_mean([0.0] * len(false) + [1.0] * (len(final) - len(false))),
        range_precision=_mean(precisions),
        kind_agrees=_agreement(matches, "kind"),
        domain_agrees=_agreement(matches, "fault_domain"),
        availability_error_pp=means.error_pp or 0.0,
        availability_error_worst_pp=round(max((one.error_pp for one in downtimes), default=0.0), 4),
        availability_error_all_pp=round(sum(errors_all) / len(errors_all), 4) if errors_all else 0.0,
        availability_error_asked_pp=means.error_asked_pp or 0.0,
        availability_by_volume={
            name: mean_errors(
                [one for one in downtimes if _class(one.attempts_per_minute, VOLUME_CLASSES) == name]
            )
            for _, name in VOLUME_CLASSES
        },
        downtime_off=sorted(
            (one for one in downtimes if one.error_pp >= OFF_PP), key=lambda one: -one.error_pp
        ),
        all=_part(seen, matches, final, first, truth.end_ms),
        by_volume={
            name: _part(
                [i for i in seen if _class(i.attempts / max(i.minutes, 1e-9), VOLUME_CLASSES) == name],
                matches,
                final,
                first,
                truth.end_ms,
            )
            for _, name in VOLUME_CLASSES
        },
        by_duration={
            name: _part(
                [i for i in seen if _class(i.minutes, DURATION_CLASSES) == name],
                matches,
                final,
                first,
                truth.end_ms,
            )
            for _, name in DURATION_CLASSES
        },
        by_cause={
            cause: _by_cause(cause, seen, matches, final, first, truth.end_ms)
            for cause in sorted({cause for incident in seen for cause in incident.causes})
        },
        false_by_link=_count(outage.link for outage in false),
        missed=[i for i in seen if not any(i in match.incidents and match.outages for match in matches)],
    )


def downtimes_of(outages: Iterable[Outage], truth: Truth) -> list[LinkDowntime]:
    """Return the found and true downtime of every link, by the last revisions of outages."""
    final = final_outages(outages)
    seen = [incident for incident in incidents_of(truth.faults) if incident.seen]
    return _downtimes(truth, seen, match_up(seen, final, truth.end_ms), final)


def _part(
    incidents: Sequence[Incident],
    matches: Sequence[Match],
    outages: Sequence[Outage],
    first: dict[str, int],
    end_ms: int,
) -> Part:
    mine = [match for match in matches if match.incidents[0] in incidents]
    found = sum(any(i in match.incidents for match in matches) for i in incidents)
    rewards = _by_link(incidents, outages, end_ms, precision=False)
    starts = [abs(m.outages[0].start_ms - m.incidents[0].start_ms) for m in mine]
    ends = [
        abs(max(range_of(o, end_ms)[1] for o in m.outages) - max(i.end_ms for i in m.incidents)) for m in mine
    ]
    delays = []
    for match in mine:
        known, detected = match.incidents[0].known_ms, first.get(match.outages[0].outage_id)
        if known is not None and detected is not None:
            delays.append(max(0, detected - known))
    return Part(
        incidents=len(incidents),
        found=found,
        recall=round(found / len(incidents), 4) if incidents else None,
        range_recall=_mean(rewards),
        start_error_ms=_quantiles(starts),
        end_error_ms=_quantiles(ends),
        delay_ms=_quantiles(delays),
    )


def _by_cause(
    cause: str,
    seen: Sequence[Incident],
    matches: Sequence[Match],
    outages: Sequence[Outage],
    first: dict[str, int],
    end_ms: int,
) -> ByCause:
    incidents = [incident for incident in seen if cause in incident.causes]
    mine = [match for match in matches if any(cause in incident.causes for incident in match.incidents)]
    part = _part(incidents, matches, outages, first, end_ms)
    return ByCause(
        incidents=part.incidents,
        found=part.found,
        range_recall=part.range_recall,
        start_error_ms=part.start_error_ms,
        delay_ms=part.delay_ms,
        kind=_agreement(mine, "kind"),
        domain=_agreement(mine, "fault_domain"),
        named=_count(outage.fault_domain for match in mine for outage in match.outages),
    )


def _by_link(
    incidents: Sequence[Incident], outages: Sequence[Outage], end_ms: int, *, precision: bool
) -> list[float]:
    """Return the range-based rewards of all incidents (recall) or of all outages (precision)."""
    rewards = []
    for link in sorted({i.link for i in incidents} | {o.link for o in outages}):
        true = [(i.start_ms, i.end_ms) for i in incidents if i.link == link]
        found = [range_of(o, end_ms) for o in outages if o.link == link]
        rewards += range_precision(true, found) if precision else range_recall(true, found)
    return rewards


def _availability_errors(
    truth: Truth, incidents: Sequence[Incident], outages: Sequence[Outage]
) -> list[float]:
    """Return the error of each link's availability, in percentage points."""
    period = truth.end_ms - truth.start_ms
    errors = []
    for link in truth.links:
        true = union((i.start_ms, i.end_ms) for i in incidents if i.link == link.link and "down" in i.kinds)
        found = union(range_of(o, truth.end_ms) for o in outages if o.link == link.link and o.kind == "down")
        errors.append(100 * abs(length_ms(true) - length_ms(found)) / period)
    return errors


def _downtimes(
    truth: Truth, incidents: Sequence[Incident], matches: Sequence[Match], outages: Sequence[Outage]
) -> list[LinkDowntime]:
    """Return each link's true and found downtime in incidents that were seen."""
    groups: dict[str, list[Together]] = {}

    def add(link: str, true: Iterable[Incident], found: Iterable[Outage], *, matched: bool) -> None:
        down = [Down(i.start_ms, i.end_ms, i.asked_ms) for i in true if "down" in i.kinds]
        ranges = [range_of(outage, truth.end_ms) for outage in found if outage.kind == "down"]
        if down or ranges:
            groups.setdefault(link, []).append(Together(down, ranges, matched))

    for match in matches:
        add(match.incidents[0].link, match.incidents, match.outages, matched=True)
    known = {id(one) for match in matches for one in (*match.incidents, *match.outages)}
    for incident in incidents:
        if id(incident) not in known:
            add(incident.link, [incident], [], matched=False)
    for outage in outages:
        if id(outage) not in known:
            add(outage.link, [], [outage], matched=False)
    period_ms = truth.end_ms - truth.start_ms
    return [link_downtime(t.link, t.attempts, period_ms, groups.get(t.link, [])) for t in truth.links]


def _agreement(matches: Sequence[Match], what: str) -> float | None:
    """Return the share of matches in which an outage's field agrees with the fault's."""
    agreeing = []
    for match in matches:
        true = {value for i in match.incidents for value in (i.kinds if what == "kind" else i.domains)}
        agreeing.append(float(any(getattr(outage, what) in true for outage in match.outages)))
    return _mean(agreeing)


def _class(value: float, classes: Sequence[tuple[float, str]]) -> str:
    return next(name for limit, name in classes if value < limit)


def _mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def _quantiles(values: Sequence[int]) -> Quantiles:
    """Return nearest-rank quantiles.

    >>> _quantiles([5, 1, 9])
    Quantiles(count=3, p50=5, p95=9)
    """
    if not values:
        return Quantiles(0, None, None)
    ordered = sorted(values)
    return Quantiles(len(ordered), *(ordered[-(-len(ordered) * p // 100) - 1] for p in (50, 95)))


def _count(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in sorted(names):
        counts[name] = counts.get(name, 0) + 1
    return counts
