"""Scratch folders: gone at the end, unless something is in them."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys
from streams.servers.scratch import scratch_dir
folder = scratch_dir("test")
(folder / "v1" / "tables").mkdir(parents=True)
if sys.argv[1:]:
    (folder / "v1" / sys.argv[1]).touch()
print(folder)
"""


@pytest.mark.parametrize("kept", [[], ["table.db"]], ids=["empty", "used"])
def test_scratch_goes_unless_it_holds_something(kept: list[str], tmp_path) -> None:
    """When the process ends, a folder with folders alone is gone, and one with a file is not."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *kept],
        capture_output=True,
        text=True,
        check=True,
        env={"TMPDIR": str(tmp_path)},
    )
    folder = Path(done.stdout.strip())
    assert folder.parent == tmp_path
    assert [path.name for path in folder.rglob("*") if path.is_file()] == kept
    assert folder.exists() == bool(kept)
