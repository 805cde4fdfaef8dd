"""The texts of the dashboards, in English and in Vietnamese."""

from typing import Final, Literal, NamedTuple

Language = Literal["en", "vi"]
LANGUAGES: Final[tuple[Language, ...]] = ("en", "vi")


class Words(NamedTuple):
    """A text in both languages."""

    en: str
    vi: str


Text = str | Words
"""A plain string is the same in both languages: a label, a unit, a symbol."""


def said(text: Text, language: Language) -> str:
    """Return a text in one language.

    >>> said(Words("up", "tốt"), "vi"), said("{{link}}", "vi")
    ('tốt', '{{link}}')
    """
    if isinstance(text, str):
        return text
    return text.vi if language == "vi" else text.en
