"""A report as PDF: a paper one can submit, tagged for those who listen to it; same report, same bytes.

What it says is gathered here, in the reader's language; `report.typ` sets it. Typst checks it against
PDF/UA-1 as it is made and gives none that fails.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Any, Final

import typst

from streams.model.hours.calendar import to_local
from streams.model.text import visible
from streams.serve.answers import Answer
from streams.serve.names import Names
from streams.serve.report.tables import excluded_outages, short_failures
from streams.serve.texts import (
    Language,
    text,
    written_calendar,
    written_count,
    written_figure,
    written_length,
    written_share,
    written_time,
)

KEY_FIGURES: Final = (
    "availability_pct",
    "down_outages",
    "down_ms",
    "longest_down_ms",
    "mean_time_to_restore_ms",
    "degraded_ms",
    "dossiers_affected",
    "coverage_pct",
    "short_failures",
    "availability_without_exclusions_pct",
)
"""What the summary says, rounded for people; the annex has every figure exactly."""
LINK_FIGURES: Final = (
    "down_ms",
    "down_outages",
    "longest_down_ms",
    "degraded_ms",
    "dossiers_affected",
    "short_failures",
)
SHADES_MS: Final = (5 * 60_000, 30 * 60_000, 120 * 60_000)
WORDS: Final = (
    *("report_of", "issuer", "period", "calendar", "timezone", "as_of", "method", "summary", "links", "link"),
    *("availability", "days", "outages", "start", "end", "kind", "fault_domain", "duration", "counted"),
    *(
        "dossiers_affected",
        "excluded",
        "exclusions",
        "reason",
        "status",
        "who_excluded",
        "evidence",
        "outage",
    ),
    *("topic", "partition", "offsets", "digest", "ledger_state", "log", "leaves", "root", "versions"),
    *("reproduce", "annex_figures", "annex_evidence", "no_outages", "no_exclusions", "prepared_by"),
    *(
        "checked_by",
        "approved_by_head",
        "sign_here",
        "formula_text",
        "rounding_text",
        "dossiers_text",
        "figure",
    ),
    *("excluded_outages", "no_excluded_outages", "counted_without_exclusions", "left_out"),
    *("short_failures_by_link", "short_failures_text", "no_short_failures", "short_failures"),
    *("short_failure_ms", "short_failure_lookups"),
    *("value", "up", "down", "degraded", "unknown", "days_text", "rounded_text", "bar"),
)


def report_pdf(report: Answer, language: Language, names: Names) -> bytes:
    """Return a report as PDF."""
    said = json.dumps(_said(report, language, names), ensure_ascii=False)
    made: bytes = typst.compile(
        _template(), format="pdf", sys_inputs={"report": said}, pdf_standards=["ua-1"]
    )
    return made


@cache
def _template() -> bytes:
    return files("streams.serve.report").joinpath("report.typ").read_bytes()


def _said(report: Answer, language: Language, names: Names) -> dict[str, Any]:
    """Return everything the paper says, as texts."""
    question, total = report["question"], report["total"]
    writer = _Writer(language, names)
    issuer = names.issuer.of(language) if names.issuer else text("blank_line", language)
    untils = [one["evidence_until_ms"] for one in report["outages"] if one["evidence_until_ms"]]
    told = "second_person_text" if question["second_person"] else "no_second_person_text"
    years = report["method"]["provisional_years"]
    calendar = question["calendar"]
    said = {
        "language": language,
        "words": {name: text(name, language) for name in WORDS},
        "issuer": issuer,
        "about": [
            [text("issuer", language), issuer],
            [text("period", language), writer.period(question)],
            [
                text("calendar", language),
                f"{written_calendar(calendar['name'], language)}, {calendar['version']}",
            ],
            [text("timezone", language), f"{question['timezone']} (UTC+7)"],
            *([[text("as_of", language), question["as_of"]]] if question["as_of"] else []),
            *(
                [text(name, language), question[name]]
                for name in ("portal", "agency", "service")
                if name in question
            ),
            *([[text("link", language), writer.link(question["link"])]] if "link" in question else []),
        ],
        "notes": [
            *(
                [text("calendar_text", language, version=calendar["version"])]
                if calendar["name"] == "office-hours"
                else []
            ),
            *([text("provisional_years_text", language, years=", ".join(map(str, years)))] if years else []),
        ],
        "figures": [[text(name, language), writer.rounded(name, total[name])] for name in KEY_FIGURES],
        "link_columns": [text(name, language) for name in LINK_FIGURES],
        "links": [writer.row(row) for row in report["links"]],
        "calendar": writer.days(report["days"]),
        "outages": [writer.outage(row) for row in report["outages"]],
        "excluded_outages": [writer.excluded_outage(row) for row in excluded_outages(report)],
        "short_failures": [writer.short_failures(row) for row in short_failures(report)],
        "exclusion_note": text(told, language),
        "exclusions": [writer.exclusion(row) for row in report["exclusions"]],
        "exact": [
            [text(name, language), written_figure(name, value, language)] for name, value in total.items()
        ],
        "evidence_note": text("evidence_until_text", language, when=writer.when(min(untils)))
        if untils
        else "",
        "evidence": [
            [
                outage["outage_id"],
                writer.link(outage["link"]),
                source["topic"],
                str(source["partition"]),
                f"[{source['first_offset']}, {source['next_offset']})",
                source["digest"],
            ]
            for outage in report["outages"]
            for source in outage["evidence"]
        ],
        "logs": [[log["log"], str(log["size"]), log["root"]] for log in report["ledger"]["logs"]],
        "versions": (
            f"portallink {report['versions']['portallink']}; {report['versions']['calendar']}; "
            f"{', '.join(report['versions']['rules']) or '–'}"
        ),
        "command": report["command"],
    }
    return {name: _visible(value) for name, value in said.items()}


def _visible(value: Any) -> Any:
    """Return the same with every text made visible: nothing in it is obeyed by anybody."""
    if isinstance(value, str):
        return visible(value).replace("\t", " ")
    if isinstance(value, dict):
        return {name: _visible(one) for name, one in value.items()}
    return [_visible(one) for one in value] if isinstance(value, list) else value


class _Writer:
    def __init__(self, language: Language, names: Names) -> None:
        self._language, self._names = language, names

    def link(self, link: str) -> str:
        return self._t("all_links") if link == "*" else self._names.called("link", link, self._language)

    def when(self, time_ms: int | None) -> str:
        return written_time(time_ms, self._language)

    def rounded(self, name: str, value: float | None) -> str:
        """Return a figure as people read it: lengths in whole minutes from ten minutes on, else seconds."""
        if name.endswith("_ms") and value is not None:
            whole = int(value)
            unit_ms = 60_000 if whole >= 600_000 else 1_000
            return written_length(-(-whole // unit_ms) * unit_ms, self._language)
        return written_figure(name, value, self._language)

    def period(self, question: Answer) -> str:
        period = f"{self.when(question['start_ms'])} – {self.when(question['end_ms'])}"
        if question["complete"]:
            return period
        return f"{period}; {text('until_text', self._language, until=self.when(question['until_ms']))}"

    def row(self, row: Answer) -> dict[str, Any]:
        observed = row["observed_ms"]
        return {
            "name": self.link(row["link"]),
            "share": written_share(row["numerator_ms"], observed, self._language),
            "bar": [
                row["numerator_ms"] / observed if observed else 0,
                row["down_ms"] / observed if observed else 0,
            ],
            "figures": [self.rounded(name, row[name]) for name in LINK_FIGURES],
        }

    def days(self, rows: list[Answer]) -> dict[str, Any]:
        """Return a cell for each link and day: what it is shown as, and its minutes down."""
        starts = sorted({row["day_ms"] for row in rows})
        by_link: dict[str, list[list[str]]] = {}
        for row in rows:
            by_link.setdefault(row["link"], []).append(list(_cell(row)))
        heads = [str(to_local(start_ms).day) for start_ms in starts]
        return {"days": heads, "links": [[self.link(link), cells] for link, cells in by_link.items()]}

    def outage(self, row: Answer) -> list[str]:
        return [
            self.when(row["start_ms"]),
            self._t("open") if row["end_ms"] is None else self.when(row["end_ms"]),
            self.link(row["link"]),
            self._t(row["kind"]),
            self._t(f"fault_{row['fault_domain']}"),
            self.rounded("duration_ms", row["duration_ms"]),
            self.rounded("counted_ms", row["counted_ms"]),
            written_count(row["dossiers_affected"], self._language),
            self._excluded(row),
        ]

    def excluded_outage(self, row: Answer) -> list[str]:
        return [
            self.when(row["start_ms"]),
            self.link(row["link"]),
            self.rounded("counted_ms", row["counted_without_exclusions_ms"]),
            self.rounded("counted_ms", row["counted_ms"]),
            self.rounded("counted_ms", row["left_out_ms"]),
            self._excluded(row),
        ]

    def short_failures(self, row: Answer) -> list[str]:
        figures = ("short_failures", "short_failure_ms", "short_failure_lookups")
        return [self.link(row["link"]), *(self.rounded(name, row[name]) for name in figures)]

    def exclusion(self, row: Answer) -> list[str]:
        status = self._t(row["status"])
        return [
            self.when(row["start_ms"]),
            self.when(row["end_ms"]),
            self.link(row["link"]),
            self._t(row["kind"]),
            self._judged(row),
            row["proposed_reason"],
            f"{status}: {row['author']}, {row['reason']}" if row["withdrawn"] else status,
        ]

    def _excluded(self, row: Answer) -> str:
        if not row["exclusions"]:
            return "–"
        said = [f"{self._judged(one)}: {one['proposed_reason']}" for one in row["exclusions"]]
        return "; ".join([self._t(f"excluded_{row['excluded']}"), *said])

    def _judged(self, exclusion: Answer) -> str:
        words = [exclusion["proposed_by"], self.when(exclusion["proposed_at_ms"])]
        if exclusion["after_the_fact"]:
            words.append(self._t("after_the_fact"))
        if exclusion["approved_by"] is not None:
            words.append(f"{self._t('approved_by')} {exclusion['approved_by']}")
        return ", ".join(words)

    def _t(self, key: str) -> str:
        return text(key, self._language)


def _cell(row: Answer) -> tuple[str, str]:
    """Return what a day is shown as, and what stands in its cell."""
    agreed_ms = row["service_ms"] - row["excluded_ms"]
    if not row["service_ms"]:
        return "off", ""
    if not agreed_ms:
        return "excluded", "°"
    if agreed_ms == row["unknown_ms"]:
        return "unknown", "?"
    mark = "°" if row["excluded_ms"] else ""
    if row["down_ms"]:
        return (
            f"down{sum(row['down_ms'] >= shade for shade in SHADES_MS)}",
            f"{-(-row['down_ms'] // 60_000)}{mark}",
        )
    return ("degraded", f"~{mark}") if row["degraded_ms"] else ("up", mark)
