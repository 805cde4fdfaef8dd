"""JSON in any arrangement to its objects: whole, cut off, damaged, and in pieces of any size."""

import msgspec
import pytest
from foreign_files import ARRANGEMENTS
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.intake.errors import CutOffError
from streams.intake.split import (
    MAX_DEPTH,
    MAX_DOCUMENT_BYTES,
    TOO_LONG,
    Damage,
    Document,
    documents,
)

texts = st.text(st.sampled_from('ab{}[]",:\\\n é'), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-9, 9) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
records = st.lists(
    st.tuples(st.integers(0, 10**6), st.dictionaries(texts, values, max_size=3)).map(
        lambda drawn: {"id": drawn[0], **{f"f{name}": value for name, value in drawn[1].items()}}
    ),
    min_size=1,
    max_size=5,
)
arrangements = pytest.mark.parametrize("arrangement", ARRANGEMENTS)


def read(content, size=1 << 20):
    """Return what a text gives that comes in pieces of a size."""
    return list(documents(content[at : at + size] for at in range(0, len(content), size)))


def decoded(entries):
    """Return the objects among some entries that are JSON."""
    found = []
    for entry in entries:
        try:
            found += [msgspec.json.decode(entry.data)] if isinstance(entry, Document) else []
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return found


@arrangements
@settings(max_examples=15)
@given(records, st.integers(1, 40))
def test_every_arrangement_gives_the_same_objects(arrangement, drawn, size):
    """Whatever the arrangement and the pieces it comes in, the objects are those that went in."""
    entries = read(ARRANGEMENTS[arrangement](drawn).encode(), size)
    assert [entry for entry in entries if isinstance(entry, Damage)] == []
    assert decoded(entries) == drawn


@arrangements
@settings(max_examples=20)
@given(records, st.data())
def test_a_text_cut_off_gives_the_first_objects_or_is_refused(arrangement, drawn, data):
    """A text cut off anywhere is refused, or gives the first objects unchanged."""
    content = ARRANGEMENTS[arrangement](drawn).encode()
    cut = content[: data.draw(st.integers(1, len(content) - 1))]
    try:
        entries = read(cut)
    except CutOffError:
        return
    found = decoded(entries)
    assert found == drawn[: len(found)]


@arrangements
@settings(max_examples=20)
@given(
    st.lists(st.integers(10, 99), min_size=6, max_size=9),
    st.integers(0, 8),
    st.sampled_from([b"NaN", b"", b"7,", b"1e", b"}"]),
)
def test_one_bad_record_costs_itself(arrangement, drawn, at, value):
    """A record with an invalid value is named; every other record is read as it was written."""
    good = [{"id": number, "text": "x"} for number in drawn]
    bad = at % len(good)
    content = ARRANGEMENTS[arrangement]([*good[:bad], {"id": 1234567, "text": "x"}, *good[bad + 1 :]])
    entries = read(content.encode().replace(b"1234567", value))
    found = decoded(entries)
    assert [record for record in found if record in good] == [*good[:bad], *good[bad + 1 :]]
    assert len(entries) > len(found)


BY_LINES = (
    "lines",
    "array of a record a line",
    "array with leading commas",
    "arrays a line",
    "answers a line",
)


@pytest.mark.parametrize("arrangement", BY_LINES)
@settings(max_examples=80)
@given(st.data())
def test_a_fault_of_any_byte_costs_one_line(arrangement, data):
    """Whichever byte of a record is lost, changed or added, other lines are read, or all is refused."""
    good = [{"id": number, "text": "a b"} for number in range(100, 106)]
    content = ARRANGEMENTS[arrangement](good).encode()
    begin, end = content.index(b"103") - 7, content.index(b"103") + 18
    at = data.draw(st.integers(begin, end))
    byte = data.draw(
        st.sampled_from([b"", b'"', b"{", b"}", b"[", b"]", b",", b":", b"\\", b"x", b"\xff", b"\n"])
    )
    keep = data.draw(st.booleans())
    try:
        entries = read(content[:at] + byte + content[at + (not keep) :])
    except CutOffError:
        return
    found = decoded(entries)
    lost = [record for record in good if record not in found]
    assert all(abs(record["id"] - 103) <= 1 for record in lost)
    assert len(lost) <= 2
    assert not lost or len(entries) > len([record for record in found if record in good])


def test_lines_are_counted_through_all_of_it():
    """Each object and each damage has the line it stands on, blank lines and objects over lines counted."""
    content = b'\n{"a": 1}\n\n{\n "a": 2\n}\n{"a" 3}\nwhat\n[4,\n{"a": 5}]\n{"records": [\n{"a": 6}\n]}\n'
    assert [(entry.line, type(entry)) for entry in read(content, 5)] == [
        (2, Document),
        (4, Document),
        (7, Damage),
        (8, Damage),
        (9, Damage),
        (10, Document),
        (12, Document),
    ]


def test_what_stands_between_is_named_once_a_line():
    """Values that are not objects are named: each one within an array, one a line outside."""
    assert [entry.line for entry in read(b'[1, "two", null, {"a": 1}]')] == [1, 1, 1, 1]
    assert read(b"some text, with commas\n") == [Damage(1, "not a JSON object")]
    assert [entry.line for entry in read(b'{"a": 1}}\n]\n')] == [1, 1, 2]


@pytest.mark.parametrize("size", [1 << 12, 1 << 18])
def test_a_record_beyond_the_bounds_costs_itself(size):
    """A record too long or too deep is named; those on other lines, and beside it, are read."""
    deep = b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1)
    long = b'{"a": "' + b"x" * (3 * MAX_DOCUMENT_BYTES) + b'"}'
    content = (
        b'{"id": 1}\n'
        + deep
        + b'\n{"id": 2}\n['
        + long
        + b', {"id": 3}]\n{"id": 4}\n'
        + long
        + b'\n{"id": 5}\n'
    )
    entries = read(content, size)
    assert [record["id"] for record in decoded(entries)] == [1, 2, 3, 4, 5]
    reasons = [entry.reason for entry in entries if isinstance(entry, Damage)]
    assert reasons == [f"nested deeper than {MAX_DEPTH} brackets", TOO_LONG, TOO_LONG]
