"""A report as PDF, in a font that writes Vietnamese, with nothing in it that differs from run to run."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from fpdf import FPDF
from fpdf.enums import MethodReturnValue
from fpdf.fonts import FontFace

from streams.model.text import visible
from streams.serve.answers import Answer
from streams.serve.names import Names
from streams.serve.texts import (
    Language,
    text,
    written_calendar,
    written_count,
    written_figure,
    written_length,
    written_time,
)

FONT: Final = "DejaVu"
SUMMARY_FIGURES: Final = (
    "availability_pct",
    "availability_without_exclusions_pct",
    "coverage_pct",
    "down_ms",
    "down_outages",
    "longest_down_ms",
    "mean_time_to_restore_ms",
    "request_success_pct",
    "short_failures",
    "short_failure_ms",
)
OUTAGE_COLUMNS: Final = (
    "start",
    "end",
    "link",
    "kind",
    "fault_domain",
    "duration",
    "counted",
    "dossiers_affected",
    "excluded",
)


LINES_TOGETHER: Final = 20
"""Lines of a table's row that stay together on a page, which holds about forty."""
SHORT_CHARACTERS: Final = 120
"""So many characters take fewer lines than that in the narrowest column of words, and are not measured."""


class FontMissingError(RuntimeError):
    """The font is not where matplotlib keeps it."""


def report_pdf(report: Answer, language: Language, names: Names) -> bytes:
    """Return a report as PDF."""
    page = _Page(report, language, names)
    page.write()
    return bytes(page.pdf.output())


