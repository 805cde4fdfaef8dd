"""Grafana's JSON of the dashboards, through the pinned grafana-foundation-sdk (Grafana 11.6).

Each dashboard is made in English and in Vietnamese; the Vietnamese one has `-vi` behind its uid, and its
links lead to Vietnamese dashboards.
"""

import json
from typing import Any, Final

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard

from streams.watch.settings import Urls, WatchSettings
from tools.dashboards.link import link_board
from tools.dashboards.lint import lint_file
from tools.dashboards.overview import overview
from tools.dashboards.panels import SOURCE, panel_of
from tools.dashboards.pipeline import pipeline
from tools.dashboards.slo import slo
from tools.dashboards.spec import Board, Region, Row, Variable
from tools.dashboards.submissions import submissions
from tools.dashboards.words import LANGUAGES, Language, Words, said

FOLDERS: Final[dict[Language, str]] = {"en": "dashboards", "vi": "dashboards-vi"}
TAGS: Final[dict[Language, str]] = {"en": "portallink", "vi": "portallink-vi"}


def boards(settings: WatchSettings) -> tuple[Board, ...]:
    """Return the dashboards under these targets and thresholds."""
    return tuple(make(settings) for make in (overview, link_board, submissions, slo, pipeline))


def dashboard_files(settings: WatchSettings) -> dict[str, str]:
    """Return the dashboards' JSON, and the linter's file beside them, by path under `grafana/`."""
    made = boards(settings)
    return {
        f"{FOLDERS[language]}/{uid_of(board, language)}.json": to_json(board, language, settings.urls)
        for language in LANGUAGES
        for board in made
    } | {f"{FOLDERS[language]}/.lint": lint_file(made, language) for language in LANGUAGES}


def uid_of(board: Board, language: Language) -> str:
    """Return a dashboard's uid in a language."""
    return board.uid if language == "en" else f"{board.uid}-{language}"


def to_json(board: Board, language: Language, urls: Urls) -> str:
    """Return a dashboard's JSON as it is checked in."""
    document: dict[str, Any] = json.loads(json.dumps(build(board, language, urls).build(), cls=JSONEncoder))
    # Grafana's Prometheus source reads an annotation's title from a field that the schema does not have.
    for annotation, region in zip(document["annotations"]["list"], board.regions, strict=True):
        annotation["titleFormat"] = said(region.title, language)
    return as_text(document)


def as_text(document: dict[str, Any]) -> str:
    """Return JSON in the one form in which dashboards are checked in."""
    return json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def build(board: Board, language: Language, urls: Urls) -> builders.Dashboard:
    """Return the SDK's builder of a board in a language."""
    built = (
        builders.Dashboard(said(board.title, language))
        .uid(uid_of(board, language))
        .description(said(board.description, language))
        .tags([TAGS[language]])
        .timezone("Asia/Ho_Chi_Minh")
        .time(board.time_from, "now")
        .refresh("30s")
        .readonly()
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .with_variable(_data_source(language))
    )
    for variable in board.variables:
        built.with_variable(_variable(variable, language))
    for region in board.regions:
        built.annotation(_annotation(region, language))
    for link in _links(board, language, urls):
        built.link(link)
    number = 0
    for row in board.rows:
        number += 1
        built.with_row(_row(row, language).id(number))
        for panel in row.panels:
            number += 1
            built.with_panel(panel_of(panel, language).id(number))
    return built


def _row(row: Row, language: Language) -> builders.Row:
    made = builders.Row(said(row.title, language))
    return made if row.repeat is None else made.repeat(row.repeat)


def _data_source(language: Language) -> builders.DatasourceVariable:
    label = Words("Data source", "Nguồn dữ liệu")
    return builders.DatasourceVariable("datasource").label(said(label, language)).type("prometheus")


def _variable(variable: Variable, language: Language) -> builders.QueryVariable:
    made = (
        builders.QueryVariable(variable.name)
        .label(said(variable.label, language))
        .description(said(variable.description, language))
        .datasource(SOURCE)
        .query(variable.query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(not variable.one)
    )
    if variable.one or variable.repeats:  # without a current value Grafana takes the first
        return made
    everything = dashboard.VariableOption(selected=True, text=["All"], value=["$__all"])
    return made.include_all(True).all_value(".+").current(everything)


def _annotation(region: Region, language: Language) -> builders.AnnotationQuery:
    return (
        builders.AnnotationQuery()
        .name(said(region.name, language))
        .datasource(SOURCE)
        .enable(True)
        .icon_color(region.colour)
        .expr(region.expr)
    )


def _links(board: Board, language: Language, urls: Urls) -> list[builders.DashboardLink]:
    def to(title: Words, url: str) -> builders.DashboardLink:
        return (
            builders.DashboardLink(said(title, language))
            .type(dashboard.DashboardLinkType.LINK)
            .url(url)
            .target_blank(True)
            .icon("external link")
        )

    others = (
        builders.DashboardLink(said(Words("Dashboards", "Các bảng"), language))
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAGS[language]])
        .as_dropdown(True)
        .include_vars(True)
        .keep_time(True)
        .icon("dashboard")
    )
    other: Language = "vi" if language == "en" else "en"
    translated = (
        builders.DashboardLink("Tiếng Việt" if other == "vi" else "English")
        .type(dashboard.DashboardLinkType.LINK)
        .url(f"/d/{uid_of(board, other)}")
        .include_vars(True)
        .keep_time(True)
        .icon("external link")
    )
    page = to(Words("Auditors' page", "Trang kiểm toán"), urls.page)
    runbooks = [
        to(Words(f"Runbook {name}", f"Hướng dẫn xử lý {name}"), f"{urls.runbooks}/{name}")
        for name in board.runbooks
    ]
    return [others, translated, page, *runbooks]
