"""The front page: what it says of each state, how it follows the ledger, how much it may hold."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
import worked_month as month
from front_ledger import NOON, NPD, VNEID, Ledger, trouble, window
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright
from running import running

from streams import telemetry
from streams.ledger.read.board import Days, board
from streams.ledger.read.figures import link_figures
from streams.ledger.read.question import Question
from streams.ledger.read.standing import Standing
from streams.ledger.store.database import reading
from streams.model.exclusion import new_exclusion
from streams.model.hours.calendar import DAY_MS, MINUTE_MS, day_start_ms
from streams.model.outage import RaisedNormal
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit
from streams.serve.pages.cards import folded


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Return an empty ledger, which can be served."""
    telemetry.configure("serve", level="error")
    made = Ledger(tmp_path)
    yield made
    made.engine.dispose()


def test_the_answer_names_link_time_fault_and_dossiers(ledger: Ledger) -> None:
    """One sentence says what is down, since when, whose fault it is and how many dossiers it has hit."""
    ledger.watch(NPD, VNEID)
    ledger.take("link.outages", trouble(VNEID, month.at(3, 11, 17)))
    assert ledger.says() == [
        (
            "Cổng TP.HCM – đăng nhập VNeID đang gián đoạn từ 11:17, lỗi thuộc về bên cung cấp; "
            "ít nhất 926 hồ sơ bị ảnh hưởng."
        ),
        "Kết nối còn lại đang hoạt động.",
    ]
    assert ledger.says("en") == [
        (
            "HCMC portal – VNeID sign-in has been down since 11:17: the provider is at fault, "
            "at least 926 dossiers affected."
        ),
        "The other link is up.",
    ]


def test_an_outage_of_an_earlier_day_is_said_with_its_day(ledger: Ledger) -> None:
    """A time of day stands alone only for the present day."""
    ledger.watch(NPD)
    ledger.take("link.outages", trouble(NPD, month.at(2, 23, 5)))
    assert "từ 23:05 ngày 02/04/2025" in ledger.says()[0]


def test_many_links_down_are_counted_and_the_longest_is_named(ledger: Ledger) -> None:
    """More than three links down make one sentence: how many, the longest, all dossiers together."""
    names = [f"portal{at}-npd" for at in range(5)]
    ledger.watch(*names, minutes=5)
    ledger.take("link.outages", *(trouble(name, month.at(3, 11, 10 + at)) for at, name in enumerate(names)))
    [said] = ledger.says("en")
    assert said == (
        "5 links are down. The longest is portal0 – National population database, since 11:10: the provider "
        "is at fault; at least 4,630 dossiers affected in all."
    )


def test_a_silent_link_is_unknown_and_an_empty_ledger_says_so(ledger: Ledger) -> None:
    """A link whose windows stopped while others go on is unknown since then; without data nothing is up."""
    assert ledger.says("en") == ["There is no data yet."]
    ledger.watch(NPD)
    ledger.watch(VNEID, until_ms=NOON - 20 * MINUTE_MS)
    with reading(ledger.engine) as connection:
        found = {one.link: one for one in board(connection, Days(), second_person=True).links}
    assert (found[VNEID].state, found[VNEID].since_ms) == ("unknown", NOON - 20 * MINUTE_MS)
    assert found[NPD].state == "up"
    assert found[NPD].p95_ms == 321.0


def test_the_board_follows_what_changes_and_reads_the_rest_once(ledger: Ledger) -> None:
    """Days kept from the time before give the board that reading everything anew gives."""
    ledger.watch(NPD, VNEID)
    kept = Days()
    with reading(ledger.engine) as connection:
        board(connection, kept, second_person=True)
    blind = {"state": "UNKNOWN", "state_ms": {"UNKNOWN": MINUTE_MS}, "revision": 2, "latency_ms": None}
    ledger.take("link.windows", *(window(NPD, NOON - at * MINUTE_MS, **blind) for at in (3, 2, 1)))
    ledger.take("link.outages", trouble(VNEID, month.at(3, 11, 17)))
    with reading(ledger.engine) as connection:
        again, fresh = (board(connection, days, second_person=True) for days in (kept, Days()))
    assert again == fresh
    [blinded] = [one for one in again.links if one.link == NPD]
    assert (blinded.state, blinded.since_ms) == ("unknown", NOON - 3 * MINUTE_MS)


