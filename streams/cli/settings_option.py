"""The option `--settings`, the same for every command that reads the settings file."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.outcome import refuse
from streams.logs.settings_file import VARIABLE, SettingsFileError, read_settings
from streams.model.settings import Settings

SettingsFile = Annotated[
    Path | None,
    typer.Option("--settings", help="Settings file (TOML), see docs/configure.md.", envvar=VARIABLE),
]


def settings_of(path: Path | None) -> Settings:
    """Return the settings of a file; what is wrong with it ends the command."""
    try:
        return read_settings(path)
    except SettingsFileError as error:
        refuse(error)
