"""An engineer on call walks from the front page to the runbook, in every look."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import worked_month as month
from front_ledger import NPD, VNEID, Ledger, trouble
from looks import LOOKS
from playwright.sync_api import Page, sync_playwright
from running import running

from streams import telemetry
from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.limit import RateLimit
from streams.serve.names import city_names


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Return a ledger of three links, of which one is down since 11:17."""
    telemetry.configure("serve", level="error")
    made = Ledger(tmp_path)
    made.watch(NPD, VNEID, "hanoi-npd")
    made.take("link.outages", trouble(VNEID, month.at(3, 11, 17)))
    yield made
    made.engine.dispose()


def fits(page: Page) -> bool:
    """Return whether the page does not scroll sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("look", LOOKS)
def test_the_engineer_on_call(ledger: Ledger, chromium, tmp_path, look: str) -> None:
    """What is down, since when, whose fault, how many dossiers; its story; the link; what to do."""
    vietnamese = LOOKS[look]["locale"] == "vi-VN"
    name = city_names().links[VNEID]
    app = create_app(ledger.engine, Access([], "viewer"), limit=RateLimit(10_000, 10_000))
    with running(app) as served, sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.url)
        context = browser.new_context(base_url=str(served.base_url), **LOOKS[look])
        page = context.new_page()
        page.goto("/")
        said = page.locator("h1").inner_text()
        for part in (
            name.of("vi" if vietnamese else "en"),
            "11:17",
            "926",
            "bên cung cấp" if vietnamese else "provider",
        ):
            assert part in said, part
        first = page.locator(".card").first
        assert name.of("vi" if vietnamese else "en") in first.inner_text()
        page.screenshot(path=tmp_path / f"front-{look}.png", full_page=True)
        assert fits(page)
        page.locator("main a[href^='/outages/']").first.click()
        page.wait_for_url("**/outages/*")
        assert page.locator("svg.picture").count() == 1
        assert "926" in page.locator("main").inner_text()
        page.screenshot(path=tmp_path / f"story-{look}.png", full_page=True)
        assert fits(page)
        page.locator(f"main a[href^='/link?link={VNEID}']").first.click()
        page.wait_for_url("**/link?*")
        assert page.locator("#figure-down_ms").count() == 1
        page.screenshot(path=tmp_path / f"link-{look}.png", full_page=True)
        assert fits(page)
        page.locator("footer a[href='/runbooks']").click()
        page.locator("a[href^='/runbooks/PortallinkLinkDown']").click()
        page.wait_for_url("**/runbooks/PortallinkLinkDown*")
        assert page.locator("main pre, main code").count() > 2
        page.screenshot(path=tmp_path / f"runbook-{look}.png", full_page=True)
        assert fits(page)
        context.close()
