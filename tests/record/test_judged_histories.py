"""Histories in which a judgement once hid a fact, or a fact was counted twice; a month that is not over."""

import json
import re

import msgspec
import pytest
import sqlalchemy as sa
import worked_month as month
from ledgers import findings
from running import running
from typer.testing import CliRunner

from streams import telemetry
from streams.cli import app as command_line
from streams.ledger.read.lists import list_outages
from streams.ledger.read.question import Question
from streams.ledger.read.summary import summarise_links
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import reading
from streams.model.exclusion import Exclusion
from streams.model.hours.calendar import MINUTE_MS
from streams.model.outage import Outage
from streams.model.record import Record
from streams.model.times import parse_time_ms
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit

pytestmark = pytest.mark.slow

HOUR = 60 * MINUTE_MS
FIRST, END = parse_time_ms("2024-02-05"), parse_time_ms("2024-02-08")


def at(text: str) -> int:
    """Return a moment of February 2024."""
    return parse_time_ms(f"2024-02-{text}")


def outage(name: str, start_ms: int, end_ms: int | None, detected_at_ms: int | None = None, **said) -> Outage:
    """Return a revision of an outage, published at its end unless said otherwise."""
    stated = {"start_ms": start_ms, "end_ms": end_ms, "outage_id": name, "revision": 1, "supersedes": None}
    stated |= {"detected_at_ms": detected_at_ms or end_ms, "agencies": ["q1"], "dossiers_affected": 3}
    stated["status"] = "open" if end_ms is None else "closed"
    return msgspec.structs.replace(month.revisions()[0], **(stated | said))


def excluded(revision: int, start: str, end: str, recorded: str, **said) -> Exclusion:
    """Return a revision of the exclusion `x-1`."""
    return Exclusion(
        "x-1", revision, month.LINK, at(start), at(end), "exclusion", "ops", "agreed", at(recorded),
        said.get("withdrawn", False), said.get("approved", False),
    )  # fmt: skip


def records(outages: list[Outage], exclusions: list[Exclusion], end_ms: int = END) -> list[Record]:
    """Return three days of windows, the outages and the exclusions as records, the exclusions last."""
    template = next(month.windows())
    windows = [
        msgspec.structs.replace(template, start_ms=ms, end_ms=ms + MINUTE_MS)
        for ms in range(FIRST, end_ms, MINUTE_MS)
    ]
    return [
        Record(topic, 0, offset, 0, None, msgspec.json.encode(value))
        for topic, values in (
            ("link.windows", windows),
            ("link.outages", outages),
            ("link.exclusions", exclusions),
        )
        for offset, value in enumerate(values)
    ]


def asked(ledger: sa.Engine, question: Question) -> dict[str, object]:
    """Return what is said of the link, and what each outage counts."""
    with reading(ledger) as connection:
        [row] = summarise_links(connection, question).links
        listed = list_outages(connection, question)
    figures, met = row.availability.figures, row.availability.outages
    return {
        "availability": figures.availability_pct,
        "down": figures.down_ms,
        "degraded": figures.degraded_ms,
        "excluded": figures.excluded_ms,
        "plain": row.without_exclusions.figures.down_ms,
        "outages": met.down_outages,
        "longest": met.longest_down_ms,
        "dossiers": met.dossiers_affected,
        "counted": {one.outage.outage_id: one.counted_ms for one in listed},
    }


ONE = [outage("o-1", at("05T09:00"), at("05T10:00"))]
TWO = [*ONE, outage("o-2", at("07T09:00"), at("07T10:00"))]
MANY = [
    outage(f"o-{i}", at("05T08:00") + i * 5 * MINUTE_MS, at("05T08:00") + i * 5 * MINUTE_MS + 24_000)
    for i in range(24)
]
OVERLAPPING = [
    outage("slow", at("05T09:00"), None, at("05T09:01"), kind="degraded"),
    outage("gone", at("05T09:40"), None, at("05T09:41")),
    outage("slow", at("05T09:00"), at("05T09:40"), at("05T12:00"), kind="degraded", revision=2, supersedes=1),
    outage("gone", at("05T09:40"), at("05T10:00"), at("05T12:00"), revision=2, supersedes=1),
]
MAINTENANCE = excluded(1, "05T08:00", "05T12:00", "04T00:00")
AFTERWARDS = excluded(1, "05T08:00", "05T12:00", "10T00:00")

