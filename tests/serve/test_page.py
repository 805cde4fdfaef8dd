"""The page, walked by a real browser as an auditor would, without script, and checked for accessibility."""

import json
import re
import time
from io import BytesIO

import msgspec
import pytest
import worked_month as month
from axe_playwright_python.sync_playwright import Axe
from looks import LOOKS
from msgspec.structs import replace
from playwright.sync_api import Page, sync_playwright
from pypdf import PdfReader
from running import Running, running

from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.model.hours.calendar import CALENDARS
from streams.model.outage import RaisedNormal, ShortFailures
from streams.model.record import Record
from streams.serve.access import Access, new_token
from streams.serve.app import create_app
from streams.serve.limit import RateLimit
from streams.serve.names import city_names
from streams.serve.pages import history
from streams.serve.texts import LANGUAGES, Language, text, written_figure, written_normal

MONTH_COLUMNS = (
    "availability_pct",
    "availability_without_exclusions_pct",
    "coverage_pct",
    "down_ms",
    "degraded_ms",
    "down_outages",
    "longest_down_ms",
    "dossiers_affected",
    "request_success_pct",
    "short_failures",
    "short_failure_ms",
)
NAME = city_names().links[month.LINK]
RAISED = RaisedNormal(failure_share=0.1, since_ms=month.START)


@pytest.fixture(params=LOOKS)
def page(chromium, app, request):
    """Return a browser's page at the application's address, in each look; the walk begins in Vietnamese."""
    with running(app) as served, sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.url)
        look = LOOKS[request.param] | {"locale": "vi-VN"}
        context = browser.new_context(base_url=str(served.base_url), accept_downloads=True, **look)
        yield context.new_page()
        context.close()


def accessible(chromium, app, tokens, paths: list[str], language: str, **look) -> dict[str, list]:
    """Return axe's findings for each path; axe itself needs scripts, the pages do not."""
    found = {}
    with running(app) as served, sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.url)
        context = browser.new_context(base_url=str(served.base_url), bypass_csp=True, locale=language, **look)
        context.set_extra_http_headers({"Authorization": f"Bearer {tokens['operator']}"})
        page = context.new_page()
        for path in paths:
            page.goto(path)
            sideways = page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
            assert not sideways, path
            violations = Axe().run(page).response["violations"]
            found[path] = [(one["id"], [node["target"] for node in one["nodes"]]) for one in violations]
        context.close()
    return found


def test_an_auditor_s_walk(page: Page, tokens, tmp_path) -> None:
    """Sign in, find the month, the link, the outage and its evidence; switch language; take the report."""
    page.goto(f"/history?month={month.MONTH}")
    assert page.url.endswith("/sign-in?next=%2Fhistory%3Fmonth%3D2025-04")
    page.fill("#token", "plk_wrong")
    page.click("main button")
    assert page.locator("[role=alert]").inner_text() == "Mã truy cập sai hoặc đã hết hạn."
    page.goto(f"/history?month={month.MONTH}")
    page.fill("#token", tokens["auditor"])
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/history?month={month.MONTH}")
    page.screenshot(path=tmp_path / "month.png", full_page=True)
    page.locator("table.cells").get_by_role("link", name=NAME.vi).click()
    figures = month.HAND_WORKED["24x7"]
    for name in ("availability_pct", "coverage_pct", "down_ms", "down_outages", "mean_time_to_restore_ms"):
        assert page.locator(f"#figure-{name}").inner_text() == written_figure(name, figures[name], "vi")
    page.screenshot(path=tmp_path / "link.png", full_page=True)
    page.get_by_role("link", name="03/04/2025 08:58:30").click()
    assert page.locator("#revisions > li").count() == 3
    assert "abababab" in page.locator("#evidence ~ .scroll").first.inner_text()
    page.screenshot(path=tmp_path / "outage.png", full_page=True)
    page.get_by_role("link", name="English").click()
    assert page.locator("h2").first.inner_text() == "Whom it hit"
    assert page.locator("html").get_attribute("lang") == "en"
    page.go_back()
    page.goto(f"/link?link={month.LINK}&month={month.MONTH}&calendar=office-hours")
    page.get_by_role("link", name="Report").click()
    assert "99.1209 %" in page.locator("#figure-availability_pct").inner_text()
    page.screenshot(path=tmp_path / "report.png", full_page=True)
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF", exact=True).click()
    made = download.value.path().read_bytes()
    assert made.startswith(b"%PDF-")
    page.get_by_role("link", name="Proof of the ledger").click()
    assert "link.outages/0" in page.locator("main").inner_text()
    page.screenshot(path=tmp_path / "proof.png", full_page=True)
    page.get_by_role("button", name="Sign out").click()
    page.goto("/")
    assert "/sign-in" in page.url


