"""What a follower sends and when, through rotations, half lines and crashes."""

from itertools import pairwise

import pytest
from followed_logs import PARTITIONS, T0, Follower, beats, events, json_mapper, line, rename
from gateway_lines import WRITERS, LoggedCall
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.ingest.gateway.following import STEP_MS, Following
from streams.ingest.shell import load_mapper, mapper_of
from streams.ingest.tail import LINGER_SECONDS, Tail
from streams.ingest.tally import ImportFileError
from streams.model.events import Heartbeat, lookup_decoder
from streams.model.located import Located


def test_events_are_held_back_as_long_as_a_call_may_take(followed, tmp_path):
    """What is sent is never followed by something earlier: not a call that took as long as the map allows."""
    path = tmp_path / "access.log"
    calls = [LoggedCall(T0 + 1_000 * n, 59_000 if n % 7 == 0 else 100, "ok", n) for n in range(150)]
    calls.sort(key=lambda call: call.start_ms + call.took_ms)
    follower = followed(path, lambda: load_mapper("nginx-json"))
    for call in calls:
        with path.open("a") as file:
            file.write(WRITERS["nginx-json"](call) + "\n")
        follower.step(call.start_ms + call.took_ms)
    follower.finish()
    decoded = [lookup_decoder.decode(record.value) for record in follower.topic if record.partition == 0]
    times = [event.occurred_at_ms for event in decoded]
    assert times == sorted(times)
    assert follower._following.late == 0
    assert len(events(follower)) == 2 * len(calls)


def test_heartbeats_vouch_for_every_second_and_for_none_ahead(followed, tmp_path):
    """From the first call on each second is vouched for once, up to what was sent, for the links called."""
    path = tmp_path / "access.log"
    follower = followed(path, json_mapper, hold_ms=2_000)
    for second in range(60):
        if second % 7 == 0:
            with path.open("a") as file:
                file.write(line(T0 + 1_000 * second, str(second)))
        follower.step(T0 + 1_000 * second)
    spans = [(beat.occurred_at_ms, beat.occurred_at_ms + beat.interval_ms) for beat in beats(follower)]
    assert spans[0][0] == T0
    assert all(end == start for (_, end), (start, _) in pairwise(spans))
    assert spans[-1][1] == follower._following.until_ms == T0 + 57_000
    assert {tuple(beat.links) for beat in beats(follower)} == {("npd",)}


def test_the_time_in_which_the_follower_was_down_is_vouched_for_as_far_as_it_was_logged(followed, tmp_path):
    """After a crash the lines written meanwhile are read, and heartbeats cover that time without a gap."""
    path = tmp_path / "access.log"
    follower = followed(path, json_mapper, hold_ms=2_000)
    path.write_text("".join(line(T0 + 1_000 * n, str(n)) for n in range(10)))
    follower.step(T0 + 10_000)
    follower.kill()
    with path.open("a") as file:
        file.write("".join(line(T0 + 1_000 * n, str(n)) for n in range(10, 5_000)))
    follower.step(T0 + 5_000_000)
    follower.finish()
    spans = sorted({(beat.occurred_at_ms, beat.interval_ms) for beat in beats(follower)})
    covered = T0
    for start_ms, interval_ms in spans:
        assert start_ms <= covered
        covered = max(covered, start_ms + interval_ms)
    assert covered >= T0 + 5_000_000
    assert len({event.event_id for event in events(follower)}) == 10_000


def test_a_crash_repeats_no_more_than_measure_remembers(tmp_path):
    """However much is caught up with, no step sends more than five minutes before the position is saved."""
    path = tmp_path / "access.log"
    path.write_text("".join(line(T0 + 60_000 * n, str(n)) for n in range(500)))
    following = Following(json_mapper(), PARTITIONS, 2_000)
    tail = Tail(path, None)
    following.take(tail.read(0.0), T0 + 30_000_000)
    tail.close()
    steps = 0
    while records := following.due(T0 + 30_000_000, caught_up=True):
        decoded = [lookup_decoder.decode(record.value) for record in records]
        times = [event.occurred_at_ms for event in decoded if not isinstance(event, Heartbeat)]
        assert not times or max(times) - min(times) <= STEP_MS
        following.confirmed()
        steps += 1
    assert steps >= 100


def test_a_gateway_whose_clock_is_wrong_is_followed_by_its_own(followed, tmp_path):
    """Lines an hour behind the clock are held back no longer than others, and time passes without lines."""
    path = tmp_path / "access.log"
    follower = followed(path, json_mapper, hold_ms=2_000)
    path.write_text(line(T0, "a"))
    follower.step(T0 + 3_600_000)
    assert follower.topic == []
    follower.step(T0 + 3_603_000)
    assert len(events(follower)) == 2
    follower.step(T0 + 3_610_000)
    assert beats(follower)[-1].occurred_at_ms == T0 + 7_000


