"""The pure parts of detection: seconds of asking, minutes, sight, silence, figures."""

from functools import reduce

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.detect.link.facts import merged
from streams.detect.link.history import History
from streams.detect.link.minute import MINUTE_MS, MINUTE_SKETCH, Minute
from streams.detect.link.outages import fault_domain, outage_id
from streams.detect.link.said import state_ms
from streams.detect.link.sight import GRACE_MS, Sight
from streams.detect.link.totals import Totals, within
from streams.detect.rule.cusum import QUIET
from streams.detect.rule.definition import Rule
from streams.detect.rule.edges import onset_ms, recovery_ms, slow_seconds
from streams.detect.rule.expected import HOUR_MS, HOURS_A_WEEK, Expected
from streams.detect.rule.normal import Block, block_of, normal_after
from streams.detect.rule.rules import LinkRules
from streams.detect.rule.slowness import LADDER_MS, coarse, slow_answers, usual_of
from streams.model.measurement import Asked, LinkSlot
from streams.model.settings import SLOT_MS, DetectSettings
from streams.model.sketch import BUCKET_LOWER_MS, bucket_of

histograms = st.dictionaries(st.integers(0, len(BUCKET_LOWER_MS) - 1), st.integers(1, 50), max_size=12)
asked = st.lists(
    st.builds(Asked, st.integers(0, 60), st.integers(0, 9), st.just(0), st.just(0)),
    max_size=5,
    unique_by=lambda a: a.second,
).map(lambda found: sorted(found, key=lambda a: a.second))
slots = st.builds(
    LinkSlot,
    start_ms=st.integers(0, 11).map(lambda n: n * 5000),
    outcomes=st.dictionaries(st.sampled_from(["ok", "timeout"]), st.integers(1, 9)),
    latency=histograms,
    asked=asked,
    failed_dossiers=st.dictionaries(st.integers(1, 1 << 52), st.integers(1, 3), max_size=40),
)


def failing(second, failed, first=0):
    """Return a second in which every attempt failed."""
    return Asked(second, 0, failed, -1, [first])


def test_the_start_is_the_first_failed_request():
    """An outage begins, to the millisecond, with the first request of the failing run."""
    seconds = [Asked(1, 5, 0, 10), failing(2, 1, 30), Asked(3, 5, 0, 10), failing(4, 4, 120), failing(5, 5)]
    assert onset_ms(seconds, 0.95, 0.03) == 4120


def test_the_end_is_the_first_request_that_succeeds_again():
    """An outage ends, to the millisecond, with the first request of the answered run."""
    seconds = [failing(1, 5), Asked(2, 1, 0, 40), failing(3, 5), Asked(4, 5, 0, 250), Asked(5, 5, 0, 0)]
    assert recovery_ms(seconds, 0.9, 0.03) == 4250


def test_no_edge_where_the_seconds_show_none():
    """Answers alone have no onset, failures alone no recovery."""
    assert onset_ms([Asked(1, 5, 0, 10)], 0.5, 0.03) is None
    assert recovery_ms([failing(1, 5)], 0.9, 0.03) is None


def test_answers_asked_too_long_ago_are_the_slow_ones():
    """Of a slot's answers those asked longer ago than the slow mark are slow for certain."""
    slot = LinkSlot(60_000, latency={bucket_of(50): 2, bucket_of(20_000): 3})
    slot.asked = [Asked(40, 3, 0, 5), Asked(61, 2, 0, 7)]
    found = slow_seconds([slot], 2_400, latest=True)
    assert [(one.second, one.ok, one.failed) for one in found] == [(40, 0, 3), (61, 2, 0)]


@given(histograms)
def test_coarse_latencies_tell_every_step_of_the_ladder(histogram):
    """Packing a minute loses nothing that a slow mark may ask for."""
    for slow_ms in LADDER_MS:
        assert slow_answers(coarse(histogram), slow_ms) == slow_answers(histogram, slow_ms)


@given(slots, slots)
def test_adding_slots_is_commutative_and_leaves_them_as_they_were(one, other):
    """Arrival order does not matter, and a measurement stays as it was received."""
    before = msgspec.json.encode([one, other])
    forth, back = merged(one, other), msgspec.structs.replace(merged(other, one), start_ms=one.start_ms)
    assert forth == back
    assert msgspec.json.encode([one, other]) == before