@pytest.mark.parametrize(
    ("language", "look"),
    [
        ("vi", {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}),
        ("en", {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}),
    ],
    ids=["wide, light", "narrow, dark"],
)
def test_accessible(chromium, app, tokens, language: str, look) -> None:
    """Axe finds nothing on any page, wide in the light and narrow in the dark, and none scrolls sideways."""
    paths = [
        "/",
        f"/history?month={month.MONTH}",
        "/history?from=2024-01-01&to=2026-01-01",
        f"/link?link={month.LINK}&month={month.MONTH}",
        "/outages/hcmc-npd-o1",
        "/outages/hcmc-npd-o1/check",
        f"/report?month={month.MONTH}&calendar=office-hours",
        "/exclusions",
        "/docs",
        "/runbooks",
        "/proof",
        "/sign-in",
        "/outages/none",
    ]
    found = accessible(chromium, app, tokens, paths, language, **look)
    assert found == {path: [] for path in paths}, json.dumps(found, indent=1)


def test_pages_need_nothing_from_elsewhere(client: Running, tokens) -> None:
    """Every address in a page is this site's, and no page holds a script or a style."""
    headers = {"Authorization": f"Bearer {tokens['viewer']}"}
    for path in (
        "/",
        f"/link?link={month.LINK}&month={month.MONTH}",
        "/outages/hcmc-npd-o1",
        "/report",
        "/proof",
    ):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200
        assert not re.search(r"https?://|<style|<script(?! src=\"/static/)| style=| on[a-z]+=", answer.text)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        for address in re.findall(r'(?:src|href)="(/static/[^"]*)"', answer.text):
            given = client.get(address)
            assert given.status_code == 200
            assert "immutable" in given.headers["cache-control"]


def test_hostile_addresses(client: Running, tokens) -> None:
    """No page sends a reader elsewhere, runs what a parameter holds, or is shown without a token."""
    headers = {"Authorization": f"Bearer {tokens['viewer']}"}
    for following in ("//evil.example", "https://evil.example", "/\\evil.example", "/%0d%0aX: y"):
        answer = client.get("/language", params={"to": "en", "next": following})
        assert answer.status_code == 303
        assert answer.headers["location"] in ("/", "/%0d%0aX:%20y")
    answer = client.get("/link", params={"link": "<script>alert(1)</script>"}, headers=headers)
    assert answer.status_code == 404
    assert "<script>" not in answer.text
    for path in ("/", "/link?link=hcmc-npd", "/outages/hcmc-npd-o1", "/report", "/report.pdf", "/proof"):
        refused = client.get(path)
        assert refused.status_code == 303
        assert refused.headers["location"].startswith("/sign-in")
        assert "hcmc-npd-o1" not in refused.text


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("calendar", CALENDARS)
@pytest.mark.parametrize("address", ["/report?", "/link?link=hcmc-npd&"])
def test_pages_show_every_hand_worked_figure(
    client: Running, tokens, calendar: str, language: Language, address: str
) -> None:
    """The report's page and the link's have each figure of docs/availability.md, as a language writes it."""
    headers = {"Authorization": f"Bearer {tokens['viewer']}", "Accept-Language": language}
    page = client.get(f"{address}month={month.MONTH}&calendar={calendar}", headers=headers).text
    rows = dict(re.findall(r'<tr><th scope="row">([^<]*)</th><td class="n">([^<]*)</td></tr>', page))
    expected = month.HAND_WORKED[calendar] | month.WITHOUT_EXCLUSIONS[calendar]
    named = {text(name, language): written_figure(name, value, language) for name, value in expected.items()}
    assert {name: rows.get(name) for name in named} == named
    tiles = dict(re.findall(r'<dd id="figure-([a-z_]+)">([^<]*)</dd>', page))
    assert tiles.keys() < expected.keys()
    assert tiles == {name: written_figure(name, expected[name], language) for name in tiles}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("calendar", CALENDARS)
