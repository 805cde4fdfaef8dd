"""The components of the program as a CycloneDX document: `python -m tools.sbom FILE`. Needs no network.

Every locked dependency is a component, with the digests of its files from ``requirements/`` and the licence
that its installed package states. What only installs, develops or tests is marked as excluded from delivery.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentScope, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, LicenseAcknowledgement
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from packageurl import PackageURL

from streams import __version__

ROOT: Final = Path(__file__).parents[1]
LOCKS: Final = ("runtime", "dev", "install")
_LOCKED: Final = re.compile(r"^([a-z0-9._-]+)==([^\s;\\]+)(.*?)(?=^[a-z0-9]|\Z)", re.MULTILINE | re.DOTALL)
_DIGEST: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
LONGEST_NAME: Final = 100
"""Some packages state the whole text of their licence in place of its name."""

Locked = dict[tuple[str, str], frozenset[str]]
"""The SHA-256 digests of a distribution's files, by its name and version."""


def locked(text: str) -> Locked:
    """Return what a lock file locks."""
    return {
        (name, version): frozenset(_DIGEST.findall(rest)) for name, version, rest in _LOCKED.findall(text)
    }


def licences(name: str) -> list[str]:
    """Return the licences that an installed package states; none if it is not installed or states none."""
    try:
        stated = metadata(name)
    except PackageNotFoundError:
        return []
    if expression := stated.get_all("License-Expression"):
        return expression
    prefix = "License :: "
    classified = [
        one.rpartition(" :: ")[2] for one in stated.get_all("Classifier", []) if one.startswith(prefix)
    ]
    texts = [text.strip() for text in stated.get_all("License", [])]
    return classified or [text for text in texts if text and "\n" not in text and len(text) <= LONGEST_NAME]


def component(name: str, version: str, digests: frozenset[str], *, delivered: bool) -> Component:
    """Return one locked dependency."""
    purl = PackageURL("pypi", name=name, version=version)
    found = licences(name)
    if len(found) == 1:
        made = [
            LicenseFactory().make_from_string(
                found[0], license_acknowledgement=LicenseAcknowledgement.DECLARED
            )
        ]
    else:
        made = [
            DisjunctiveLicense(name=one, acknowledgement=LicenseAcknowledgement.DECLARED) for one in found
        ]
    files = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(str(purl)),
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=digest) for digest in sorted(digests)],
    )
    return Component(
        name=name,
        version=version,
        type=ComponentType.LIBRARY,
        bom_ref=str(purl),
        purl=purl,
        scope=ComponentScope.REQUIRED if delivered else ComponentScope.EXCLUDED,
        licenses=made,
        external_references=[files],
    )


def bill() -> str:
    """Return the document as JSON."""
    texts = {name: (ROOT / "requirements" / f"{name}.txt").read_text("utf-8") for name in LOCKS}
    every: Locked = {}
    for text in texts.values():
        every |= locked(text)
    delivered = locked(texts["runtime"])
    bom = Bom(serial_number=uuid5(NAMESPACE_URL, "".join(texts.values())))
    program = Component(
        name="portallink", version=__version__, type=ComponentType.APPLICATION, bom_ref="portallink"
    )
    bom.metadata.component = program
    parts = [
        component(name, version, digests, delivered=(name, version) in delivered)
        for (name, version), digests in sorted(every.items())
    ]
    for part in parts:
        bom.components.add(part)
    bom.register_dependency(program, [part for part in parts if part.scope is ComponentScope.REQUIRED])
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=2)


def main() -> None:
    """Write the document to a file."""
    target = Path(sys.argv[1])
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(bill() + "\n", "utf-8")


if __name__ == "__main__":
    main()
