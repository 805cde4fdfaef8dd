"""The mapping core: fields of a call by name to events, whatever the source."""

import json
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streams.ingest.mapping.mapper import Mapper
from streams.ingest.mapping.places import MapError
from streams.ingest.mapping.private import is_private, looks_private
from streams.ingest.mapping.said import Map, map_schema
from streams.ingest.shell import load_mapper, mapper_of, preset_names
from streams.ingest.values import RejectedRecordError
from streams.model.events import lookup_decoder, submission_decoder
from streams.model.located import Located, LocatedError

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


def test_a_call_becomes_a_request_and_a_completion_that_the_pipeline_takes():
    """A mapped call is a pair of events, each valid by the contract, asked when the call began."""
    said = {"id": "{id}", "agency": "{org}", "service": "lookup", "link": "{up} > npd"}
    events = mapped({"id": "a-1", "org": "so-tu-phap", "up": "hcmc"}, **said)
    requested, completed = (lookup_decoder.decode(msgspec.json.encode(event)) for event in events)
    assert (requested.occurred_at_ms, completed.occurred_at_ms) == (AT_MS - 250, AT_MS)
    assert (completed.link, completed.agency, completed.service) == ("hcmc > npd", "so-tu-phap", "lookup")
    assert (completed.outcome, completed.status_code, completed.attempt) == ("ok", 200, 1)
    assert requested.lookup_id == completed.lookup_id
    assert requested.lookup_id.startswith("a-1.")
    assert requested.dossier_id == "a-1"
    assert requested.event_id != completed.event_id


TIMES = [
    ("iso", None, "2026-11-27T08:00:00.500+07:00", 500),
    ("iso", None, "2026-11-27T01:00:00.123456789Z", 123),
    ("iso", "Asia/Ho_Chi_Minh", "2026-11-27 08:00:00,250", 250),
    ("epoch_s", None, "1795741200.007", 7),
    ("epoch_s", None, 1795741200, 0),
    ("epoch_ms", None, "1795741200001", 1),
    ("epoch_us", None, 1795741200001999, 1),
    ("epoch_ns", None, "1795741200001999999", 1),
    ("%d/%b/%Y:%H:%M:%S %z", None, "27/Nov/2026:08:00:00 +0700", 0),
    ("%d/%b/%Y:%H:%M:%S.%f", "Asia/Ho_Chi_Minh", "27/Nov/2026:08:00:00.042", 42),
]


@pytest.mark.parametrize(("format_", "zone", "value", "expected"), TIMES)
def test_times_are_read_as_the_map_says(format_, zone, value, expected):
    """Each format of a time gives epoch milliseconds."""
    end = {"field": "t", "format": format_} | ({"zone": zone} if zone else {})
    assert mapped({"t": value}, end=end)[-1].occurred_at_ms == AT_MS + expected


@given(ms=st.integers(946_771_200_000, 4_102_228_800_000), hours=st.integers(-12, 14))
def test_every_way_to_write_a_time_says_the_same(ms, hours):
    """One moment in ISO 8601, in each epoch unit and by strptime gives the same millisecond."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    local = moment + timedelta(hours=hours)
    iso = f"{local:%Y-%m-%dT%H:%M:%S}.{local.microsecond:06d}{hours:+03d}:00"
    for format_, value in [
        ("iso", iso),
        ("epoch_s", f"{ms / 1000:.3f}"),
        ("epoch_ms", ms),
        ("epoch_us", str(ms * 1000)),
        ("epoch_ns", ms * 1_000_000),
        ("%Y %j %H:%M:%S,%f %z", f"{local:%Y %j %H:%M:%S,%f} {hours:+03d}00"),
        ("%Y-%m-%d %H:%M:%S.%f", f"{moment:%Y-%m-%d %H:%M:%S.%f}"),
    ]:
        end = {"field": "t", "format": format_, "zone": "UTC"}
        assert mapped({"t": value}, end=end)[-1].occurred_at_ms == ms, format_


def test_start_and_end_and_duration_are_two_of_three():
    """Any two of start, end and duration give both times; one time alone gives a call of no length."""
    start = {"field": "s", "format": "epoch_ms"}
    end = {"field": "t", "format": "epoch_ms"}
    for keys in (
        {"start": start, "end": end, "duration": None},
        {"start": start, "end": None},
        {"end": end},
    ):
        events = mapped({"s": AT_MS - 250}, **keys)
        assert [event.occurred_at_ms for event in events] == [AT_MS - 250, AT_MS]
    for keys in ({"start": start, "end": None, "duration": None}, {"duration": None}):
        assert [event.occurred_at_ms for event in mapped({"s": AT_MS}, **keys)] == [AT_MS, AT_MS]
    with pytest.raises(MapError, match="two say it all"):
        mapper(start=start)
    with pytest.raises(MapError, match="when a call was"):
        mapper(end=None)


DURATIONS = [
    ("s", 0.25, 250),
    ("s", "0.250", 250),
    ("ms", "250", 250),
    ("us", 250_000, 250),
    ("ns", "250000000", 250),
    ("ms", "0.25s", 250),
    ("s", "250ms", 250),
    ("ms", "+250", 250),
    ("s", "-", 0),
    ("s", None, 0),
    ("ms", -1, 0),
    ("s", "0.1, 0.15", 250),
    ("s", "0.1 : -, 0.15", 250),
    ("s", [0.1, None, 0.15], 250),
]


@pytest.mark.parametrize(("unit", "value", "took_ms"), DURATIONS)
def test_durations_are_read_in_their_unit(unit, value, took_ms):
    """A duration is a number in the map's unit or its own, a list is summed up, and nothing is no time."""
    one = mapper(duration={"field": "took", "unit": unit})
    events = one.of(CALL | {"took": value}, "file:1")
    assert events[1].occurred_at_ms - events[0].occurred_at_ms == took_ms
    assert one.calls.without_duration == (took_ms == 0)


