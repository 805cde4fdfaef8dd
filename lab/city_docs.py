"""``python -m lab.city_docs``: bring the simulated figures of docs/city.md up to date, from the root.

Each calibrated scenario but the long one is run at scale 1; the two short ones and the half-year are analysed
and scored: five minutes of CPU time in all. With ``scores`` only the tables of scores are written.
"""

import re
import sys
from pathlib import Path

import msgspec

from streams.replay.analyze import analyze
from streams.score.score import Part, Quantiles, Score, score
from streams.score.truth import Truth as ScoredTruth
from streams.simulate.generate import Run
from streams.simulate.shell import drain, load_catalogue, load_scenario
from streams.simulate.truth import FigureResult

PAGE = Path("docs/city.md")
RUN_WHOLE = ("hcmc-2023-h1", "hanoi-2022-h1", "binh-tan-2024")
SCORED = ("monday-morning", "bad-day", "hcmc-2023-h1")
RUN_IN_PART = {"police-2022-2023": 0.01}


def results() -> dict[int, list[str]]:
    """Return the last column of each system's row."""
    catalogue = load_catalogue()
    rows: dict[int, list[str]] = {}
    for name, scale in {**dict.fromkeys(RUN_WHOLE, 1.0), **RUN_IN_PART}.items():
        truth = drain(Run(catalogue, load_scenario(name, catalogue), scale=scale), lambda _: None)
        for figure in truth.figures:
            rows.setdefault(figure.system, []).append(shown(figure, name))
    return rows


def shown(figure: FigureResult, scenario: str) -> str:
    """Return a figure as its row shows it; one that was run in part is scaled to the whole."""
    simulated = figure.simulated * figure.reported / figure.expected if figure.expected else 0
    whole = figure.simulated if scenario in RUN_WHOLE else simulated
    note = f", {figure.note}" if figure.note else ""
    return f"{whole:,.0f} ({figure.made}, {100 * figure.difference:+.2f}%{note}; {scenario})"


def scored(name: str, seed: int | None = None, scale: float = 1.0) -> Score:
    """Return the score of a scenario."""
    catalogue = load_catalogue()
    run = Run(catalogue, load_scenario(name, catalogue), seed=seed, scale=scale)
    found = analyze(run.records())
    truth = msgspec.json.decode(msgspec.json.encode(run.truth()), type=ScoredTruth)
    return score(found.outages, truth)


def score_tables() -> str:
    """Return the tables of how well outages are found: by volume and duration, and by cause."""
    lines = [
        "| | incidents | found | recall | range recall | start error | end error | delay |",
        "|---|---|---|---|---|---|---|---|",
    ]
    causes: list[str] = []
    last = []
    for name in SCORED:
        of = scored(name)
        lines.append(_row(f"`{name}`", of.all))
        last.append(
            f"- `{name}`: {of.outages} outages, {of.false_outages} of them false; kind right in "
            f"{_share(of.kind_agrees)}, fault domain in {_share(of.domain_agrees)}; availability off by "
            f"{of.availability_error_pp:.3f} percentage points on average "
            f"({of.availability_error_asked_pp:.3f} from each first request that failed), "
            f"{of.availability_error_worst_pp:.2f} at worst; {of.unseen_incidents} incidents met no request."
        )
        if name != "monday-morning":
            lines += [
                _row(f"`{name}`, {part}", figures)
                for part, figures in {**of.by_volume, **of.by_duration}.items()
                if figures.incidents
            ]
            causes += [
                f"| `{name}` by cause | incidents | found | range recall | kind | domain | blamed |",
                "|---|---|---|---|---|---|---|",
            ]
            causes += [
                f"| `{cause}` | {c.incidents} | {c.found} | {_share(c.range_recall)} | {_share(c.kind)} | "
                f"{_share(c.domain)} | {', '.join(f'{domain} {n}' for domain, n in c.named.items())} |"
                for cause, c in of.by_cause.items()
            ]
            causes.append("")
    return "\n".join([*lines, "", *causes, *last])


def _row(name: str, part: Part) -> str:
    errors = (_seconds(q) for q in (part.start_error_ms, part.end_error_ms, part.delay_ms))
    shares = (_share(part.recall), _share(part.range_recall))
    return f"| {name} | {part.incidents} | {part.found} | {' | '.join((*shares, *errors))} |"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _seconds(quantiles: Quantiles) -> str:
    if quantiles.p50 is None or quantiles.p95 is None:
        return "–"
    return f"{quantiles.p50 / 1000:.1f} / {quantiles.p95 / 1000:.1f} s"


def main() -> None:
    """Rewrite the last cell of each row of the table of systems, and the tables of scores."""
    rows = {} if "scores" in sys.argv[1:] else results()
    lines = PAGE.read_text("utf-8").split("\n")
    for index, line in enumerate(lines):
        numbered = re.match(r"\| (\d+) \|", line)
        if numbered and int(numbered[1]) in rows:
            cells = line.removesuffix(" |").split(" | ")
            lines[index] = " | ".join([*cells[:-1], "; ".join(rows[int(numbered[1])])]) + " |"
    before, begin, rest = "\n".join(lines).partition("<!-- scores -->\n")
    _, end, after = rest.partition("<!-- /scores -->")
    PAGE.write_text(f"{before}{begin}{score_tables()}\n{end}{after}", "utf-8")


if __name__ == "__main__":
    main()
