"""Which libraries a command line brings in: Faust reads options of its own from any it is imported under."""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from streams.cli import app
try:
    app(sys.argv[1:], prog_name="portallink")
except SystemExit as ended:
    print("code", ended.code)
print("faust" if "faust" in sys.modules else "without")
"""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["run", "detect", "--help"], 0),
        (["run", "measure", "--loop", "none"], 2),
        (["run", "detect", "--datadir"], 2),
        (["outages", "list", "-L"], 2),
    ],
    ids=["help", "stages", "stage", "loop", "datadir", "shell"],
)
def test_only_a_running_detect_imports_faust(arguments: list[str], code: int) -> None:
    """Help and mistaken options, Faust's own among them, are answered by this command line, without Faust."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split("\n")[-3:] == [f"code {code}", "without", ""], done.stderr
