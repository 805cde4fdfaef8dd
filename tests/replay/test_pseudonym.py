"""Pseudonyms: no identifier left, every join kept."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replay_logs import T0, make_log, submissions

from streams import replay
from streams.logs.pseudonym import Pseudonymiser, PseudonymKeyError
from streams.model.record import Record

KEY = b"a key of thirty-two bytes, or so"


def test_joins_are_kept_and_results_are_the_same():
    """Pseudonymised, a log has no identifier of the original, joins alike, and gives the same outages."""
    records = make_log() + submissions()
    hidden = [Pseudonymiser(KEY).record(record) for record in records]
    for before, after in zip(records, hidden, strict=True):
        old, new = json.loads(before.value), json.loads(after.value)
        for name in ("dossier_id", "lookup_id", "event_id"):
            assert (name in old) == (name in new)
            if name in old:
                assert new[name] != old[name]
                assert old[name].encode() not in after.value
                del old[name], new[name]
        assert new == old
        assert (before.key is None) == (after.key is None)
    pairs = {(before.key, after.key) for before, after in zip(records, hidden, strict=True)}
    assert len(pairs) == len({key for key, _ in pairs}) == len({key for _, key in pairs})
    assert all(json.loads(after.value)["dossier_id"].encode() == after.key for after in hidden if after.key)
    found = replay.diff(replay.analyze(records), replay.analyze(hidden))
    assert found.same == 1
    assert [*found.gained, *found.lost, *found.changed, *found.windows] == []


# "Xq" stands in no record of ours, as "reason" does, so what is found of a secret is the secret.
@given(
    st.text(min_size=4, max_size=28).map("Xq".__add__), st.sampled_from(["text", "list", "dict", "number"])
)
def test_bad_records_show_nothing_either(secret, shape):
    """An identifier of a wrong type, a value that is not JSON and a dead letter are hidden as well."""
    made = {"text": secret, "list": [secret], "dict": {"x": secret}, "number": 79090001234}[shape]
    values = [
        json.dumps({"dossier_id": made, "type": "x"}, ensure_ascii=False).encode(),
        b"not json " + secret.encode(errors="replace"),
        json.dumps({"reason": "not_json", "key": secret, "value_base64": secret}).encode(),
    ]
    for topic in ("npd.lookups", "pipeline.dead_letters"):
        for value in values:
            hidden = Pseudonymiser(KEY).record(
                Record(topic, 0, 0, T0, secret.encode(errors="replace"), value)
            )
            shown = hidden.value + b" " + (hidden.key or b"")
            assert b"79090001234" not in shown
            if secret.isascii() and secret.isalnum():
                assert secret.encode() not in shown.replace(b"dossier_id", b"").replace(b"pseudonymised", b"")


def test_another_key_gives_other_pseudonyms():
    """Without the same key two captures do not join."""
    record = next(record for record in make_log(seconds=5) if record.key)
    one, other = Pseudonymiser(KEY), Pseudonymiser(KEY[::-1])
    assert one.record(record) != other.record(record)
    assert one.key_name != other.key_name
    assert one.record(record) == Pseudonymiser(KEY).record(record)


def test_short_keys_are_refused():
    """A key that can be guessed is refused."""
    with pytest.raises(PseudonymKeyError, match="at least 16"):
        Pseudonymiser(b"short")
