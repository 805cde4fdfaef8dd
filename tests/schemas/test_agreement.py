"""The schemas and the code's typed records agree on what a valid value is."""

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, validators
from msgspec import inspect

from streams.kafka.topics import Topics, declared_topics
from streams.measure.decode import REASONS
from streams.model import events
from streams.model.exclusion import Exclusion
from streams.model.measurement import Measurement
from streams.model.outage import Outage, Window
from streams.model.retirement import Retirement

EVENT_DECODERS = {
    Topics().lookups: events.lookup_decoder,
    Topics().submissions: events.submission_decoder,
}
TYPES = {
    Topics().measurements: Measurement,
    Topics().windows: Window,
    Topics().outages: Outage,
    Topics().exclusions: Exclusion,
    Topics().retirements: Retirement,
}

# JSON Schema takes 1.0 for an integer; here an integer is written as one.
StrictValidator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
SCHEMAS = {name: StrictValidator(topic.schema(1)) for name, topic in declared_topics().items()}


def decodes(decoder, value) -> bool:
    """Tell whether the code takes the value."""
    try:
        decoder.decode(json.dumps(value).encode())
    except msgspec.ValidationError:
        return False
    return True


@pytest.mark.parametrize("name", [*EVENT_DECODERS, *TYPES])
def test_examples_mean_the_same_to_code_and_schema(name):
    """The code reads every good example, and what it writes of it is valid again."""
    decoder = EVENT_DECODERS.get(name) or msgspec.json.Decoder(TYPES[name])
    for example in declared_topics()[name].examples():
        read = decoder.decode(json.dumps(example.value).encode())
        SCHEMAS[name].validate(json.loads(msgspec.json.encode(read)))


@pytest.mark.parametrize("name", EVENT_DECODERS)
def test_code_refuses_what_the_schema_refuses(name):
    """The event decoders refuse every bad example."""
    bad = declared_topics()[name].bad_examples()
    assert [example.name for example in bad if decodes(EVENT_DECODERS[name], example.value)] == []


ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["", "x", "x" * 200, "x" * 201, "portal", "ok", "lookup.requested", "observer.heartbeat"]
    ),
    st.lists(st.sampled_from(["npd", "", 7]), max_size=2),
    st.dictionaries(st.sampled_from(["a", "type"]), st.integers(0, 3), max_size=1),
)


@st.composite
def mutated_examples(draw, name):
    """Take an example and change, add or remove up to three fields."""
    topic = declared_topics()[name]
    values = [example.value for example in (*topic.examples(), *topic.bad_examples())]
    objects = [value for value in values if isinstance(value, dict)]
    fields = sorted({field for value in objects for field in value})
    value = copy.deepcopy(draw(st.sampled_from(objects)))
    for field in draw(st.lists(st.sampled_from(fields), min_size=1, max_size=3)):
        if draw(st.booleans()):
            value[field] = draw(ANYTHING)
        else:
            value.pop(field, None)
    return value


@pytest.mark.parametrize("name", EVENT_DECODERS)
@settings(max_examples=300)
@given(data=st.data())
def test_code_and_schema_agree_on_mutations(name, data):
    """However an example is changed, the decoder takes it if and only if the schema does."""
    value = data.draw(mutated_examples(name))
    assert decodes(EVENT_DECODERS[name], value) == SCHEMAS[name].is_valid(value)


def resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference within the document."""
    return root["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def disagreements(kind: inspect.Type, schema: dict[str, Any], root: dict[str, Any], at: str) -> list[str]:
    """Compare a type of the code with a schema, field by field; return where they differ."""
    schema = resolved(schema, root)
    match kind:
        case inspect.Metadata():
            return disagreements(kind.type, schema, root, at)
        case inspect.UnionType(types=types) if any(isinstance(part, inspect.NoneType) for part in types):
            inner = next(part for part in types if not isinstance(part, inspect.NoneType))
            if "null" not in schema.get("type", ()):
                return [f"{at}: may be null in the code"]
            rest = [name for name in schema["type"] if name != "null"]
            return disagreements(inner, {**schema, "type": rest[0]}, root, at)
        case inspect.StructType(array_like=True, fields=fields):
            pairs = zip(fields, schema["prefixItems"], strict=True)
            return [
                text
                for field, part in pairs
                for text in disagreements(field.type, part, root, f"{at}.{field.name}")
            ]
        case inspect.StructType(fields=fields):
            named = {field.encode_name: field for field in fields}
            found = [f"{at}: fields {set(named) ^ set(schema['properties'])}"]
            found = found if set(named) != set(schema["properties"]) else []
            needed = {name for name, field in named.items() if field.required}
            if not needed <= set(schema.get("required", ())):
                found.append(f"{at}: the code requires {needed - set(schema.get('required', ()))}")
            for name in named.keys() & schema["properties"].keys():
                found += disagreements(named[name].type, schema["properties"][name], root, f"{at}.{name}")
            return found
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            wrong = [] if schema.get("type") == "array" else [f"{at}: a list in the code"]
            return wrong or disagreements(item, schema["items"], root, f"{at}[]")
        case inspect.DictType(value_type=value):
            wrong = [] if schema.get("type") == "object" else [f"{at}: an object in the code"]
            return wrong or disagreements(value, schema["additionalProperties"], root, f"{at}{{}}")
        case inspect.LiteralType(values=values):
            return [] if set(values) == set(schema.get("enum", ())) else [f"{at}: one of {values}"]
    names = {
        inspect.IntType: "integer",
        inspect.FloatType: "number",
        inspect.StrType: "string",
        inspect.BoolType: "boolean",
    }
    wanted = names[type(kind)]
    if wanted == "string" and "enum" in schema:
        return []
    return [] if schema.get("type") == wanted else [f"{at}: {wanted} in the code, {schema.get('type')}"]


@pytest.mark.parametrize("name", TYPES)
def test_fields_of_results_are_those_of_the_code(name):
    """Names, types, enumerations and required fields of a result's schema are those of the code's record."""
    schema = declared_topics()[name].schema(1)
    assert disagreements(inspect.type_info(TYPES[name]), schema, schema, name) == []


def test_reasons_of_dead_letters_are_those_of_the_code():
    """The schema lists each reason for which the code refuses a record, and no other."""
    schema = declared_topics()[Topics().dead_letters].schema(1)
    assert tuple(schema["properties"]["reason"]["enum"]) == REASONS
