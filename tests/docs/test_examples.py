import doctest
import importlib
import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import promql_parser
import pytest
import yaml
from source_tree import ROOT, modules, tracked_texts
from sybil import Sybil
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

DOCUMENTS = sorted(name for name in tracked_texts() if name.endswith(".md"))
# The tutorial stands on files that its own commands make: tests/replay/test_tutorial.py follows it whole.
FOLLOWED = {"docs/tutorial.md"}
WITH_PYTHON = [
    name for name in DOCUMENTS if "\n```python\n" in tracked_texts()[name] and name not in FOLLOWED
]
WITH_CONSOLE = [name for name in DOCUMENTS if "\n```console\n" in tracked_texts()[name]]
WITH_DOCTESTS = [module.name for module in modules("streams") if ">>> " in module.text]
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# Shown only: commands that need a broker or a person, pictures, and text.
SHOWN = {"sh", "mermaid", "text", "sql", "toml"}
EXECUTED = {"python", "console"}
PARSED = {"json": json.loads, "yaml": yaml.safe_load, "promql": promql_parser.parse}


class Console:
    """Runs the commands of ```console blocks, one document's in one folder, and compares what they print.

    A line that begins with `$ ` is a command for bash; the lines after it, if any, are what it prints on
    standard output, with `...` for whatever is left out. A command that fails, fails the test.
    """

    def __init__(self, folder: Path) -> None:
        programs = folder / "bin"
        programs.mkdir()
        portallink = programs / "portallink"
        portallink.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m streams "$@"\n')
        portallink.chmod(portallink.stat().st_mode | stat.S_IXUSR)
        self.folder = folder / "work"
        self.folder.mkdir()
        self.environment = {
            **os.environ,
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "PORTALLINK_DATA": str(folder / "data"),
            "COLUMNS": "110",
            "NO_COLOR": "1",
        }

    def __call__(self, example) -> str | None:
        """Run one block; return what went wrong, or None."""
        for command, expected in re.findall(
            r"^\$ (.*(?:\n> .*)*)\n((?:(?!\$ ).*\n)*)", f"{example.parsed.rstrip()}\n", re.MULTILINE
        ):
            ended = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command.replace("\n> ", "\n")],
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=500,
                check=False,
            )
            if ended.returncode:
                return f"{command}: exit {ended.returncode}\n{ended.stdout}{ended.stderr}"
            if expected.strip() and not doctest.OutputChecker().check_output(expected, ended.stdout, OPTIONS):
                return f"{command}: expected\n{expected}got\n{ended.stdout}"
        return None


def evaluate(name: str, parser) -> int:
    """Evaluate a document's blocks in order; return how many there were."""
    examples = list(Sybil([parser], path=str(ROOT)).parse(ROOT / name).examples())
    for example in examples:
        example.evaluate()
    return len(examples)


@pytest.mark.parametrize("name", WITH_PYTHON)
def test_python_in_a_document_runs(name, tmp_path, monkeypatch):
    """Each Python block of a document runs, in order, and prints what the document says."""
    monkeypatch.chdir(tmp_path)
    assert evaluate(name, PythonCodeBlockParser(doctest_optionflags=OPTIONS)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", WITH_CONSOLE)
def test_commands_in_a_document_run(name, tmp_path):
    """Each command of a document succeeds, in order, and prints what the document says."""
    assert evaluate(name, CodeBlockParser("console", Console(tmp_path))) > 0


def test_a_wrong_console_block_would_be_seen(tmp_path):
    """The runner of commands tells a wrong output and a failing command from right ones."""
    console = Console(tmp_path)
    document = tmp_path / "document.md"
    outcomes = []
    for block in ("$ echo a b\na b", "$ echo a b c\na ... c", "$ echo a\nb", "$ echo a\na\n$ false"):
        document.write_text(f"```console\n{block}\n```\n")
        (example,) = Sybil([CodeBlockParser("console", console)]).parse(document).examples()
        outcomes.append(console(example) is None)
    assert outcomes == [True, True, False, False]


@pytest.mark.parametrize("name", WITH_DOCTESTS)
def test_examples_in_docstrings_run(name):
    """Each example in a module's docstrings gives what it says."""
    ran = doctest.testmod(importlib.import_module(name))
    assert ran.attempted > 0
    assert ran.failed == 0


@pytest.mark.parametrize("name", DOCUMENTS)
def test_blocks_are_what_they_say(name):
    """Each fenced block names a language that is executed, parsed or known to be shown only."""
    for language, text in re.findall(
        r"^```(\S*)\n(.*?)^```$", tracked_texts()[name], re.MULTILINE | re.DOTALL
    ):
        assert language in SHOWN | EXECUTED | PARSED.keys(), language
        if language in PARSED:
            PARSED[language](text)


def anchors(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name):
    """Each relative link of a document leads to a file, folder or heading that exists."""
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", tracked_texts()[name]):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in anchors(file.read_text("utf-8"))):
            dead.append(target)
    assert dead == []
