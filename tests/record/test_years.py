"""Years: what is summed by year, month and day is what the outages and windows themselves say."""

import random
from collections.abc import Iterator

import msgspec
import pytest
import sqlalchemy as sa
import worked_month as month
from alembic import command
from alembic.config import Config
from ledgers import contents, findings, new_postgres_database

from streams.ledger.read.lists import list_outages
from streams.ledger.read.question import Question
from streams.ledger.read.summary import summarise_links
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import MIGRATIONS, open_ledger, reading, sqlite_url, writing
from streams.ledger.store.schema import HISTORY
from streams.ledger.store.settle import settle_after_upgrade
from streams.model.availability import OutageFigures, OutageTime, summarise
from streams.model.hours.calendar import CALENDARS, DAY_MS, MINUTE_MS, calendar_pieces, year_of
from streams.model.outage import Outage
from streams.model.record import Record
from streams.model.times import parse_time_ms

pytestmark = pytest.mark.slow

FIRST = parse_time_ms("2021-11-20")
END = parse_time_ms("2025-02-10")
LINKS = ("hcmc-npd", "hcmc-tax")


def outage(outage_id: str, link: str, start_ms: int, end_ms: int | None, **said) -> Outage:
    """Return a first revision, published at its end, or a minute after its start while it is open."""
    known_ms = start_ms + MINUTE_MS if end_ms is None else end_ms
    plain = {"outage_id": outage_id, "revision": 1, "supersedes": None, "link": link, "start_ms": start_ms}
    status = {"status": "open" if end_ms is None else "closed", "end_ms": end_ms, "detected_at_ms": known_ms}
    return msgspec.structs.replace(month.revisions()[0], **(plain | status | said))


def history() -> list[Outage]:
    """Return four winters of outages: short ones, one over each New Year, a long, a late and an open one."""
    rng = random.Random(5)
    made = []
    for link in LINKS:
        for i in range(40):
            start_ms = rng.randrange(FIRST, END - DAY_MS, MINUTE_MS)
            kind = rng.choice(["down", "down", "degraded"])
            length_ms = rng.randrange(1, 90) * MINUTE_MS
            made.append(outage(f"o-{link}-{i}", link, start_ms, start_ms + length_ms, kind=kind))
        for year in (2022, 2023, 2024, 2025):
            midnight = parse_time_ms(f"{year}-01-01")
            made.append(outage(f"o-{link}-y{year}", link, midnight - 600_000, midnight + 900_000))
    long_ms = parse_time_ms("2022-06-01T10:00")
    made.append(outage("o-long", LINKS[0], long_ms, long_ms + 300 * DAY_MS, kind="degraded"))
    made.append(outage("o-open", LINKS[1], END - 3 * DAY_MS, None))
    late = outage("o-late", LINKS[0], parse_time_ms("2023-12-31T23:50"), parse_time_ms("2024-01-01T00:20"))
    moved = {"start_ms": parse_time_ms("2024-01-01T00:05"), "detected_at_ms": parse_time_ms("2024-09-01")}
    made += [late, msgspec.structs.replace(late, revision=2, supersedes=1, reason="late", **moved)]
    gone = made[3]
    taken_back = {"status": "retracted", "detected_at_ms": parse_time_ms("2025-01-20")}
    return [*made, msgspec.structs.replace(gone, revision=2, supersedes=1, **taken_back)]


def records() -> list[Record]:
    """Return the outages, and a window for each minute of up to two hours of each, and of both ends."""
    template = next(month.windows())
    minutes = {(link, ms) for link in LINKS for ms in (FIRST, END - MINUTE_MS)}
    for one in history():
        end_ms = min(one.end_ms or one.start_ms + 60 * MINUTE_MS, one.start_ms + 120 * MINUTE_MS)
        first = one.start_ms - one.start_ms % MINUTE_MS
        minutes |= {(one.link, ms) for ms in range(first - MINUTE_MS, end_ms + MINUTE_MS, MINUTE_MS)}
    windows = [
        msgspec.structs.replace(template, link=link, start_ms=ms, end_ms=ms + MINUTE_MS)
        for link, ms in sorted(minutes, key=lambda place: place[::-1])
    ]
    told = sorted(history(), key=lambda one: (one.detected_at_ms, one.outage_id))
    return [
        Record(topic, 0, offset, 0, None, msgspec.json.encode(one))
        for topic, values in (("link.windows", windows), ("link.outages", told))
        for offset, one in enumerate(values)
    ]


@pytest.fixture(scope="module")
def years(any_database: str) -> Iterator[sa.Engine]:
    """Return a ledger of that history."""
    engine = open_ledger(any_database, create=True)
    assert apply_records(engine, records()).refused == []
    yield engine
    engine.dispose()


