"""What a ledger keeps, as results: so that a ledger can be compared with an analysis, or with another one."""

import sqlalchemy as sa

from streams.ledger.store.database import open_ledger, reading
from streams.ledger.store.minutes import DayOfMinutes
from streams.ledger.store.rows import outage_decoder
from streams.ledger.store.schema import outage_revisions, window_days
from streams.model.canonical import ordered_outages, ordered_windows
from streams.model.hours.calendar import MINUTE_MS
from streams.model.outage import LinkStateName, Outage, Window
from streams.replay.results import Results, Table

STATES: tuple[LinkStateName, ...] = ("UNKNOWN", "UP", "DEGRADED", "DOWN")


def results_of(address: str) -> Results:
    """Return every outage revision and the last revision of every window; raise `LedgerError`."""
    engine = open_ledger(address)
    try:
        with reading(engine) as connection:
            bodies = connection.scalars(sa.select(outage_revisions.c.body))
            outages = ordered_outages(map(outage_decoder.decode, bodies))
            windows = ordered_windows(
                window
                for row in connection.execute(sa.select(window_days))
                for window in _windows(row.link, DayOfMinutes.unpack(row.day_ms, row.columns, row.details))
            )
    finally:
        engine.dispose()
    return Results(windows=Table(Window, windows), outages=Table(Outage, outages))


def _windows(link: str, day: DayOfMinutes) -> list[Window]:
    return [_window(link, day, minute) for minute in sorted(day.details)]


def _window(link: str, day: DayOfMinutes, minute: int) -> Window:
    said, detail = {name: column[minute] for name, column in day.columns.items()}, day.details[minute]
    spent: dict[str, int] = {state: said.get(f"{state.lower()}_ms", 0) for state in STATES}
    spent["UP"] = MINUTE_MS - sum(spent.values())
    start_ms = day.day_ms + minute * MINUTE_MS
    return Window(
        link=link,
        start_ms=start_ms,
        end_ms=start_ms + MINUTE_MS,
        revision=said["revision"],
        state=next(state for state in STATES if state == detail.state),
        state_ms=spent,
        requested=said["requested"],
        attempts=said["attempts"],
        failures=said["failures"],
        outcomes=detail.outcomes,
        latency_ms=detail.latency_ms,
        provider_latency_ms=detail.provider_latency_ms,
        late=said["late"],
    )
