"""The ledger against a second, naive count of random histories: equal to the millisecond, as-of included."""

import oracle
import pytest
import sqlalchemy as sa
from ledgers import contents, findings
from oracle import Facts
from random_ledgers import Drawn

from streams.ledger.read.figures import cell_figures
from streams.ledger.read.lists import list_incidents, list_outages
from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.read.summary import summarise_links
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import reading
from streams.model.availability import Availability, Figures
from streams.model.hours.calendar import DAY_MS, day_start_ms

pytestmark = pytest.mark.slow

LEDGERS, QUESTIONS = 40, 50
"""Histories drawn, and questions asked of each: 2,000 in all."""


def named(availability: Availability) -> dict[str, int]:
    """Return the figures that are counted, by name."""
    parts = (availability.figures, availability.outages)
    return {name: getattr(part, name) for part in parts for name in part.__struct_fields__}


Counts = dict[tuple[str, bool], tuple[dict[str, int], dict[str, int]]]
"""What the naive count gives, by link and whether exclusions are applied."""


def counted(facts: Facts, question: Question) -> Counts:
    """Return the naive count of every link."""
    return {
        (link, excluding): oracle.count(facts, question, link, excluding=excluding)
        for link in facts.windows
        for excluding in (True, False)
    }


def check_summary(connection: sa.Connection, facts: Facts, question: Question, counts: Counts) -> None:
    """Hold each link's figures, with exclusions and without any, to the naive count."""
    summary = summarise_links(connection, question)
    assert [row.link for row in summary.links] == oracle.links_meant(facts, question)
    for row in summary.links:
        for excluding, found in ((True, row.availability), (False, row.without_exclusions)):
            sums, shares = counts[row.link, excluding]
            assert named(found) == sums | oracle.told(facts, question, shares), (row.link, excluding)


def check_lists(connection: sa.Connection, facts: Facts, question: Question, counts: Counts) -> None:
    """Hold each outage's share, and the incidents, to the naive count."""
    listed = list_outages(connection, question)
    assert [one.outage for one in listed] == oracle.listed(facts, question)
    for link in facts.windows:
        with_them, plain = counts[link, True][1], counts[link, False][1]
        for one in listed:
            if one.outage.link == link:
                name = one.outage.outage_id
                assert (one.counted_ms, one.plain_ms) == (with_them.get(name, 0), plain.get(name, 0)), name
    groups = oracle.incidents(facts, question)
    meant = {one.outage.outage_id for one in listed}
    part_of = {name: f"inc-{group[0]}" for group in groups for name in group}
    assert {one.outage.outage_id: one.incident_id for one in listed} == {n: part_of[n] for n in meant}
    found = {row["incident_id"] for row in list_incidents(connection, question)}
    assert {part_of[name] for name in meant} <= found <= set(part_of.values())
    for incident_id in sorted(found)[:2]:
        inside = list_outages(connection, question, Narrowing(incident_id=incident_id))
        assert {one.outage.outage_id for one in inside} == {n for n in meant if part_of[n] == incident_id}


def check_days(connection: sa.Connection, question: Question) -> None:
    """Hold the days of the period, as the calendar shows them, to the whole."""
    standing = Standing(connection, question)
    first, until = day_start_ms(standing.question.start_ms), standing.question.until_ms
    if until - first > 40 * DAY_MS or until <= question.start_ms:
        return
    parts = [(day_ms, day_ms + DAY_MS) for day_ms in range(first, until, DAY_MS)]
    sums: dict[str, Figures] = {}
    for (link, _), cell in cell_figures(standing, "day", parts).items():
        sums[link] = sums.get(link, Figures()) + cell.figures
    if not question.scoped:
        rows = summarise_links(connection, question).links
        assert sums == {row.link: row.availability.figures for row in rows}


@pytest.mark.parametrize("seed", range(LEDGERS))
def test_every_answer_is_the_naive_count_s(seed: int, new_ledger) -> None:
    """Whatever happened and whatever is asked, the ledger answers what looking at each segment gives."""
    drawn = Drawn(seed)
    records = drawn.records()
    ledger = new_ledger("random")
    while records:
        size = drawn.rng.choice((1, 50, 2_000))
        assert apply_records(ledger, records[:size]).refused == []
        records = records[size:]
    assert findings(ledger) == []
    with reading(ledger) as connection:
        for _ in range(QUESTIONS):
            question = drawn.question()
            try:
                counts = counted(drawn.facts, question)
                check_summary(connection, drawn.facts, question, counts)
                check_lists(connection, drawn.facts, question, counts)
                check_days(connection, question)
            except AssertionError as error:
                error.add_note(f"seed {seed}: {question}")
                raise


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_what_is_read_does_not_matter(seed: int, new_ledger) -> None:
    """A history read at once, and in another interleaving record by record, makes the same ledger."""
    records = Drawn(seed).records()
    apply_records(once := new_ledger("once"), sorted(records, key=lambda one: (one.topic, one.offset)))
    again = new_ledger("again")
    for i in range(0, len(records), 300):
        apply_records(again, records[i : i + 300])
    assert contents(again) == contents(once)


@pytest.mark.parametrize("seed", range(100, 102))
def test_on_either_database(seed: int, ledger: sa.Engine) -> None:
    """Both databases answer what the naive count gives."""
    drawn = Drawn(seed)
    apply_records(ledger, drawn.records())
    assert findings(ledger) == []
    with reading(ledger) as connection:
        for _ in range(20):
            question = drawn.question()
            counts = counted(drawn.facts, question)
            check_summary(connection, drawn.facts, question, counts)
            check_lists(connection, drawn.facts, question, counts)
