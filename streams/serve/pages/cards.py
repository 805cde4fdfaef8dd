"""The front page's cards, one a link: state, since when, the last 24 hours, availability, p95, last outage.

A thousand of them are made at once, so each is written directly: texts are looked up once a page, and what
comes from elsewhere (names, identifiers) is escaped here.
"""

import unicodedata
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from markupsafe import Markup, escape
from msgspec import Struct

from streams.ledger.read.board import Board, LinkNow
from streams.model.hours.calendar import DAY_MS, MINUTE_MS
from streams.model.incidents import ends_of
from streams.model.intervals import Intervals, length_ms
from streams.serve.names import Names, Scope
from streams.serve.pages.headline import dossiers, gravity, moment
from streams.serve.texts import Language, text, written_length, written_share

MANY: Final = 60
"""So many links are shown as cards; of more, only those in trouble are, and the others as lines."""
LEAST_MINUTES: Final = 5
"""The least width of a mark in a bar of 1440, so that a short outage is seen."""


class Group(Struct, frozen=True):
    """The links of one portal or provider that are well, as cards; ``troubled`` others stand above."""

    title: str
    links: int
    troubled: int
    cards: list[Markup]


class Cards(Struct, frozen=True):
    """Every card of a front page: what is in trouble, worst first, and the others by group."""

    troubled: list[Markup]
    groups: list[Group]
    shown: int
    dense: bool


@lru_cache(maxsize=16_384)
def folded(words: str) -> str:
    """Return a text as it is searched in: without case and without Vietnamese signs.

    >>> folded("Đăng ký thường trú")
    'dang ky thuong tru'
    """
    plain = unicodedata.normalize("NFD", words.casefold().replace("đ", "d"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def cards(board: Board, names: Names, language: Language, group_by: Scope, wanted: str) -> Cards:
    """Return the cards of the links whose name or identifier holds what is wanted, in groups."""
    writer = _Writer(board, names, language)
    needle = folded(wanted.strip())
    found = [one for one in sorted(board.links, key=gravity) if needle in writer.sought(one.link)]
    dense = len(found) > MANY
    troubled = [one for one in found if one.state != "up" and (one.state != "unknown" or not dense)]
    apart = {one.link for one in troubled}
    end = 0 if group_by == "portal" else 1
    by_end: dict[str, list[LinkNow]] = {}
    for one in found:
        by_end.setdefault(ends_of(one.link)[end] or one.link, []).append(one)
    groups = [
        Group(
            names.called(group_by, name, language),
            len(links),
            sum(one.state != "up" for one in links),
            [writer.card(one) for one in links if one.link not in apart],
        )
        for name, links in by_end.items()
    ]
    groups.sort(key=lambda group: (-group.troubled, folded(group.title)))
    return Cards([writer.card(one) for one in troubled], groups, len(found), dense)


class _Writer:
    """Writes cards in one language; texts are looked up once."""

    def __init__(self, board: Board, names: Names, language: Language) -> None:
        self._now_ms = board.now_ms or 0
        self._names, self._language = names, language
        keys = (
            "down",
            "degraded",
            "unknown",
            "up",
            "excluded",
            "maintenance",
            "last_24_hours",
            "thirty_days",
        )
        self._words = {key: text(key, language) for key in keys}
        self._faults = {one: text(f"by_{one}", language) for one in ("link", "provider", "client")}

    def sought(self, link: str) -> str:
        """Return what a search looks through."""
        return folded(f"{self._names.called('link', link, self._language)} {link}")

    def card(self, one: LinkNow) -> Markup:
        """Return a link's card."""
        name = self._names.called("link", one.link, self._language)
        facts = f"{self._words['thirty_days']}: <b>{self._share(one)}</b>"
        if one.p95_ms is not None:
            facts += f" · p95: <b>{round(one.p95_ms)}&nbsp;ms</b>"
        if one.last is not None and one.open is None:
            facts += f" · {self._last(one)}"
        tag = f'<span class="tag {one.state}">{self._words[one.state]}</span>'
        if one.maintenance:
            tag += f' <span class="tag held">{self._words["maintenance"]}</span>'
        # Texts, digits and times are ours; the name and the identifier are escaped.
        return Markup(  # noqa: S704
            f'<li class="card {one.state}" data-q="{escape(self.sought(one.link))}">'
            f'<h3><a href="/link?link={quote(one.link)}">{escape(name)}</a></h3>'
            f"<p>{tag} {self._since(one)}</p>{self._bar(one)}<p class=facts>{facts}</p></li>"
        )

    def _since(self, one: LinkNow) -> str:
        if one.since_ms is None:
            return text("since_long", self._language)
        said = text("since", self._language, since=moment(one.since_ms, self._now_ms, self._language))
        if one.open is not None:
            said += f" · {self._faults[one.open.fault_domain]}"
            said += f' · <a href="/outages/{quote(one.open.outage_id)}">'
            said += f"{dossiers(one.open.dossiers_affected, self._language, so_far=True)}</a>"
            if one.unseen_since_ms is not None:
                seen = moment(one.unseen_since_ms, self._now_ms, self._language)
                said += f" · {text('unseen_since', self._language, since=seen)}"
        return said

    def _share(self, one: LinkNow) -> str:
        return written_share(one.figures.available_ms, one.figures.observed_ms, self._language)

    def _last(self, one: LinkNow) -> str:
        last = one.last
        assert last is not None, "the caller has looked"
        end_ms = self._now_ms if last.end_ms is None else last.end_ms
        length_ms = max(MINUTE_MS, (end_ms - last.start_ms) // MINUTE_MS * MINUTE_MS)
        return (
            f'<a href="/outages/{quote(last.outage_id)}">'
            + text(
                "last_outage",
                self._language,
                start=moment(last.start_ms, self._now_ms, self._language),
                length=written_length(length_ms, self._language),
            )
            + "</a>"
        )

    def _bar(self, one: LinkNow) -> str:
        """Return the last 24 hours as a bar of 1440 minutes; what is not drawn on was up."""
        first_ms = self._now_ms - DAY_MS
        before = [(first_ms, one.first_ms)] if one.first_ms > first_ms else []
        kinds = (
            ("before", before),
            ("excluded", one.excluded),
            ("degraded", one.degraded),
            ("down", one.down),
            ("unknown", one.unknown),
        )
        marks = "".join(f'<path class="{kind}" d="{self._path(times)}"/>' for kind, times in kinds if times)
        told = [
            f"{self._words[kind].lower()} {self._length(times)}"
            for kind, times in kinds
            if times and kind not in ("excluded", "before")
        ]
        label = f"{self._words['last_24_hours']}: {', '.join(told) or self._words['up'].lower()}"
        return (
            f'<svg class=bar viewBox="0 0 1440 24" preserveAspectRatio=none role=img aria-label="{label}">'
            f"{marks}</svg>"
        )

    def _path(self, times: Intervals) -> str:
        first_ms = self._now_ms - DAY_MS
        parts = []
        for start_ms, end_ms in times:
            at = (start_ms - first_ms) // MINUTE_MS
            width = max(LEAST_MINUTES, (end_ms - start_ms) // MINUTE_MS)
            parts.append(f"M{min(at, 1440 - width)} 0h{width}v24h-{width}")
        return "".join(parts)

    def _length(self, times: Intervals) -> str:
        return written_length(max(MINUTE_MS, length_ms(times) // MINUTE_MS * MINUTE_MS), self._language)
