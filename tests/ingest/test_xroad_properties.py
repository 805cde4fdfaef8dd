"""What must hold of any import, whatever the order, the files and the repeats."""

import json
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from xroad_samples import T0, client, network_error, parsed, producer, request_id

from streams.ingest.xroad.calls import pair_records
from streams.ingest.xroad.events import lookup_records
from streams.ingest.xroad.summary import summarise
from streams.model.events import Heartbeat, lookup_decoder

calls = st.lists(
    st.tuples(
        st.integers(0, 200).map(lambda n: T0 + n * 50),
        st.sampled_from(["pair", "client", "producer", "fault"]),
        st.sampled_from(["typed", "untyped"]),
        st.booleans(),
    ),
    max_size=25,
)


def documents_of(drawn):
    """Return the records of drawn calls: sides, whether they name them, whether they carry a request id."""
    random, documents = Random(1), []
    for at_ms, kind, typed, identified in drawn:
        identity = request_id(random) if identified else ""
        made = {
            "pair": [client(at_ms, identity), producer(at_ms, identity)],
            "client": [client(at_ms, identity)],
            "producer": [producer(at_ms, identity)],
            "fault": [network_error(at_ms, identity or request_id(random))],
        }[kind]
        if typed == "untyped":
            del made[0]["securityServerType"]
        documents += made
    return documents


def imported(documents):
    """Return the calls and the log of some records."""
    book = pair_records(parsed(document) for document in documents)
    return book, list(lookup_records(book.calls))


@settings(max_examples=150, deadline=None)
@given(calls, st.randoms(use_true_random=False), st.data())
def test_order_and_repeats_change_nothing(drawn, random, data):
    """Shuffled and with some records repeated, the log is the same to the letter; repeats are duplicates."""
    documents = documents_of(drawn)
    book, log = imported(documents)
    repeats = data.draw(st.lists(st.sampled_from(documents), max_size=10)) if documents else []
    shuffled = documents + repeats
    random.shuffle(shuffled)
    again, same = imported(shuffled)
    assert same == log
    assert again.duplicates == book.duplicates + len(repeats)


@settings(max_examples=150, deadline=None)
@given(calls)
def test_every_record_is_accounted_for(drawn):
    """Records = duplicates + 2 pairs + singles, and each record used makes two events."""
    documents = documents_of(drawn)
    book, log = imported(documents)
    summary = summarise(book, records=len(documents), rejected=0)
    assert summary.records == summary.duplicates + 2 * summary.pairs + summary.singles
    events = [lookup_decoder.decode(record.value) for record in log]
    lookups = [event for event in events if not isinstance(event, Heartbeat)]
    assert len(lookups) == 2 * (2 * summary.pairs + summary.singles)
    assert len({event.event_id for event in lookups}) == len(lookups)


@settings(max_examples=100, deadline=None)
@given(calls, st.integers(0, 25))
def test_event_ids_do_not_depend_on_the_company(drawn, cut):
    """Typed records give the same event ids whether imported together or in two parts."""
    documents = [document for document in documents_of(drawn) if "securityServerType" in document]

    def ids(part):
        return {json.loads(record.value).get("event_id") for record in imported(part)[1]}

    assert ids(documents[:cut]) | ids(documents[cut:]) | {None} == ids(documents) | {None}


@settings(max_examples=60, deadline=None)
@given(calls, st.integers(1, 12))
def test_log_is_a_log(drawn, partitions):
    """Offsets ascend by one in each partition, a call stays in one partition, and times never go back."""
    book = pair_records(parsed(document) for document in documents_of(drawn))
    log = list(lookup_records(book.calls, partitions=partitions))
    homes = {}
    for partition in range(partitions):
        offsets = [record.offset for record in log if record.partition == partition]
        assert offsets == list(range(len(offsets)))
    for record in log:
        assert homes.setdefault(record.key, record.partition) == record.partition or record.key is None
    times = [record.logged_at_ms for record in log]
    assert times == sorted(times)
