"""The tutorial, followed to the letter."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(
    r"(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<kind>sh|python|text)\n(?P<code>.*?)```", re.DOTALL
)


def blocks():
    """Return the tutorial's blocks: their note, kind and code."""
    found = list(BLOCK.finditer((ROOT / "docs" / "tutorial.md").read_text("utf-8")))
    assert len(found) > 10
    return [(match["note"] or "", match["kind"], match["code"]) for match in found]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_every_step_works_and_says_what_is_written(tmp_path):
    """Each command and the Python run in order in an empty folder, and print what the tutorial shows."""
    home = tmp_path / "bin"
    home.mkdir()
    command = home / "portallink"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m streams "$@"\n')
    command.chmod(0o755)
    (home / "python").symlink_to(sys.executable)
    work = tmp_path / "work"
    work.mkdir()
    environment = os.environ | {
        "PATH": f"{home}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
    }
    output = ""
    for note, kind, code in blocks():
        if note.startswith("not run"):
            continue
        if kind == "text":
            for line in code.splitlines():
                assert " ".join(line.split()) in output, f"not printed: {line}"
            continue
        argv = ["bash", "-e", "-c", code] if kind == "sh" else [sys.executable, "-c", code]
        ran = subprocess.run(argv, cwd=work, env=environment, capture_output=True, text=True, check=False)
        wanted = int(note.split()[1]) if note.startswith("exits") else 0
        assert ran.returncode == wanted, f"{code}\n{ran.stdout}\n{ran.stderr}"
        # Tables are drawn with lines between their cells; the words are what counts.
        output = " ".join(re.sub(r"[│┃]", " ", ran.stdout).split())
    assert (work / "why.svg").read_text("utf-8").startswith("<?xml")
