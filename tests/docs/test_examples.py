import doctest
import importlib
import json
import re

import promql_parser
import pytest
import yaml
from console_blocks import OPTIONS, Console
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
# Shown only: commands that need a broker or a person, pictures, and text.
SHOWN = {"sh", "mermaid", "text", "sql", "toml", "java"}
EXECUTED = {"python", "console"}
PARSED = {"json": json.loads, "yaml": yaml.safe_load, "promql": promql_parser.parse}


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
