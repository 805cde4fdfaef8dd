"""Check a published outage against the log it was found in: its evidence, and the finding itself.

An outage's evidence names, for each partition, a range of offsets and a digest over the cuts in it. The log
is metered again from its beginning, which gives the same cuts; their digests are recomputed from the
records and combined. Then the pure pipeline judges the log again under the rule, and what it publishes
under the same id and revision is compared field by field. Unless a rule is given, the log's own revisions of
`link.rules` apply, by event time as they did then.
"""

from collections.abc import Iterable

from msgspec import Struct, structs

from streams.detect.rule.definition import Rule
from streams.model.digest import combine
from streams.model.measurement import Measurement, Source
from streams.model.outage import Outage
from streams.model.record import Record
from streams.model.settings import Settings
from streams.replay.analyze import Analysis, analyze


class RangeCheck(Struct, frozen=True):
    """The check of one range of evidence: ``found`` is the recomputed digest, None if cuts are missing.

    ``log_from`` is the first offset of the partition in the log, None if the log has none.
    """

    source: Source
    found: str | None
    log_from: int | None = None

    @property
    def matches(self) -> bool:
        """Whether the records are those that the published digest covers."""
        return self.found == self.source.digest


class Difference(Struct, frozen=True):
    """A field on which the published outage and the recomputed one differ."""

    field: str
    published: object
    recomputed: object


class OutageCheck(Struct, frozen=True):
    """The result of a check; ``recomputed`` is None if the log gives no such revision.

    ``rule_known`` says whether the outage's rule version is in the log or was given by the caller.
    """

    outage: Outage
    ranges: list[RangeCheck]
    recomputed: Outage | None
    differences: list[Difference]
    rule_known: bool = True

    @property
    def matches(self) -> bool:
        """Whether evidence and finding equal what was published."""
        evidence = bool(self.ranges) and all(check.matches for check in self.ranges)
        return evidence and self.recomputed is not None and not self.differences


def verify_outage(
    outage: Outage,
    log: Iterable[Record],
    rule: Rule | None = None,
    settings: Settings | None = None,
) -> OutageCheck:
    """Recompute evidence and finding of an outage from the log, in log order from its beginning."""
    return compare(outage, analyze(log, rule, settings, outages_only=True), rule)


def held_whole(outage: Outage, held: Iterable[Source]) -> bool:
    """Return whether the ranges of a log contain all of an outage's evidence."""
    return all(
        any(
            (part.topic, part.partition) == (source.topic, source.partition)
            and part.first_offset <= source.first_offset
            and source.next_offset <= part.next_offset
            for part in held
        )
        for source in outage.evidence
    )


def compare(outage: Outage, analysis: Analysis, rule: Rule | None = None) -> OutageCheck:
    """Compare a published outage with an analysis of its log, made under the same ``rule`` argument."""
    begins: dict[tuple[str, int], int] = {}
    for measurement in analysis.lookup_measurements:
        place = measurement.source.topic, measurement.source.partition
        begins[place] = min(measurement.source.first_offset, begins.get(place, 1 << 62))
    ranges = [
        RangeCheck(
            source,
            _recombined(source, analysis.lookup_measurements),
            begins.get((source.topic, source.partition)),
        )
        for source in outage.evidence
    ]
    judging = analysis.under(rule)
    known = {judging.built_in.version, *(one.values.version for _, one in judging.revisions)}
    name = (outage.outage_id, outage.revision)
    recomputed = next((one for one in analysis.outages if (one.outage_id, one.revision) == name), None)
    differences = []
    if recomputed is not None:
        there, here = structs.asdict(outage), structs.asdict(recomputed)
        differences = [
            Difference(name, there[name], here[name]) for name in there if there[name] != here[name]
        ]
    return OutageCheck(outage, ranges, recomputed, differences, outage.rule_version in known)


def _recombined(source: Source, measurements: Iterable[Measurement]) -> str | None:
    cuts = sorted(
        measurement.source
        for measurement in measurements
        if measurement.source.topic == source.topic
        and measurement.source.partition == source.partition
        and source.first_offset <= measurement.source.first_offset
        and measurement.source.next_offset <= source.next_offset
    )
    if not cuts or cuts[0].first_offset != source.first_offset or cuts[-1].next_offset != source.next_offset:
        return None
    return combine(cut.digest for cut in cuts)