def test_the_pdf_shows_every_hand_worked_figure(
    client: Running, tokens, calendar: str, language: Language
) -> None:
    """The report as PDF has each figure of docs/availability.md beside its name, as a language writes it."""
    headers = {"Authorization": f"Bearer {tokens['viewer']}", "Accept-Language": language}
    address = f"/report.pdf?month={month.MONTH}&calendar={calendar}"
    pages_read = PdfReader(BytesIO(client.get(address, headers=headers).content)).pages
    lines = "\n".join(page.extract_text() for page in pages_read).splitlines()
    expected = month.HAND_WORKED[calendar] | month.WITHOUT_EXCLUSIONS[calendar]
    named = {text(name, language): written_figure(name, value, language) for name, value in expected.items()}
    assert {name: figure for name, figure in named.items() if f"{name} {figure}" not in lines} == {}


@pytest.mark.parametrize("calendar", CALENDARS)
def test_the_month_shows_the_hand_worked_figures(client: Running, tokens, calendar: str) -> None:
    """The month's table has the link's figures, each in the column that is headed by its name."""
    headers = {"Authorization": f"Bearer {tokens['viewer']}", "Accept-Language": "en"}
    page = client.get(f"/history?month={month.MONTH}&calendar={calendar}", headers=headers).text
    table = page[page.rindex("<table class=") : page.rindex("</table>")]
    heads = re.findall(r'<th scope="col" class="n">([^<]*)</th>', table)
    cells = re.findall(r'<td class="n">([^<]*)</td>', table)
    expected = month.HAND_WORKED[calendar] | month.WITHOUT_EXCLUSIONS[calendar]
    written = {text(name, "en"): written_figure(name, value, "en") for name, value in expected.items()}
    assert heads == [text(name, "en") for name in MONTH_COLUMNS]
    assert cells == [written[head] for head in heads]


def test_short_failures_stand_where_their_names_are(tmp_path) -> None:
    """Number, length and lookups of short failures, and a raised normal, are on every page that has them."""
    engine = open_ledger(sqlite_url(tmp_path / "ledger.db"), create=True)
    template = next(month.windows())
    windows = [
        replace(template, short_failures=ShortFailures(3, 13_500, 7), normal=RAISED),
        replace(template, link=month.OTHER_LINK, short_failures=ShortFailures(2, 9_000, 5)),
    ]
    records = [
        Record("link.windows", 0, at, one.end_ms, one.link.encode(), msgspec.json.encode(one))
        for at, one in enumerate(windows)
    ]
    apply_records(engine, records)
    token, entry = new_token("viewer-one", "viewer", int(time.time()) + 3_600)
    told = (("short_failures", 3, 2), ("short_failure_ms", 13_500, 9_000), ("short_failure_lookups", 7, 5))
    each = {text(name, "en"): written_figure(name, first, "en") for name, first, _ in told}
    both = {text(name, "en"): written_figure(name, first + second, "en") for name, first, second in told}
    headers = {"Authorization": f"Bearer {token}", "Accept-Language": "en"}
    with running(create_app(engine, Access([entry]), limit=RateLimit(10_000, 10_000))) as client:

        def read(path: str) -> str:
            return client.get(f"{path}month={month.MONTH}", headers=headers).text

        overview, report, link = read("/history?"), read("/report?"), read(f"/link?link={month.LINK}&")
        pdf = client.get(f"/report.pdf?month={month.MONTH}", headers=headers).content
    engine.dispose()
    for page, expected in ((link, each), (report, both)):
        rows = dict(re.findall(r'<tr><th scope="row">([^<]*)</th><td class="n">([^<]*)</td></tr>', page))
        tiles = dict(re.findall(r'<dt>([^<]*)</dt><dd id="figure-[a-z_]+">([^<]*)</dd>', page))
        assert expected.items() <= rows.items()
        assert expected.items() <= tiles.items()
    for page in (overview, report):
        table = page[page.index(f'<th scope="col" class="n">{text(told[0][0], "en")}</th>') :]
        rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', table[: table.index("</table>")])
        [cells] = [re.findall("<td[^>]*>([^<]*)</td>", row) for head, row in rows if NAME.en in head]
        assert cells[-2:] == [each[text(name, "en")] for name in ("short_failures", "short_failure_ms")]
        assert f"<li>{NAME.en}: {written_normal(RAISED, 'en')}</li>" in page
    said = "\n".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages).splitlines()
    assert {f"{name} {figure}" for name, figure in both.items()} <= set(said)