def test_availability_on_the_board_is_that_of_the_interface(month_ledger: sa.Engine) -> None:
    """A card's availability of thirty days is what the interface answers for those days."""
    with reading(month_ledger) as connection:
        now = board(connection, Days(), second_person=True)
        today_ms = day_start_ms(now.now_ms - 1)
        asked = Question(today_ms - 29 * DAY_MS, today_ms + DAY_MS)
        figures = link_figures(Standing(connection, asked))
    assert {one.link: one.figures.availability_pct for one in now.links} == {
        link: counted.figures.availability_pct for link, counted in figures.items()
    }


@given(st.text(max_size=40))
def test_a_search_finds_a_name_however_it_is_typed(name: str) -> None:
    """Case and Vietnamese signs make no difference to a search, and folding twice is folding once."""
    assert folded(folded(name)) == folded(name)
    assert folded("DÂN CƯ") in folded("CSDL quốc gia về dân cư")


def test_open_pages_follow_by_themselves_and_search(ledger: Ledger, chromium) -> None:
    """With script the page changes when the ledger does and filters while one types; without, by its form."""
    ledger.watch(NPD, VNEID)
    app = create_app(ledger.engine, Access([], "viewer"), limit=RateLimit(10_000, 10_000))
    with running(app) as served, sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.url)
        address = str(served.base_url)
        scripted = browser.new_context(base_url=address, locale="vi-VN")
        page = scripted.new_page()
        page.goto("/")
        assert page.locator("h1").inner_text() == "Cả 2 kết nối đang hoạt động."
        page.fill("#q", "dang nhap")
        assert page.locator(".card:visible").count() == 1
        page.fill("#q", "")
        ledger.take("link.outages", trouble(NPD, month.at(3, 11, 58)))
        page.locator(".headline.down").wait_for()
        assert "đang gián đoạn từ 11:58" in page.locator("h1").inner_text()
        scripted.close()
        plain = browser.new_context(base_url=address, locale="vi-VN", java_script_enabled=False)
        page = plain.new_page()
        page.goto("/")
        page.fill("#q", "VNeID")
        page.locator("main button").click()
        assert page.locator(".card").count() == 1
        assert page.locator("noscript").count() == 1
        plain.close()


def test_a_stream_stands_in_the_trail_once_and_ends_with_the_server(ledger: Ledger) -> None:
    """The stream sends the page's parts at once, and ends when the server is asked to end."""
    ledger.watch(NPD, minutes=5)
    ending: list[bool] = []
    app = create_app(
        ledger.engine, Access([], "viewer"), limit=RateLimit(1_000, 1_000), stopping=lambda: bool(ending)
    )
    with running(app) as client, client.stream("GET", "/live") as stream:
        seen = ""
        for text in stream.iter_text():
            seen += text
            if "\n\n" in seen:
                ending.append(True)
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert 'data: <div data-live="top">' in seen


def test_what_is_announced_or_raised_has_its_place(ledger: Ledger) -> None:
    """Announced maintenance and a raised normal stand on the front page, by the names people use."""
    raised = RaisedNormal(failure_share=0.1, since_ms=month.START)
    ledger.take("link.windows", window(NPD, NOON - MINUTE_MS, normal=raised))
    ledger.take(
        "link.exclusions",
        new_exclusion(
            NPD,
            month.at(4, 22),
            month.at(5, 2),
            kind="maintenance",
            author="ops",
            reason="<b>Nâng cấp</b>",
            recorded_at_ms=month.at(2, 9),
        ),
    )
    with running(create_app(ledger.engine, Access([], "viewer"))) as client:
        page = client.get("/", headers={"Accept-Language": "vi"}).text
    assert "22:00 ngày 04/04/2025 – 02:00 ngày 05/04/2025, &lt;b&gt;Nâng cấp&lt;/b&gt;" in page
    assert "10 % số lượt tra cứu lỗi" in page
    assert re.search('role="alert">Dữ liệu đã cũ: chỉ có đến 03/04/2025 12:00:00', page)


def test_a_page_of_many_links_is_small(ledger: Ledger) -> None:
    """Of three hundred links a compressed front page takes at most 200 bytes each."""
    ledger.watch(*(f"portal{at // 4:03}-provider{at % 4}" for at in range(300)), minutes=1)
    app = create_app(ledger.engine, Access([], "viewer"), limit=RateLimit(1_000, 1_000))
    with running(app) as served, served.stream("GET", "/", headers={"Accept-Encoding": "gzip"}) as answer:
        packed = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    assert len(packed) < 300 * 200
