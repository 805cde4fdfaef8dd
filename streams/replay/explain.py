"""Why an outage opened and closed: what the rule saw in each slot, recomputed from the log.

Detection is run over the log once more with a `History` for the outage's link that notes every step of the
rule. Nothing is estimated: the sums, thresholds and verdicts are those that decided.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from streams.detect.detector import Detector
from streams.detect.link.history import History
from streams.detect.link.minute import Decided
from streams.detect.link.tracker import LinkTracker
from streams.detect.rule.cusum import (
    IDLE,
    TRANSITIONS,
    Condition,
    Counts,
    Normal,
    RuleState,
    TestName,
    decisive_evidence,
    normal_share,
    weigh,
)
from streams.detect.rule.definition import Rule
from streams.detect.rule.rules import LinkRules, Rules
from streams.detect.rule.slowness import slow_answers
from streams.logs.read import read_log
from streams.model.measurement import LinkSlot, Measurement
from streams.model.outage import Outage
from streams.model.settings import DetectSettings
from streams.model.times import local_time
from streams.replay import latecomers
from streams.replay.analyze import analyze
from streams.replay.latecomers import LateRecord

LEAD_MS: Final = 60_000
"""How much is shown before the failures began and after the last decision."""
MEANINGS: Final[dict[TestName, str]] = {
    "total": "nearly every attempt fails",
    "half": "at least half of the attempts fail",
    "partial": "more attempts fail than is normal for this link",
    "slow": "answers are far slower than is normal for this link",
    "recovery": "attempts succeed as is normal for this link",
    "worse": "at least half of the attempts fail now",
    "better": "fewer than half of the attempts fail now",
    "normal": "the failures have stayed at one level for so long that this is now the link's normal",
}


class UnknownOutageError(LookupError):
    """No outage of the log has this id; the message lists those that exist."""


class Bar(Struct, frozen=True):
    """One test after one slot: its sum, the sum at which it decides (both in nats), since when it rises."""

    test: TestName
    total: float
    threshold: float
    since_ms: int


class Step(Struct, frozen=True):
    """One slot ``[start_ms, end_ms)`` of the link: what became known in it, and what the rule concluded.

    ``bars`` are the tests after the slot, for the condition before it; ``condition`` is the one after it. If
    a test decided, ``verdict`` names it and ``edge_ms`` is the edge it found, in request time.
    """

    start_ms: int
    end_ms: int
    answered: int
    failed: int
    slow: int
    normal_share: float
    slow_ms: int | None
    bars: list[Bar]
    condition: Condition
    verdict: TestName | None = None
    edge_ms: int | None = None
    of_slowness: bool = False
    """Whether the verdict is about slow answers, not about failing requests."""

    @property
    def strongest(self) -> Bar | None:
        """The test nearest to its threshold."""
        return max(self.bars, key=lambda bar: bar.total / bar.threshold, default=None)


class Explanation(Struct, frozen=True):
    """An outage with every revision of it, the rule, and the slots around it in order."""

    outage: Outage
    revisions: list[Outage]
    rule: Rule
    steps: list[Step]
    late: list[LateRecord]
    """The late records that led to revisions."""

    def reasons(self) -> list[str]:
        """Return sentences that say why it opened, where its edges lie, and why it closed."""
        sentences = [sentence for step in self.steps for sentence in _sentences(step, self.outage)]
        return [*sentences, *_confined(self.outage, self.rule), *latecomers.sentences(self.late)]


def explain(outage: str, log: Path | str, rule: Rule | None = None) -> Explanation:
    """Return why an outage of a log opened and closed.

    ``outage`` is its id, an unambiguous prefix of it, or its link if that had only one outage.

    Raises:
        LogFileError: the log cannot be read.
        UnknownOutageError: the log has no such outage, or several.
    """
    analysis = analyze(Path(log), rule, outages_only=True)
    revisions = _revisions(outage, analysis.outages)
    last = revisions[-1]
    end_ms = last.end_ms
    rules = analysis.under(rule)
    measurements, settings = analysis.lookup_measurements, analysis.settings.detect()
    steps = trace(last.link, measurements, rules, settings)
    first_ms = min(revision.start_ms for revision in revisions) - LEAD_MS
    last_ms = max(revision.detected_at_ms for revision in revisions)
    if end_ms is not None:
        last_ms = max([end_ms, last_ms, *(step.end_ms for step in steps if step.edge_ms == end_ms)])
    shown = [step for step in steps if first_ms <= step.end_ms and step.start_ms <= last_ms + LEAD_MS]
    late = latecomers.late_records(
        read_log(Path(log)), analysis.lookup_measurements, revisions, analysis.settings.detect()
    )
    return Explanation(last, revisions, rules.of(last.link).at(last.start_ms), shown, late)


def _revisions(wanted: str, outages: Iterable[Outage]) -> list[Outage]:
    known: dict[str, list[Outage]] = {}
    for outage in outages:
        known.setdefault(outage.outage_id, []).append(outage)
    found = [name for name in known if name == wanted]
    if not found:
        found = [name for name, told in known.items() if name.startswith(wanted) or told[0].link == wanted]
    if len(found) == 1:
        return sorted(known[found[0]], key=lambda outage: outage.revision)
    what = "no outage" if not found else "more than one outage"
    names = found or list(known)
    listed = ", ".join(f"{name} ({known[name][0].link})" for name in names[:20])
    listed += f" and {len(names) - 20} more" if len(names) > 20 else ""
    raise UnknownOutageError(f"{what} {wanted} in this log; it has {listed or 'none at all'}")


def trace(
    link: str, measurements: Iterable[Measurement], rules: Rules, settings: DetectSettings
) -> list[Step]:
    """Return every step of the rule for a link; a slot judged more than once appears as last judged."""
    lookups = sorted(measurements, key=lambda item: (item.watermark_ms, item.source))
    partitions = sorted({item.source.partition for item in lookups})
    detector = _TracingDetector(rules, settings, partitions, link)
    for measurement in lookups:
        detector.apply(measurement)
    return [detector.steps[start_ms] for start_ms in sorted(detector.steps)]


class _TracingDetector(Detector):
    """A detector that also notes the steps of one link."""

    def __init__(self, rules: Rules, settings: DetectSettings, partitions: list[int], link: str) -> None:
        super().__init__(rules, settings, partitions, outages_only=True)
        self.steps: dict[int, Step] = {}
        self._traced = link

    def tracker(self, link: str) -> LinkTracker:
        """Return a link's tracker; that of the traced link has a history that records its steps."""
        fresh = link not in self.trackers
        tracker = super().tracker(link)
        if fresh and link == self._traced:
            history = _TracingHistory(tracker.rules, self.settings, self.steps)
            history.sight = tracker.sight
            tracker.history = tracker.windows.history = tracker.outages.history = history
        return tracker


