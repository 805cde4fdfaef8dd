"""``python -m lab.city_docs``: bring the simulated figures of docs/city.md up to date, from the root.

Each calibrated scenario but the long one is run at scale 1, which takes a minute or two of CPU time in all.
"""

import re
from pathlib import Path

from streams.simulate.generate import Run
from streams.simulate.shell import drain, load_catalogue, load_scenario
from streams.simulate.truth import FigureResult

PAGE = Path("docs/city.md")
RUN_WHOLE = ("hcmc-2023-h1", "hanoi-2022-h1", "binh-tan-2024")
RUN_IN_PART = {"police-2022-2023": 0.01}


def results() -> dict[int, list[str]]:
    """Return what stands in the last column of each system's row."""
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
    return f"{whole:,.0f} ({100 * figure.difference:+.2f}%{note}; {scenario})"


def main() -> None:
    """Rewrite the last cell of each row of the table of systems."""
    rows = results()
    lines = PAGE.read_text("utf-8").split("\n")
    for index, line in enumerate(lines):
        numbered = re.match(r"\| (\d+) \|", line)
        if numbered and int(numbered[1]) in rows:
            cells = line.removesuffix(" |").split(" | ")
            lines[index] = " | ".join([*cells[:-1], "; ".join(rows[int(numbered[1])])]) + " |"
    PAGE.write_text("\n".join(lines), "utf-8")


if __name__ == "__main__":
    main()
