"""Catalogue and scenarios as data: what comes with the package loads, what is wrong is named by its line."""

import json
from collections import Counter
from importlib.resources import files

import pytest
from jsonschema import Draft202012Validator
from source_tree import ROOT
from typer.testing import CliRunner

from lab.hostile_scenarios import mutated, tried
from streams.cli import app
from streams.model.located import Located, LocatedError
from streams.simulate.check import check_catalogue
from streams.simulate.city import Catalogue
from streams.simulate.draw import seeded
from streams.simulate.shell import load_played, load_scenario, scenario_names
from tools.scenario_docs import generated

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

BATCH = (
    "batches: [{id: a, link: hcmc-npd, service: thanh-toan, agency: hue, records: 9, per_request: 1, "
    "start: 2024-03-11T07:00, end: 2024-03-11T08:00}]\n"
)

WRONG = {
    "unknown link": ("links: [hcmc-npd]", "links: [hcmc-nowhere]", 16, "unknown link `hcmc-nowhere`; one of"),
    "unknown service": ("dang-ky-tam-tru: 2", "khong-co: 2", 11, "unknown service `khong-co`"),
    "unknown portal": ("portal: hcmc", "portal: hue", 7, "unknown portal `hue`"),
    "unknown agencies": ("agencies: hcmc-districts", "agencies: hue", 8, "unknown agency group `hue`"),
    "negative rate": ("count: 100", "count: -100", 9, "Expected `int` >= 1"),
    "negative weight": ("dang-ky-tam-tru: 2", "dang-ky-tam-tru: -2", 10, "> 0"),
    "share over one": ("minutes: 10", "minutes: 10\n    share: 1.5", 19, "<= 1"),
    "misspelt field": ("minutes: 10", "minuts: 10", 18, "minut"),
    "missing field": ("    count: 100\n", "", 6, "missing required field `count`"),
    "wrong type": ("count: 100", "count: many", 9, "Expected `int`"),
    "unknown cause": ("cause: line_cut", "cause: broken", 15, "one of bad_version, certificate_expired"),
    "no such day": ("start: 2024-03-11T08:00", "start: 2024-02-31T08:00", 17, "not a time"),
    "fault outside": ("start: 2024-03-11T08:00", "start: 2024-03-12T08:00", 17, "starts outside"),
    "fault too long": ("minutes: 10", "minutes: 100", 18, "ends after the scenario"),
    "end before start": ("end: 2024-03-11T09:00", "end: 2024-03-11T06:00", 4, "ends before it starts"),
    "no number": ("minutes: 10", "minutes: .nan", 18, "> 0"),
    "endless number": ("minutes: 10", "minutes: .inf", 18, "<= 1000000"),
    "endless bursts": ("minutes: 10", "minutes: 10\n    bad_seconds: 0.0001", 19, ">= 1"),
    "shares over one": (
        "faults:",
        "people: {cmnd_9_digits: 0.8, card_read: 0.8}\nfaults:",
        13,
        "more than 1",
    ),
    "unused link": ("links: [hcmc-npd]", "links: [hanoi-npd]", 16, "nothing uses `hanoi-npd`; one of"),
    "unused service": ("minutes: 10", "minutes: 10\n    services: [dvc-0001]", 19, "nothing uses `dvc"),
    "unused portal": (
        "cause: line_cut\n    links: [hcmc-npd]",
        "cause: silence\n    portals: [hanoi]",
        16,
        "nothing uses `hanoi`; one of hcmc",
    ),
    "impossible peak": (
        "count: 100",
        "count: 100\n    peaks: [{start: 2024-02-30, end: 2024-03-11, times: 2}]",
        10,
        "2024-02-30 is not a date",
    ),
    "peak elsewhere": (
        "count: 100",
        "count: 100\n    peaks: [{start: 2023-02-20, end: 2023-03-11, times: 2}]",
        10,
        "lies outside",
    ),
    "unknown agency": (
        "faults:",
        BATCH + "faults:",
        13,
        "unknown agency `hue`; one of",
    ),
    "symptom of another": (
        "minutes: 10",
        "minutes: 10\n    outcomes: [throttled]",
        19,
        "unknown outcome `throttled`; one of timeout, unreachable",
    ),
    "decades": ("end: 2024-03-11T09:00", "end: 2044-03-11T09:00", 4, "at most 1,830 days"),
    "no such year": ("end: 2024-03-11T09:00", "end: 9999-03-11T09:00", 4, "2000 to 2099"),
    "too many": ("count: 100", "count: 90000000", 5, "a run has at most"),
    "fault without links": ("    links: [hcmc-npd]\n", "", 14, "needs `links`"),
    "silence of a link": ("cause: line_cut", "cause: silence", 14, "`portals`"),
    "lookup without link": ("portal: hcmc", "portal: police", 12, "no link for the lookup `justice`"),
    "not YAML": ("title: {vi: Thử, en: Test}", "title: {vi: Thử, en", 3, ""),
    "key twice": (
        "start: 2024-03-11T07:00",
        "name: again\nstart: 2024-03-11T07:00",
        3,
        "`name` appears twice",
    ),
    "empty file": (GOOD, "", 1, "empty"),
    "not a mapping": (GOOD, "- a\n- b\n", 1, "Expected `object`"),
}


