"""`portallink score`: outages found, against the ground truth of the simulation they were found in."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer

from streams.cli.outcome import print_json, refuse, results
from streams.cli.table import Column, show_table
from streams.model.border import UNREADABLE
from streams.model.outage import Outage, Window
from streams.score.known import KnownDowntime, known_downtimes
from streams.score.score import Part, Quantiles, Score, score
from streams.score.truth import Truth

Row = TypeVar("Row", Outage, Window)
PART_COLUMNS = [
    Column("incidents"),
    Column("seen", 2, right=True),
    Column("found", 1, right=True),
    Column("recall", right=True),
    Column("range recall", 6, right=True),
    Column("start error", 3, right=True),
    Column("end error", 4, right=True),
    Column("delay", 5, right=True),
]
CAUSE_COLUMNS = [
    Column("cause"),
    Column("seen", 2),
    Column("found", 1),
    Column("range recall", 5),
    Column("kind", 4),
    Column("domain", 3),
    Column("blamed", 6, wrapped=True),
]
OFF_COLUMNS = [
    Column("link"),
    Column("a minute", 4),
    Column("true (s)", 2),
    Column("found (s)", 1),
    Column("off (pp)"),
    Column("why (s)", 3, wrapped=True),
]


def score_outages(
    outages: Annotated[Path, typer.Argument(help="Outages as NDJSON, as `portallink analyze` writes them.")],
    truth: Annotated[Path, typer.Argument(help="The truth file that `portallink simulate` wrote.")],
    *,
    windows: Annotated[
        Path | None,
        typer.Option(help="The `windows.ndjson` beside them, to score the availability that auditors see."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the score as JSON.")] = False,
) -> None:
    """Score outages against the truth: precision and recall, edges, delay, false outages, availability.

    The detection delay needs every revision: use the `outages.ndjson` of `analyze --out`, or a capture.
    """
    truly = read_truth(truth)
    result = score(_rows(outages, Outage, "outage"), truly)
    known = [] if windows is None else known_downtimes(_rows(windows, Window, "window"), truly)
    if as_json:
        by_link = {one.link: {**msgspec.to_builtins(one), "error_pp": one.error_pp} for one in known}
        print_json(msgspec.to_builtins(result) | ({"known": by_link} if windows else {}))
    else:
        _print(result, known)


def _rows(path: Path, kind: type[Row], name: str) -> Iterator[Row]:
    """Yield the rows of an NDJSON file; a row of another kind ends the command."""
    decode = msgspec.json.Decoder(kind).decode
    for number, line in enumerate(_read(path).splitlines(), start=1):
        if line.strip():
            try:
                yield decode(line)
            except UNREADABLE as error:
                refuse(f"{path}:{number}: no {name}: {error}")


def read_truth(path: Path) -> Truth:
    """Read a truth file; any other file ends the command."""
    try:
        return msgspec.json.decode(_read(path), type=Truth)
    except UNREADABLE as error:
        refuse(f"{path}: no truth file: {error}")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        refuse(f"{path}: {error.strerror}")


def _print(result: Score, known: Sequence[KnownDowntime]) -> None:
    parts = {"all": result.all, **result.by_volume, **result.by_duration}
    show_table(
        PART_COLUMNS,
        [(name, *_cells(part)) for name, part in parts.items()],
        title=f"{result.scenario}, seed {result.seed}, scale {result.scale:g}; in seconds: p50, p95",
        sections=[0, len(result.by_volume)],
    )
    if result.by_cause:
        _print_causes(result)
    for name, value in (
        ("outages", f"{result.outages}, of which {result.false_outages} false"),
        ("precision", f"{_share(result.precision)}, range-based {_share(result.range_precision)}"),
        ("kind, fault domain", f"right in {_share(result.kind_agrees)}, {_share(result.domain_agrees)}"),
        ("false outages", f"{result.false_outages_per_link_week:g} per link-week"),
        (
            "availability error",
            (
                f"{result.availability_error_pp:g} percentage points on average, at worst "
                f"{result.availability_error_worst_pp:g}; {result.availability_error_all_pp:g} with "
                f"{result.unseen_incidents} incidents that nobody could see"
            ),
        ),
        (
            "counted from each first request that failed",
            f"{result.availability_error_asked_pp:g} percentage points on average",
        ),
    ):
        results.print(f"{name}: {value}")
    if known:
        errors = [one.error_pp for one in known]
        results.print(
            f"availability over known time, as the ledger reports it: off by {sum(errors) / len(errors):.4f} "
            f"percentage points on average, at worst {max(errors):.4f}",
        )
    _print_downtime(result)


def _print_downtime(result: Score) -> None:
    """Print how far off the downtime is by how often links are asked, and why, for those that are off."""
    volumes = [
        (name, str(of.links), f"{of.error_pp:g}", f"{of.error_asked_pp:g}")
        for name, of in result.availability_by_volume.items()
        if of.links
    ]
    show_table(
        [
            Column("links asked"),
            Column("links", 1),
            Column("availability error (pp)"),
            Column("from the first failing request (pp)", 2, wrapped=True),
        ],
        volumes,
    )
    if not result.downtime_off:
        return
    rows = [
        (
            link.link,
            f"{link.attempts_per_minute:g}",
            *(f"{seconds:.1f}" for seconds in (link.true_s, link.found_s)),
            f"{link.error_pp:.3f}",
            ", ".join(f"{part} {seconds:+.1f}" for part, seconds in link.parts.items()),
        )
        for link in result.downtime_off
    ]
    show_table(OFF_COLUMNS, rows)


def _print_causes(result: Score) -> None:
    """Print how well the incidents of each cause were found, and whom the outages blamed."""
    rows = [
        (
            name,
            str(of.incidents),
            str(of.found),
            *(_share(share) for share in (of.range_recall, of.kind, of.domain)),
            ", ".join(f"{domain} {count}" for domain, count in of.named.items()),
        )
        for name, of in result.by_cause.items()
    ]
    show_table(CAUSE_COLUMNS, rows, title="By cause")


def _cells(part: Part) -> list[str]:
    return [
        str(part.incidents),
        str(part.found),
        _share(part.recall),
        _share(part.range_recall),
        _seconds(part.start_error_ms),
        _seconds(part.end_error_ms),
        _seconds(part.delay_ms),
    ]


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _seconds(quantiles: Quantiles) -> str:
    if quantiles.p50 is None or quantiles.p95 is None:
        return "-"
    return f"{quantiles.p50 / 1000:.1f}, {quantiles.p95 / 1000:.0f}"