class _TracingHistory(History):
    """A history that also notes each step, by the start of its slot."""

    def __init__(self, rules: LinkRules, settings: DetectSettings, steps: dict[int, Step]) -> None:
        super().__init__(rules, settings)
        self._steps = steps

    def _judge(
        self, state: RuleState, slot: LinkSlot, earlier: list[Decided]
    ) -> tuple[RuleState, Decided | None]:
        after, decided = super()._judge(state, slot, earlier)
        normal = self.normal_at(slot.start_ms)
        state = self.resumed(state, slot.start_ms)
        counts = _counts_of(slot, normal)
        if counts.ok or counts.failed:
            self._steps[slot.start_ms] = _step(state, after, slot, counts, normal, decided, self)
        return after, decided

    def settle(self, now_ms: int) -> list[int]:
        """Place the final edges as usual, and record them in the steps."""
        pending = super().settle(now_ms)
        for decided in self.verdicts:
            slot_ms = decided.decided_ms - self.settings.slot_ms
            step = self._steps.get(slot_ms)
            if step is not None and step.edge_ms is not None:
                self._steps[slot_ms] = replace(step, edge_ms=decided.at_ms)
        return pending


def _counts_of(slot: LinkSlot, normal: Normal) -> Counts:
    ok = sum(asked.ok for asked in slot.asked)
    failed = sum(asked.failed for asked in slot.asked)
    slow = slow_answers(slot.latency, normal.slow_ms)
    return Counts(max(ok, 0), max(failed, 0), max(min(slow, ok), 0))


