"""Spans become events: by old and new names, in both forms, and whatever else comes under their name."""

import re
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spans import CLIENT, RESOURCE, as_json, as_protobuf, span

from streams.ingest.mapping.mapper import Mapper
from streams.ingest.mapping.said import Map
from streams.ingest.otlp.export import (
    MOST_SPANS,
    NotOtlpError,
    SpanMapper,
    Tally,
    TooManySpansError,
    Watched,
)
from streams.ingest.otlp.fields import OWN
from streams.ingest.otlp.names import GRPC_STATUSES, OF_CLIENT_SPANS
from streams.ingest.otlp.wire import NotProtobufError, parts
from streams.ingest.shell import load_mapper, mapper_of
from streams.measure.meter import Meter
from streams.model.located import Located
from streams.model.settings import MeasureSettings
from streams.model.topics import LOOKUPS

DEFAULT = SpanMapper([load_mapper("opentelemetry")])
TIMES = {
    "start": {"field": "start_time_unix_nano", "format": "epoch_ns"},
    "end": {"field": "end_time_unix_nano", "format": "epoch_ns"},
}


def events_of(spans, mapper=DEFAULT, resource=RESOURCE, form="protobuf"):
    """Return the events of an export and the tally."""
    tally = Tally()
    made = as_protobuf(spans, resource) if form == "protobuf" else as_json(spans, resource)
    return mapper.events(made, form, tally), tally


def outcome_of(attributes, **own):
    """Return what a call came to by the map that comes along."""
    events, tally = events_of([span(1, attributes, **own)])
    assert tally.lookups == 1, tally
    return events[1].outcome, events[1].status_code


def test_a_call_is_a_question_and_its_answer():
    """A client span becomes a request when it began and a completion when it ended, both of its trace."""
    events, tally = events_of([span(1)])
    asked, done = events
    trace = "0" * 31 + "1"
    assert (asked.type, asked.occurred_at_ms, asked.outcome) == ("lookup.requested", 1_750_032_001_000, None)
    assert (done.type, done.occurred_at_ms) == ("lookup.completed", 1_750_032_001_090)
    assert (done.outcome, done.status_code, done.attempt, done.observer) == ("ok", 200, 1, "portal")
    assert {(one.link, one.dossier_id) for one in events} == {("portal > npd.example", trace)}
    assert asked.event_id != done.event_id
    assert asked.lookup_id == done.lookup_id
    (source,) = tally.sources
    assert tally.sources[source] == {Watched("portal", "portal > npd.example")}


@pytest.mark.parametrize(
    ("attributes", "own", "expected"),
    [
        (CLIENT, {}, ("ok", 200)),
        (CLIENT | {"http.response.status_code": 404}, {"status": 2}, ("not_found", 404)),
        (CLIENT | {"http.response.status_code": 503, "error.type": "503"}, {}, ("provider_error", 503)),
        (CLIENT | {"http.response.status_code": 429}, {}, ("throttled", 429)),
        (CLIENT | {"http.response.status_code": 401}, {}, ("denied", 401)),
        (CLIENT | {"error.type": "java.net.http.HttpTimeoutException"}, {}, ("timeout", 200)),
    ],
)
def test_the_status_decides_unless_the_call_broke_off(attributes, own, expected):
    """An HTTP status says what a call came to, unless the span says that the call itself failed."""
    assert outcome_of(attributes, **own) == expected


WORDS = {
    "timeout": [
        *("java.net.http.HttpConnectTimeoutException", "java.net.SocketTimeoutException", "ReadTimeout"),
        *("ConnectTimeout", "ETIMEDOUT", "timeout", "context.deadlineExceededError", "TimeoutError"),
    ],
    "tls_error": [
        *("javax.net.ssl.SSLHandshakeException", "SSLError", "CERT_HAS_EXPIRED", "secure_connection_error"),
        *("DEPTH_ZERO_SELF_SIGNED_CERT_TLS", "*tls.CertificateVerificationError"),
    ],
    "unreachable": [
        *("java.net.ConnectException", "java.net.UnknownHostException", "ConnectError", "ECONNREFUSED"),
        *("java.nio.channels.UnresolvedAddressException", "java.net.NoRouteToHostException", "ENOTFOUND"),
        *(
            "name_resolution_error",
            "connection_error",
            "*net.OpError",
            "ClientConnectorError",
            "EHOSTUNREACH",
        ),
    ],
    "reset": [
        *(
            "ECONNRESET",
            "java.net.SocketException",
            "RemoteProtocolError",
            "ServerDisconnectedError",
            "EPIPE",
        ),
        *(
            "java.io.EOFException",
            "ReadError",
            "response_ended",
            "io.ErrUnexpectedEOF",
            "ChunkedEncodingIncomplete",
        ),
    ],
    "cancelled": ["java.util.concurrent.CancellationException", "AbortError", "*context.canceled"],
    "protocol_error": ["_OTHER", "SomethingElse"],
}


