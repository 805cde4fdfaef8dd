"""The national scenario: the provinces of its day, their people, and a log that the pipeline reads."""

from collections import Counter
from datetime import date
from importlib.resources import files

import pytest

from lab.hostile_scenarios import mutated, tried
from streams.model.located import Located, LocatedError
from streams.replay.analyze import analyze
from streams.serve.names import city_names
from streams.simulate.draw import seeded
from streams.simulate.generate import Run
from streams.simulate.nation import NATIONAL, Nation, check_nation, provinces_on
from streams.simulate.shell import load_played

TEXT = (files("streams.simulate") / "data" / "nation.yaml").read_text("utf-8")
CENSUS_2019 = 96_208_984


@pytest.fixture(scope="module")
def nation() -> Nation:
    """Return the nation of the package."""
    return Located(TEXT, "nation.yaml").convert(Nation)


@pytest.mark.parametrize(("day", "there"), [("2025-06-30", 63), ("2025-07-01", 34)])
def test_the_provinces_are_those_of_the_day_and_hold_everybody(nation, day, there):
    """63 provinces until June 2025 and 34 since have the same people, those of the census."""
    provinces = provinces_on(nation, date.fromisoformat(day))
    assert len(provinces) == len({one.id for one in provinces}) == there
    assert sum(one.people for one in provinces) == CENSUS_2019


@pytest.mark.parametrize(("today", "there", "communes"), [(None, 63, 10_035), (date(2025, 9, 3), 34, 3_321)])
def test_each_province_has_its_portal_links_and_communes(nation, today, there, communes):
    """Each province has a portal, every link and its communes; capacity is in proportion to people."""
    catalogue, scenario = load_played(NATIONAL, today=today)
    portals = [portal.id for portal in catalogue.portals]
    assert len(portals) == there
    assert [link.id for link in catalogue.links] == [
        f"{portal}-{link.id}" for portal in portals for link in nation.links
    ]
    assert sum(group.count for group in catalogue.agencies) == pytest.approx(communes, abs=there / 2)
    capacity = {link.id: link.capacity_per_second for link in catalogue.links}
    assert capacity["ho-chi-minh-npd"] > 5 * capacity["cao-bang-npd"]
    struck = Counter(len(fault.links) for fault in scenario.faults)
    assert struck == {there: 2, 3: 1}
    assert scenario.start == ("2025-09-01T00:00" if today else "2025-06-16T00:00")


def test_everything_of_the_nation_has_a_name():
    """Portals, links and communes are called by their names in both languages, whatever the day."""
    names = city_names()
    for today in (None, date(2025, 9, 3)):
        catalogue, _ = load_played(NATIONAL, today=today)
        for scope, some in {
            "portal": [one.id for one in catalogue.portals],
            "link": [one.id for one in catalogue.links],
            "agency": [group.ids()[0] for group in catalogue.agencies],
        }.items():
            for language in ("vi", "en"):
                assert [one for one in some if names.called(scope, one, language) == one] == []


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("joins: tuyen-quang", "joins: tuyen-qang", "unknown province that stays `tuyen-qang`; one of"),
        (", joins: tuyen-quang", "", "`until` and `joins` go together"),
        ("until: 2025-07-01, joins: tuyen-quang", "until: 2025-06-31, joins: tuyen-quang", "is not a date"),
        ("id: ha-giang", "id: ha-noi", "province `ha-noi` is defined twice"),
        ("code: 2,", "code: 1,", "code `1` is defined twice"),
        ("{identity: npd", "{identity: npdd", "unknown link `npdd`"),
        ("count: 10035", "count: 100000000", "<= 100000"),
        ("start: 2025-06-16T00:00", "start: 2025-06-36T00:00", "is not a date"),
        ("  - {until: 2025-07-01, count: 10035}", "  - {count: 10035}", "all but the last need `until`"),
    ],
)
def test_a_wrong_nation_is_refused(right, wrong, reason):
    """A nation that contradicts itself is refused with its line."""
    assert right in TEXT
    located = Located(TEXT.replace(right, wrong, 1), "nation.yaml")
    with pytest.raises(LocatedError) as error:
        check_nation(located.convert(Nation), located)
    assert reason in error.value.reason
    assert 1 < error.value.line <= TEXT.count("\n")


def test_mutated_nations_are_refused_by_line_or_run(catalogue):
    """Of many mutated files each is refused with file, line and reason, or runs."""
    texts = [mutated(TEXT, seeded(number, "hostile nation")) for number in range(40)]
    outcomes = Counter(tried(text, catalogue, national=True).partition(":")[0] for text in texts)
    assert outcomes["refused"] > 15
    assert outcomes["ran"] >= 1


@pytest.mark.slow
def test_the_pipeline_reads_the_nation():
    """At a thousandth its week is analysed: every link is known, and nothing of the log is refused."""
    catalogue, scenario = load_played(NATIONAL)
    run = Run(catalogue, scenario, scale=0.001)
    found = analyze(run.records())
    assert {window.link for window in found.windows} <= {link.id for link in catalogue.links}
    assert sum(run.truth().links[n].attempts for n in range(len(catalogue.links))) > 5_000
