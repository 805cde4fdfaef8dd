"""The I/O of imports: reads maps, by a preset's name or from a file."""

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
    """Return a map that comes with the package; raise `LocatedError` where there is none of that name."""
    if name not in preset_names():
        known = ", ".join(preset_names())
        raise LocatedError(name, 1, f"no such map; there are {known}, or give the path of a .yaml file")
    return (files("streams.ingest") / "presets" / f"{name}.yaml").read_text("utf-8")


def load_mapper(name: str) -> Mapper:
    """Return what applies a map, by a preset's name or by the path of a YAML file.

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
    """Return what applies the map of a document; raise `LocatedError` at the key that is wrong."""
    said = document.convert(Map)
    try:
        return Mapper(said)
    except MapError as error:
        raise document.error(str(error), *error.path) from error