@pytest.mark.parametrize(("outcome", "word"), [(o, word) for o, words in WORDS.items() for word in words])
def test_the_words_of_each_language_are_known(outcome, word):
    """A kind of error, in the words of Java, Python, Node.js, Go and .NET, is told to its party."""
    without = {name: CLIENT[name] for name in ("http.request.method", "server.address")}
    assert outcome_of(without | {"error.type": word}, status=2) == (outcome, None)
    assert outcome_of(without, status=2, exception=word) == (outcome, None)


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        (
            "ConnectionError: Max retries exceeded: Failed to establish: [Errno 111] Connection refused",
            "unreachable",
        ),
        (
            "ConnectionError: Failed to resolve 'npd.example' ([Errno -2] Name or service not known)",
            "unreachable",
        ),
        ("ConnectionError: HTTPConnectionPool(host='npd', port=80): Read timed out.", "timeout"),
        ("ConnectionError: ('Connection aborted.', RemoteDisconnected('Remote end closed'))", "reset"),
        ("something else", "unreachable"),
    ],
)
def test_a_word_for_everything_is_told_apart_by_its_message(message, outcome):
    """Python's ConnectionError stands for every party; the message tells which."""
    without = {name: CLIENT[name] for name in ("http.request.method", "server.address")}
    own = {"status": 2, "message": message}
    assert outcome_of(without, exception="requests.exceptions.ConnectionError", **own) == (outcome, None)


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        *((0, "ok"), (1, "cancelled"), (4, "timeout"), (5, "not_found"), (8, "throttled")),
        *((13, "provider_error"), (14, "unreachable"), (16, "denied")),
    ],
)
def test_rpc_statuses_by_old_number_and_by_new_name(code, outcome):
    """An RPC's status says what the call came to, by the number that it had and by the name that it has."""
    rpc = {"rpc.system": "grpc", "server.address": "npd.example"}
    assert outcome_of(rpc | {"rpc.grpc.status_code": code}) == (outcome, None)
    assert outcome_of(rpc | {"rpc.response.status_code": GRPC_STATUSES[code]}) == (outcome, None)


OLD = {new: old for old, new in OF_CLIENT_SPANS.items() if old not in ("http.host", "rpc.grpc.status_code")}


@given(
    attributes=st.fixed_dictionaries(
        {"server.address": st.sampled_from(["npd.example", "bhxh"]), "http.request.method": st.just("GET")},
        optional={
            "http.response.status_code": st.sampled_from([200, 404, 503]),
            "http.request.resend_count": st.integers(0, 3),
            "url.full": st.just("http://npd.example/x"),
        },
    )
)
def test_old_names_say_the_same_as_new_ones(attributes):
    """A span by the old names, by the new ones or by both gives the same events."""
    renamed = {OLD.get(name, name): value for name, value in attributes.items()}
    wrong = {OLD[name]: "other" for name in attributes if name in OLD}
    by_new = events_of([span(1, attributes)])
    assert events_of([span(1, renamed)]) == by_new
    assert events_of([span(1, wrong | attributes)]) == by_new
    assert events_of([span(1, attributes | wrong)]) == by_new


def test_a_host_is_found_in_the_address_where_it_has_no_attribute():
    """Python's requests name the host only in `http.url`; the port and the path stay out of the link."""
    old = {"http.method": "GET", "http.url": "http://npd.example:8443/citizens/1", "http.status_code": 200}
    events, _ = events_of([span(1, old)])
    assert {event.link for event in events} == {"portal > npd.example"}
    events, _ = events_of([span(1, {"http.method": "GET", "http.host": "npd:80", "http.status_code": 200})])
    assert {event.link for event in events} == {"portal > npd"}


values = st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(-1e6, 1e6)
some_spans = st.builds(
    span,
    st.integers(0, 50),
    st.dictionaries(st.sampled_from([*CLIENT, *OF_CLIENT_SPANS, "error.type", "x"]), values, max_size=6),
    kind=st.sampled_from(["internal", "server", "client"]),
    status=st.integers(0, 2),
    message=st.text(max_size=10),
    exception=st.none() | st.text(max_size=10),
    end_ns=st.integers(0, 2**64 - 1),
)


