"""The runbooks as pages: for the engineer who is called at night, without a token."""

import pytest
from running import Running, running

from streams.serve.access import Access
from streams.serve.app import create_app
from streams.serve.context import Contact
from streams.serve.runbooks import runbooks


@pytest.mark.parametrize("language", ["vi", "en"])
def test_every_runbook_is_a_page_in_both_languages(client: Running, language: str) -> None:
    """Each runbook shows its queries and texts in the language asked for, and the list names them all."""
    listed = client.get(f"/runbooks?lang={language}").text
    for name, book in runbooks().items():
        page = client.get(f"/runbooks/{name}?lang={language}")
        assert page.status_code == 200
        assert f'<html lang="{language}">' in page.text
        assert book.title.of(language) in page.text
        assert page.text.count("<pre") >= len(book.check)
        assert f"/runbooks/{name}?lang={language}" in listed


def test_an_unknown_runbook_is_not_found(client: Running) -> None:
    """A name that no alert has is answered by 404 and a page that says so."""
    page = client.get("/runbooks/PortallinkNothing", headers={"Accept-Language": "en"})
    assert page.status_code == 404
    assert "PortallinkNothing" in page.text


def test_contacts_stand_in_each_runbook(month_ledger) -> None:
    """The contacts of the settings are shown as data, whatever characters they hold."""
    contacts = [Contact("LGSP <operator>", "at night", "028 0000 0000")]
    with running(create_app(month_ledger, Access([]), contacts=contacts)) as client:
        page = client.get("/runbooks/PortallinkLinkDown?lang=en").text
    assert "LGSP &lt;operator&gt;" in page
    assert "028 0000 0000" in page
