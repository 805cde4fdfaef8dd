"""`portallink explain`: why an outage opened and closed."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streams.cli.outcome import not_written, notes, print_json, refuse, results, styled
from streams.cli.table import Cell, Column, show_table
from streams.logs.file import LogFileError
from streams.model.times import local_time
from streams.replay.explain import Explanation, Step, UnknownOutageError
from streams.replay.explain import explain as trace
from streams.replay.plot import write_svg
from streams.replay.rulefile import RuleFileError, read_rule

BAR_WIDTH = 12
BAR_AT = 8
COLOURS = {"UP": "green", "DEGRADED": "yellow", "DOWN": "red"}


def explain(
    outage_id: Annotated[
        str,
        typer.Argument(
            help="The outage's id or the beginning of it, or its link if that had only one outage."
        ),
    ],
    log: Annotated[Path, typer.Option(help="Log that contains it: a file or a captured folder.")],
    *,
    rule: Annotated[
        Path | None, typer.Option(help="Rule file [default: built-in, and the log's own].")
    ] = None,
    svg: Annotated[Path | None, typer.Option(help="Write a plot to this SVG file.")] = None,
    every_slot: Annotated[
        bool, typer.Option("--all", help="Show every slot, even where nothing changes.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print all of it as JSON.")] = False,
) -> None:
    """Show slot by slot what the rule saw, and why the outage opened and closed.

    Evidence is in nats: a test decides when its sum reaches the threshold (`|`). Times are Asia/Ho_Chi_Minh.
    """
    if not log.exists():
        refuse(f"{log}: no such file")
    try:
        found = trace(outage_id, log, None if rule is None else read_rule(rule))
    except (LogFileError, RuleFileError, UnknownOutageError) as error:
        refuse(error)
    if svg is not None:
        try:
            write_svg(found, svg)
        except OSError as error:
            not_written(svg, error)
        notes.print(f"plot written to {svg}")
    if as_json:
        print_json(msgspec.to_builtins(found) | {"reasons": found.reasons()})
    else:
        _print(found, every_slot)


def _print(found: Explanation, every_slot: bool) -> None:
    outage = found.outage
    results.print(
        f"{outage.outage_id} · {outage.link} · {outage.kind}, {outage.fault_domain} fault · "
        f"{local_time(outage.start_ms)} to {local_time(outage.end_ms) if outage.end_ms else 'now (open)'} · "
        f"{outage.failures} of {outage.attempts} attempts failed",
    )
    show_table(SLOT_COLUMNS, _slots(found.steps, every_slot), dense=True)
    for sentence in found.reasons():
        results.print(f"• {sentence}")
    for revision in found.revisions:
        end = "open" if revision.end_ms is None else local_time(revision.end_ms)
        results.print(
            f"revision {revision.revision} ({revision.reason}), decided "
            f"{local_time(revision.detected_at_ms)}: {revision.status}, "
            f"{local_time(revision.start_ms)} to {end}",
        )


SLOT_COLUMNS = [
    Column("slot"),
    Column("ok", 2),
    Column("failed", 1),
    Column("slow", 4),
    Column("test", 3),
    Column("evidence"),
    Column("", 5),
    Column("link"),
]


def _slots(steps: list[Step], every_slot: bool) -> list[list[Cell]]:
    """Return the rows of the slots; a row stands for those in which nothing happens."""
    rows: list[list[Cell]] = []
    left_out = 0
    for number, step in enumerate(steps):
        if not every_slot and _dull(steps, number):
            left_out += 1
            continue
        if left_out:
            rows.append(_alike(left_out))
            left_out = 0
        bar = next((bar for bar in step.bars if bar.test == step.verdict), step.strongest)
        colour = COLOURS[step.condition]
        rows.append(
            [
                local_time(step.start_ms, date=False),
                str(step.answered),
                str(step.failed),
                str(step.slow) if step.slow else "",
                bar.test if bar else "",
                f"{bar.total:.1f}/{bar.threshold:.1f}" if bar else "",
                _bar(bar.total / bar.threshold) if bar else "",
                styled(step.condition, colour).append(" ◄" if step.verdict else "", "default"),
            ]
        )
    if left_out:
        rows.append(_alike(left_out))
    return rows


def _alike(count: int) -> list[Cell]:
    return ["…", "", "", "", "", f"{count} alike", "", ""]


def _dull(steps: list[Step], number: int) -> bool:
    """Say whether nothing happens near a slot: no decision within six slots, and no test rising."""
    near = steps[max(number - 6, 0) : number + 7]
    return not any(step.verdict for step in near) and len(near) == 13


def _bar(share: float) -> str:
    """Return a bar whose `|` stands where the test decides.

    >>> _bar(0.5)
    '████    |   '
    """
    full = round(min(share, 1.5) * BAR_AT)
    cells = ["█" if at < full else " " for at in range(BAR_WIDTH)]
    if full <= BAR_AT:
        cells[BAR_AT] = "|"
    return "".join(cells)
