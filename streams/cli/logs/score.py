"""`portallink score`: outages found, against the ground truth of the simulation they were found in."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import typer
from rich.table import Table

from streams.cli.outcome import print_json, refuse, results
from streams.model.border import UNREADABLE
from streams.model.outage import Outage, Window
from streams.score.known import KnownDowntime, known_downtimes
from streams.score.score import Part, Quantiles, Score, score
from streams.score.truth import Truth

Row = TypeVar("Row", Outage, Window)


def score_outages(
    outages: Annotated[Path, typer.Argument(help="Outages as NDJSON, as `portallink analyze` writes them.")],
    truth: Annotated[Path, typer.Argument(help="The truth file that `portallink simulate` wrote.")],
    *,
    windows: Annotated[
        Path | None,
        typer.Option(
            help="The `windows.ndjson` beside them: shows the availability that auditors are given."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the score as JSON.")] = False,
) -> None:
    """Score outages against the truth: precision and recall, edges, delay, false outages, availability.

    Detection delay needs every revision: the `outages.ndjson` of `portallink analyze --out`, or a capture.
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
    table = Table(title=f"{result.scenario}, seed {result.seed}, scale {result.scale:g}")
    table.add_column("incidents", no_wrap=True)
    for name in ("seen", "found", "recall", "range recall"):
        table.add_column(name, justify="right")
    for name in ("start error", "end error", "delay"):
        table.add_column(f"{name} p50, p95 (s)", justify="right")
    parts = {"all": result.all, **result.by_volume, **result.by_duration}
    for name, part in parts.items():
        table.add_row(name, *_cells(part), end_section=name in ("all", "over 1/s"))
    results.print(table)
    if result.by_cause:
        results.print(_causes(result))
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
    volumes = Table("links asked", "links", "availability error (pp)", "from the first failing request (pp)")
    for name, of in result.availability_by_volume.items():
        if of.links:
            volumes.add_row(name, str(of.links), f"{of.error_pp:g}", f"{of.error_asked_pp:g}")
    results.print(volumes)
    if not result.downtime_off:
        return
    off = Table("link", "a minute", "true (s)", "found (s)", "off (pp)", "why (s)")
    for link in result.downtime_off:
        why = ", ".join(f"{part} {seconds:+.1f}" for part, seconds in link.parts.items())
        times = [f"{seconds:.1f}" for seconds in (link.true_s, link.found_s)]
        off.add_row(link.link, f"{link.attempts_per_minute:g}", *times, f"{link.error_pp:.3f}", why)
    results.print(off)


def _causes(result: Score) -> Table:
    """Return how well the incidents of each cause were found, and whom the outages blamed."""
    table = Table("cause", "seen", "found", "range recall", "kind", "domain", "blamed", title="By cause")
    for name, of in result.by_cause.items():
        blamed = ", ".join(f"{domain} {count}" for domain, count in of.named.items())
        shares = [_share(share) for share in (of.range_recall, of.kind, of.domain)]
        table.add_row(name, str(of.incidents), str(of.found), *shares, blamed)
    return table


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
