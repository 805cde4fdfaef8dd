"""The bill of materials names everything that is locked."""

import json
import re

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from source_tree import ROOT

from tools.sbom import bill, licences

LOCKS = {path.stem: path.read_text("utf-8") for path in (ROOT / "requirements").glob("*.txt")}


@pytest.fixture(scope="module")
def text() -> str:
    """Return the bill."""
    return bill()


@pytest.fixture(scope="module")
def document(text: str) -> dict:
    """Return the bill as plain values."""
    return json.loads(text)


def test_the_bill_is_valid_by_the_standard_s_schema(text):
    """CycloneDX's own strict validator finds nothing."""
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None


def test_every_locked_dependency_is_listed_with_the_digests_of_its_files(document):
    """Names and versions are those of all lock files, digests as many as there are, and no more."""
    listed = {(one["name"], one["version"]) for one in document["components"]}
    text = "".join(LOCKS.values())
    assert listed == set(re.findall(r"^([\w.-]+)==([^\s;]+)", text, re.MULTILINE))
    digests = [
        h["content"] for one in document["components"] for r in one["externalReferences"] for h in r["hashes"]
    ]
    assert set(digests) == set(re.findall(r"sha256:(\w{64})", text))


def test_what_is_delivered_is_what_the_runtime_locks(document):
    """Only what `runtime.txt` locks is required; the rest is marked as excluded."""
    required = {one["name"] for one in document["components"] if one["scope"] == "required"}
    assert required == set(re.findall(r"^([\w.-]+)==", LOCKS["runtime"], re.MULTILINE))


def test_licences_are_given_wherever_a_package_states_one(document):
    """A component has a licence exactly where its installed package states one; nine in ten of those do."""
    stated = {one["name"]: bool(licences(one["name"])) for one in document["components"]}
    assert {one["name"]: "licenses" in one for one in document["components"]} == stated
    assert sum(stated.values()) > 0.9 * len(stated)
