"""The I/O of imports: reads maps, given a preset's name or a file."""

from importlib.resources import files
from pathlib import Path
from typing import Final

from streams.ingest.mapping.mapper import Mapper
from streams.ingest.mapping.places import MapError
from streams.ingest.mapping.said import Map
from streams.model.located import Located, LocatedError

_ENDINGS: Final = (".yaml", ".yml", ".json")


def preset_names() -> list[str]:
    """Return the names of the maps that come with the package."""
    folder = files("streams.ingest") / "presets"
    return sorted(
        entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")
    )


def preset_text(name: str) -> str:
    """Return the text of a map that comes with the package. Raises `LocatedError` for an unknown name."""
    if name not in preset_names():
        known = ", ".join(preset_names())
        raise LocatedError(name, 1, f"no such map; use {known}, or give the path of a .yaml file")
    return (files("streams.ingest") / "presets" / f"{name}.yaml").read_text("utf-8")


def load_mapper(name: str) -> Mapper:
    """Return the mapper for a preset's name or the path of a YAML file.

    Raises:
        LocatedError: the map cannot be read or used; the message names file, line and reason.
    """
    if not name.endswith(_ENDINGS) and "/" not in name:
        return mapper_of(Located(preset_text(name), f"{name}.yaml"))
    try:
        text = Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise LocatedError(name, 1, f"cannot be read: {error}") from error
    return mapper_of(Located(text, name))


def mapper_of(document: Located) -> Mapper:
    """Return the mapper for a document. Raises `LocatedError` at the key at fault."""
    said = document.convert(Map)
    try:
        return Mapper(said)
    except MapError as error:
        raise document.error(str(error), *error.path) from error
