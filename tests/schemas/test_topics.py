"""The topic data are a closed world: what is declared is used, what is used is declared."""

import ast
import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

import streams
from streams.kafka.topics import SCHEMAS_DIR, TopicDataError, Topics, _read_topic, declared_topics

CODE = Path(streams.__file__).parent
TOPIC_NAME = re.compile(r"(portal|npd|link|pipeline|observer)(\.(?!html\b)[a-z_]+)+")
# Names of the same shape that are not topics.
EVENT_TYPES = {"observer.heartbeat"}
ROOMS = {"simulate", "ingest", "collect", "emit", "replay", "measure", "detect", "record", "serve", "cli"}
TOPICS = sorted(declared_topics().values(), key=lambda topic: topic.name)
OWN_VALUES = [topic for topic in TOPICS if topic.value_of == topic.name]


def validator(topic):
    """Return the validator of a topic's newest version."""
    return Draft202012Validator(topic.schema(topic.versions[-1]))


def code() -> Iterator[tuple[str, ast.AST]]:
    """Yield every node of the code with the name of its file."""
    for path in sorted(CODE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            yield path.relative_to(CODE).as_posix(), node


def uses_in_code() -> dict[str, set[str]]:
    """Return the files that use each topic: by its name, or by its field of a `Topics` called topics."""
    names = {field.name: str(field.default) for field in dataclasses.fields(Topics)}
    found: dict[str, set[str]] = {}
    for file, node in code():
        match node:
            case ast.Constant(value=str(text)) if TOPIC_NAME.fullmatch(text) and text not in EVENT_TYPES:
                found.setdefault(text, set()).add(file)
            case ast.Attribute(value=ast.Name(id=owner) | ast.Attribute(attr=owner), attr=field):
                if owner.lstrip("_") == "topics" and field in names:
                    found.setdefault(names[field], set()).add(file)
    return found


def test_every_topic_in_code_is_declared():
    """Whatever in the code has the shape of a topic's name is a declared topic."""
    assert set(uses_in_code()) <= set(declared_topics())


def test_every_declared_topic_is_used():
    """Each declared topic is used by code other than the module that lists them all."""
    used = {name for name, files in uses_in_code().items() if files - {"schemas.py"}}
    assert set(declared_topics()) == used


def test_names_in_use_cover_the_declared_ones():
    """`Topics` has one field for each declared topic; suffixed names stay apart from the plain ones."""
    assert set(Topics().by_declared_name()) == set(declared_topics())
    suffixed = Topics().suffixed("x").by_declared_name()
    assert suffixed == {name: f"{name}-x" for name in declared_topics()}


def test_every_file_belongs_to_a_topic():
    """There is no orphan: each file is a topic's data, a version, an example, or one of two documents."""
    expected = {SCHEMAS_DIR / "asyncapi.yaml", SCHEMAS_DIR / "gateway-map.schema.json"}
    for topic in TOPICS:
        expected.add(SCHEMAS_DIR / topic.name / "topic.yaml")
        expected |= {topic.directory / f"v{version}.schema.json" for version in topic.versions}
        expected |= set(topic.directory.glob("examples/*.json"))
        expected |= set(topic.directory.glob("examples/bad/*.json"))
    assert {path for path in SCHEMAS_DIR.rglob("*") if path.is_file()} == expected


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)
def test_topic_is_written_and_read_and_keeps_broker_time(topic):
    """Each topic has writers, readers, versions from 1 on, and takes the broker's time for retention."""
    assert topic.producers
    assert topic.consumers
    assert {*topic.producers, *topic.consumers} <= ROOMS
    assert topic.versions == tuple(range(1, len(topic.versions) + 1))
    assert topic.partitions >= 1
    assert topic.config["message.timestamp.type"] == "LogAppendTime"
    assert topic.value_of in declared_topics()


@pytest.mark.parametrize("topic", OWN_VALUES, ids=lambda topic: topic.name)
def test_schema_is_one_and_names_itself(topic):
    """Each schema is valid JSON Schema 2020-12, named after its topic, and lets unknown fields pass."""
    for version in topic.versions:
        schema = topic.schema(version)
        Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
        assert schema["$id"] == f"urn:portallink:{topic.name}:{version}"
        assert '"additionalProperties": false' not in json.dumps(schema)


@pytest.mark.parametrize("topic", OWN_VALUES, ids=lambda topic: topic.name)
def test_good_examples_are_accepted_and_bad_ones_refused_for_their_reason(topic):
    """Every good example is valid; every bad one has its stated fault, at the stated place, and no other."""
    assert topic.examples()
    assert topic.bad_examples()
    for example in topic.examples():
        assert list(validator(topic).iter_errors(example.value)) == [], example.name
    for example in topic.bad_examples():
        faults = {(error.json_path, error.validator) for error in validator(topic).iter_errors(example.value)}
        assert faults == {(example.at, example.rule)}, example.name
        assert example.why


@pytest.mark.parametrize("topic", OWN_VALUES, ids=lambda topic: topic.name)
def test_a_value_without_a_required_field_is_refused(topic):
    """Whatever field the schema requires of every value, no example is valid without it."""
    for name in topic.schema(topic.versions[-1])["required"]:
        for example in topic.examples():
            without = {key: value for key, value in example.value.items() if key != name}
            assert not validator(topic).is_valid(without), f"{example.name} without {name}"


def test_times_are_named_and_typed():
    """A field whose name ends in _ms and whose description speaks of the epoch is an integer."""

    def fields(schema):
        if isinstance(schema, dict):
            yield from (
                schema.get("properties", {}).items() if isinstance(schema.get("properties"), dict) else ()
            )
            for part in schema.values():
                yield from fields(part)
        elif isinstance(schema, list):
            for part in schema:
                yield from fields(part)

    seen = 0
    for topic in OWN_VALUES:
        for name, field in fields(topic.schema(topic.versions[-1])):
            if "Epoch milliseconds" in field.get("description", ""):
                seen += 1
                assert name.endswith("_ms")
                assert "integer" in field["type"]
    assert seen > 15


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("name: a.b\n", "KeyError: 'title'"),
        ("[1, 2]\n", "topic.yaml"),
        ("name: {\n", "topic.yaml"),
    ],
)
def test_wrong_topic_data_is_refused_with_its_file(tmp_path, text, told):
    """A topic file that lacks a setting or is no YAML is refused with its path."""
    path = tmp_path / "a.b" / "topic.yaml"
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(TopicDataError) as refused:
        _read_topic(path)
    assert str(path) in str(refused.value)
    assert told in str(refused.value)


def test_misspelt_setting_and_misplaced_topic_are_refused(tmp_path):
    """A setting that nobody reads and a name that is not the folder's are errors, not surprises."""
    path = tmp_path / "npd.lookups" / "topic.yaml"
    path.parent.mkdir()
    good = (SCHEMAS_DIR / "npd.lookups" / "topic.yaml").read_text("utf-8")
    path.write_text(good + "retension: 1\n", "utf-8")
    with pytest.raises(TopicDataError, match="unknown setting retension"):
        _read_topic(path)
    path.write_text(good.replace("name: npd.lookups", "name: npd.lookup"), "utf-8")
    with pytest.raises(TopicDataError, match="not the name of its folder"):
        _read_topic(path)


def test_evidence_is_kept_as_long_as_answers_say():
    """The broker keeps lookups for as long as pages and reports promise."""
    from streams.model.settings import EVIDENCE_KEPT_MS

    declared = declared_topics()["npd.lookups"]
    assert int(declared.config["retention.ms"]) == EVIDENCE_KEPT_MS
