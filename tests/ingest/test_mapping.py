"""The mapping core: fields of a call by name to events, whatever the source."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapped_calls import AT_MS, CALL, mapped, mapper, outcome

from streams.ingest.values import RejectedRecordError
from streams.model.events import lookup_decoder, submission_decoder


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
    with pytest.raises(RejectedRecordError, match="no rule gives the outcome"):
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
