"""Small cities for the tests: a scenario from a few lines of YAML, run and read back."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from streams.model.located import Located
from streams.model.record import Record
from streams.simulate.check_scenario import check_scenario
from streams.simulate.city import Catalogue
from streams.simulate.generate import Run
from streams.simulate.scenario import Scenario
from streams.simulate.shell import load_catalogue
from streams.simulate.truth import Truth


@dataclass
class Simulated:
    """A run read to its end."""

    records: list[Record]
    truth: Truth


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """Return the catalogue of the package."""
    return load_catalogue()


@pytest.fixture(scope="session")
def parse(catalogue: Catalogue) -> Callable[[str], Scenario]:
    """Return what makes a scenario of YAML text."""

    def parse(text: str) -> Scenario:
        located = Located(text, "test.yaml")
        scenario = located.convert(Scenario)
        check_scenario(scenario, catalogue, located)
        return scenario

    return parse


@pytest.fixture(scope="session")
def simulate(catalogue: Catalogue, parse: Callable[[str], Scenario]) -> Callable[..., Simulated]:
    """Return what runs a scenario, given as such or as YAML, and keeps the log."""

    def simulate(scenario: Scenario | str, **settings: object) -> Simulated:
        run = Run(catalogue, parse(scenario) if isinstance(scenario, str) else scenario, **settings)
        return Simulated(list(run.records()), run.truth())

    return simulate
