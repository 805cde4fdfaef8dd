"""What is too short to be an outage, and what is normal by now, stands beside availability."""

import msgspec
import sqlalchemy as sa
import worked_month as month

from streams.ledger.read.question import Question
from streams.ledger.read.summary import raised_normals, summarise_links
from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import reading
from streams.ledger.store.minutes import LAYOUT, MINUTES, DayOfMinutes
from streams.model.hours.calendar import DAY_MS, MINUTE_MS
from streams.model.outage import RaisedNormal, ShortFailures, Window
from streams.model.record import Record
from streams.model.zstd import compress, decompress

TENTH = RaisedNormal(failure_share=0.1, since_ms=month.START)


def told(number: int, revision: int = 1, **more: object) -> Window:
    """Return a window in which all was well."""
    start_ms = month.START + number * MINUTE_MS
    spent = {"UP": MINUTE_MS}
    window = Window(
        month.LINK, start_ms, start_ms + MINUTE_MS, revision, "UP", spent, 9, 9, 0, {"ok": 9}, None, None
    )
    return msgspec.structs.replace(window, **more)


def take(ledger: sa.Engine, windows: list[Window], offset: int = 0) -> None:
    """Have the ledger take in windows as they stand on their topic."""
    apply_records(
        ledger,
        [
            Record("link.windows", 0, offset + at, one.end_ms, month.LINK.encode(), msgspec.json.encode(one))
            for at, one in enumerate(windows)
        ],
    )


def test_short_failures_are_summed_for_a_period_and_move_no_other_figure(ledger: sa.Engine) -> None:
    """Number, length and lookups add up over days, and over the days' edges; availability stays whole."""
    short = {
        5: ShortFailures(1, 4_000, 30),
        1500: ShortFailures(2, 9_500, 70),
        3000: ShortFailures(1, 8_000, 9),
    }
    numbers = sorted({0, 2999, 3001, *short})
    take(ledger, [told(n, short_failures=short[n]) if n in short else told(n) for n in numbers])
    until_ms = month.START + 3000 * MINUTE_MS
    with reading(ledger) as connection:
        figures = summarise_links(connection, Question(month.START, until_ms)).total.figures
    assert (figures.short_failures, figures.short_failure_ms, figures.short_failure_lookups) == (
        3,
        13_500,
        100,
    )
    assert (figures.down_ms, figures.availability_pct) == (0, 100.0)


def test_a_raised_normal_is_that_of_the_last_window(ledger: sa.Engine) -> None:
    """What a link's last window says of its normal is shown, and no more once it says nothing."""
    asked = Question(month.START, month.START + DAY_MS)
    take(ledger, [told(0), told(1, normal=TENTH)])
    with reading(ledger) as connection:
        assert raised_normals(connection, asked) == {month.LINK: TENTH}
        assert summarise_links(connection, asked).links[0].normal == TENTH
    take(ledger, [told(2)], offset=2)
    with reading(ledger) as connection:
        assert raised_normals(connection, asked) == {}


def test_a_day_packed_before_there_were_short_failures_tells_of_none() -> None:
    """Columns that were added later are read as zeros where a stored day ends before them."""
    day = DayOfMinutes(month.START)
    day.put(told(7))
    columns, details = day.pack()
    known = sum(width for name, _, width in LAYOUT if not name.startswith("short")) * MINUTES
    older = compress(decompress(columns)[:known], level=3)
    read_again = DayOfMinutes.unpack(month.START, older, details)
    assert read_again.within([(month.START, month.START + DAY_MS)]) == (9, 0, 0, 0, 0)
