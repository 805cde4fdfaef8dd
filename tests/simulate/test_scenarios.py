"""Catalogue and scenarios as data: what comes with the package loads, what is wrong is named by its line."""

import pytest

from streams.model.located import Located, LocatedError
from streams.simulate.check import check_catalogue
from streams.simulate.city import Catalogue
from streams.simulate.shell import load_scenario, scenario_names

GOOD = """name: test
title: {vi: Thử, en: Test}
start: 2024-03-11T07:00
end: 2024-03-11T09:00
flows:
  - id: residents
    portal: hcmc
    agencies: hcmc-districts
    count: 100
    services:
      dang-ky-tam-tru: 2
      dang-ky-khai-sinh: 1
faults:
  - id: cut
    cause: line_cut
    links: [hcmc-npd]
    start: 2024-03-11T08:00
    minutes: 10
"""

WRONG = {
    "unknown link": ("links: [hcmc-npd]", "links: [hcmc-nowhere]", 16, "unknown link `hcmc-nowhere`"),
    "unknown service": ("dang-ky-tam-tru: 2", "khong-co: 2", 11, "unknown service `khong-co`"),
    "unknown portal": ("portal: hcmc", "portal: hue", 7, "unknown portal `hue`"),
    "unknown agencies": ("agencies: hcmc-districts", "agencies: hue", 8, "unknown agency group `hue`"),
    "negative rate": ("count: 100", "count: -100", 9, "Expected `int` >= 1"),
    "negative weight": ("dang-ky-tam-tru: 2", "dang-ky-tam-tru: -2", 10, "> 0"),
    "share over one": ("minutes: 10", "minutes: 10\n    share: 1.5", 19, "<= 1"),
    "misspelt field": ("minutes: 10", "minuts: 10", 18, "minut"),
    "missing field": ("    count: 100\n", "", 6, "missing required field `count`"),
    "wrong type": ("count: 100", "count: many", 9, "Expected `int`"),
    "unknown cause": ("cause: line_cut", "cause: broken", 15, "broken"),
    "no such day": ("start: 2024-03-11T08:00", "start: 2024-02-31T08:00", 17, "no time"),
    "fault outside": ("start: 2024-03-11T08:00", "start: 2024-03-12T08:00", 17, "starts outside"),
    "fault too long": ("minutes: 10", "minutes: 100", 18, "ends after the scenario"),
    "end before start": ("end: 2024-03-11T09:00", "end: 2024-03-11T06:00", 4, "ends before it starts"),
    "fault without links": ("    links: [hcmc-npd]\n", "", 14, "needs `links`"),
    "silence of a link": ("cause: line_cut", "cause: silence", 14, "`portals`"),
    "lookup without link": ("portal: hcmc", "portal: police", 10, "no link for the lookup `justice`"),
    "not YAML": ("title: {vi: Thử, en: Test}", "title: {vi: Thử, en", 3, ""),
    "key twice": (
        "start: 2024-03-11T07:00",
        "name: again\nstart: 2024-03-11T07:00",
        3,
        "`name` stands twice",
    ),
    "empty file": (GOOD, "", 1, "empty"),
    "not a mapping": (GOOD, "- a\n- b\n", 1, "Expected `object`"),
}


@pytest.mark.parametrize("name", scenario_names())
def test_scenarios_load(catalogue, name):
    """Every scenario of the package loads and carries the name of its file."""
    assert load_scenario(name, catalogue).name == name


def test_the_seven_scenarios_are_there():
    """The scenarios that the project promises are there."""
    assert {
        "hcmc-2023-h1", "hanoi-2022-h1", "binh-tan-2024", "police-2022-2023", "monday-morning", "tet-week",
        "bad-day",
    } <= set(scenario_names())  # fmt: skip


def test_the_good_one_is_good(parse):
    """The scenario that the wrong ones are made from is right itself."""
    assert parse(GOOD).name == "test"


@pytest.mark.parametrize("case", WRONG)
def test_wrong_scenarios_are_refused(parse, case):
    """A wrong scenario is refused with file, line and reason."""
    right, wrong, line, reason = WRONG[case]
    assert right in GOOD
    with pytest.raises(LocatedError) as error:
        parse(GOOD.replace(right, wrong))
    assert (error.value.file, error.value.line) == ("test.yaml", line)
    assert reason in error.value.reason
    assert str(error.value).startswith(f"test.yaml:{line}: ")


def test_overlapping_ids_are_refused(parse):
    """Two faults of one id are refused at the second."""
    fault = GOOD[GOOD.index("  - id: cut") :]
    with pytest.raises(LocatedError, match=r"test.yaml:19: id `cut` stands twice"):
        parse(GOOD + fault)


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("  - id: hcmc-vneid\n", "  - id: hcmc-npd\n", "link `hcmc-npd` stands twice"),
        ("      signin: hcmc-vneid\n", "      signin: hcmc-sso\n", "unknown link `hcmc-sso`"),
        ("members: [dang-ky-khai-sinh,", "members: [dang-ky-gi-do,", "unknown service `dang-ky-gi-do`"),
        ("lookups: [identity, ecopy]", "lookups: [identity, fax]", "no portal knows the lookup `fax`"),
        ("    probe_seconds: 900\n", "", "nobody ever asks it"),
        ("    mismatch: 0.03\n", "    mismatch: 0.97\n", "add up to more than 1"),
    ],
)
def test_a_wrong_catalogue_is_refused(right, wrong, reason):
    """A wrong catalogue is refused with its line, which is where the mistake stands or its entry begins."""
    from importlib.resources import files

    text = (files("streams.simulate") / "data" / "city.yaml").read_text("utf-8")
    assert right in text
    changed = text.replace(right, wrong, 1)
    located = Located(changed, "city.yaml")
    with pytest.raises(LocatedError) as error:
        check_catalogue(located.convert(Catalogue), located)
    assert reason in error.value.reason
    assert 1 < error.value.line <= changed.count("\n")


def test_an_unknown_scenario_says_which_there_are(catalogue):
    """An unknown name is answered with those that exist; a missing file with its path."""
    with pytest.raises(LocatedError, match="monday-morning"):
        load_scenario("sunday", catalogue)
    with pytest.raises(LocatedError, match="cannot be read"):
        load_scenario("missing.yaml", catalogue)


def test_every_service_says_where_its_name_comes_from(catalogue):
    """Each list of services names its source; 25 essential ones are 11 and 14, Decision 422 counts 28."""
    groups = {group.id: group for group in catalogue.services}
    sizes = {name: len(group.all()) + len(group.members) for name, group in groups.items()}
    assert (sizes["police-essential"], sizes["departmental-essential"], sizes["decision-422"]) == (11, 14, 28)
    assert sizes["justice"] == 22
    assert all(group.source for group in groups.values())