@given(st.lists(slots, min_size=1, max_size=20), st.data())
def test_a_packed_minute_takes_late_slots_as_an_open_one_does(chosen, data):
    """Whether a slot comes before or after packing, the minute says the same."""
    late = data.draw(st.integers(0, len(chosen)))
    open_one, packed = Minute(QUIET), Minute(QUIET)
    for slot in chosen:
        open_one.merge(slot)
    for slot in chosen[:late]:
        packed.merge(slot)
    packed.pack()
    for slot in chosen[late:]:
        packed.merge(slot)
    if packed.packed is None:
        packed.pack()
    open_one.pack()
    assert open_one.read() == packed.read()
    assert (open_one.attempts, open_one.latencies()) == (packed.attempts, packed.latencies())


@given(
    st.lists(st.tuples(st.integers(0, 360), st.booleans(), histograms), min_size=20, max_size=120),
    st.sampled_from([0, 3, 60]),
)
def test_late_facts_leave_the_past_as_if_they_had_come_in_time(told, pack_after):
    """Neither lateness nor when minutes are packed changes what is normal and what a minute holds."""
    facts = [
        LinkSlot(
            at * SLOT_MS, outcomes={"ok": 9}, asked=[Asked(at * 5, 9, 0, 1)], latency=dict(sorted(of.items()))
        )
        for at, _, of in told
    ]
    in_time, corrected = (History(LinkRules(Rule()), DetectSettings()) for _ in range(2))
    corrected.pack_after_ms = pack_after * MINUTE_MS
    for at in sorted({slot.start_ms for slot in facts}):
        in_time.add(reduce(merged, [slot for slot in facts if slot.start_ms == at]))
    on_time = {slot.start_ms: slot for slot, (_, late, _) in zip(facts, told, strict=True) if not late}
    for at in sorted(on_time):
        corrected.add(on_time[at])
    for slot in facts:
        if on_time.get(slot.start_ms) is not slot:
            corrected.correct([slot])
    assert corrected.habits.past == in_time.habits.past
    for at, minute in in_time.between(0, 400 * SLOT_MS):
        assert corrected.minutes[at].latencies() == minute.latencies()
        assert corrected.minutes[at].attempts == minute.attempts


def test_a_minute_keeps_a_bounded_sketch():
    """However many dossiers fail in a minute, it keeps the least hashes and says up to which."""
    minute = Minute(QUIET)
    for number in range(12):
        hashes = {number * 1000 + n * 7 + 1: 1 for n in range(250)}
        slot = LinkSlot(number * 5000, failed_dossiers=hashes, asked=[failing(number * 5, 250)])
        minute.merge(slot)
    minute.pack()
    kept = {key for slot in minute.read() for key in slot.failed_dossiers}
    assert len(kept) == MINUTE_SKETCH
    assert minute.limit == max(kept)


@given(st.lists(st.tuples(st.integers(0, 900), st.integers(1, 60)), max_size=20), st.randoms())
def test_sight_does_not_depend_on_the_order_of_heartbeats(spans, random):
    """The union of what heartbeats vouch for is the same however they come."""
    one, other = Sight(), Sight()
    for start, length in spans:
        one.add(start * 1000, (start + length) * 1000)
    random.shuffle(spans)
    for start, length in spans:
        other.add(start * 1000, (start + length) * 1000)
    assert one == other
    for at in range(0, 1_000_000, 7_000):
        alive = any(start * 1000 <= at < (start + length) * 1000 + GRACE_MS for start, length in spans)
        heard = bool(spans) and at >= one.first_heard_ms
        assert bool(one.within(at, at + 1)) == (alive or not heard)


def test_silence_is_beyond_chance_after_nine_expected_lookups():
    """At one a second 9.2 s of silence have a chance of 1e-4; at one in 40 s six minutes have."""
    profile = Expected()
    profile.learn(0, attempts=3600, seen_ms=HOUR_MS)
    profile.learn(HOUR_MS, attempts=90, seen_ms=HOUR_MS)
    assert profile.silence_ms(10, None) == 9_210
    assert profile.silence_ms(HOUR_MS + 10, None) == 368_400
    assert profile.silence_ms(HOURS_A_WEEK * HOUR_MS, 0.5) == 18_420
    assert profile.silence_ms(2 * HOUR_MS, None) is None


def test_an_odd_week_moves_the_expectation_by_a_quarter():
    """The profile is a running mean: a holiday neither sets nor spoils it, an unseen hour says nothing."""
    profile = Expected()
    for attempts in (3600, 3600, 0):
        profile.learn(0, attempts, HOUR_MS)
    profile.learn(0, 0, seen_ms=1000)
    assert profile.rates[0] == pytest.approx(0.75)


