"""Shell completion, by the protocol of the shell."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from streams.cli import COMMANDS, app
from streams.ingest.shell import preset_names
from streams.simulate.shell import scenario_names


def completed(words: str) -> list[str]:
    """Return what bash is offered for the last of some words."""
    said = words.split(" ")
    protocol = {
        "_PORTALLINK_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(said) - 1),
    }
    shown = CliRunner().invoke(app, [], env=protocol, prog_name="portallink")
    assert shown.exit_code == 0, shown.output
    return shown.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("portallink ", list(COMMANDS)),
        ("portallink outages su", ["summary"]),
        ("portallink run c", ["collect"]),
        ("portallink outages list --mo", ["--month"]),
        ("portallink outages list --kind d", ["down", "degraded"]),
        ("portallink outages list --calendar o", ["office-hours"]),
        ("portallink exclusions list --language ", ["vi", "en"]),
        ("portallink simulate ", scenario_names()),
        ("portallink ingest http --map ", preset_names()),
        ("portallink ingest maps ng", ["nginx-combined", "nginx-json"]),
        ("portallink capture folder --topic link.r", ["link.retirements", "link.rules"]),
        ("portallink backtest b", ["built-in"]),
    ],
)
def test_commands_options_and_values_are_completed(words: str, offered: list[str]) -> None:
    """A shell is offered the commands, options and values that begin as typed, and no other."""
    assert sorted(completed(words)) == sorted(offered)


def test_bash_completes_by_the_script_that_is_shown() -> None:
    """The script that --show-completion prints in bash completes a command line there."""
    program = Path(sys.executable).with_name("portallink")
    # Asked for by name, as --show-completion looks for the shell above this process.
    asking = {"_PORTALLINK_COMPLETE": "source_bash"}
    script = CliRunner().invoke(app, [], prog_name="portallink", env=asking).stdout
    asked = (
        'COMP_WORDS=(portallink outages sum); COMP_CWORD=2; _portallink_completion "$0"; echo "$COMPREPLY"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{asked}", str(program)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "summary\n", done.stderr
