"""A temporary folder for a program that requires one."""

import atexit
import os
import tempfile
from pathlib import Path


def scratch_dir(name: str) -> Path:
    """Return a new temporary folder; it is removed at exit if it is still empty."""
    folder = Path(tempfile.mkdtemp(prefix=f"portallink-{name}-"))
    atexit.register(remove_if_empty, folder)
    return folder


def remove_if_empty(folder: Path) -> None:
    """Remove a folder and its subfolders if none holds a file."""
    for parent, _, files in os.walk(folder, topdown=False):
        if not files and not any(Path(parent).iterdir()):
            Path(parent).rmdir()