def test_attempts_of_a_list_are_calls_of_their_own():
    """Each attempt of a list has its own time, status, number and ids, one after the other until the end."""
    said = {"duration": {"field": "took", "unit": "s", "attempts": "each"}, "id": "{id}"}
    fields = {"took": "2.000, 0.500", "status": "504, 200", "id": "a"}
    events = mapped(fields, **said, outcome=[{"when": {"status": 504}, "is": "timeout"}])
    assert [event.occurred_at_ms for event in events] == [AT_MS - 2500, AT_MS - 500, AT_MS - 500, AT_MS]
    assert [event.attempt for event in events] == [1, 1, 2, 2]
    assert [event.outcome for event in events] == [None, "timeout", None, "ok"]
    assert len({event.event_id for event in events}) == 4
    assert len({event.lookup_id for event in events}) == 2
    assert {event.dossier_id for event in events} == {"a"}
    last = mapped(fields, duration={"field": "took", "unit": "s", "attempts": "last"})
    assert [event.occurred_at_ms for event in last] == [AT_MS - 500, AT_MS]
    assert last[-1].status_code == 200


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


RULES = [
    {"when": {"flags": {"match": "UT"}}, "is": "timeout"},
    {"when": {"flags": ["UH", "UF"]}, "is": "unreachable"},
    {"when": {"status": 499, "timed_out": True}, "is": "timeout"},
    {"when": {"status": "5xx", "reached": {"present": False}}, "is": "unreachable"},
    {"when": {"duration_ms": {"at_least": 9_000, "below": 9_500}}, "is": "protocol_error"},
]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"flags": "UT", "status": 200}, "timeout"),
        ({"flags": "DC,UT"}, "timeout"),
        ({"flags": "UF"}, "unreachable"),
        ({"flags": "UFX"}, "ok"),
        ({"status": 499, "took": 60}, "timeout"),
        ({"status": 499, "took": 59.9}, "timeout"),
        ({"status": 499, "took": 3}, "cancelled"),
        ({"status": 503, "reached": "-"}, "unreachable"),
        ({"status": "503", "reached": "0.001"}, "provider_error"),
        ({"took": 9.1}, "protocol_error"),
        ({"took": 9.5}, "ok"),
        ({"status": 404}, "not_found"),
        ({"status": 429}, "throttled"),
        ({"status": 403.0}, "denied"),
    ],
)
def test_the_first_rule_that_holds_decides_and_else_the_status(fields, expected):
    """Rules are tried in order, flags before status, and what no rule speaks of is told by the status."""
    assert outcome(fields, outcome=RULES) == expected


def test_what_no_rule_spoke_of_is_counted():
    """Values that matched no rule are counted where something is odd, private fields left out."""
    one = mapper(outcome=[*RULES, {"when": {"path": "/x"}, "is": "ok"}])
    for fields in ({"status": 418}, {"status": 418}, {"flags": "ZZ", "path": "/079090001234"}, {}):
        one.of(CALL | fields, "file:1")
    assert one.unmatched == {
        "status=418 flags=- reached=-": 2,
        "status=200 flags=ZZ reached=-": 1,
    }
    with pytest.raises(RejectedRecordError, match="no rule says"):
        one.of(CALL | {"status": "-"}, "file:1")


def test_ids_follow_from_the_call_alone():
    """The same call has the same ids wherever it is read; without an id its place tells it from others."""
    fields = CALL | {"id": "a"}
    with_id = mapper(id="{id}")
    assert with_id.of(fields, "file:1") == with_id.of(fields, "other:9")
    assert (
        with_id.of(fields, "file:1")[0].event_id
        != with_id.of(fields | {"t": AT_MS + 1}, "file:1")[0].event_id
    )
    without = mapper()
    assert without.of(fields, "file:1") == without.of(fields, "file:1")
    pairs = [without.of(fields, f"file:{line}") for line in (1, 2)]
    assert len({event.lookup_id for pair in pairs for event in pair}) == 2
    absent = with_id.of(fields | {"id": "-"}, "file:1"), with_id.of(fields | {"id": "-"}, "file:2")
    assert absent[0][0].lookup_id != absent[1][0].lookup_id


