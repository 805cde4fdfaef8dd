"""The settings file: TOML, named by `--settings` or `PORTALLINK_SETTINGS`, the same for every stage."""

from pathlib import Path

import msgspec

from streams.model.border import UNREADABLE
from streams.model.settings import Settings

VARIABLE = "PORTALLINK_SETTINGS"


class SettingsFileError(ValueError):
    """A settings file that cannot be used; the message names the file, the field and the reason."""


def read_settings(path: Path | None) -> Settings:
    """Return the settings of a file, or the built-in ones without one.

    Raises `SettingsFileError` if the file is unreadable or a value is wrong.
    """
    if path is None:
        return Settings()
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Settings)
    except OSError as error:
        raise SettingsFileError(f"{path}: {error.strerror}") from error
    except (msgspec.MsgspecError, *UNREADABLE) as error:
        raise SettingsFileError(f"{path}: {error}") from error
