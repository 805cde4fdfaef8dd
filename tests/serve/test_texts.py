"""Every word that readers see is a text in both languages, and every text is shown somewhere."""

import re
from importlib.resources import files

import pytest
import yaml
from source_tree import ROOT

from streams.serve.texts import LANGUAGES

TEXTS = yaml.safe_load((ROOT / "streams/serve/texts.yaml").read_text("utf-8"))
TEMPLATES = {path.name: path.read_text("utf-8") for path in (ROOT / "streams/serve/templates").iterdir()}
SOURCES = "".join(
    path.read_text("utf-8") for room in ("serve", "cli") for path in (ROOT / "streams" / room).rglob("*.py")
) + "".join(TEMPLATES.values())
# Keys that are put together: a prefix, then a value of the model.
COMPOSED = ("fault_", "by_", "reason_", "role_", "excluded_", "head_", "unit_", "needs_role_")
FIGURES = re.compile(r"_(ms|pct)$")


def test_every_text_is_in_both_languages() -> None:
    """Each text says something in Vietnamese and in English, with the same values to fill in."""
    for key, said in TEXTS.items():
        assert set(said) == set(LANGUAGES), key
        assert all(isinstance(one, str) and one for one in said.values()), key
        filled = [set(re.findall(r"{(\w+)}", one)) for one in said.values()]
        assert filled[0] == filled[1], key


def test_every_key_of_a_template_is_a_text() -> None:
    """Whatever a template names as a text is one."""
    for name, template in TEMPLATES.items():
        missing = set(re.findall(r'\bt\("([a-z0-9_-]+)"[,)]', template)) - TEXTS.keys()
        assert missing == set(), name


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_no_template_says_anything_itself(name: str) -> None:
    """Outside of expressions and tags a template holds no word of any language, but names and commands."""
    bare = re.sub(
        r"{#.*?#}|{%.*?%}|{{.*?}}|<(style|pre)\b.*?</\1>|<[^>]*>|&[a-z]+;",
        " ",
        TEMPLATES[name],
        flags=re.DOTALL,
    )
    allowed = {"portallink", "Asia", "Ho_Chi_Minh", "UTC", "rules", "api", "openapi", "json"}
    assert set(re.findall(r"[^\W\d]{3,}", bare)) - allowed == set()


def test_no_text_is_left_over() -> None:
    """Each text is named in the code or a template, or is a figure's or a value's name."""
    named = set(re.findall(r"[\"']([a-z0-9_-]+)[\"']", SOURCES))
    columns = {key for key in TEXTS if FIGURES.search(key)}
    unused = {key for key in TEXTS.keys() - named - columns if not key.startswith(COMPOSED)}
    assert unused <= {"closed"}  # a status
    assert files("streams.serve").joinpath("texts.yaml").is_file()


@pytest.mark.parametrize(
    ("address", "status", "said"),
    [
        ("/report?from=2025-05-02&to=2025-05-01", 422, "Kỳ không hợp lệ."),
        ("/exclusions", 403, "Cần vai trò người vận hành."),
        ("/runbooks/Nothing", 404, "Không có hướng dẫn Nothing."),
    ],
)
def test_a_refused_page_is_in_the_reader_s_language(client, tokens, address: str, status: int, said: str):
    """A page that is refused says why in Vietnamese to a Vietnamese reader."""
    headers = {"Authorization": f"Bearer {tokens['viewer']}", "Accept-Language": "vi", "Accept": "text/html"}
    send = client.post if status == 403 else client.get
    answer = send(address, headers=headers)
    assert answer.status_code == status
    assert said in answer.text
