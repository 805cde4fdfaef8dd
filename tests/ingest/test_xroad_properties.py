"""What must hold of any import, whatever the order, the files and the repeats."""

import json
from io import BytesIO
from random import Random

from foreign_files import ARRANGEMENTS, PACKINGS
from hypothesis import given, settings
from hypothesis import strategies as st
from xroad_samples import T0, client, network_error, parsed, producer, request_id

from streams.ingest.tally import ImportFileError
from streams.ingest.xroad.calls import pair_records
from streams.ingest.xroad.events import lookup_records
from streams.ingest.xroad.files import read_xroad
from streams.ingest.xroad.summary import summarise
from streams.intake.parts import parts_of
from streams.intake.unpack import Budget
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


@settings(max_examples=150)
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


@settings(max_examples=150)
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


@settings(max_examples=100)
@given(calls, st.integers(0, 25))
def test_event_ids_do_not_depend_on_the_company(drawn, cut):
    """Typed records give the same event ids whether imported together or in two parts."""
    documents = [document for document in documents_of(drawn) if "securityServerType" in document]

    def ids(part):
        return {json.loads(record.value).get("event_id") for record in imported(part)[1]}

    assert ids(documents[:cut]) | ids(documents[cut:]) | {None} == ids(documents) | {None}


@settings(max_examples=60)
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


def read(content):
    """Return the records of some bytes and what was rejected, or None where they are refused."""
    rejects = []
    budget = Budget()
    parts = parts_of("in", budget.counted([content]), budget, lambda chunks: BytesIO(b"".join(chunks)))
    try:
        return list(read_xroad("in", parts, rejects.append)), rejects
    except ImportFileError:
        return None


SIX = [client(T0 + n * 1000, f"{n}aaa") for n in range(6)]


@settings(max_examples=250)
@given(st.sampled_from(sorted(ARRANGEMENTS)), st.sampled_from(sorted(PACKINGS)), st.data())
def test_a_good_import_cut_off_gives_its_first_records_or_is_refused(arrangement, packing, data):
    """Arranged and packed in any way and cut off anywhere, it is refused or gives its first records."""
    content = PACKINGS[packing](ARRANGEMENTS[arrangement](SIX).encode())
    whole = read(content)
    assert whole is not None
    assert (len(whole[0]), whole[1]) == (6, [])
    cut = read(content[: data.draw(st.integers(0, len(content) - 1))])
    assert cut is None or cut[0] == whole[0][: len(cut[0])]


@settings(max_examples=250)
@given(st.sampled_from(sorted(ARRANGEMENTS)), st.data())
def test_a_record_that_is_spoilt_is_named_and_the_others_are_used(arrangement, data):
    """A record spoilt by any bytes within it is lost and named; the others are read, or all is refused."""
    at = data.draw(st.integers(0, 5))
    bad = SIX[at] | {"xRequestId": "SPOILT"}
    content = ARRANGEMENTS[arrangement]([*SIX[:at], bad, *SIX[at + 1 :]]).encode()
    spoilt = content.replace(
        b'"SPOILT"', data.draw(st.binary(max_size=6) | st.sampled_from([b'"', b"}", b"{"]))
    )
    found = read(spoilt)
    if found is None:
        return
    good = {f"{n}aaa" for n in range(6) if n != at}
    ids = [record.request_id for record in found[0]]
    lost = good - set(ids)
    assert len(ids) == len(set(ids))
    # Where lines do not part records, the one behind may be lost with it.
    assert not lost or found[1]
    assert len(lost) <= 1
