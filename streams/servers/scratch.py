"""A folder for what another program insists on having one for."""

import atexit
import os
import tempfile
from pathlib import Path


def scratch_dir(name: str) -> Path:
    """Return a new temporary folder that goes when the process ends, unless something was put into it."""
    folder = Path(tempfile.mkdtemp(prefix=f"portallink-{name}-"))
    atexit.register(remove_if_empty, folder)
    return folder


def remove_if_empty(folder: Path) -> None:
    """Remove a folder and the folders in it if there is no file in any."""
    for parent, _, files in os.walk(folder, topdown=False):
        if not files and not any(Path(parent).iterdir()):
            Path(parent).rmdir()
