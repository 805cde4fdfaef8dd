"""The console blocks of the documentation, run as a reader would run them."""

import doctest
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

from source_tree import ROOT

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Console:
    """Runs the commands of ```console blocks, one document's in one folder, and compares what they print.

    A line that begins with `$ ` is a command for bash; the lines after it, if any, are what it prints on
    standard output, with `...` for parts left out. A command that fails, fails the test. ``site`` is the
    folder that `streams` is imported from.
    """

    def __init__(self, folder: Path, site: Path = ROOT) -> None:
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
            "PYTHONPATH": str(site),
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