@pytest.mark.parametrize("name", scenario_names())
def test_scenarios_load(name):
    """Every scenario of the package loads and carries the name of its file."""
    assert load_played(name)[1].name == name


def test_the_eight_scenarios_are_there():
    """The scenarios that the project promises are there."""
    assert {
        "hcmc-2023-h1", "hanoi-2022-h1", "binh-tan-2024", "police-2022-2023", "monday-morning", "tet-week",
        "bad-day", "national",
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
    with pytest.raises(LocatedError, match=r"test.yaml:19: id `cut` is defined twice"):
        parse(GOOD + fault)


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("  - id: hcmc-vneid\n", "  - id: hcmc-npd\n", "link `hcmc-npd` is defined twice"),
        ("      signin: hcmc-vneid\n", "      signin: hcmc-sso\n", "unknown link `hcmc-sso`"),
        ("members: [dang-ky-khai-sinh,", "members: [dang-ky-gi-do,", "unknown service `dang-ky-gi-do`"),
        (
            "lookups: [identity, ecopy]",
            "lookups: [identity, fax]",
            "unknown lookup `fax`; one of allot",
        ),
        ("    probe_seconds: 900\n", "", "it never gets a request"),
        ("    mismatch: 0.03\n", "    mismatch: 0.97\n", "add up to more than 1"),
    ],
)
def test_a_wrong_catalogue_is_refused(right, wrong, reason):
    """A wrong catalogue is refused with its line, which is where the mistake stands or its entry begins."""
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


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("name: &a [*a]\n", 1, "refers to a value that contains it"),
        ("name: " + "[" * 100 + "]" * 100, 1, "nested more than"),
        (
            "".join(f"{n}: &{n} [{f'*{chr(ord(n) - 1)},' * 9}]\n" for n in "bcdefgh").replace("*a", "x"),
            6,
            "values",
        ),
        ("name: !!int word\n", 1, "not readable"),
        ("name: " + "9" * 5000, 1, "not readable"),
        ("? [a, b]\n: c\n", 1, ""),
        ("name: a\x00b\n", 1, "not readable"),
    ],
)
def test_what_would_fill_the_memory_is_refused(text, line, reason):
    """A document that repeats itself without end, nests too deeply or misuses a tag is refused."""
    with pytest.raises(LocatedError) as error:
        Located(text, "test.yaml")
    assert error.value.line == line
    assert reason in error.value.reason


def test_a_night_without_people_is_refused(parse):
    """A scenario from 02:00 to 03:00 in which nobody comes to a counter says so."""
    night = GOOD[: GOOD.index("faults:")].replace("T07:00", "T02:00").replace("T09:00", "T03:00")
    with pytest.raises(LocatedError, match=r"test.yaml:6: nobody comes by the timetable `office`"):
        parse(night)
    assert parse(night.replace("count: 100", "count: 100\n    timetable: even")).name == "test"


def test_mutated_files_are_refused_by_line_or_run(catalogue):
    """Of many mutated files each is refused with file, line and reason, or runs."""
    texts = [mutated(GOOD, seeded(number, "hostile")) for number in range(150)]
    outcomes = Counter(tried(text, catalogue).partition(":")[0] for text in texts)
    assert outcomes["refused"] > 70
    assert outcomes["ran"] > 10


def test_a_city_of_ones_own(tmp_path):
    """--catalogue takes a folder: its city, and its scenarios by name; a portal of its own is asked."""
    packaged = files("streams.simulate") / "data"
    city = (packaged / "city.yaml").read_text("utf-8")
    assert "  - id: police\n" in city
    (tmp_path / "city.yaml").write_text(city.replace("  - id: police\n", "  - id: hue\n"), "utf-8")
    mine = GOOD.replace("portal: hcmc", "portal: hue").replace("dang-ky-khai-sinh", "khai-bao-tam-vang")
    mine = mine.replace("[hcmc-npd]", "[police-npd]").replace("name: test", "name: mine")
    (tmp_path / "mine.yaml").write_text(mine, "utf-8")
    out = tmp_path / "log.ndjson"
    arguments = ["simulate", "mine", "--catalogue", str(tmp_path), "--out", str(out)]
    ran = CliRunner().invoke(app, arguments)
    assert ran.exit_code == 0, ran.output
    assert '"portal":"hue"' in out.read_text("utf-8")
    refused = CliRunner().invoke(app, ["simulate", "bad-day", "--catalogue", str(tmp_path)])
    assert refused.exit_code == 2
    assert "one of mine" in refused.output


def test_reference_and_schemas_are_those_of_the_types():
    """The reference page and the JSON Schemas are up to date, and every file fits its schema."""
    stale = [path.name for path, text in generated(ROOT).items() if path.read_text("utf-8") != text]
    assert stale == [], "make docs"
    folder = ROOT / "streams" / "simulate" / "data"
    for path in sorted(folder.glob("*.yaml")):
        kind = {"city.yaml": "catalogue", "nation.yaml": "nation"}.get(path.name, "scenario")
        schema = json.loads((folder / f"{kind}.schema.json").read_text("utf-8"))
        Draft202012Validator(schema).validate(Located(path.read_text("utf-8"), path.name).data)
