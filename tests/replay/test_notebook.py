"""What a notebook shows of results: tables, and drawings that a browser draws."""

from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace
from playwright.sync_api import sync_playwright
from replay_logs import make_log
from source_tree import ROOT

from streams import replay
from streams.logs.write import log_writer
from streams.model.outage import Outage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what a notebook is given for the results of a log with one outage, and for its parts."""
    path = tmp_path_factory.mktemp("notebook") / "log.ndjson.zst"
    with log_writer(path) as writer:
        writer.write(make_log())
    result = replay.analyze(path)
    values = {
        "results": result,
        "final": result.final(),
        "windows": result.windows,
        "measurements": result.measurements,
        "explained": replay.explain("npd", path),
    }
    return {name: value._repr_html_() for name, value in values.items()}


def test_tables_say_what_there_is_and_how_many(shown: dict[str, str]) -> None:
    """A table has the first rows of its kind and the number of the others, and names are data."""
    assert "<td>npd</td><td>down</td>" in shown["final"]
    assert shown["windows"].count("<tr>") == 21
    assert "more rows" in shown["windows"]
    outage = replay.read(ROOT / "tests/golden/nothing-gets-through/outages.ndjson").outages[0]
    odd = replay.Table(Outage, [replace(outage, link="<b>&")])
    assert "&lt;b&gt;&amp;" in odd._repr_html_()


def test_drawings_are_well_formed(shown: dict[str, str]) -> None:
    """Each drawing is a well-formed SVG with a bar or a line for what it shows."""
    for name in ("results", "explained"):
        drawn = shown[name][: shown[name].index("</svg>") + len("</svg>")]
        assert ET.fromstring(drawn).tag.endswith("svg")  # noqa: S314 - our own
    assert shown["results"].count('fill="#d73027"') == 1


def test_a_browser_draws_them(shown: dict[str, str], chromium) -> None:
    """In a real browser the drawing and the tables take the room of what they show."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.url)
        page = browser.new_page()
        page.set_content("".join(f'<div id="{name}">{html}</div>' for name, html in shown.items()))
        assert page.locator("#results svg rect").count() == 2
        for place in ("#results svg", "#results table", "#explained svg", "#windows table"):
            box = page.locator(place).bounding_box()
            assert box is not None
            assert box["width"] > 100, place
            assert box["height"] > 20, place
        assert page.locator("#windows tbody tr").count() == 20
        page.close()
        browser.close()
