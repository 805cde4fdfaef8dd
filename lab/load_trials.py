"""``python -m lab.load_trials``: one link from a tenth of its load to thirty times it, and a peak day.

The link serves 15 requests a minute, six times what its people ask on an ordinary day. A system collapses
where more load makes it serve less, or where it stays overloaded after the load is gone.
"""

from collections.abc import Iterator, Sequence
from statistics import median
from typing import Final, NamedTuple

from msgspec.structs import replace

from streams.model.events import LookupCompleted, LookupRequested, lookup_decoder
from streams.model.record import Record
from streams.model.topics import LOOKUPS
from streams.simulate.city import Catalogue, Text
from streams.simulate.generate import Run
from streams.simulate.scenario import Flow, Peak, Scenario, epoch_ms
from streams.simulate.shell import load_catalogue

LINK: Final = "hcmc-npd"
CAPACITY_PER_SECOND: Final = 0.25
A_DAY: Final = 1_150
"""Dossiers of an ordinary day, each of which asks the link once: 0.04 a second."""
SCALES: Final = (0.1, 0.3, 1, 3, 10, 30)
AROUND_THE_PEAK: Final = (
    ("11", "07-17"),
    ("12", "07-17"),
    ("12", "17-23"),
    ("13", "07-12"),
    ("13", "13-17"),
)
ANSWERED: Final = ("ok", "not_found", "mismatch")


class Spell(NamedTuple):
    """What came of the requests of a time ``[start_ms, end_ms)``."""

    asked: int
    answered: int
    shed: int
    median_ms: float


def tight(catalogue: Catalogue) -> Catalogue:
    """Return the city with one slow provider that serves little, so that few people fill it."""
    link = next(link for link in catalogue.links if link.id == LINK)
    slow = replace(
        link,
        median_ms=2_500,
        timeout_ms=20_000,
        capacity_per_second=CAPACITY_PER_SECOND,
        provider_view=False,
    )
    return replace(catalogue, links=[slow if one is link else one for one in catalogue.links])


def asking(count: int, start: str, end: str, peaks: Sequence[Peak] = ()) -> Scenario:
    """Return a scenario of one flow over the link alone, even over an hour, by office hours over days."""
    return Scenario(
        name="load",
        title=Text(vi="Tải", en="Load"),
        start=start,
        end=end,
        heartbeat_interval_ms=3_600_000,
        links=[LINK],
        flows=[
            Flow(
                id="residents",
                portal="hcmc",
                agencies="hcmc-districts",
                count=count,
                services={"dang-ky-tam-tru": 1},
                timetable="office" if peaks else "even",
                peaks=list(peaks),
            )
        ],
    )


def hour() -> Scenario:
    """Return an hour at an even rate."""
    return asking(A_DAY // 8, "2024-03-11T08:00", "2024-03-11T09:00")


def peak_day() -> Scenario:
    """Return three days of which the second has ten times the people."""
    peak = Peak(start="2024-03-12", end="2024-03-12", times=10)
    return asking(12 * A_DAY, "2024-03-11T00:00", "2024-03-14T00:00", [peak])


def lookups(records: Sequence[Record]) -> Iterator[tuple[int, int, str | None]]:
    """Yield each lookup of a log once: when it was asked, after how long it ended, and how."""
    asked: dict[str, int] = {}
    ended: dict[str, tuple[int, str]] = {}
    for record in records:
        event = lookup_decoder.decode(record.value) if record.topic == LOOKUPS and record.value else None
        if isinstance(event, LookupRequested):
            asked[event.lookup_id] = event.occurred_at_ms
        elif isinstance(event, LookupCompleted):
            ended[event.lookup_id] = event.occurred_at_ms, event.outcome
    for name, at in asked.items():
        until, outcome = ended.get(name, (at, None))
        yield at, until - at, outcome


def spell(found: Sequence[tuple[int, int, str | None]], start: str, end: str) -> Spell:
    """Return what came of the lookups asked in a time, given as local times."""
    start_ms, end_ms = epoch_ms(start), epoch_ms(end)
    inside = [one for one in found if start_ms <= one[0] < end_ms]
    took = [ms for _, ms, outcome in inside if outcome in ANSWERED]
    shed = sum(outcome == "throttled" for _, _, outcome in inside)
    return Spell(len(inside), len(took), shed, median(took) if took else 0.0)


def played(scenario: Scenario, scale: float = 1.0) -> list[tuple[int, int, str | None]]:
    """Return the lookups of a run in the tight city."""
    return list(lookups(list(Run(tight(load_catalogue()), scenario, scale=scale).records())))


def _row(name: str, one: Spell) -> str:
    return f"| {name} | {one.asked:,} | {one.answered:,} | {one.shed:,} | {one.median_ms:,.0f} |"


def main() -> None:
    """Print a line for each scale, and one for each day around the peak."""
    print("| scale | asked | answered | shed | median, ms |\n|---|---|---|---|---|")
    for scale in SCALES:
        one = spell(played(hour(), scale), "2024-03-11T08:00", "2024-03-11T09:00")
        print(_row(f"×{scale:g}", one))
    found = played(peak_day())
    print("\n| peak day | asked | answered | shed | median, ms |\n|---|---|---|---|---|")
    for day, hours in AROUND_THE_PEAK:
        first, last = hours.split("-")
        one = spell(found, f"2024-03-{day}T{first}:00", f"2024-03-{day}T{last}:00")
        print(_row(f"{day} March, {hours}", one))


if __name__ == "__main__":
    main()
