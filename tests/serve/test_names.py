"""Names that people use: everything of the simulated city has one, in both languages."""

import re
from pathlib import Path

import pytest

from streams.serve.names import Names, NamesFileError, city_names, read_names
from streams.simulate.shell import load_catalogue


def test_everything_of_the_city_has_a_name() -> None:
    """Links, portals, agencies and services of the catalogue have names, and links those it gives them."""
    catalogue, names = load_catalogue(), city_names()
    assert {one.id: (one.name.vi, one.name.en) for one in catalogue.links} == {
        link: (name.vi, name.en) for link, name in names.links.items()
    }
    wanted = {
        "portal": [one.id for one in catalogue.portals],
        "agency": [name for group in catalogue.agencies for name in group.ids()],
        "service": [one.id for group in catalogue.services for one in group.all()],
    }
    nameless = {
        scope: [one for one in some for language in ("vi", "en") if names.called(scope, one, language) == one]
        for scope, some in wanted.items()
    }
    assert nameless == {scope: [] for scope in wanted}


def test_numbered_names_carry_their_number_and_unknown_ones_stay_as_they_are() -> None:
    """A numbered identifier is named by its kind, a link by its ends, and what is not known by itself."""
    names = city_names()
    assert names.called("agency", "quan-007", "vi") == "Quận 7"
    assert (
        names.called("link", "police-payment", "vi") == "Cổng Dịch vụ công Bộ Công an – Thanh toán trực tuyến"
    )
    assert names.called("link", "x/y > z", "en") == "x/y > z"
    assert Names().called("service", "abc-12", "en") == "abc-12"


@pytest.mark.parametrize("said", ["links: {a: {vi: x}}", "link: {}", "- 1", "a: [", ""], ids=str)
def test_a_file_of_names_that_says_something_else_is_refused(said: str, tmp_path: Path) -> None:
    """What is no file of names is refused by its path and the place in it."""
    path = tmp_path / "names.yaml"
    path.write_text(said)
    with pytest.raises(NamesFileError, match=re.escape(str(path))):
        read_names(path)
    with pytest.raises(NamesFileError, match="missing"):
        read_names(tmp_path / "missing")
