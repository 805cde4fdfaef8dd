import re
import subprocess
import sys

import pytest
from source_tree import ROOT
from typer.testing import CliRunner

import streams
from streams.cli import COMMANDS, app, load
from tools.command_docs import generated, leaves

# What the commands' contract promises.
PROMISED = {
    "demo",
    "kafka start",
    "kafka stop",
    "kafka status",
    "topics apply",
    "simulate",
    "ingest xroad",
    "run measure",
    "run detect",
    "run record",
    "run serve",
    "analyze",
    "replay",
    "capture",
    "diff",
    "outages list",
    "outages show",
    "outages report",
    "outages verify",
    "bench",
}
# Modules that no list of commands and no small command may pay for.
HEAVY = ("aiokafka", "alembic", "duckdb", "fastapi", "faust", "matplotlib", "numpy", "polars", "sqlalchemy")


def run(*arguments: str):
    """Run a command line in this process."""
    return CliRunner().invoke(app, list(arguments))


def test_the_written_commands_are_those_there_are():
    """The README's table and the reference say of every command what it says of itself."""
    stale = [path.name for path, text in generated(ROOT).items() if path.read_text("utf-8") != text]
    assert stale == [], "make docs"


def test_every_promised_command_exists():
    """Each command of the contract can be called."""
    there = {path for path, _ in leaves()}
    missing = {name for name in PROMISED if not any(p == name or p.startswith(f"{name} ") for p in there)}
    assert missing == set()


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_command_says(name):
    """The line in the list of commands is how the command's own help begins."""
    help_text = " ".join((load(name).help or "").split())
    assert help_text.startswith(COMMANDS[name].summary.removesuffix("."))


def test_every_file_of_commands_is_in_the_list():
    """No module of the command line is one that nothing calls."""
    called = {f"streams.cli.{entry.target.partition(':')[0]}" for entry in COMMANDS.values()}
    paths = sorted((ROOT / "streams" / "cli").rglob("*.py"))
    source = "\n".join(path.read_text("utf-8") for path in paths)
    names = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if path.stem != "__init__"
    }
    assert called < names
    for name in names - called:
        assert re.search(rf"{re.escape(name)}\b|import .*\b{name.rpartition('.')[2]}\b", source), name


def test_every_command_says_what_it_and_its_options_do():
    """Each command has help, and so has each of its options."""
    silent = [
        f"{path} {option.opts[0]}"
        for path, command in leaves()
        for option in command.params
        if option.param_type_name == "option" and not option.help
    ]
    silent += [path for path, command in leaves() if not command.help]
    assert silent == []


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["kafka", "status", "--help"]])
def test_a_small_question_imports_little(arguments):
    """Listing the commands, or asking one of them for help, imports no other command's libraries."""
    program = (
        "import sys\n"
        "from streams.cli import app\n"
        "try:\n"
        f"    app({arguments!r})\n"
        "finally:\n"
        f"    print('imported', [name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert "imported []" in ended.stderr


def test_the_version_is_the_packages():
    """`--version` prints the package's version."""
    assert run("--version").stdout == f"portallink {streams.__version__}\n"


def test_bad_usage_ends_with_two():
    """An unknown command or option is bad usage: exit 2, with the nearest name for a typing error."""
    assert run("--no-such-option").exit_code == 2
    assert run("kafka", "status", "--no-such-option").exit_code == 2
    mistyped = run("analyse")
    assert mistyped.exit_code == 2
    assert "analyze" in mistyped.output


def test_bad_input_ends_with_two(tmp_path):
    """A file that is not there is bad input: exit 2, and the message names it."""
    ended = run("analyze", str(tmp_path / "nowhere.ndjson"))
    assert ended.exit_code == 2
    assert "nowhere.ndjson" in ended.output