def test_normal_is_a_median_of_quiet_blocks():
    """One odd block moves neither the failure share nor the slow mark."""
    blocks = [Block(n, 60, 0.031, 300) for n in range(8)] + [Block(9, 62, 0.4, 4800)]
    normal = normal_after(blocks, Rule(), SLOT_MS)
    assert (normal.failure_share, normal.slow_ms) == (0.03, 300)
    assert normal.slots_per_week == 66 * 1008


@given(st.lists(st.integers(10, 1000), min_size=1, max_size=36))
def test_the_slots_of_a_week_follow_the_present_volume(attempts):
    """They are never fewer than the last hour's attempts make, a tenth and one more at most than those of the
    busier of the last hour and of all, and never more than there are.
    """
    normal = normal_after([Block(n, one, 0.03, None) for n, one in enumerate(attempts)], Rule(), SLOT_MS)
    means = (sum(some) / len(some) for some in (attempts, attempts[-6:]))
    volume = max(means)
    assert normal.slots_per_week <= 120_960
    assert normal.slots_per_week >= min(volume * 1008, 120_960)
    assert normal.slots_per_week <= (1.1 * volume + 1) * 1008


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 10_000, (7, 3)),
        (5_000, 6_000, (7, 3)),
        (5_150, 10_000, (0, 2)),
        (0, 5_450, (7, 2)),
        (0, 5_050, (0, 0)),
        (6_000, 7_000, (0, 0)),
    ],
)
def test_figures_are_exact_at_the_edges(start, end, expected):
    """In the second of an edge the kept times tell which requests lay within the outage."""
    assert within(Asked(5, 7, 3, 60, [100, 400, 500]), start, end) == expected


@pytest.mark.parametrize(
    ("totals", "slow", "domain"),
    [
        (Totals(link_faults=9), False, "link"),
        (Totals(link_faults=2, provider_faults=9), False, "provider"),
        (Totals(link_faults=2, refusals=9), False, "client"),
        (Totals(link_faults=20, provider_answers=5, provider_troubles=15), False, "provider"),
        (Totals(link_faults=20, provider_answers=20), False, "link"),
        (Totals(link_faults=20, provider_refusals=20), False, "client"),
        (Totals(provider_latency={bucket_of(3000): 20}), True, "provider"),
        (Totals(provider_latency={bucket_of(40): 20}), True, "link"),
        (Totals(), True, "link"),
    ],
)
def test_whose_fault_it_was(totals, slow, domain):
    """Outcomes speak first, then what the provider saw of the same lookups, then where the time went."""
    assert fault_domain(totals, slow, 600) == domain


def test_time_in_trouble_counts_only_where_the_state_is_known():
    """An outage that spans blindness leaves the blind part unknown."""
    spent = state_ms([(0, 20_000), (50_000, 60_000)], [(10_000, None, "down")], 0, 60_000)
    assert spent == {"UNKNOWN": 30_000, "UP": 10_000, "DEGRADED": 0, "DOWN": 20_000}


def test_an_outage_has_the_same_id_on_every_machine():
    """The id is a digest of link and first published start."""
    assert outage_id("portal > npd", 1687132800000) == "o-97e841d38d28e6a6"


@pytest.mark.parametrize(("answers", "slow_minutes", "usual"), [(60, 4, True), (60, 6, False), (12, 2, True)])
def test_slowness_of_less_than_half_a_block_does_not_pass_for_usual(answers, slow_minutes, usual):
    """The mark from which an answer is slow is that of a block's better half, at any volume that tells it."""
    minutes = [{bucket_of(200): answers} for _ in range(10 - slow_minutes)]
    minutes[3:3] = [{bucket_of(4000): answers} for _ in range(slow_minutes)]
    block = block_of(0, 10 * answers, 0, map(usual_of, minutes), Rule())
    assert block is not None
    assert (block.slow_ms < 1_000) == usual


def test_few_answers_in_a_block_are_read_together():
    """A block in which no minute tells a percentile of its own has that of all its answers."""
    minutes = [{bucket_of(200): 1} for _ in range(11)] + [{bucket_of(900): 1}]
    block = block_of(0, 12, 0, map(usual_of, minutes), Rule())
    assert block is not None
    together = usual_of({bucket_of(200): 11, bucket_of(900): 1})
    assert block.slow_ms == block_of(0, 12, 0, [together], Rule()).slow_ms
