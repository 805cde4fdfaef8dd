"""Names that a map gives, names that it must not give, and maps that are wrong."""

import json
from importlib.resources import files

import pytest
import yaml
from jsonschema import Draft202012Validator
from mapped_calls import mapped, mapper

from streams.ingest.mapping.places import MapError
from streams.ingest.mapping.private import is_private, looks_private
from streams.ingest.mapping.said import map_schema
from streams.ingest.shell import load_mapper, mapper_of, preset_names
from streams.ingest.values import RejectedRecordError
from streams.model.located import Located, LocatedError


def test_names_come_by_template_pattern_table_and_last_resort():
    """A name is a pattern's, else the table's, else the last resort, else the value itself."""
    said = {
        "from": "{a}/{b}",
        "patterns": [{"match": "^x/", "name": "by pattern"}],
        "rename": {"p/q": "by table"},
    }
    assert mapped({"a": "x", "b": "q"}, link=said)[0].link == "by pattern"
    assert mapped({"a": "p", "b": "q"}, link=said)[0].link == "by table"
    assert mapped({"a": "p", "b": 7.0}, link=said)[0].link == "p/7"
    assert mapped({"a": "p", "b": 7.0}, link=said | {"otherwise": "rest"})[0].link == "rest"
    assert mapped({"a": "p"}, link=said | {"otherwise": "rest"})[0].link == "rest"
    assert mapped({"a": "p"}, service=said)[0].service == "unknown"
    with pytest.raises(RejectedRecordError, match="`link` is empty"):
        mapped({"a": "p"}, link=said)


@pytest.mark.parametrize(
    "field",
    [
        *("uri", "request_uri", "request", "url.full", "path", "http.target", "args", "query_string"),
        *("remote_addr", "client_ip", "clientIP", "http_x_forwarded_for", "userIp", "ClientHost"),
        *("client.address", "sourceAddress", "downstream_remote_address", "RequestPath", "cookie_session"),
        *("remote_user", "username", "user.id", "http_referer", "http_user_agent"),
    ],
)
def test_a_map_that_would_put_a_private_field_into_a_name_is_refused(field):
    """No template of a name, an id or a dossier lets a path, a query, a user or an address pass."""
    for key in ("link", "service", "agency", "id", "dossier"):
        with pytest.raises(MapError, match=f"`{field}` may hold") as refused:
            mapper(**{key: f"x {{{field}}}"})
        assert refused.value.path == (key,)
    submissions = {"when": [{"m": "POST"}], "portal": "p"}
    for key in ("portal", "service", "agency", "channel", "dossier"):
        with pytest.raises(MapError, match=f"`{field}` may hold"):
            mapper(submissions=submissions | {key: f"{{{field}}}"})
    with pytest.raises(MapError, match=f"`{field}` may hold"):
        mapper(service={"from": f"{{{field}}}", "rename": {"a": "b"}})
    assert mapper(service={"from": f"{{{field}}}", "rename": {"a": "b"}, "otherwise": "other"})


def test_fields_of_gateways_that_name_servers_are_no_private_ones():
    """What gateways call their routes, upstreams and request ids may be named."""
    names = (
        "upstream_name x_request_id request_id http.route server.address service.name route_id backend_name"
    )
    assert [name for name in names.split() if is_private(name)] == []


@pytest.mark.parametrize(
    "value",
    [
        "10.0.0.7",
        "10.0.0.7:8080",
        "[2001:db8::1]:80",
        "an@example.vn",
        "/x?id=1",
        "079090001234",
        "0912345678",
    ],
)
def test_a_value_that_looks_private_is_no_name(value):
    """A value that is an address, a query or an identity number is refused as a name, and not repeated."""
    assert looks_private(value)
    with pytest.raises(RejectedRecordError, match="`link` would hold") as refused:
        mapped({"up": value}, link="{up}")
    assert value not in str(refused.value)
    assert mapped({"up": value}, link={"from": "{up}", "rename": {value: "npd"}})[0].link == "npd"


def test_the_schema_and_the_code_take_the_same_maps():
    """What is wrong with a key is wrong by the schema, and the preset is right by it."""
    schema = Draft202012Validator(json.loads(map_schema()))
    for name in preset_names():
        text = (files("streams.ingest") / "presets" / f"{name}.yaml").read_text("utf-8")
        schema.validate(yaml.safe_load(text))
        assert load_mapper(name).fields
    for text in ("lnik: npd", "end: {field: t, at: 3}", "duration: {field: d, unit: sec}", "observer: me"):
        assert not schema.is_valid(yaml.safe_load(text))
    with pytest.raises(LocatedError, match="no such map; use"):
        load_mapper("nginx-jason")


WRONG = [
    ("end: {field: t, format: '%d %d'}\nlink: npd", 1, "is not a strptime format"),
    ("end: {field: t}\nlnik: npd", 2, "unknown field `lnik`"),
    ("end: {field: t, format: iso8601}\nlink: npd", 1, "`iso8601` is not a format"),
    ("end:\n  field: t\n  zone: Hanoi\nlink: npd", 1, "`Hanoi` is not a time zone"),
    ("end: {field: t}\nduration: {field: d, unit: sec}\nlink: npd", 2, "Invalid enum value 'sec'"),
    ("end: {field: t}\nlink: '{a'", 2, "unbalanced braces"),
    (
        "end: {field: t}\nlink:\n  from: '{a}'\n  patterns: [{match: '(', name: a}]",
        2,
        "not a valid regular expression",
    ),
    ("end: {field: t}", 1, "neither `link` nor `submissions`"),
    ("link: npd", 1, "`start` or `end`"),
    (
        "end: {field: t}\nlink: npd\noutcome:\n  - when: {a: b}\n    is: ok\n  - when: {s: []}\n    is: ok",
        6,
        "is empty",
    ),
    ("end: {field: t}\nlink: npd\noutcome:\n  - when: {a: b}\n    is: down", 5, "Invalid enum value 'down'"),
    ("end: {field: t}\nlink: npd\nid: fixed", 3, "holds no field"),
    ("end: {field: t}\nlink: npd\nlink: npd", 3, "appears twice"),
    ("end: {field: t}\nlink: '{uri}'", 2, "may hold a path"),
    ("", 1, "the file is empty"),
]


@pytest.mark.parametrize(("text", "line", "reason"), WRONG)
def test_what_is_wrong_with_a_map_is_said_with_its_line(text, line, reason):
    """A map that cannot be used is refused with file, line and reason."""
    with pytest.raises(LocatedError) as refused:
        mapper_of(Located(text, "map.yaml"))
    assert str(refused.value).startswith(f"map.yaml:{line}: ")
    assert reason in str(refused.value)
