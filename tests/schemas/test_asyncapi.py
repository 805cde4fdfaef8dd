"""The AsyncAPI document is made from the topic data, valid, and up to date."""

import copy
import json
import os
import shutil
import subprocess
import tarfile

import pytest
import yaml
from jsonschema import Draft7Validator

from streams.kafka.asyncapi import asyncapi_document
from streams.kafka.topics import SCHEMAS_DIR, declared_topics
from streams.servers.paths import cache_dir

OFFICIAL_SCHEMAS = "@asyncapi/specs@6.11.1"  # the AsyncAPI initiative's own, as published for npm
DOCUMENT = yaml.safe_load((SCHEMAS_DIR / "asyncapi.yaml").read_text("utf-8"))


def resolve(reference: str):
    """Return what a reference in the document points to."""
    file, _, pointer = reference.partition("#")
    if file:
        return json.loads((SCHEMAS_DIR / file).read_text("utf-8"))
    found = DOCUMENT
    for part in pointer.strip("/").split("/"):
        found = found[part]
    return found


def references(part):
    """Yield every reference under a part of the document, examples aside."""
    if isinstance(part, dict):
        if "$ref" in part:
            yield part["$ref"]
        for name, value in part.items():
            if name != "examples":
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


@pytest.fixture(scope="module")
def official() -> Draft7Validator:
    """Return the validator of the official AsyncAPI schema, fetched once by npm."""
    archive = cache_dir() / "asyncapi-specs-6.11.1.tgz"
    if not archive.exists():
        npm = shutil.which("npm")
        missing = "the official AsyncAPI schema needs `npm` on PATH and the network, once"
        if npm is None and os.environ.get("CI") != "true":
            pytest.skip(missing)
        assert npm is not None, missing
        archive.parent.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", "--silent", OFFICIAL_SCHEMAS, "--pack-destination", str(archive.parent)]
        packed = subprocess.run(command, capture_output=True, text=True, check=False)
        if packed.returncode != 0 and os.environ.get("CI") != "true":
            pytest.skip(f"{missing}: {packed.stderr[-200:]}")
        assert packed.returncode == 0, packed.stderr
    with tarfile.open(archive) as files:
        return Draft7Validator(json.load(files.extractfile("package/schemas/3.0.0.json")))


def test_document_is_valid_under_the_official_schema(official):
    """The document has no fault under the AsyncAPI 3.0.0 schema."""
    assert [(error.json_path, error.message[:200]) for error in official.iter_errors(DOCUMENT)] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("asyncapi",), "2.6.0"),
        (("channels", "npd.lookups", "adress"), "npd.lookups"),
        (("operations", "measure.receive.npd.lookups", "action"), "consume"),
        (("channels", "npd.lookups", "bindings", "kafka", "partitions"), "four"),
        (("info", "version"), None),
    ],
)
def test_official_schema_refuses_a_wrong_document(official, path, value):
    """The validation is able to fail: each of these slips is found."""
    document = copy.deepcopy(DOCUMENT)
    *parents, last = path
    part = document
    for name in parents:
        part = part[name]
    part[last] = value
    assert not official.is_valid(document)


def test_document_in_the_repository_is_what_the_topics_say():
    """The file is up to date: run `portallink topics asyncapi --out schemas/asyncapi.yaml` if it is not."""
    assert (SCHEMAS_DIR / "asyncapi.yaml").read_text("utf-8") == asyncapi_document()


def test_document_covers_every_topic_with_its_writers_and_readers():
    """Each topic is a channel; each producer sends to it, each consumer receives from it."""
    assert set(DOCUMENT["channels"]) == set(declared_topics())
    operations = {
        (operation["channel"]["$ref"].rpartition("/")[2], operation["action"], operation["tags"][0]["name"])
        for operation in DOCUMENT["operations"].values()
    }
    declared = {
        (topic.name, action, room)
        for topic in declared_topics().values()
        for action, rooms in (("send", topic.producers), ("receive", topic.consumers))
        for room in rooms
    }
    assert operations == declared


def test_every_reference_leads_somewhere():
    """No reference is dangling, and payloads lead to the topics' own schemas."""
    found = list(references(DOCUMENT))
    assert all(resolve(reference) for reference in found)
    assert sum(reference.endswith(".schema.json") for reference in found) == len(declared_topics())
