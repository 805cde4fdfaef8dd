"""The operators' forms: they do what the interface does, under the same roles, and explain what is wrong."""

import re

import pytest
import worked_month as month
from playwright.sync_api import sync_playwright
from running import Running, running

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
        ({"link": "hcmc-npb"}, "the nearest it knows is &#39;hcmc-npd&#39;"),
        ({"to": "2025-05-01T22:00"}, "end"),
        ({"from": "tomorrow"}, "from"),
        ({"reason": ""}, "reason"),
        ({"kind": "holiday"}, "kind"),
    ],
    ids=["link", "order", "time", "reason", "kind"],
)
def test_what_makes_no_sense_comes_back_with_what_was_typed(
    client: Running, tokens, excluded, wrong, said: str
) -> None:
    """A wrong field publishes nothing; the form comes back filled, and names the fault."""
    answer = client.post("/exclusions", data=FIELDS | wrong, headers=bearer(tokens, "operator"))
    assert answer.status_code == 422
    [fault] = re.findall(r'id="fault">([^\n]*)</p>', answer.text)
    assert said in fault
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


def test_an_operator_s_walk(chromium, app, tokens, excluded) -> None:
    """Without script an operator signs in, announces maintenance and withdraws it, by keyboard and forms."""
    with running(app) as served, sync_playwright() as playwright:
        browser = playwright.chromium.connect_over_cdp(chromium.url)
        context = browser.new_context(
            base_url=str(served.base_url), java_script_enabled=False, locale="vi-VN"
        )
        page = context.new_page()
        page.goto("/exclusions")
        page.fill("#token", tokens["operator"])
        page.keyboard.press("Enter")
        page.wait_for_url("**/exclusions")
        assert "operator-one (người vận hành)" in page.locator("header").inner_text()
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
