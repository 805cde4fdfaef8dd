"""What readers see, in Vietnamese and English, and how times, lengths and shares are written in each."""

from datetime import timedelta
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, Literal

import yaml

from streams.model.hours.calendar import DAY_MS, EPOCH, UTC_OFFSET_MS
from streams.model.outage import RaisedNormal

Language = Literal["vi", "en"]
LANGUAGES: Final[tuple[Language, ...]] = ("vi", "en")


@cache
def _texts() -> dict[str, dict[Language, str]]:
    texts: dict[str, dict[Language, str]] = yaml.safe_load(
        files("streams.serve").joinpath("texts.yaml").read_text("utf-8")
    )
    return texts


def text(key: str, language: Language, **values: object) -> str:
    """Return a text in a language, with values filled in; raise KeyError for one that does not exist."""
    chosen = _texts()[key][language]
    return chosen.format(**values) if values else chosen


def written_calendar(name: str, language: Language) -> str:
    """Return what readers call a calendar; one of a ledger's own is called by its name."""
    return text(name, language) if name in ("24x7", "office-hours") else name


def written_time(time_ms: int | None, language: Language) -> str:
    """Return a time as readers write it, in Asia/Ho_Chi_Minh, with seconds.

    >>> written_time(1743645510000, "vi"), written_time(1743645510000, "en")
    ('03/04/2025 08:58:30', '2025-04-03 08:58:30')
    """
    if time_ms is None:
        return text("none", language)
    day, ms = divmod(time_ms + UTC_OFFSET_MS, DAY_MS)
    return f"{_written_day(day, language)} {ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}"


@lru_cache(maxsize=4096)
def _written_day(days: int, language: Language) -> str:
    """Return a local day, given as days since 1970."""
    return (EPOCH + timedelta(days=days)).strftime("%d/%m/%Y" if language == "vi" else "%Y-%m-%d")


def written_clock(time_ms: int, language: Language, *, day: bool = False) -> str:
    """Return a time of day without seconds, in Asia/Ho_Chi_Minh, with its day where that is asked for.

    >>> written_clock(1743645510000, "vi"), written_clock(1743645510000, "en", day=True)
    ('08:58', '08:58 on 2025-04-03')
    """
    clock = written_time(time_ms, language)[11:16]
    if not day:
        return clock
    return f"{clock} {text('on_day', language, day=_day_of(time_ms, language))}"


def written_age(age_ms: int, language: Language) -> str:
    """Return how long ago something was, in its greatest unit.

    >>> written_age(3_725_000, "en"), written_age(200_000, "vi"), written_age(-5, "en")
    ('1 h', '3 phút', '0 s')
    """
    for unit_ms, key in ((DAY_MS, "days"), (3_600_000, "hours"), (60_000, "minutes")):
        if age_ms >= unit_ms:
            return f"{written_count(age_ms // unit_ms, language)} {text(f'unit_{key}', language)}"
    return f"{max(0, age_ms // 1000)} {text('unit_seconds', language)}"


def written_share(part: int, whole: int, language: Language) -> str:
    """Return a share in percent with two decimals, rounded down, as people read it at a glance.

    >>> written_share(99_999, 100_000, "en"), written_share(1, 1, "vi"), written_share(0, 0, "en")
    ('99.99 %', '100 %', '–')
    """
    if not whole:
        return text("none", language)
    hundredths = part * 10_000 // whole
    written = "100" if hundredths == 10_000 else f"{hundredths / 100:.2f}"
    return f"{written.replace('.', ',') if language == 'vi' else written} %"


def written_length(length_ms: int | None, language: Language) -> str:
    """Return a length of time as readers write it; days are left as hours.

    >>> written_length(30_690_000, "en"), written_length(1_890_000, "vi"), written_length(500, "en")
    ('8 h 31 min 30 s', '31 phút 30 giây', '0.5 s')
    """
    if length_ms is None:
        return text("none", language)
    hour, minute, second = ("giờ", "phút", "giây") if language == "vi" else ("h", "min", "s")
    hours, rest = divmod(length_ms, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    parts = [(f"{hours:,}", hour)] if hours else []
    parts += [(str(minutes), minute)] if minutes else []
    if rest or not parts:
        seconds = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
        parts.append((seconds.replace(".", ",") if language == "vi" else seconds, second))
    if language == "vi":
        parts = [(number.replace(",", ".") if unit == hour else number, unit) for number, unit in parts]
    return " ".join(f"{number} {unit}" for number, unit in parts)


def written_percent(share: float | None, language: Language) -> str:
    """Return a share in percent with its four decimals.

    >>> written_percent(98.1863, "vi"), written_percent(100.0, "en"), written_percent(None, "en")
    ('98,1863 %', '100.0000 %', '–')
    """
    if share is None:
        return text("none", language)
    written = f"{share:.4f} %"
    return written.replace(".", ",") if language == "vi" else written


def written_count(count: int | None, language: Language) -> str:
    """Return a count with its thousands apart.

    >>> written_count(395070, "vi"), written_count(395070, "en")
    ('395.070', '395,070')
    """
    if count is None:
        return text("none", language)
    written = f"{count:,}"
    return written.replace(",", ".") if language == "vi" else written


def written_normal(normal: RaisedNormal, language: Language) -> str:
    """Return in words what is raised of a link's normal.

    >>> written_normal(RaisedNormal(failure_share=0.1, since_ms=1677776400000), "en")
    '10 % of its lookups fail, since 2023-03-03'
    >>> written_normal(RaisedNormal(slow_ms=4800, slower_since_ms=1677776400000), "vi")
    'tra cứu mất đến 4,8 giây, từ ngày 03/03/2023'
    """
    parts = []
    if normal.failure_share is not None and normal.since_ms is not None:
        share = f"{100 * normal.failure_share:g}"
        share = share.replace(".", ",") if language == "vi" else share
        parts.append(text("normal_fails", language, share=share, day=_day_of(normal.since_ms, language)))
    if normal.slow_ms is not None and normal.slower_since_ms is not None:
        length, day = written_length(normal.slow_ms, language), _day_of(normal.slower_since_ms, language)
        parts.append(text("normal_slow", language, length=length, day=day))
    return "; ".join(parts)


def _day_of(time_ms: int, language: Language) -> str:
    return _written_day((time_ms + UTC_OFFSET_MS) // DAY_MS, language)


def written_figure(name: str, value: float | None, language: Language) -> str:
    """Return a figure as its name says: a share, a length or a count."""
    if name.endswith("_pct"):
        return written_percent(value, language)
    whole = None if value is None else int(value)
    return written_length(whole, language) if name.endswith("_ms") else written_count(whole, language)
