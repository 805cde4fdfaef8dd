"""docs/configure.md names every variable and every option of a stage, and none that is not there."""

import ast
import re
from pathlib import Path

from streams.telemetry.labels import METRICS_PORTS
from tools.command_docs import leaves

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "configure.md").read_text("utf-8")
VARIABLE = re.compile(r"(?:PORTALLINK|KAFKA|FAUST)_[A-Z_]+")


def cells(heading: str) -> set[str]:
    """Return what stands in code in the first column of the table under a heading."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_variable_that_the_code_reads_is_named_and_no_other():
    """The table of variables is the set of the names of variables in the code."""
    read = {
        node.value
        for path in (ROOT / "streams").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and VARIABLE.fullmatch(node.value)
    }
    assert cells("Variables") == read


def test_every_option_of_a_stage_is_named_and_no_other():
    """The table of options is what `portallink run` takes."""
    taken = {
        "/".join([*one.opts, *one.secondary_opts])
        for path, command in leaves()
        if path.startswith("run ")
        for one in command.params
        if one.name != "help"
    }
    assert cells("Options of the stages") == taken


def test_the_ports_are_those_of_the_code():
    """The page gives the port of each stage as the code takes it."""
    said = dict(re.findall(r"`?(\d{4})`? for\s+`(\w+)`", PAGE))
    assert {stage: int(port) for port, stage in said.items()} == METRICS_PORTS