def questions() -> Iterator[Question]:
    """Yield periods on every kind of edge, as things stand and as they once stood."""
    edges = [parse_time_ms(text) for text in ("2021-01-01", "2022-01-01", "2024-01-01", "2025-01-01")]
    edges += [FIRST, END, parse_time_ms("2022-03-01"), parse_time_ms("2024-12-31T23:55:30")]
    rng = random.Random(9)
    for calendar in CALENDARS:
        for start_ms in edges:
            for end_ms in edges:
                if start_ms < end_ms:
                    yield Question(start_ms, end_ms, calendar)
        for as_of in ("2024-06-01", "2025-01-10T08:30", "2025-02-07T00:10"):
            as_of_ms = parse_time_ms(as_of)
            yield Question(rng.randrange(FIRST, as_of_ms - DAY_MS), END, calendar, as_of_ms=as_of_ms)
            yield Question(edges[1], END, calendar, as_of_ms=as_of_ms, link=LINKS[0])
            yield Question(edges[1], END, calendar, portal="hcmc")


def test_outages_by_year_are_the_outages_themselves(years: sa.Engine) -> None:
    """Counts, longest and dossiers of any period are those of the outages listed for it, one by one."""
    with reading(years) as connection:
        for question in questions():
            shares: dict[str, list[OutageTime]] = {}
            for listed in list_outages(connection, question):
                one = listed.outage
                if listed.counted_ms:
                    share = OutageTime(one.outage_id, one.kind, listed.counted_ms, one.dossiers_affected)
                    shares.setdefault(one.link, []).append(share)
            summary = summarise_links(connection, question)
            for row in summary.links:
                assert row.availability.outages == summarise(shares.get(row.link, [])), question
            assert (summary.total.outages != OutageFigures()) == bool(shares), question


def test_years_are_the_sums_of_their_parts(years: sa.Engine) -> None:
    """The figures of a period are the sum of those of its two parts, wherever it is cut."""
    rng = random.Random(4)
    with reading(years) as connection:
        for calendar in CALENDARS:
            for _ in range(6):
                low, middle, high = sorted(rng.sample(range(FIRST - 400 * DAY_MS, END + 40 * DAY_MS, 500), 3))
                whole, *parts = (
                    summarise_links(connection, Question(a, b, calendar)).total.figures
                    for a, b in ((low, high), (low, middle), (middle, high))
                )
                assert parts[0] + parts[1] == whole


def test_years_are_verified_and_rebuilt(years: sa.Engine, new_ledger) -> None:
    """A ledger of years verifies, and one made in small batches holds the same rows."""
    assert findings(years) == []
    again = new_ledger("again")
    everything = records()
    for i in range(0, len(everything), 1_500):
        apply_records(again, everything[i : i + 1_500])
    assert contents(again) == contents(years)


def test_a_ledger_of_the_first_version_gets_its_years(
    years: sa.Engine, request: pytest.FixtureRequest, tmp_path
) -> None:
    """Upgraded from the tables as first published, a ledger holds what it would have counted itself."""
    whole = contents(years)
    backend = years.dialect.name
    other = sqlite_url(tmp_path / "older.db")
    url = other if backend == "sqlite" else new_postgres_database(request.getfixturevalue("postgres"))
    driver = {"sqlite": "sqlite", "postgresql": "postgresql+psycopg"}[backend]
    older = sa.create_engine(sa.make_url(url).set(drivername=driver))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with older.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for table in [one for one in HISTORY if one.name != "retirement_revisions"]:
            names = ["first_day_ms" if c.name == "first_ms" else c.name for c in table.columns]
            rows = [dict(zip(names, row, strict=True)) for row in whole[table.name]]
            if rows:
                connection.execute(
                    sa.Table(table.name, sa.MetaData(), autoload_with=connection).insert(), rows
                )
    older.dispose()
    upgraded = open_ledger(url, create=True)
    try:
        with writing(upgraded) as connection:
            settle_after_upgrade(connection)
        assert contents(upgraded) == whole | {"settings": contents(upgraded)["settings"]}
    finally:
        upgraded.dispose()


def test_pieces_cover_a_period_once() -> None:
    """Days, months and years that a period of whole days is cut into follow each other without gap."""
    rng = random.Random(1)
    for _ in range(300):
        low, high = sorted(rng.sample(range(FIRST, FIRST + 2_000 * DAY_MS, DAY_MS), 2))
        pieces = calendar_pieces(low, high)
        assert [low, *(end for _, _, end in pieces)] == [*(start for _, start, _ in pieces), high]
        years_within = [year_of(ms) for ms in range(low, high, 300 * DAY_MS)]
        whole = {year for year in years_within if low <= year[0] and year[1] <= high}
        counted = [(start, end) for grain, start, end in pieces if grain == "year"]
        assert all(any(start <= a and b <= end for start, end in counted) for a, b in whole)
