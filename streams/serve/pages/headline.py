"""What the front page says in a sentence or two: what is down since when, whose fault, how many dossiers."""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from streams.ledger.read.board import Board, Brief, LinkNow
from streams.model.hours.calendar import DAY_MS, local_date
from streams.serve.names import Names
from streams.serve.texts import Language, text, written_clock, written_count, written_length

NAMED: Final = 3
"""So many links in trouble are named each; more are counted, and the longest is named."""
GRAVITY: Final = {"down": 0, "degraded": 1, "unknown": 2, "up": 3}


class Headline(Struct, frozen=True):
    """The gravest state of any link, the sentences about it, and what was last where nothing is wrong now."""

    state: str
    sentences: list[str]
    last: list[str]


def gravity(link: LinkNow) -> tuple[int, int, int, str]:
    """Return what links are ordered by, the worst first: state, since when, availability, name."""
    observed_ms = link.figures.observed_ms
    share = link.figures.available_ms * 1_000_000 // observed_ms if observed_ms else 1_000_001
    since_ms = 0 if link.state == "up" else link.since_ms or 0
    return GRAVITY[link.state], since_ms, share, link.link


def headline(board: Board, names: Names, language: Language) -> Headline:
    """Return what the front page says first."""
    if board.now_ms is None or not board.links:
        return Headline("unknown", [text("head_empty", language)], [])
    now_ms = board.now_ms
    by_state = {
        state: sorted((one for one in board.links if one.state == state), key=gravity) for state in GRAVITY
    }
    sentences: list[str] = []
    for state in ("down", "degraded"):
        sentences += _troubled(state, by_state[state], now_ms, names, language)
    if unknown := by_state["unknown"]:
        named = names.called("link", unknown[0].link, language)
        key = "head_unknown_one" if len(unknown) == 1 else "head_unknown"
        sentences.append(text(key, language, count=written_count(len(unknown), language), name=named))
    well = len(by_state["up"])
    if well:
        key = "head_all_up" if well == len(board.links) else "head_rest_up"
        key += "_one" if well == 1 else ""
        sentences.append(text(key, language, count=written_count(well, language)))
    worst = next(state for state in GRAVITY if by_state[state])
    last: list[str] = []
    if not by_state["down"] and not by_state["degraded"]:
        last = _last(board.links, now_ms, names, language)
    return Headline(worst, sentences, last)


def _troubled(
    state: str, links: Sequence[LinkNow], now_ms: int, names: Names, language: Language
) -> list[str]:
    outages = [one.open for one in links if one.open is not None]
    if len(outages) <= NAMED:
        return [
            text(
                f"head_{state}",
                language,
                name=names.called("link", one.link, language),
                since=moment(one.start_ms, now_ms, language),
                fault=text(f"by_{one.fault_domain}", language),
                dossiers=dossiers(one.dossiers_affected, language, so_far=True),
            )
            for one in outages
        ]
    longest = min(outages, key=lambda one: one.start_ms)
    told = text(
        f"head_{state}_many",
        language,
        count=written_count(len(outages), language),
        name=names.called("link", longest.link, language),
        since=moment(longest.start_ms, now_ms, language),
        fault=text(f"by_{longest.fault_domain}", language),
        dossiers=dossiers(sum(one.dossiers_affected for one in outages), language, so_far=True),
    )
    return [told]


def _last(links: Sequence[LinkNow], now_ms: int, names: Names, language: Language) -> list[str]:
    """Return what ended in the last day, the down ones first, or else the one outage that ended last."""
    ended = [one.last for one in links if one.last is not None]
    ended.sort(key=lambda outage: (outage.kind != "down", outage.start_ms))
    recent = [one for one in ended if (one.end_ms or now_ms) > now_ms - DAY_MS][:NAMED]
    if not recent and ended:
        recent = [max(ended, key=lambda outage: outage.end_ms or now_ms)]
    return [
        text(
            "head_last",
            language,
            name=names.called("link", one.link, language),
            kind=text(one.kind, language).lower(),
            start=moment(one.start_ms, now_ms, language),
            end=_end(one, now_ms, language),
            length=written_length(_minutes_ms((one.end_ms or now_ms) - one.start_ms), language),
            fault=text(f"by_{one.fault_domain}", language),
            dossiers=dossiers(one.dossiers_affected, language),
        )
        for one in recent
    ]


def moment(time_ms: int, now_ms: int, language: Language) -> str:
    """Return a moment as people say it: its time of day, and its day where that is not the present one."""
    return written_clock(time_ms, language, day=local_date(time_ms) != local_date(now_ms))


def dossiers(count: int, language: Language, *, so_far: bool = False) -> str:
    """Return a number of dossiers in words; ``so_far`` says that more may come.

    >>> dossiers(1, "en"), dossiers(926, "vi"), dossiers(13, "en", so_far=True)
    ('1 dossier', '926 hồ sơ', 'at least 13 dossiers')
    """
    key = "one_dossier" if count == 1 else "some_dossiers"
    said = text(key, language, count=written_count(count, language))
    return text("at_least", language, what=said) if so_far else said


def _end(one: Brief, now_ms: int, language: Language) -> str:
    end_ms = now_ms if one.end_ms is None else one.end_ms
    same_day = local_date(one.start_ms) == local_date(end_ms)
    return written_clock(end_ms, language, day=not same_day)


def _minutes_ms(length_ms: int) -> int:
    """Return a length in whole minutes where it has any: people do not say seconds of an hour."""
    return length_ms // 60_000 * 60_000 if length_ms >= 600_000 else length_ms // 1000 * 1000
