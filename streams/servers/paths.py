"""Where downloaded parts and kept data live (XDG base directories, overridable by environment)."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Directory of what can be fetched again: `PORTALLINK_CACHE`, else portallink under the XDG cache."""
    return _directory("PORTALLINK_CACHE", "XDG_CACHE_HOME", ".cache")


def data_dir() -> Path:
    """Directory of what must not be lost: `PORTALLINK_DATA`, else portallink under the XDG data home."""
    return _directory("PORTALLINK_DATA", "XDG_DATA_HOME", ".local/share")


def _directory(own: str, xdg: str, under_home: str) -> Path:
    if chosen := os.environ.get(own):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get(xdg)
    return (Path(base) if base else Path.home() / under_home) / "portallink"