CASES = {
    "a moved exclusion leaves the old hours and takes the new ones": (
        TWO,
        [MAINTENANCE, excluded(2, "07T08:00", "07T12:00", "04T12:00")],
        {},
        {"availability": 98.5294, "down": HOUR, "excluded": 4 * HOUR, "counted": {"o-1": HOUR, "o-2": 0}},
    ),
    "asked for the day before it was recorded, an exclusion takes nothing of any figure": (
        ONE,
        [AFTERWARDS],
        {"end_ms": at("06T00:00"), "as_of_ms": at("06T12:00"), "second_person": False},
        {"availability": 95.8333, "down": HOUR, "outages": 1, "longest": HOUR, "dossiers": 3}
        | {"counted": {"o-1": HOUR}},
    ),
    "so of an agency": (
        ONE,
        [AFTERWARDS],
        {"end_ms": at("06T00:00"), "as_of_ms": at("06T12:00"), "agency": "q1", "second_person": False},
        {"availability": 95.8333, "down": HOUR, "outages": 1},
    ),
    "an excluded outage stays in the list and in the figures without exclusions": (
        ONE,
        [MAINTENANCE],
        {},
        {"availability": 100.0, "down": 0, "plain": HOUR, "counted": {"o-1": 0}},
    ),
    "after the fact it waits for a second person": (
        ONE,
        [AFTERWARDS],
        {},
        {"down": HOUR, "excluded": 0, "plain": HOUR},
    ),
    "whoever proposed it is no second person": (
        ONE,
        [AFTERWARDS, excluded(2, "05T08:00", "05T12:00", "11T00:00", approved=True)],
        {},
        {"down": HOUR, "excluded": 0},
    ),
    "approved by another person it counts": (
        ONE,
        [
            AFTERWARDS,
            msgspec.structs.replace(
                excluded(2, "05T08:00", "05T12:00", "11T00:00", approved=True), author="audit"
            ),
        ],
        {},
        {"down": 0, "excluded": 4 * HOUR, "plain": HOUR},
    ),
    "a withdrawn exclusion gives every outage back": (
        MANY,
        [
            excluded(1, "05T08:00", "05T10:00", "05T12:00"),
            excluded(2, "05T08:00", "05T10:00", "15T07:30", withdrawn=True),
        ],
        {"start_ms": at("05T08:00"), "end_ms": at("05T10:00")},
        {"availability": 92.0, "down": 576_000, "outages": 24},
    ),
    "a down outage takes its time from the degraded one it meets": (
        OVERLAPPING,
        [],
        {"as_of_ms": at("05T10:30")},
        {"degraded": 40 * MINUTE_MS, "counted": {"slow": 40 * MINUTE_MS, "gone": 50 * MINUTE_MS}},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("outages", "exclusions", "narrowed", "expected"), CASES.values(), ids=CASES)
def test_facts_stay_and_judgements_take_their_time(
    new_ledger, outages: list[Outage], exclusions: list[Exclusion], narrowed: dict, expected: dict
) -> None:
    """Applied before its last judgement and then with it, a ledger gives the figures and verifies."""
    ledger = new_ledger("judged")
    made = records(outages, exclusions)
    assert apply_records(ledger, made[:-1]).refused == []
    assert apply_records(ledger, made[-1:]).refused == []
    found = asked(ledger, Question(**({"start_ms": FIRST, "end_ms": END} | narrowed)))
    assert {name: found[name] for name in expected} == expected
    assert findings(ledger) == []


def test_a_month_that_is_not_over_has_one_coverage(new_ledger, tmp_path) -> None:
    """Command, interface, page and report end at the last data, say so, and give one coverage."""
    telemetry.configure("serve", level="error")
    ledger = new_ledger("open")
    apply_records(ledger, records(ONE, [], at("07T10:00")))
    address = f"sqlite:///{tmp_path / 'open.db'}"
    words = ["outages", "summary", "--month", "2024-02", "--json", "--ledger", address]
    said = CliRunner().invoke(command_line, words)
    answers = [json.loads(said.stdout)]
    with running(create_app(ledger, Access([], "viewer"), limit=RateLimit(1000, 1000))) as client:
        answers += [client.get(f"/api/v1/summary{query}").json() for query in ("", "?month=2024-02")]
        answers.append(client.get("/report.json?month=2024-02").json())
        english = {"Accept-Language": "en"}
        pages = [
            client.get(f"/{page}month=2024-02", headers=english).text for page in ("history?", "report?")
        ]
        pages.append(client.get(f"/link?link={month.LINK}&month=2024-02", headers=english).text)
    for answer in answers:
        assert answer["total"]["coverage_pct"] == 100.0
        assert answer["question"]["until"] == "2024-02-07T10:00:00.000+07:00"
        assert not answer["question"]["complete"]
    for page in pages:
        assert "until 2024-02-07 10:00:00" in page
        assert re.search(r"100\.0000 %", page)