@settings(max_examples=100)
@given(spans=st.lists(some_spans, max_size=6))
def test_both_forms_say_the_same_and_each_span_is_accounted_for(spans):
    """Protobuf and JSON give the same events; each span is one of four; and no event is a dead letter."""
    by_protobuf, tally = events_of(spans)
    by_json, again = events_of(spans, form="json")
    assert [msgspec.to_builtins(event) for event in by_json] == [
        msgspec.to_builtins(event) for event in by_protobuf
    ]
    assert tally == again
    assert tally.spans == len(spans)
    assert tally.lookups + tally.submissions + tally.passed_over + tally.rejected == tally.spans
    assert tally.reasons.total() == tally.rejected
    ends = [event.occurred_at_ms for event in by_protobuf if event.type == "lookup.completed"]
    assert all(a <= b for a, b in pairwise(ends))
    meter = Meter(LOOKUPS, 0, MeasureSettings())
    meter.feed(
        [
            (n, event.occurred_at_ms, event.dossier_id.encode(), msgspec.json.encode(event))
            for n, event in enumerate(by_protobuf)
        ]
    )
    assert meter.dead_letters == []


@settings(max_examples=25)
@given(before=st.lists(some_spans, max_size=4), spans=st.lists(some_spans, min_size=1, max_size=4))
def test_what_was_read_before_changes_nothing(before, spans):
    """A reader that remembers attributes of other spans gives the same events as a new one."""
    used = SpanMapper([load_mapper("opentelemetry")])
    events_of(before, used)
    assert events_of(spans, used) == events_of(spans, SpanMapper([load_mapper("opentelemetry")]))


def test_an_attribute_is_known_by_its_key_wherever_it_stands():
    """A key behind its value, a long one, and one that begins as another are read as what they are."""
    export = as_protobuf([span(1, {"server.port": 8443, **CLIENT})])
    expected = DEFAULT.events(export, "protobuf", Tally())
    key, value = b"\x0a\x0eserver.address", b"\x12\x0d\x0a\x0bnpd.example"
    assert DEFAULT.events(export.replace(key + value, value + key), "protobuf", Tally()) == expected
    for other in ("server.addresses", "server.addres", "", "s" * 127, "s" * 128, "s" * 300):
        events, tally = events_of([span(1, CLIENT | {other: "elsewhere.example"})] * 2)
        assert (events[:2], tally.lookups) == (expected, 2)


EXPORTS = [
    (form, make([span(n) for n in range(3)])) for form, make in (("protobuf", as_protobuf), ("json", as_json))
]


@settings(max_examples=150)
@given(st.sampled_from(EXPORTS), st.data())
def test_damaged_exports_are_refused_or_read(export, data):
    """Cut off, changed or mixed with anything, an export gives events or `NotOtlpError`, and nothing else."""
    form, body = export
    at = data.draw(st.integers(0, len(body)))
    odd = [b"\xff" * 12, b'{"a":' * 2_000, b"[" * 100_000]
    put = data.draw(st.binary(max_size=8) | st.sampled_from(odd))
    body = body[:at] + put + body[at + data.draw(st.integers(0, 8)) :]
    tally = Tally()
    try:
        DEFAULT.events(body, form, tally)
    except NotOtlpError as error:
        assert str(error)  # noqa: PT017 - either is right
    assert tally.lookups + tally.submissions + tally.passed_over + tally.rejected == tally.spans


@given(st.binary(max_size=60))
def test_any_bytes_are_walked_to_their_end(data):
    """Whatever the bytes, the walk gives places within them, in order, or says that they are no message."""
    try:
        found = list(parts(data, 0, len(data), 1))
    except NotProtobufError:
        return
    assert all(0 <= start <= end <= len(data) for start, end in found)
    assert found == sorted(found)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"trace_id": b"\0" * 16}, "the span has no valid trace id and span id"),
        ({"trace_id": b"abc"}, "the span has no valid trace id and span id"),
        ({"span_id": b"\0" * 8}, "the span has no valid trace id and span id"),
        ({"end_ns": 0}, "`end` is outside the years 2000 to 2099"),
        ({"attributes": CLIENT | {"server.address": "10.0.0.7"}}, "`link` would hold an address"),
        ({"attributes": CLIENT | {"x": "x" * 300_000}}, "the span is longer than 262,144 bytes"),
    ],
)
@pytest.mark.parametrize("form", ["protobuf", "json"])
def test_a_span_that_cannot_be_used_costs_itself(change, reason, form):
    """Such a span is rejected with its reason, and the others of its export are used."""
    events, tally = events_of([span(1), span(2, **change), span(3)], form=form)
    assert (tally.lookups, tally.rejected, len(events)) == (2, 1, 4)
    (told,) = tally.reasons
    assert told.startswith(reason)


