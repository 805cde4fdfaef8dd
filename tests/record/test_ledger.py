"""The ledger on both databases: hand-worked figures, idempotence, order, as-of, and refusals."""

import random
import shutil
import warnings

import msgspec
import pytest
import sqlalchemy as sa
import worked_month as month
from ledgers import contents

from streams.ledger.read.figures import link_figures
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import LedgerError, open_ledger, reading, sqlite_url
from streams.ledger.store.schema import metadata, outages
from streams.model.hours.calendar import CALENDARS, DAY_MS
from streams.model.record import Record

pytestmark = pytest.mark.slow


def figures_of(engine: sa.Engine, start_ms: int, end_ms: int, calendar: str, as_of_ms: int | None = None):
    """Return the figures of the worked month's link."""
    question = Question(start_ms, end_ms, calendar, month.LINK, as_of_ms=as_of_ms)
    with reading(engine) as connection:
        return link_figures(Standing(connection, question))[month.LINK].figures


@pytest.mark.parametrize("calendar", CALENDARS)
def test_hand_worked_month(month_ledger: sa.Engine, calendar: str) -> None:
    """The ledger's rollups give the documented month's figures to the millisecond."""
    counted = figures_of(month_ledger, month.START, month.END, calendar)
    expected = {name: value for name, value in month.HAND_WORKED[calendar].items() if hasattr(counted, name)}
    assert {name: getattr(counted, name) for name in expected} == expected


def test_batches_and_interleaving_do_not_matter(ledger: sa.Engine, new_ledger) -> None:
    """The same partitions in other batches, and read in another interleaving, make the same ledger."""
    records = month.records()
    apply_records(ledger, records)
    rng = random.Random(7)
    queues = {
        t: [r for r in records if r.topic == t] for t in ("link.outages", "link.windows", "link.exclusions")
    }
    other = new_ledger("other")
    while queues:
        topic = rng.choice(sorted(queues))
        size = rng.choice([1, 7, 3_000, 20_000])
        apply_records(other, queues[topic][:size])
        queues[topic] = queues[topic][size:]
        if not queues[topic]:
            del queues[topic]
    assert contents(other) == contents(ledger)


def test_redelivery_changes_nothing(ledger: sa.Engine) -> None:
    """Records delivered again, at the same or at later offsets, are duplicates and leave no trace."""
    records = month.records()
    first = apply_records(ledger, records)
    assert (first.applied, first.duplicate, first.refused) == (len(records), 0, [])
    before = contents(ledger)
    again = apply_records(ledger, records)
    assert (again.applied, again.duplicate) == (0, len(records))
    assert contents(ledger) == before
    told = [record for record in records if record.topic == "link.outages"]
    later = [record._replace(offset=record.offset + len(told)) for record in told]
    assert apply_records(ledger, later).duplicate == len(told)
    after = contents(ledger)
    assert {name for name in before if before[name] != after[name]} == {"positions"}


def test_any_period_is_what_its_windows_say(month_ledger: sa.Engine) -> None:
    """Months, days and edges of any period add up to what counting straight from the facts gives."""
    rng = random.Random(3)
    for _ in range(12):
        low, high = sorted(rng.sample(range(month.START - 3 * DAY_MS, month.END + 40 * DAY_MS, 1_000), 2))
        middle = rng.randrange(low + 1, high)
        for calendar in CALENDARS:
            whole = figures_of(month_ledger, low, high, calendar)
            parts = [figures_of(month_ledger, a, b, calendar) for a, b in ((low, middle), (middle, high))]
            assert parts[0] + parts[1] == whole


def test_as_of_is_what_stood_then(month_ledger: sa.Engine, new_ledger, tmp_path) -> None:
    """Asked for an earlier moment, the ledger answers as a ledger does that ends there."""
    records = month.records()
    windows = new_ledger("windows")
    apply_records(windows, [record for record in records if record.topic == "link.windows"])
    windows.dispose()
    said = [record for record in records if record.topic != "link.windows"]
    for as_of_ms in (month.at(3, 9, 35), month.at(9, 12), month.at(14, 15), month.at(16, 0), month.at(28, 0)):
        shutil.copy(tmp_path / "windows.db", tmp_path / f"{as_of_ms}.db")
        then = new_ledger(str(as_of_ms))
        apply_records(then, [record for record in said if record.logged_at_ms <= as_of_ms])
        for calendar in CALENDARS:
            expected = figures_of(then, month.START, as_of_ms, calendar)
            assert figures_of(month_ledger, month.START, month.END, calendar, as_of_ms) == expected


def test_what_cannot_be_used_is_kept_with_its_reason(ledger: sa.Engine) -> None:
    """Records that are no revision, contradict one, or are no minute are refused by offset and reason."""
    good = month.revisions()[0]
    window = next(month.windows())
    contradicting = msgspec.structs.replace(good, failures=good.failures + 1)
    crooked = msgspec.structs.replace(window, start_ms=window.start_ms + 1)
    short = msgspec.structs.replace(window, state_ms={"UP": 59_999})
    values = [
        ("link.outages", b"not json"),
        ("link.outages", msgspec.json.encode(good)),
        ("link.outages", msgspec.json.encode(contradicting)),
        ("link.windows", msgspec.json.encode(crooked)),
        ("link.windows", msgspec.json.encode(short)),
        ("link.exclusions", b'{"exclusion_id": "x"}'),
    ]
    result = apply_records(ledger, [Record(t, 0, i, 0, None, v) for i, (t, v) in enumerate(values)])
    assert result.applied == 1
    assert [(refusal.offset, refusal.topic) for refusal in result.refused] == [
        (0, "link.outages"),
        (3, "link.windows"),
        (4, "link.windows"),
        (5, "link.exclusions"),
        (2, "link.outages"),
    ]
    assert len(contents(ledger)["refusals"]) == 5


def test_migrations_make_the_declared_tables(ledger: sa.Engine) -> None:
    """What the migrations build is what the code declares."""
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    with reading(ledger) as connection, warnings.catch_warnings():
        # Indexes of expressions cannot be read back from SQLite: their use shows that they are there.
        warnings.filterwarnings("ignore", ".*expression-based index")
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
        explain = {"sqlite": "EXPLAIN QUERY PLAN", "postgresql": "EXPLAIN"}[ledger.dialect.name]
        longest = sa.select(sa.func.max(outages.c.end_ms - outages.c.start_ms))
        plan = connection.execute(sa.text(f"{explain} {longest}")).all()
        assert "outages_by_length" in str(plan)


def test_errors_say_what_to_do(tmp_path) -> None:
    """A missing ledger, a wrong address and another program's database are refused with a remedy."""
    with pytest.raises(LedgerError, match="there is no ledger"):
        open_ledger(sqlite_url(tmp_path / "none.db"))
    with pytest.raises(LedgerError, match="no database address"):
        open_ledger("nonsense")
    with pytest.raises(LedgerError, match="SQLite or PostgreSQL"):
        open_ledger("mysql://host/db")
    (tmp_path / "other.db").touch()
    with pytest.raises(LedgerError, match="migrate"):
        open_ledger(sqlite_url(tmp_path / "other.db"))