@pytest.mark.parametrize(
    ("period", "titles"),
    [
        ("from=2025-03-01&to=2025-05-02", 61),
        ("from=2025-02-27&to=2025-05-02", 3),
        ("from=2023-01-01&to=2025-12-31", 28),
        ("from=2016-01-01&to=2026-01-01", 10),
    ],
)
def test_a_calendar_has_as_many_columns_as_can_be_read(
    client: Running, tokens, period: str, titles: int
) -> None:
    """Days up to two months, then months with their availability, then years, as far as there is data."""
    headers = {"Authorization": f"Bearer {tokens['viewer']}", "Accept-Language": "en"}
    page = client.get(f"/history?{period}", headers=headers).text
    table = page[page.index('<table class="cells">') : page.index("</table>")]
    cells = re.findall(r'<td class="?([-a-z0-9 ]+)"?(?: title="([^"]*)")?>', table)
    assert len(re.findall("<th scope=.col.", table)) - 1 == len(cells) == titles
    if titles != 61:
        [(kind, title)] = [cell for cell in cells if cell[0] not in ("unknown", "off")]
        assert (kind, title.split(": ")[1]) == ("share judged", "Down 98.18 %; Excluded 12 h")
        assert title.startswith(("04/2025", "2025"))


def test_outages_go_on_from_page_to_page(client: Running, tokens, monkeypatch) -> None:
    """Of more outages than fit one page, the link and the report name the next page until all were seen."""
    monkeypatch.setattr(history, "MAX_OUTAGES", 3)
    headers = {"Authorization": f"Bearer {tokens['viewer']}", "Accept-Language": "en"}
    for start, number in (
        (f"/link?link={month.LINK}&month={month.MONTH}", 8),
        (f"/report?month={month.MONTH}", 7),
    ):
        address, seen = start, []
        while address:
            page = client.get(address, headers=headers).text
            table = page[page.index('<table id="outages">') :]
            seen += re.findall('href="/outages/([^"]*)"', table[: table.index("</table>")])
            following = re.search('href="([^"]*after=[^"#]*)', page)
            address = following[1].replace("&amp;", "&") if following else None
        assert len(seen) == len(set(seen)) == number


def test_a_report_s_page_says_how_many_exclusions_it_leaves_to_the_files(
    client: Running, tokens, monkeypatch
) -> None:
    """Of more exclusions than fit a page it shows some and says how many there are; the files hold all."""
    monkeypatch.setattr(history, "MAX_OUTAGES", 2)
    headers = {"Authorization": f"Bearer {tokens['viewer']}", "Accept-Language": "en"}
    held = client.get(f"/report.json?month={month.MONTH}", headers=headers).json()["exclusions"]
    assert len(held) > 2
    page = client.get(f"/report?month={month.MONTH}", headers=headers).text
    shown = {one["exclusion_id"] for one in held if f'href="/exclusions/{one["exclusion_id"]}"' in page}
    assert {one["exclusion_id"] for one in held[:2]} <= shown
    assert text("some_exclusions_text", "en", number="2", all=str(len(held))) in page
    assert 'id="some-exclusions"' not in client.get(f"/report.html?month={month.MONTH}", headers=headers).text


@pytest.mark.parametrize("path", ["/", "/history", "/report.pdf", "/api/v1/links", "/sign-in", "/none"])
def test_head_is_answered_as_get(client: Running, tokens, path: str) -> None:
    """HEAD has the status and the headers of GET, and no body."""
    headers = {"Authorization": f"Bearer {tokens['viewer']}"}
    got, head = client.get(path, headers=headers), client.head(path, headers=headers)
    assert head.status_code == got.status_code
    assert head.headers["content-type"] == got.headers["content-type"]
    assert head.content == b""
