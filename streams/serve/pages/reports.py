"""A report as a page, and as a file in each format."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from streams.ledger.read.meant import Narrowing
from streams.ledger.read.question import Question
from streams.ledger.store.database import reading
from streams.serve.answers import Answer, ReportPage, report_answer
from streams.serve.api import asked_of
from streams.serve.command import reproducing
from streams.serve.context import Asked, Viewer, services, tagged
from streams.serve.cursor import cursor_after, cursor_in
from streams.serve.language import language_of
from streams.serve.pages import history
from streams.serve.pages.shown import query_of, shown
from streams.serve.report.files import MEDIA_TYPES, ReportFormat, file_name, render_report
from streams.serve.texts import Language

router = APIRouter(include_in_schema=False)


@router.get("/report")
def report_page(request: Request, _: Viewer, asked: Annotated[history.Listing, Query()]) -> Response:
    """Show a report as a page, with all formats to download; it has some of many outages and exclusions."""
    page = ReportPage(cursor_in(asked.after), history.MAX_OUTAGES)
    report, question = _report(request, asked, "html", language_of(request), page)
    further = report["following"] and cursor_after(*report["following"])
    return shown(request, "report.html", report=report, query=query_of(question), further=further)


@router.get("/report.{kind}")
def report_file(request: Request, _: Viewer, asked: history.PageQuery, kind: ReportFormat) -> Response:
    """Give a report as a file; the same ledger gives the same bytes."""
    language = language_of(request)
    report, _question = _report(request, asked, kind, language)
    name = quote(file_name(report, kind, language))
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return tagged(
        request, render_report(report, kind, language, services(request).names), MEDIA_TYPES[kind], headers
    )


def _report(
    request: Request, asked: Asked, kind: ReportFormat, language: Language, page: ReportPage | None = None
) -> tuple[Answer, Question]:
    with reading(services(request).ledger) as connection:
        question = asked_of(request, connection, asked)
        command = reproducing(question, f"--format {kind}", f"--language {language}")
        return report_answer(connection, question, Narrowing(), command, page), question