def test_what_is_no_call_of_the_portal_is_passed_over():
    """Internal spans, calls to databases and what others ask of the portal make no lookup by default."""
    spans = [span(1, kind="internal"), span(2, {"db.system": "postgresql"}), span(3, kind="server")]
    events, tally = events_of(spans)
    assert (events, tally.passed_over) == ([], 3)


def test_an_export_of_too_many_spans_is_refused():
    """A megabyte that claims half a million spans is refused as soon as too many were found."""
    inner = b"\x12\x00" * 500_000
    scope = b"\x12" + _varint(len(inner)) + inner
    tally = Tally()
    with pytest.raises(TooManySpansError):
        DEFAULT.events(b"\x0a" + _varint(len(scope)) + scope, "protobuf", tally)
    assert tally.spans == MOST_SPANS + 1


def _varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


PROVIDER = TIMES | {
    "observer": "provider",
    "only": [{"span.kind": "server", "service.name": "npd-gateway"}],
    "link": {"from": "{service.name}", "rename": {"npd-gateway": "portal > npd.example"}},
    "status": "http.response.status_code",
}
SUBMISSIONS = TIMES | {
    "dossier": "{trace_id}",
    "service": "{portallink.service}",
    "submissions": {
        "when": [{"span.kind": "server", "http.route": "/dossiers"}],
        "portal": "{service.name}",
        "outcome": [{"when": {"status": "5xx"}, "is": "failed"}],
    },
    "status": "http.response.status_code",
}


def test_server_spans_are_the_providers_view_and_submissions_by_maps_of_their_own():
    """With maps for them, a provider's server spans are its view of the link, a portal's are submissions."""
    maps = [
        load_mapper("opentelemetry"),
        *(Mapper(msgspec.convert(one, Map)) for one in (PROVIDER, SUBMISSIONS)),
    ]
    mapper = SpanMapper(maps)
    served = {"http.request.method": "GET", "http.route": "/dossiers", "http.response.status_code": 200}
    (asked, done), tally = events_of(
        [span(1, served, kind="server")], mapper, {"service.name": "npd-gateway"}
    )
    assert (asked.observer, done.link, done.outcome) == ("provider", "portal > npd.example", "ok")
    assert set(tally.sources.popitem()[1]) == {Watched("provider", "portal > npd.example")}
    (received, became), tally = events_of([span(1, served, kind="server")], mapper)
    assert (received.type, became.type) == ("submission.received", "submission.accepted")
    assert (received.portal, received.dossier_id) == ("portal", "0" * 31 + "1")
    assert tally.submissions == 1
    failed = served | {"http.response.status_code": 503}
    (_, became), _ = events_of([span(1, failed, kind="server")], mapper)
    assert became.type == "submission.failed"
    events, _ = events_of([span(1)], mapper)
    assert [event.type for event in events] == ["lookup.requested", "lookup.completed"]


DOCS = (Path(__file__).parents[2] / "docs" / "opentelemetry.md").read_text("utf-8")


def test_the_maps_of_the_documentation_do_what_it_says():
    """The maps in docs/opentelemetry.md, given together, make lookups of both views and submissions."""
    blocks = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    maps = [text for text in blocks if "start:" in text]
    mapper = SpanMapper([mapper_of(Located(text, "docs/opentelemetry.md")) for text in maps])
    served = {"http.request.method": "POST", "http.route": "/dossiers", "http.response.status_code": 503}
    calls = [
        (span(1, CLIENT | {"server.address": "10.0.0.7"}, name="GET /citizens/{id}"), RESOURCE),
        (span(2, served, kind="server"), {"service.name": "npd-gateway"}),
        (span(3, served, kind="server"), RESOURCE),
        (span(4, CLIENT | {"server.address": "elsewhere"}), RESOURCE),
    ]
    found = [events_of([one], mapper, resource)[0] for one, resource in calls]
    told = [[event.type for event in events] for events in found]
    lookup = ["lookup.requested", "lookup.completed"]
    assert told == [lookup, lookup, ["submission.received", "submission.deferred"], []]
    assert [(event.link, event.service, event.observer) for event in (found[0][0], found[1][0])] == [
        ("bhxh", "identity", "portal"),
        ("npd", "unknown", "provider"),
    ]


def test_every_field_that_the_documentation_names_is_read():
    """The span's own fields in docs/opentelemetry.md are those there are, and the limits are the code's."""
    told = DOCS[DOCS.index("Fields are attributes") : DOCS.index("### Server spans")]
    assert set(OWN) <= set(re.findall(r"`([\w.]+)`", told))
    assert f"{MOST_SPANS:,} spans" in DOCS
