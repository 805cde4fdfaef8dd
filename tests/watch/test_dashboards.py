"""Dashboards without Grafana: their schema by the SDK, their habits by the linter's rules, their PromQL."""

import json
import re
from pathlib import Path

import promql_parser
import pytest
from grafana_foundation_sdk.models import dashboard as models

from tools.dashboards.build import BOARDS, to_json
from tools.dashboards.render import at_home

FILES = sorted((Path(__file__).resolve().parents[2] / "grafana" / "dashboards").glob("*.json"))
DASHBOARDS = {path.stem: json.loads(path.read_text("utf-8")) for path in FILES}
PANELS = [
    pytest.param(panel, id=f"{uid}-{panel['title']}")
    for uid, document in DASHBOARDS.items()
    for panel in document["panels"]
    if panel["type"] != "row"
]
QUERIES = [
    pytest.param(query.expr, id=f"{board.uid}-{panel.title}-{number}")
    for board in BOARDS
    for panel in board.panels
    for number, query in enumerate(panel.queries)
]


def selectors(expr: str) -> list[promql_parser.VectorSelector]:
    """Return every vector selector of a query."""
    found = []

    class Collect:
        @staticmethod
        def walk(node):
            if isinstance(node, promql_parser.VectorSelector):
                found.append(node)
            for name in ("expr", "lhs", "rhs", "vs", "vector_selector"):
                if (child := getattr(node, name, None)) is not None:
                    Collect.walk(child)
            for child in getattr(node, "args", None) or []:
                Collect.walk(child)

    Collect.walk(promql_parser.parse(at_home(expr)))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_json_reads_back_through_the_sdk(path):
    """Decoding a dashboard with Grafana 11.6's schema and encoding it again changes nothing."""
    text = path.read_text("utf-8")
    assert to_json(models.Dashboard.from_json(json.loads(text))) == text


@pytest.mark.parametrize("document", DASHBOARDS.values(), ids=DASHBOARDS)
def test_a_dashboard_has_its_variables_and_links(document):
    """Data source, job and instance can be chosen; links lead to the others, the page and the runbooks."""
    variables = {one["name"]: one for one in document["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert {"job", "instance"} <= set(variables)
    queried = [one for one in variables.values() if one["type"] == "query"]
    assert all(one["datasource"]["uid"] == "${datasource}" and one["label"] for one in queried)
    titles = [link["title"] for link in document["links"]]
    assert "Auditors' page" in titles
    assert any(title.startswith("Runbook") for title in titles)
    assert any(link["type"] == "dashboards" for link in document["links"])
    assert (document["uid"], document["timezone"]) == (document["uid"], "Asia/Ho_Chi_Minh")
    assert document["description"]


@pytest.mark.parametrize("document", DASHBOARDS.values(), ids=DASHBOARDS)
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


@pytest.mark.parametrize("panel", PANELS)
def test_a_panel_has_title_description_unit_and_source(panel):
    """A reader is told what a panel shows, in what unit, and the source can be switched."""
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"]["uid"] == "${datasource}"
    assert panel["targets"]


@pytest.mark.parametrize("panel", PANELS)
def test_a_legend_names_labels_the_query_keeps(panel):
    """Every query has a legend; whether its labels come back is asked of a real Prometheus."""
    assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("expr", QUERIES)
def test_a_query_selects_job_and_instance(expr):
    """A scraped metric is selected by job and instance; recorded series and ALERTS have neither."""
    for selector in selectors(expr):
        if selector.name.startswith("portallink:") or selector.name == "ALERTS":
            continue
        names = {matcher.name for matcher in selector.matchers.matchers}
        assert {"job", "instance"} <= names, selector.name


@pytest.mark.parametrize("expr", QUERIES)
def test_a_counter_is_read_as_a_rate_over_grafanas_own_interval(expr):
    """A counter is only ever read inside rate or increase, over $__rate_interval or $__range."""
    raw = re.findall(
        r"(\w+)\((?:portallink|process)_\w+_(?:total|bucket|sum|count)\{[^}]*\}\[([^\]]+)\]", expr
    )
    counters = re.findall(r"\b(?:portallink|process)_\w+_(?:total|bucket|sum|count)\b", expr)
    assert len(raw) == len(counters)
    assert all(name in {"rate", "increase"} for name, _ in raw)
    assert all(window in {"$__rate_interval", "$__range"} for _, window in raw)


def test_the_selector_search_sees_into_every_node():
    """The walk finds selectors under aggregations, calls, binary operations, ranges and subqueries."""
    expr = "sum(rate(a[5m])) / (count(b) > 0) + topk(3, max_over_time(c[1h:1m])) - -d"
    assert sorted(selector.name for selector in selectors(expr)) == ["a", "b", "c", "d"]
