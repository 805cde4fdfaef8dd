"""Dashboards without Grafana: their schema by the SDK, their texts, colours and places."""

import json
import re
from pathlib import Path

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as models
from promql_nodes import selectors

from streams.model.events import OUTCOMES, SUBMISSION_TYPES
from streams.watch.settings import WatchSettings
from tools.dashboards.build import FOLDERS, as_text, boards
from tools.dashboards.spec import OUTCOME_COLOURS, TYPE_COLOURS
from tools.dashboards.words import said

ROOT = Path(__file__).resolve().parents[2] / "grafana"
FILES = sorted(ROOT.glob("dashboards*/*.json"))
DASHBOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in FILES}
BOARDS = boards(WatchSettings())
PANELS = [
    pytest.param(panel, id=f"{uid}-{panel['title']}")
    for uid, document in DASHBOARDS.items()
    for panel in document["panels"]
    if panel["type"] != "row"
]
OURS = [pytest.param(panel, id=f"{b.uid}-{panel.title.en}") for b in BOARDS for panel in b.panels]
every_board = pytest.mark.parametrize("document", DASHBOARDS.values(), ids=DASHBOARDS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_json_reads_back_through_the_sdk(path):
    """Decoding a dashboard with Grafana 11.6's schema and encoding it again changes nothing it knows."""
    document = json.loads(path.read_text("utf-8"))
    assert as_text(document) == path.read_text("utf-8")
    for annotation in document["annotations"]["list"]:
        del annotation["titleFormat"]  # which the schema does not have and Grafana's Prometheus source reads
    encoded = json.dumps(models.Dashboard.from_json(document), cls=JSONEncoder)
    assert json.loads(encoded) == document


def test_each_dashboard_is_there_in_both_languages():
    """Every board has one file a language, whose uid is the file's name."""
    assert {path.stem for path in (ROOT / "dashboards").glob("*.json")} == {board.uid for board in BOARDS}
    assert {path.stem for path in (ROOT / "dashboards-vi").glob("*.json")} == {f"{b.uid}-vi" for b in BOARDS}
    assert all(document["uid"] == name for name, document in DASHBOARDS.items())


@every_board
def test_a_dashboard_has_its_variables_and_links(document):
    """Data source, job and instance can be chosen; links lead to the others, the page and the runbooks."""
    variables = {one["name"]: one for one in document["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert {"job", "instance"} <= set(variables)
    queried = [one for one in variables.values() if one["type"] == "query"]
    assert all(one["datasource"]["uid"] == "${datasource}" and one["label"] for one in queried)
    assert all(one["refresh"] == 2 for one in queried)
    assert {one["allValue"] for one in queried if one.get("includeAll")} == {".+"}
    assert all(variables[name]["multi"] for name in ("job", "instance"))
    links = document["links"]
    assert any(link["type"] == "dashboards" for link in links)
    assert any("/runbooks/" in link["url"] for link in links if link["type"] == "link")
    assert document["timezone"] == "Asia/Ho_Chi_Minh"
    assert document["description"]
    assert document["editable"] is False


@every_board
def test_links_between_dashboards_are_relative_and_lead_somewhere(document):
    """A link to a dashboard names no host, and a dashboard of the same language or, once, of the other."""
    text = json.dumps(document)
    targets = re.findall(r'"url": "([^"]*?/d/[^"?]+)', text)
    assert targets
    assert all(target.startswith("/d/") for target in targets)
    assert {target.removeprefix("/d/") for target in targets} <= set(DASHBOARDS)
    own = document["uid"].endswith("-vi")
    others = [target for target in targets if target.endswith("-vi") != own]
    assert others == [f"/d/{document['uid'].removesuffix('-vi')}{'' if own else '-vi'}"]


@every_board
def test_panels_have_their_own_ids_and_places(document):
    """No two panels share an id or overlap on the grid of 24 columns."""
    panels = document["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in panels)
        for x in range(place.get("x", 0), place.get("x", 0) + place["w"])
        for y in range(place.get("y", 0), place.get("y", 0) + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


@every_board
def test_every_time_series_shows_the_regions_of_trouble(document):
    """Each dashboard draws when links were down, enabled, with a title that tells what it is."""
    regions = document["annotations"]["list"]
    assert any(one["iconColor"] == "#c4312f" and one["enable"] for one in regions)
    assert all(one["titleFormat"] for one in regions)


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_title_description_unit_and_source(panel):
    """A reader is told what a panel shows, in what unit, and the source can be switched."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert panel["targets"]
    assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("panel", OURS)
def test_a_figure_has_its_decimals_and_a_share_its_limits(panel):
    """Decimals are set wherever a number is shown, and the lines of a share are drawn from 0."""
    if panel.shape in {"timeseries", "stat"} and not panel.meanings:
        assert panel.decimals is not None
    for column in panel.columns:
        if column.letter and column.unit != "time:DD/MM HH:mm:ss" and not column.meanings:
            assert column.decimals is not None
    if panel.unit == "percentunit" and panel.shape == "timeseries":
        assert panel.minimum == 0


@pytest.mark.parametrize("panel", OURS)
def test_the_ledgers_figures_are_rounded_down(panel):
    """A figure of availability, coverage or success is cut off at the decimals that are shown."""
    for letter, query in zip("ABCDEFGH", panel.queries, strict=False):
        if "portallink_ledger_availability" in query.expr or "portallink_ledger_coverage" in query.expr:
            column = next((one for one in panel.columns if one.letter == letter), None)
            decimals = panel.decimals if column is None else column.decimals
            assert re.fullmatch(rf"floor\(.*\* 1e{decimals + 2} \+ 1e-9\) / 1e{decimals + 2}", query.expr)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_text_is_said_in_both_languages(board):
    """What is not the same in both languages has a Vietnamese text of its own, without placeholders left."""
    texts = [board.title, board.description, *(row.title for row in board.rows)]
    texts += [text for panel in board.panels for text in panel.texts]
    for text in texts:
        english, vietnamese = (said(text, language) for language in FOLDERS)
        assert bool(english) == bool(vietnamese)
        assert re.findall(r"\{\{\w+\}\}", english) == re.findall(r"\{\{\w+\}\}", vietnamese)
        if len(english.split()) > 3:
            assert english != vietnamese


def test_each_outcome_and_type_has_one_colour():
    """Every outcome and every type of submission has its fixed colour, none that of another."""
    assert set(OUTCOME_COLOURS) == set(OUTCOMES)
    assert set(TYPE_COLOURS) == set(SUBMISSION_TYPES)
    for colours in (OUTCOME_COLOURS, TYPE_COLOURS):
        assert len(set(colours.values())) == len(colours)


def test_targets_and_thresholds_are_those_of_the_settings():
    """A changed setting changes the limits that are drawn, and nothing but settings sets a target."""
    base = WatchSettings()
    changed = WatchSettings(
        links=type(base.links)(availability_target=0.91, coverage_target=0.92),
        lookups=type(base.lookups)(success_target=0.97),
        submissions=type(base.submissions)(blocked_share=0.33, accepted_share=0.66),
        pipeline=type(base.pipeline)(consumer_lag_records=77, watermark_lag_seconds=88),
    )
    drawn = {
        value
        for board in boards(changed)
        for panel in board.panels
        for limits in (panel.limits, *(column.limits for column in panel.columns))
        for value, _ in limits
    }
    assert {0.91, 0.92, 0.97, 0.03, 0.33, 0.66, 77} <= drawn
    queries = " ".join(
        query.expr for board in boards(changed) for panel in board.panels for query in panel.queries
    )
    assert "> bool 88" in queries


def test_the_selector_search_sees_into_every_node():
    """The walk finds selectors under aggregations, calls, binary operations, ranges and subqueries."""
    expr = "sum(rate(a[5m])) / (count(b) > 0) + topk(3, max_over_time(c[1h:1m])) - -d"
    assert sorted(selector.name for selector in selectors(expr)) == ["a", "b", "c", "d"]