class _Page:
    def __init__(self, report: Answer, language: Language, names: Names) -> None:
        self._report, self._language, self._names = report, language, names
        self.pdf = FPDF(orientation="L", format="A4")
        # Of the period, not of the making: the same input gives the same bytes.
        self.pdf.set_creation_date(datetime.fromtimestamp(report["question"]["end_ms"] / 1000, UTC))
        self.pdf.set_title(text("report_of", language))
        self.pdf.set_lang(language)
        folder = _font_folder()
        self.pdf.add_font(FONT, "", folder / "DejaVuSans.ttf")
        self.pdf.add_font(FONT, "B", folder / "DejaVuSans-Bold.ttf")
        self.pdf.set_auto_page_break(auto=True, margin=15)
        self.pdf.add_page()

    def write(self) -> None:
        report = self._report
        question = report["question"]
        self._heading(self._t("report_of"), 16)
        calendar = question["calendar"]
        called = written_calendar(calendar["name"], self._language)
        rows = [
            (self._t("period"), self._period(question)),
            (self._t("timezone"), f"{question['timezone']} (UTC+7)"),
            (
                self._t("calendar"),
                f"{called}, {calendar['version']}",
            ),
        ]
        narrowed = ("link", "portal", "agency", "service")
        rows += [(name, question[name]) for name in narrowed if name in question]
        if question["as_of"]:
            rows.append((self._t("as_of"), question["as_of"]))
        self._table((1, 3), None, rows)
        self._heading(self._t("availability"))
        figures = [(self._t(name), self._figure(name, value)) for name, value in report["total"].items()]
        self._table((2, 1), None, figures)
        if len(report["links"]) > 1:
            self._heading(self._t("links"))
            header = [self._t("link"), *map(self._t, SUMMARY_FIGURES)]
            self._table(
                (2, *[1] * len(SUMMARY_FIGURES)),
                header,
                map(self._link, report["links"]),
            )
        self._method()
        self._heading(self._t("outages"))
        header = list(map(self._t, OUTAGE_COLUMNS))
        self._table((3, 3, 3, 2, 2, 2, 2, 2, 4), header, map(self._outage, report["outages"]))
        self._heading(self._t("exclusions"))
        header = list(map(self._t, ("start", "end", "link", "kind", "who_excluded", "reason", "status")))
        told = "second_person_text" if question["second_person"] else "no_second_person_text"
        self._paragraph(self._t(told))
        self._table((3, 3, 2, 2, 3, 4, 2), header, map(self._exclusion, report["exclusions"]))
        self._heading(self._t("evidence"))
        untils = [one["evidence_until_ms"] for one in report["outages"] if one["evidence_until_ms"]]
        if untils:
            self._paragraph(text("evidence_until_text", self._language, when=self._when(min(untils))))
        header = [self._t("outage"), *map(self._t, ("topic", "partition", "offsets", "digest"))]
        self._table((4, 2, 1, 3, 6), header, self._evidence())
        self._heading(self._t("ledger_state"))
        logs = ([log["log"], str(log["size"]), log["root"]] for log in report["ledger"]["logs"])
        self._table((2, 1, 5), list(map(self._t, ("log", "leaves", "root"))), logs)
        versions = report["versions"]
        self._heading(self._t("versions"))
        rules = ", ".join(versions["rules"]) or "–"
        self._paragraph(f"portallink {versions['portallink']}; {versions['calendar']}; rules {rules}")
        self._heading(self._t("reproduce"))
        self._paragraph(report["command"])

    def _method(self) -> None:
        report = self._report
        self._heading(self._t("method"))
        self._paragraph(self._t("formula_text"))
        self._paragraph(f"{self._t('rounding_text')} {self._t('dossiers_text')}")
        calendar = report["question"]["calendar"]
        if calendar["name"] == "office-hours":
            self._paragraph(text("calendar_text", self._language, version=calendar["version"]))
        if years := report["method"]["provisional_years"]:
            self._paragraph(text("provisional_years_text", self._language, years=", ".join(map(str, years))))

    def _link(self, row: Answer) -> list[str]:
        return [row["link"], *(self._figure(name, row[name]) for name in SUMMARY_FIGURES)]

    def _outage(self, row: Answer) -> list[str]:
        return [
            self._when(row["start_ms"]),
            self._t("open") if row["end_ms"] is None else self._when(row["end_ms"]),
            row["link"],
            self._t(row["kind"]),
            self._t(f"fault_{row['fault_domain']}"),
            written_length(row["duration_ms"], self._language),
            written_length(row["counted_ms"], self._language),
            written_count(row["dossiers_affected"], self._language),
            self._excluded(row),
        ]

    def _exclusion(self, row: Answer) -> list[str]:
        return [
            self._when(row["start_ms"]),
            self._when(row["end_ms"]),
            self._t("all_links") if row["link"] == "*" else row["link"],
            self._t(row["kind"]),
            self._judged(row),
            row["proposed_reason"],
            self._status(row),
        ]

    def _status(self, row: Answer) -> str:
        status = self._t(row["status"])
        return f"{status}: {row['author']}, {row['reason']}" if row["withdrawn"] else status

    def _period(self, question: Answer) -> str:
        period = f"[{self._when(question['start_ms'])}, {self._when(question['end_ms'])})"
        if question["complete"]:
            return period
        until = text("until_text", self._language, until=self._when(question["until_ms"]))
        return f"{period}; {until}"

    def _excluded(self, row: Answer) -> str:
        if not row["exclusions"]:
            return "–"
        said = [f"{self._judged(one)}: {one['proposed_reason']}" for one in row["exclusions"]]
        return "; ".join([self._t(f"excluded_{row['excluded']}"), *said])

    def _judged(self, exclusion: Answer) -> str:
        words = [exclusion["proposed_by"], self._when(exclusion["proposed_at_ms"])]
        if exclusion["after_the_fact"]:
            words.append(self._t("after_the_fact"))
        if exclusion["approved_by"] is not None:
            words.append(f"{self._t('approved_by')} {exclusion['approved_by']}")
        return ", ".join(words)

    def _evidence(self) -> Iterable[list[str]]:
        for outage in self._report["outages"]:
            for source in outage["evidence"]:
                offsets = f"[{source['first_offset']}, {source['next_offset']})"
                place = [source["topic"], str(source["partition"]), offsets, source["digest"]]
                yield [outage["outage_id"], *place]

    def _heading(self, words: str, size: int = 12) -> None:
        self.pdf.set_font(FONT, "B", size)
        self.pdf.ln(3)
        self.pdf.multi_cell(0, size * 0.5, words, new_x="LMARGIN", new_y="NEXT")
        self.pdf.ln(1)

    def _paragraph(self, words: str) -> None:
        self.pdf.set_font(FONT, "", 9)
        self.pdf.multi_cell(0, 4.5, words, new_x="LMARGIN", new_y="NEXT")
        self.pdf.ln(1)

    def _table(
        self, widths: tuple[int, ...], header: Sequence[str] | None, rows: Iterable[Sequence[str]]
    ) -> None:
        self.pdf.set_font(FONT, "", 8)
        listed = list(rows)
        if not listed:
            self._paragraph(self._t("no_exclusions"))
            return
        bold = FontFace(emphasis="BOLD", fill_color=(246, 248, 250))
        with self.pdf.table(
            col_widths=widths,
            line_height=4.2,
            text_align="LEFT",
            first_row_as_headings=header is not None,
            headings_style=bold,
        ) as table:
            if header is not None:
                table.row(list(header))
            for row in listed:
                for part in self._split(row, widths):
                    table.row(part)

    def _split(self, row: Sequence[str], widths: tuple[int, ...]) -> Iterable[list[str]]:
        """Yield a row as rows that fit a page, however long its texts are: what is too long goes on below."""
        shown = [visible(value).replace("\t", " ") for value in row]
        if all(len(value) <= SHORT_CHARACTERS and value.count("\n") < LINES_TOGETHER for value in shown):
            yield shown
            return
        width = self.pdf.epw / sum(widths)
        columns = [
            self._lines(value, width * share - 2 * self.pdf.c_margin)
            for value, share in zip(shown, widths, strict=True)
        ]
        for first in range(0, max(map(len, columns)), LINES_TOGETHER):
            yield ["\n".join(lines[first : first + LINES_TOGETHER]) for lines in columns]

    def _lines(self, words: str, width: float) -> list[str]:
        """Return a text as the lines into which a column of a width in millimetres breaks it."""
        lines = self.pdf.multi_cell(width, text=words, dry_run=True, output=MethodReturnValue.LINES)
        assert isinstance(lines, list)
        return lines

    def _t(self, key: str) -> str:
        return text(key, self._language)

    def _when(self, time_ms: int | None) -> str:
        return written_time(time_ms, self._language)

    def _figure(self, name: str, value: float | None) -> str:
        return written_figure(name, value, self._language)


def _font_folder() -> Path:
    """Return the folder of DejaVu Sans, which matplotlib ships and keeps current, without loading it."""
    found = find_spec("matplotlib")
    folder = Path(found.origin or "").parent / "mpl-data" / "fonts" / "ttf" if found else Path()
    if not (folder / "DejaVuSans.ttf").is_file():
        raise FontMissingError("the font DejaVu Sans comes with matplotlib, which is not installed whole")
    return folder
