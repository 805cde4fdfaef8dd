"""What readers call links, portals, providers, agencies and services: names in both languages, by identifier.

Pages and reports show these names; the interface, evidence and commands keep to identifiers.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from streams.model.border import UNREADABLE
from streams.model.incidents import ends_of
from streams.serve.texts import Language

Scope = Literal["link", "portal", "provider", "agency", "service"]


class NamesFileError(ValueError):
    """A file of names that cannot be used; the message names it and says why."""


class Bilingual(Struct, frozen=True, forbid_unknown_fields=True):
    """A text in both languages."""

    en: Annotated[str, Meta(min_length=2)]
    vi: Annotated[str, Meta(min_length=2)]

    def of(self, language: Language) -> str:
        """Return the text in a language."""
        return self.vi if language == "vi" else self.en


class Names(Struct, frozen=True, forbid_unknown_fields=True):
    """Names by identifier. One that ends in ``-*`` names all numbered ones; ``{n}`` is the number.

    ``issuer`` is whose reports these are.
    """

    links: dict[str, Bilingual] = field(default_factory=dict)
    portals: dict[str, Bilingual] = field(default_factory=dict)
    providers: dict[str, Bilingual] = field(default_factory=dict)
    agencies: dict[str, Bilingual] = field(default_factory=dict)
    services: dict[str, Bilingual] = field(default_factory=dict)
    issuer: Bilingual | None = None

    def called(self, scope: Scope, name: str, language: Language) -> str:
        """Return what readers call something; what has no name is shown by its identifier.

        A link without a name of its own goes by those of its two ends.
        """
        known = self._known(scope)
        if (found := known.get(name)) is not None:
            return found.of(language)
        if scope == "link":
            return self._by_ends(name, language)
        stem, _, number = name.rpartition("-")
        if number.isdecimal() and (found := known.get(f"{stem}-*")) is not None:
            return found.of(language).format(n=int(number))
        return name

    def _known(self, scope: Scope) -> dict[str, Bilingual]:
        return {
            "link": self.links,
            "portal": self.portals,
            "provider": self.providers,
            "agency": self.agencies,
            "service": self.services,
        }[scope]

    def _by_ends(self, link: str, language: Language) -> str:
        portal, provider = ends_of(link)
        if portal not in self.portals and provider not in self.providers:
            return link
        ends = (self.called("portal", portal, language), self.called("provider", provider, language))
        return " – ".join(end for end in ends if end)


@cache
def city_names() -> Names:
    """Return the names of the simulated city."""
    data = files("streams.serve").joinpath("names.yaml").read_bytes()
    return msgspec.yaml.decode(data, type=Names)


def read_names(path: Path | None) -> Names:
    """Return the names of a YAML file, the simulated city's without one; raise `NamesFileError`."""
    if path is None:
        return city_names()
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=Names)
    except (OSError, *UNREADABLE) as error:
        raise NamesFileError(f"{path}: {error}") from error
