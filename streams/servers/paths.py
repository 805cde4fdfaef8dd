"""The folders for downloads and data (XDG base directories, overridable by environment variables)."""

import os
from pathlib import Path


def cache_dir() -> Path:
    """Directory of replaceable files: `PORTALLINK_CACHE`, otherwise portallink under the XDG cache."""
    return _directory("PORTALLINK_CACHE", "XDG_CACHE_HOME", ".cache")


def data_dir() -> Path:
    """Directory of data to keep: `PORTALLINK_DATA`, otherwise portallink under the XDG data home."""
    return _directory("PORTALLINK_DATA", "XDG_DATA_HOME", ".local/share")


def _directory(own: str, xdg: str, under_home: str) -> Path:
    if chosen := os.environ.get(own):
        return Path(chosen).expanduser().absolute()
    base = os.environ.get(xdg)
    return (Path(base) if base else Path.home() / under_home) / "portallink"
