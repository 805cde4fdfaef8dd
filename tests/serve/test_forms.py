"""The operators' forms: they do what the interface does, under the same roles, and explain what is wrong."""

import asyncio
import re
import time
from html import unescape
from itertools import islice

import pytest
import worked_month as month
from looks import LOOKS
from playwright.sync_api import sync_playwright
from running import Running, running

from streams.ledger.store.apply import apply_records
from streams.ledger.store.database import open_ledger, sqlite_url
from streams.model.canonical import encode
from streams.model.exclusion import Exclusion, new_exclusion
from streams.model.record import Record
from streams.model.topics import EXCLUSIONS
from streams.serve.access import Access, new_token
from streams.serve.app import create_app
from streams.serve.limit import RateLimit
from streams.serve.texts import LANGUAGES, Language, text

FIELDS = {
    "link": month.LINK,
    "from": "2025-05-02T22:00",
    "to": "2025-05-03T02:00",
    "kind": "maintenance",
    "reason": "Thay bộ định tuyến",
}


def bearer(tokens, role: str) -> dict[str, str]:
    """Return the headers of a caller of a role."""
    return {"Authorization": f"Bearer {tokens[role]}", "Accept-Language": "en"}


def test_a_form_says_what_the_interface_would(client: Running, tokens, excluded) -> None:
    """The form publishes the exclusion that the interface publishes, authored by the token's owner."""
    answer = client.post("/exclusions", data=FIELDS, headers=bearer(tokens, "operator"))
    assert answer.status_code == 303
    client.post("/api/v1/exclusions", json=FIELDS, headers=bearer(tokens, "operator"))
    by_form, by_interface = excluded
    for one in ("link", "start_ms", "end_ms", "kind", "author", "reason", "withdrawn"):
        assert getattr(by_form, one) == getattr(by_interface, one)
    assert by_form.author == "operator-one"
    assert by_form.start_ms == month.at(2, 22, month=5)
    waiting = client.get(answer.headers["location"], headers=bearer(tokens, "operator")).text
    assert "The ledger will have it in a moment." in waiting


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"link": "hcmc-npb"}, ["unknown_name", "nearest_name"]),
        ({"link": ""}, ["fault_field_link"]),
        ({"to": "2025-05-01T22:00"}, ["fault_order"]),
        ({"from": "tomorrow"}, ["fault_from"]),
        ({"to": "2025-02-31T00:00"}, ["fault_to"]),
        ({"reason": "", "kind": "holiday"}, ["fault_kind", "fault_reason"]),
        ({"approved": "yes"}, ["fault_field"]),
    ],
    ids=["link", "no link", "order", "time", "kind", "reason", "field"],
)
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_makes_no_sense_comes_back_with_what_was_typed(
    client: Running, tokens, excluded, wrong, said: list[str], language: Language
) -> None:
    """A wrong field publishes nothing; the form comes back filled, and names the fault in its language."""
    headers = bearer(tokens, "operator") | {"Accept-Language": language}
    answer = client.post("/exclusions", data=FIELDS | wrong, headers=headers)
    assert answer.status_code == 422
    [fault] = re.findall(r'id="fault">([^\n]*)</p>', answer.text)
    scope = text("link", language).lower()
    told = [text(key, language, scope=scope, near="hcmc-npd") for key in said]
    assert unescape(fault) == " ".join([text("not_sent", language), *told])
    assert "reason" in wrong or "Thay bộ định tuyến</textarea>" in answer.text
    assert excluded == []


@pytest.mark.parametrize("path", ["/exclusions", "/exclusions/x/approval", "/exclusions/x/withdrawal"])
def test_forms_are_for_operators_of_this_site(client: Running, tokens, excluded, path: str) -> None:
    """Other roles, nobody, and forms of other sites are refused; nothing is published."""
    assert client.post(path, data=FIELDS, headers=bearer(tokens, "auditor")).status_code == 403
    assert client.post(path, data=FIELDS).status_code == 303
    elsewhere = bearer(tokens, "operator") | {"Sec-Fetch-Site": "cross-site"}
    assert client.post(path, data=FIELDS, headers=elsewhere).status_code == 403
    page = client.get("/exclusions", headers=bearer(tokens, "auditor"))
    assert page.status_code == 200
    assert "<textarea" not in page.text
    assert excluded == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_judgement_that_cannot_be_made_is_refused_in_the_reader_s_language(
    client: Running, tokens, excluded, language: Language
) -> None:
    """A revision that is not possible is refused with the reason, in the language of the page."""
    operator = bearer(tokens, "operator") | {"Accept-Language": language}
    held = client.get(f"/api/v1/exclusions?month={month.MONTH}", headers=operator).json()["exclusions"]
    announced = next(one for one in held if not one["after_the_fact"] and not one["withdrawn"])
    withdrawn = next(one for one in held if one["withdrawn"])
    approved = next(one for one in held if one["approved_by"] is not None)
    for one, key, by in (
        (announced, "fault_announced", announced["proposed_by"]),
        (withdrawn, "fault_withdrawn", withdrawn["author"]),
        (approved, "fault_approved", approved["approved_by"]),
    ):
        path = f"/exclusions/{one['exclusion_id']}/approval"
        answer = client.post(path, data={"reason": "Đồng ý"}, headers=operator)
        assert answer.status_code == 409
        assert text(key, language, name=one["exclusion_id"], by=by) in unescape(answer.text)
    nowhere = client.post("/exclusions/x-none/approval", data={"reason": "Đồng ý"}, headers=operator)
    assert nowhere.status_code == 404
    assert text("no_such_exclusion", language) in unescape(nowhere.text)
    assert excluded == []


