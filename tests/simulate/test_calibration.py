"""Calibration: reported figures come out within their bounds, and the docs say what the simulation gave."""

import re
from pathlib import Path

import pytest

from streams.simulate.account import figure_results
from streams.simulate.generate import Run
from streams.simulate.shell import drain, load_scenario, scenario_names

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs" / "city.md"
SET = {"received", "catalogue", "applicants"}
"""Figures that a scenario sets: arrivals, the catalogue, and who submits."""
CALIBRATED = {"hcmc-2023-h1": 0.1, "hanoi-2022-h1": 0.2, "binh-tan-2024": 0.3, "police-2022-2023": 0.01}


def doc_rows() -> dict[int, str]:
    """Return the rows of the table of systems by their number."""
    rows = re.findall(r"^\| (\d+) \|.*$", DOCS.read_text("utf-8"), re.MULTILINE)
    lines = re.findall(r"^\| \d+ \|.*$", DOCS.read_text("utf-8"), re.MULTILINE)
    return dict(zip(map(int, rows), lines, strict=True))


@pytest.mark.parametrize("name", CALIBRATED)
def test_figures_come_out_at_a_small_scale(catalogue, name):
    """At a small scale figures that shrink with the city are met, shares of few applicants within 4 %."""
    scenario = load_scenario(name, catalogue)
    truth = drain(Run(catalogue, scenario, scale=CALIBRATED[name]), lambda _: None)
    assert truth.figures
    judged = [figure for figure in truth.figures if figure.within is not None]
    assert judged
    for figure in judged:
        loose = 0.04 if "share" in figure.note else max(figure.bound, 0.01)
        assert abs(figure.difference) <= loose, figure


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hcmc-2023-h1", "hanoi-2022-h1", "binh-tan-2024"])
def test_figures_come_out_at_full_scale(catalogue, name):
    """At scale 1 every figure is within its bound, and the table of systems shows what came out."""
    truth = drain(Run(catalogue, load_scenario(name, catalogue)), lambda _: None)
    rows = doc_rows()
    for figure in truth.figures:
        assert figure.within, figure
        assert f"{figure.simulated:,.0f} ({figure.made}" in rows[figure.system], figure


def test_what_was_set_is_no_result(catalogue):
    """A figure that the scenario sets is marked as input, and "settled" counts what was settled."""
    for name in CALIBRATED:
        scenario = load_scenario(name, catalogue)
        made = {one.id: one.made for one in figure_results(scenario.figures, {}, 1.0)}
        for figure in scenario.figures:
            is_set = {counter.partition("/")[0] for counter in figure.counters} <= SET
            assert made[figure.id] == ("input" if is_set else "result"), figure.id
            if "settled" in figure.what.en:
                assert all(counter.startswith("completed/") for counter in figure.counters)


def test_every_calibrated_scenario_is_checked():
    """No scenario with figures goes unchecked."""
    assert set(scenario_names()) - set(CALIBRATED) == {"monday-morning", "bad-day", "tet-week", "national"}


def test_the_table_of_systems_names_what_the_catalogue_holds(catalogue):
    """Each of the eighteen systems has its row, which names every link of the system."""
    rows = doc_rows()
    assert sorted(rows) == list(range(1, 19))
    for link in catalogue.links:
        assert f"`{link.id}`" in rows[link.system], link.id
    for group in catalogue.services:
        if group.system is not None:
            assert f"`{group.id}`" in rows[group.system], group.id


def test_every_figure_stands_in_the_table_with_its_source(catalogue):
    """Each figure of each scenario stands in its system's row, with the tag of its source."""
    rows = doc_rows()
    for name in CALIBRATED:
        for figure in load_scenario(name, catalogue).figures:
            assert f"{figure.reported:,.0f}" in rows[figure.system], (name, figure.id)
            assert figure.source in rows[figure.system], (name, figure.id)
