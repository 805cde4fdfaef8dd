"""A map of one call's fields, and what it makes of them."""

import msgspec
import yaml

from streams.ingest.mapping.mapper import Mapper
from streams.ingest.mapping.said import Map

AT_MS = 1_795_741_200_000
BASE = """
end: {field: t, format: epoch_ms}
duration: {field: took, unit: s}
status: status
link: npd
"""
CALL = {"t": AT_MS, "took": 0.25, "status": 200}


def mapper(text=BASE, **keys):
    """Return the mapper of a map, with keys put in the place of its own; None takes one out."""
    said = yaml.safe_load(text) | keys
    said = {key: value for key, value in said.items() if value is not None}
    return Mapper(msgspec.convert(said, Map))


def mapped(fields, text=BASE, **keys):
    """Return the events of one call."""
    return mapper(text, **keys).of(CALL | fields, "file:1")


def outcome(fields, **keys):
    """Return what one call came to."""
    return mapped(fields, **keys)[-1].outcome
