"""Text from outside, made safe to show: names, reasons and errors are data wherever they appear."""

import re
from typing import Final

_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters except tab and line feed, line separators, bidirectional controls, lone surrogates."""

FORMULA_SIGNS: Final = "=+-@⁺⁼₊₌﬩﹢﹣﹦﹫＋－＝＠"
"""Every character that starts a formula, or that compatibility folding (NFKC) turns into one that does."""

_FORMULA: Final = re.compile(
    rf"(^|[;\t\r\n])(?=[\s\"'\x00-\x1f\u200b-\u200f\ufeff]*[{re.escape(FORMULA_SIGNS)}])"
)


def visible(text: str) -> str:
    r"""Return a text with every character that a terminal would obey or hide written as an escape.

    Line feeds and tabs stay. The escapes are JSON's, so a JSON document keeps its meaning.

    >>> visible("hcmc\x1b[2J > npd"), visible("một\r\nhai")
    ('hcmc\\u001b[2J > npd', 'một\nhai')
    """
    return _UNSEEN.sub(lambda found: f"\\u{ord(found.group()):04x}", text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    r"""Return a text as `visible` shows it, on one line, so that no value can pass for the next line.

    >>> one_line("down\n2026-11-27 all is well")
    'down\\n2026-11-27 all is well'
    """
    return visible(text).replace("\n", "\\n")


def spreadsheet_safe(text: str) -> str:
    r"""Return a text in which no part begins with what a spreadsheet would run as a formula.

    An apostrophe goes before a formula sign, half-width or full-width, at the start and after whatever
    may begin another cell or row: a line break, a tab, or the semicolon, which separates cells where the
    comma is the decimal sign, as in Vietnam. See OWASP, "CSV Injection".

    >>> spreadsheet_safe("=1+1"), spreadsheet_safe("＝1+1"), spreadsheet_safe("a;=1"), spreadsheet_safe("1-2")
    ("'=1+1", "'＝1+1", "a;'=1", '1-2')
    """
    guarded = _FORMULA.sub(r"\1'", text)
    return "'" + guarded if guarded[:1] in ("\t", "\r", "\n") else guarded