@given(given_id=st.text(max_size=300))
def test_any_id_makes_valid_events(given_id):
    """Whatever stands where the id should be, the events are valid and paired."""
    events = mapped({"id": given_id}, id="{id}")
    requested, completed = (lookup_decoder.decode(msgspec.json.encode(event)) for event in events)
    assert requested.lookup_id == completed.lookup_id


SUBMISSIONS = """
end: {field: t, format: epoch_ms}
duration: {field: took, unit: s}
status: status
submissions:
  when: [{method: POST, uri: {match: '^/nop-ho-so'}}]
  portal: hcmc
  service: {from: "{uri}", patterns: [{match: birth, name: birth-registration}], otherwise: other}
  agency: ward-7
  dossier: "{dossier}"
  blocked_by: npd
"""


@pytest.mark.parametrize(
    ("status", "became"), [(201, "accepted"), (422, "rejected"), (503, "failed"), (499, None), ("-", None)]
)
def test_a_submission_is_received_and_what_its_status_says_became_of_it(status, became):
    """A call that hands in a dossier is received when it began; its status says what became of it."""
    fields = {"method": "POST", "uri": "/nop-ho-so/birth?id=079", "status": status, "dossier": "H29-1"}
    events = [submission_decoder.decode(msgspec.json.encode(event)) for event in mapped(fields, SUBMISSIONS)]
    assert [event.__struct_config__.tag for event in events] == [
        "submission.received",
        *([f"submission.{became}"] if became else []),
    ]
    assert {(e.dossier_id, e.portal, e.service, e.agency) for e in events} == {
        ("H29-1", "hcmc", "birth-registration", "ward-7")
    }
    assert [event.blocked_by for event in events[1:]] == ["npd"] * (became == "failed") + [None] * (
        became in ("accepted", "rejected")
    )
    assert mapped(fields | {"method": "GET"}, SUBMISSIONS) == []


def test_only_and_skip_choose_the_calls():
    """A call is taken where one of `only` holds and none of `skip` does."""
    said = {"only": [{"kind": "client"}, {"kind": "server"}], "skip": [{"up": {"present": False}}]}
    assert mapped({"kind": "client", "up": "a"}, **said)
    assert mapped({"kind": "internal", "up": "a"}, **said) == []
    assert mapped({"kind": "client", "up": "-"}, **said) == []


def test_the_schema_and_the_code_take_the_same_maps():
    """What is wrong with a key is wrong by the schema, and the preset is right by it."""
    schema = Draft202012Validator(json.loads(map_schema()))
    for name in preset_names():
        text = (files("streams.ingest") / "presets" / f"{name}.yaml").read_text("utf-8")
        schema.validate(yaml.safe_load(text))
        assert load_mapper(name).fields
    for text in ("lnik: npd", "end: {field: t, at: 3}", "duration: {field: d, unit: sec}", "observer: me"):
        assert not schema.is_valid(yaml.safe_load(text))
    with pytest.raises(LocatedError, match="no such map; there are"):
        load_mapper("nginx-jason")


WRONG = [
    ("end: {field: t}\nlnik: npd", 2, "unknown field `lnik`"),
    ("end: {field: t, format: iso8601}\nlink: npd", 1, "`iso8601` is no format"),
    ("end:\n  field: t\n  zone: Hanoi\nlink: npd", 1, "`Hanoi` is no time zone"),
    ("end: {field: t}\nduration: {field: d, unit: sec}\nlink: npd", 2, "Invalid enum value 'sec'"),
    ("end: {field: t}\nlink: '{a'", 2, "a brace is not closed"),
    (
        "end: {field: t}\nlink:\n  from: '{a}'\n  patterns: [{match: '(', name: a}]",
        2,
        "no regular expression",
    ),
    ("end: {field: t}", 1, "neither `link` nor `submissions`"),
    ("link: npd", 1, "neither `start` nor `end`"),
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


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


@given(
    fields=st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("t", "took", "status", "id", "up", "flags", "uri", "resends"), VALUES)
    )
)
def test_whatever_the_fields_hold_a_call_is_mapped_or_rejected(fields):
    """Any values give valid events or a reason that repeats no value of more than two letters."""
    said = {
        "id": "{id}",
        "link": "{up}",
        "service": {"from": "{uri}", "otherwise": "other"},
        "outcome": RULES,
        "resends": "resends",
        "duration": {"field": "took", "unit": "s", "attempts": "each"},
    }
    try:
        events = mapped(fields, **said)
    except RejectedRecordError:
        return
    for event in events:
        lookup_decoder.decode(msgspec.json.encode(event))
