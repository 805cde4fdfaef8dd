"""``python -m lab.hostile_scenarios [COUNT]``: mutated scenario files, each refused by its line or run.

Every file must be refused with file, line and reason, or run within its bounds; the slowest is named.
"""

import re
import sys
import time
from collections import Counter
from importlib.resources import files
from itertools import islice
from random import Random

from streams.model.located import Located, LocatedError
from streams.simulate.check_scenario import check_scenario
from streams.simulate.city import Catalogue
from streams.simulate.draw import seeded
from streams.simulate.generate import Run
from streams.simulate.nation import nation_of
from streams.simulate.scenario import Scenario
from streams.simulate.shell import load_catalogue

VALUES = (
    "", "-1", "0", "0.0001", "1e308", "-1e-9", ".nan", ".inf", "99999999999999999999", "1.6", "true", "null",
    "[]", "{}", "[[[[]]]]", "{a: b}", "*nowhere", "&x y", "!!int x", "!!python/object:os.system x", "'", '"',
    "2024-02-30T00:00", "2024-03-11T25:00", "0001-01-01T00:00", "9999-12-31T23:59", "2024-03-11", "hcmc-here",
    "hcmc-npd", "hcmc", "silence", "line_cut", "flapping", "even", "\t", "\u0000", "x" * 300, "|",
)  # fmt: skip
LINES = (
    "    pattern: flapping", "    bad_seconds: 0.0001", "    share: 1.6", "    services: [dvc-9999]",
    "    peaks: [{start: 2024-13-01, end: x}]", "probes: [hcmc-npd]", "links: []", "links: [police-npd]",
    "batches: [{}]", "figures: [1]", "partitions: 100000", "people: {card_read: 2}",
    "seed: 99999999999999999999999", "patience: {attempts: 1000000, deferrals: 1000000}", "<<: {a: b}", "...",
    "transport: {late: 1, disorder: 1, duplicates: 1}", "---", "\t- a", "heartbeat_interval_ms: 1",
    "fault_processes: [{id: a, links: [hcmc-npd], causes: {}, mean_gap_hours: 0}]",
    "fault_processes: [{id: a, links: [hcmc-npd], causes: {dns: 1}, mean_gap_hours: 0.1, sigma: 3}]",
)  # fmt: skip
TAKEN = 3_000
"""The most records read from a run that is not refused."""


def mutated(text: str, rng: Random) -> str:
    """Return a text after one to three changes: values, lines, characters."""
    for _ in range(1 + int(rng.random() * 3)):
        lines = text.split("\n")
        at = int(rng.random() * len(lines))
        match int(rng.random() * 7):
            case 0 | 1:
                lines[at] = re.sub(r"(: ).*", lambda m: m[1] + _one(VALUES, rng), lines[at], count=1)
            case 2:
                lines[at] = re.sub(r"\d+", lambda _: _one(VALUES, rng), lines[at], count=1)
            case 3:
                lines.insert(at, _one(LINES, rng))
            case 4:
                del lines[at]
            case 5:
                lines.insert(at, lines[int(rng.random() * len(lines))])
            case _:
                place = int(rng.random() * (len(lines[at]) + 1))
                lines[at] = lines[at][:place] + _one(VALUES, rng)[:2] + lines[at][place + 1 :]
        text = "\n".join(lines)
    return text


def tried(text: str, catalogue: Catalogue, *, national: bool = False) -> str:
    """Return the result of a file: why it was refused, or how many of its records were read."""
    try:
        located = Located(text, "hostile.yaml")
        if national:
            catalogue, scenario = nation_of(located, catalogue.services)
        else:
            scenario = located.convert(Scenario)
            check_scenario(scenario, catalogue, located)
    except LocatedError as error:
        lines = text.count("\n") + 2
        if not (error.file == "hostile.yaml" and 1 <= error.line <= lines and error.reason):
            raise AssertionError(f"refused without file, line or reason: {error!r}") from error
        return f"refused: {error}"
    run = Run(catalogue, scenario, scale=0.001)
    return f"ran: {sum(1 for _ in islice(run.records(), TAKEN))} records"


def _one(values: tuple[str, ...], rng: Random) -> str:
    return values[int(rng.random() * len(values))]


def main() -> None:
    """Try mutations of the short scenarios of the package, and of the nation."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    catalogue, folder = load_catalogue(), files("streams.simulate") / "data"
    names = ("monday-morning", "bad-day", "tet-week", "nation")
    texts = [(folder / f"{name}.yaml").read_text("utf-8") for name in names]
    outcomes: Counter[str] = Counter()
    slowest = (0.0, "")
    for number in range(count):
        begun = time.perf_counter()
        text = mutated(texts[number % len(texts)], seeded(number, "hostile"))
        outcome = tried(text, catalogue, national=names[number % len(texts)] == "nation")
        slowest = max(slowest, (time.perf_counter() - begun, f"{number}: {outcome}"))
        outcomes[outcome.partition(":")[0]] += 1
    print(dict(outcomes), f"slowest {slowest[0]:.2f} s, {slowest[1][:200]}")


if __name__ == "__main__":
    main()