@pytest.mark.parametrize("look", LOOKS)
def test_an_operator_s_walk(chromium, app, tokens, excluded, tmp_path, look: str) -> None:
    """In every look an operator signs in, announces maintenance and withdraws it, by keyboard and forms."""
    with running(app) as served, sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.url)
        context = browser.new_context(base_url=str(served.base_url), **LOOKS[look] | {"locale": "vi-VN"})
        page = context.new_page()
        page.goto("/exclusions")
        page.fill("#token", tokens["operator"])
        page.keyboard.press("Enter")
        page.wait_for_url("**/exclusions")
        assert "operator-one (người vận hành)" in page.locator("header").inner_text()
        page.screenshot(path=tmp_path / f"exclusions-{look}.png", full_page=True)
        page.select_option("#link", month.LINK)
        page.fill("#from", "2025-05-02T22:00")
        page.fill("#to", "2025-05-03T02:00")
        page.fill("#reason", "Thay bộ định tuyến")
        page.focus("main button")
        page.keyboard.press("Enter")
        page.wait_for_url("**/exclusions?sent=*")
        assert "Đã gửi" in page.locator("[role=status]").inner_text()
        page.goto("/exclusions")
        page.locator("table a").last.click()
        page.fill("#withdraw-reason", "Hoãn")
        page.get_by_role("button", name="Rút lại").click()
        page.wait_for_url("**/exclusions?sent=*")
        context.close()
    announced, withdrawn = excluded
    assert (announced.reason, announced.kind, announced.revision) == ("Thay bộ định tuyến", "maintenance", 1)
    assert (withdrawn.reason, withdrawn.withdrawn) == ("Hoãn", True)


def test_a_second_person_s_walk(chromium, tmp_path) -> None:
    """Without script a second person finds what is pending, approves it by keyboard, and it is in force."""
    proposed = new_exclusion(
        month.LINK,
        month.START,
        month.START + 3_600_000,
        kind="exclusion",
        author="audit",
        reason="Thống nhất sau sự cố",
        recorded_at_ms=month.END,
    )
    ledger = open_ledger(sqlite_url(tmp_path / "ledger.db"), create=True)
    windows = (one for one in month.records() if one.topic == "link.windows")
    apply_records(ledger, list(islice(windows, 60)))
    published: list[Exclusion] = []

    async def publish(one: Exclusion) -> None:
        place = (EXCLUSIONS, 0, len(published), one.recorded_at_ms, one.link.encode())
        published.append(one)
        apply_records(ledger, [Record(*place, encode(one))])

    asyncio.run(publish(proposed))
    token, entry = new_token("operator-two", "operator", int(time.time()) + 600)
    app = create_app(ledger, Access([entry]), limit=RateLimit(10_000, 10_000), exclude=publish)
    with running(app) as served, sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.url)
        context = browser.new_context(
            base_url=str(served.base_url), java_script_enabled=False, locale="vi-VN"
        )
        page = context.new_page()
        page.goto("/exclusions")
        page.fill("#token", token)
        page.keyboard.press("Enter")
        page.wait_for_url("**/exclusions")
        assert "Chờ phê duyệt" in page.locator("main table").inner_text()
        page.locator("main table a").first.focus()
        page.keyboard.press("Enter")
        page.wait_for_url("**/exclusions/x-*")
        page.fill("#approve-reason", "Biên bản số 12")
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        page.wait_for_url("**/exclusions?sent=*")
        page.locator("[role=status] a").click()
        page.wait_for_url("**/exclusions/x-*")
        assert "operator-two" in page.locator("#revisions").inner_text()
        assert page.locator("#approve-reason").count() == 0
        context.close()
    ledger.dispose()
    assert [(one.author, one.approved) for one in published] == [("audit", False), ("operator-two", True)]
    assert published[1].reason == "Biên bản số 12"


def test_the_interface_is_described_for_people(client: Running) -> None:
    """Every operation of the OpenAPI document stands on the page, with each parameter, and needs no token."""
    page = client.get("/docs", headers={"Accept-Language": "vi"})
    assert page.status_code == 200
    schema = client.get("/api/v1/openapi.json").json()
    for path, item in schema["paths"].items():
        for method, said in item.items():
            assert f"{method.upper()} {path}" in page.text
            for one in said.get("parameters", []):
                assert f"<code>{one['name']}</code>" in page.text
    assert "<code>reason</code> (body), bắt buộc" in page.text