def test_a_log_that_was_rotated_away_unread_is_told(followed, tmp_path):
    """Where the file that was read is found no more, the loss is said with the line, and reading goes on."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a") + line(T0 + 1_000, "b"))
    follower = followed(path, json_mapper, hold_ms=2_000)
    follower.step(T0 + 4_000)
    follower.step(T0 + 10_000)
    path.unlink()
    path.write_text(line(T0 + 60_000, "c"))
    follower.kill()
    follower.step(T0 + 70_000)
    follower.finish()
    assert len(follower.notes) == 1
    assert "read up to line" in follower.notes[0]
    assert {event.dossier_id for event in events(follower)} == {"a", "b", "c"}


def test_files_rotated_while_the_follower_was_down_are_all_read(followed, tmp_path):
    """Two rotations during a stop lose nothing: neither the old file's rest nor the one between."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a"))
    follower = followed(path, json_mapper, hold_ms=2_000)
    follower.step(T0 + 4_000)
    with path.open("a") as file:
        file.write(line(T0 + 10_000, "b"))
    rename(path, 1)
    path.write_text(line(T0 + 20_000, "c"))
    rename(path, 2)
    path.write_text(line(T0 + 30_000, "d"))
    follower.kill()
    follower.step(T0 + 40_000)
    follower.finish()
    assert follower.notes == []
    assert sorted({event.dossier_id for event in events(follower)}) == ["a", "b", "c", "d"]
    assert len({event.event_id for event in events(follower)}) == len(events(follower)) == 8


def test_the_last_line_of_a_rotated_file_is_read_without_its_break(followed, tmp_path):
    """A file that was renamed is read on until it is quiet, its last line as it stands."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a"))
    follower = followed(path, json_mapper, hold_ms=2_000)
    follower.step(T0)
    with path.open("a") as writer:
        rename(path, 1)
        path.write_text(line(T0 + 2_000, "c"))
        follower.step(T0 + 2_000)
        writer.write(line(T0 + 1_000, "b").removesuffix("\n"))
    for _ in range(int(LINGER_SECONDS / 0.5) + 3):
        follower.step(follower.now_ms + 500)
    follower.finish()
    assert sorted({event.dossier_id for event in events(follower)}) == ["a", "b", "c"]


def test_a_map_that_does_not_fit_ends_following(followed, tmp_path):
    """A thousand lines of which most cannot be used end it, with the reason."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a") + "garbage\n" * 1_200)
    follower = followed(path, json_mapper)
    with pytest.raises(ImportFileError, match="only 1 of the last 1,000 lines can be used: not a"):
        follower.step(T0)
    assert follower.rejects[0] == (str(path), 2, "not a JSON object")


def test_a_line_that_never_ends_is_passed_over(followed, tmp_path):
    """A line of some megabytes is rejected by its number, and the lines around it are used."""
    path = tmp_path / "access.log"
    path.write_text(line(T0, "a"))
    follower = followed(path, json_mapper, hold_ms=2_000)
    follower.step(T0)
    for text in ("x" * 3_000_000, "x" * 100 + "\n", line(T0 + 1_000, "b")):
        with path.open("a") as file:
            file.write(text)
        follower.step(T0 + 1_000)
    follower.finish()
    assert [told[1] for told in follower.rejects] == [2]
    assert sorted({event.dossier_id for event in events(follower)}) == ["a", "b"]
    follower.kill()
    follower.step(follower.now_ms)
    assert len(follower.rejects) == 1


def test_csv_is_followed_with_its_header(followed, tmp_path):
    """CSV is followed across a restart and a rotation; each file's header is no line."""
    text = "format: csv\nend: {field: t, format: epoch_ms}\nlink: npd\nstatus: s\nid: '{id}'\n"
    path = tmp_path / "access.csv"
    path.write_text(f"t,s,id\n{T0},200,a\n")
    follower = followed(path, lambda: mapper_of(Located(text, "map.yaml")), hold_ms=2_000)
    follower.step(T0 + 10_000)
    with path.open("a") as file:
        file.write(f"{T0 + 20_000},200,b\n")
    follower.kill()
    follower._following.prime(b"t,s,id\n")
    follower.step(T0 + 30_000)
    path.rename(tmp_path / "access.csv.1")
    path.write_text(f"t,s,id\n{T0 + 40_000},200,c\n")
    for _ in range(8):
        follower.step(follower.now_ms + 2_000)
    follower.finish()
    assert follower.rejects == []
    assert sorted({event.dossier_id for event in events(follower)}) == ["a", "b", "c"]


@settings(max_examples=20)
@given(st.data())
def test_wherever_pieces_end_and_crashes_fall_each_call_is_sent(tmp_path_factory, data):
    """For any cuts of the text and any crashes, the ids sent are those of all calls."""
    path = tmp_path_factory.mktemp("follow") / "access.log"
    count = data.draw(st.integers(1, 40))
    text = "".join(line(T0 + 700 * n, str(n)) for n in range(count))
    at = 0
    with Follower(path, json_mapper, hold_ms=2_000) as follower:
        while at < len(text):
            size = data.draw(st.integers(1, 300))
            with path.open("a") as file:
                file.write(text[at : at + size])
            at += size
            now_ms = T0 + 700 * count * min(at, len(text)) // len(text)
            follower.step(now_ms, killed_before=data.draw(st.none() | st.integers(0, 2)))
        follower.finish()
    assert {event.dossier_id for event in events(follower)} == {str(n) for n in range(count)}