def _step(
    before: RuleState,
    after: RuleState,
    slot: LinkSlot,
    counts: Counts,
    normal: Normal,
    decided: Decided | None,
    history: _TracingHistory,
) -> Step:
    rule, names = history.rules.at(slot.start_ms), TRANSITIONS[before.condition]
    # The sums as they were at the verdict, which resets them.
    tests = weigh(before, slot.start_ms, counts, rule, normal).tests
    end_ms = slot.start_ms + history.settings.slot_ms
    lasted_ms = end_ms - before.spell.since_ms if before.spell else 0
    needed = {name: decisive_evidence(name, rule, normal, lasted_ms) for name in names}
    bars = [
        Bar(name, round(test.total, 3), round(needed[name], 3), test.since_ms)
        for name, test in zip(names, tests, strict=True)
        if test.total > 0
    ]
    return Step(
        start_ms=slot.start_ms,
        end_ms=end_ms,
        answered=counts.ok,
        failed=counts.failed,
        slow=counts.slow,
        normal_share=normal_share("total", IDLE, before, rule, normal),
        slow_ms=normal.slow_ms,
        bars=bars,
        condition=after.condition,
        verdict=decided.verdict.test if decided else None,
        edge_ms=decided.edge_ms if decided else None,
        of_slowness=decided is not None and decided.slow,
    )


def _confined(outage: Outage, rule: Rule) -> list[str]:
    """Return sentences that say why an outage is confined."""
    to = outage.confined_to
    if to is None:
        return []
    names = ", ".join([*to.services, *to.agencies])
    others = f"{outage.failures - to.failures} of {outage.attempts - to.attempts}"
    sentence = (
        f"It is confined to {names}: {to.failures} of {to.attempts} lookups failed there, as where "
        f"{rule.total_share:.0%} fail. Of the others {others} failed meanwhile, as is normal for the link."
    )
    return [sentence]


def _sentences(step: Step, outage: Outage) -> list[str]:
    """Return sentences that say what a step decided, with local times."""
    if step.verdict is None:
        return []
    if step.verdict == "normal":
        return [f"{local_time(step.end_ms)}: {MEANINGS[step.verdict]}. The outage ends there."]
    bar = next(bar for bar in step.bars if bar.test == step.verdict)
    decided = (
        f"{local_time(step.end_ms)}: test `{bar.test}` reached {bar.total:g} of {bar.threshold:g} nats "
        f"needed, with evidence since {local_time(bar.since_ms, date=False)}: {MEANINGS[step.verdict]}. "
        f"The link is {step.condition}"
    )
    if step.edge_ms is None:
        return [decided + "."]
    if step.edge_ms == outage.start_ms:
        first = "slow answer" if step.verdict == "slow" else "failing request"
        return [f"{decided}; the outage starts with the first {first}, {local_time(step.edge_ms)}."]
    if step.edge_ms == outage.end_ms:
        return [f"{decided}; the outage ends with the first {_end_of(step)}, {local_time(step.edge_ms)}."]
    return [f"{decided} from {local_time(step.edge_ms)}."]


def _end_of(step: Step) -> str:
    """Return what ends an outage, according to the step that decided it."""
    if step.verdict == "worse":
        return "failing request of the one that follows"
    return "answer that is not slow" if step.of_slowness else "that succeeds"
