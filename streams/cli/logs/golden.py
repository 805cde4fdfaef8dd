"""`portallink golden`: scenarios whose outages must stay as they are."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer

from streams.cli.logs.diff import print_diff
from streams.cli.outcome import FAILED, not_written, notes, print_json, refuse, say
from streams.detect.rule.definition import Rule
from streams.logs.file import LogFileError
from streams.replay import golden
from streams.replay.results import ResultFileError
from streams.replay.rulefile import RuleFileError, read_rule

app = typer.Typer(
    help="Golden scenarios: a log, a rule and the outages they must give, in a folder to commit.",
    no_args_is_help=True,
)

Root = Annotated[Path, typer.Option("--dir", help="Folder of the scenarios.")]
LARGE_BYTES = 5_000_000


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="The scenario's name: a-z, 0-9, hyphens.")],
    log: Annotated[Path, typer.Argument(help="Log file or captured folder; it is copied.")],
    *,
    rule: Annotated[Path | None, typer.Option(help="Rule file [default: the built-in rule].")] = None,
    shows: Annotated[str, typer.Option(help="What the scenario shows, in a sentence.")] = "",
    root: Root = Path("golden"),
    replace: Annotated[bool, typer.Option(help="Overwrite it with what the log gives now.")] = False,
) -> None:
    """Save a log with the outages it gives now."""
    try:
        chosen = Rule() if rule is None else read_rule(rule)
        outages = golden.add(root, name, log, chosen, shows, replace=replace)
    except (golden.GoldenError, LogFileError, RuleFileError, FileNotFoundError) as error:
        refuse(error)
    except OSError as error:
        not_written(root / name, error)
    size = (root / name / golden.LOG).stat().st_size
    say(f"{root / name}: {len(outages)} outages kept, log of {size / 1e6:.1f} MB")
    if size > LARGE_BYTES:
        notes.print("that is large for a repository; capture a shorter time")


@app.command()
def run(
    names: Annotated[list[str] | None, typer.Argument(help="Scenarios [default: all].")] = None,
    *,
    root: Root = Path("golden"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the results as JSON.")] = False,
) -> None:
    """Compare what each scenario gives now with what was saved. Exits 1 on a difference."""
    chosen = names or golden.names(root)
    if not chosen:
        refuse(f"{root} holds no golden scenarios; `portallink golden add` keeps one")
    results = {}
    for name in chosen:
        try:
            about, found = golden.run(root / name)
        except (golden.GoldenError, LogFileError, ResultFileError, RuleFileError, FileNotFoundError) as error:
            refuse(error)
        results[name] = msgspec.to_builtins(found, str_keys=True) | {"differ": bool(found)}
        if not as_json:
            say(f"{name}: {'DIFFERS' if found else 'as kept'}{f' - {about.shows}' if about.shows else ''}")
            if found:
                print_diff(found)
    if as_json:
        print_json(results)
    if any(result["differ"] for result in results.values()):
        raise typer.Exit(FAILED)
