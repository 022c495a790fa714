"""The recorder: segments that the engine plays, days, a full disk, one for each contract."""

import json
import os
import threading
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine.config import load_instrument
from engine.errors import ConfigError, WorkError
from engine.feed.follow import Hole
from engine.feed.gateway.snapshot import snapshot_of
from engine.feed.live.sink import FeedState
from engine.feed.record.follower import open_follower
from engine.feed.record.place import (
    day_folder,
    recorded_segments,
    recording_files,
    recording_holes,
    ring_path,
    rings,
    state_path,
    symbol_folder,
)
from engine.feed.record.recorder import Options, Recorder, is_recorded, read_state
from engine.lake import Lake
from engine.source.records import open_source
from tests.recordings import NEXT_DAY, STEP_NS, feed, feed_rows, in_process, lake_of, recorded, silent, small, take_all
from tests.streams import DAY, DAY_START, INSTRUMENT_ID, SYMBOL

MIDNIGHT = DAY_START + 86_400 * 10**9


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_of(tmp_path)


def test_what_was_taken_is_what_the_engine_plays(lake: Lake) -> None:
    rows = feed_rows(1_000)
    recorder = small(lake)
    feed(recorder, rows, 7)
    end_ns = int(rows["ts_event"][-1]) + 5 * 10**9
    recorder.known_until(end_ns)
    recorder.end()
    source = open_source(recording_files(lake, SYMBOL, DAY), load_instrument())
    assert np.concatenate(list(source.records())).tobytes() == rows.tobytes()
    assert (source.notices, source.dt, source.end_ns) == ([], DAY, end_ns)
    assert source.files[0].identity.mappings[0].instrument_id == INSTRUMENT_ID
    assert [path.name for path in recording_files(lake, SYMBOL, DAY)] == ["0001.dbn"]
    assert recording_holes(lake, SYMBOL, DAY) == []


def test_segments_change_at_their_size_and_play_in_order(lake: Lake) -> None:
    rows = feed_rows(60_000)  # 3.2 MiB
    recorder = small(lake, segment_mb=1)
    feed(recorder, rows, 1_000)
    recorder.end()
    segments = recorded_segments(lake, SYMBOL, DAY)
    # A segment takes batches until it has 1 MiB, 18,724 records: 19 batches.
    assert [one.first for one in segments] == [0, 19_000, 38_000, 57_000]
    assert [one.n_whole() for one in segments] == [19_000, 19_000, 19_000, 3_013]
    assert recorded(lake).tobytes() == rows.tobytes()


def test_a_day_ends_at_midnight_of_capture_and_the_next_opens_with_the_book(lake: Lake) -> None:
    rows = feed_rows(300, MIDNIGHT - 100 * STEP_NS - 50_000)
    # Captured 100 us after the event: row 100 happens 50 us before midnight and is captured 50 us after it.
    assert int(rows["ts_event"][100]) < MIDNIGHT <= int(rows["ts_recv"][100])
    recorder = small(lake)
    following = open_follower(lake, SYMBOL, DAY)
    feed(recorder, rows, 31)
    first, holes = take_all(following)
    assert (first.tobytes(), holes) == (rows[:100].tobytes(), [])
    recorder.end()
    assert recorded(lake).tobytes() == rows[:100].tobytes()
    second = recorded(lake, NEXT_DAY)
    book = snapshot_of(rows[:100], int(rows["ts_recv"][100]))
    assert second[len(book) :].tobytes() == rows[100:].tobytes()
    for name in ("order_id", "price", "size", "side", "flags", "action", "ts_recv"):
        assert second[name][: len(book)].tolist() == book[name].tolist()
    (segment,) = recorded_segments(lake, SYMBOL, NEXT_DAY)
    assert (segment.first, segment.n_made, segment.n_opening) == (0, 0, len(book))
    followed, _ = take_all(open_follower(lake, SYMBOL, NEXT_DAY))
    assert followed.tobytes() == second.tobytes()
    assert open_source(recording_files(lake, SYMBOL, DAY), load_instrument(), DAY).end_ns == MIDNIGHT


def test_a_batch_over_two_midnights_goes_into_three_days(lake: Lake) -> None:
    rows = feed_rows(30, MIDNIGHT - 20 * STEP_NS - 100_000)
    rows["ts_recv"][30:] += 86_400 * 10**9
    rows["ts_event"][30:] += 86_400 * 10**9
    rows["ts_recv"][25] = rows["ts_recv"][3]  # a clock that falls back goes into no day that is over
    recorder = small(lake)
    recorder.take(rows)
    recorder.end()
    assert recorded(lake).tobytes() == rows[:20].tobytes()
    days = [NEXT_DAY, NEXT_DAY + timedelta(1)]
    ours = [recorded_segments(lake, SYMBOL, day)[0].n_opening for day in days]
    # The source leaves the record out whose capture is not of the metadata's day, as it does with the vendor's files.
    assert recorded(lake, days[0])[ours[0] :].tobytes() == np.delete(rows[20:30], 5).tobytes()
    assert recorded(lake, days[1])[ours[1] :].tobytes() == rows[30:].tobytes()


def test_a_market_that_is_quiet_over_midnight_ends_the_day(lake: Lake) -> None:
    rows = feed_rows(10)
    recorder = small(lake)
    feed(recorder, rows)
    follower = open_follower(lake, SYMBOL, DAY)
    recorder.known_until(MIDNIGHT - 1)
    assert not follower.read(5.0).is_over
    recorder.known_until(MIDNIGHT)
    _, _ = take_all(follower)
    assert follower.read(0.0).known_until_ns == MIDNIGHT
    assert not ring_path(lake, SYMBOL, DAY).exists()
    recorder.end()


def test_a_hole_of_the_feed_is_named_and_begins_a_segment(lake: Lake) -> None:
    rows = feed_rows(200)
    again = feed_rows(100, int(rows["ts_event"][-1]) + 60 * 10**9)
    hole = Hole(int(rows["ts_event"][-1]), int(again["ts_recv"][0]), "replay had aged out")
    recorder = small(lake)
    follower = open_follower(lake, SYMBOL, DAY)
    feed(recorder, rows)
    recorder.hole(hole)
    recorder.known_until(hole.until_ns - 5)  # nothing is known in a hole
    feed(recorder, again)
    recorder.end()
    live, holes = take_all(follower)
    late, late_holes = take_all(open_follower(lake, SYMBOL, DAY))
    assert live.tobytes() == late.tobytes() == recorded(lake).tobytes() == np.concatenate([rows, again]).tobytes()
    assert holes == late_holes == [(213, hole)]
    assert recording_holes(lake, SYMBOL, DAY) == [hole]
    assert [one.first for one in recorded_segments(lake, SYMBOL, DAY)] == [0, 214]


def test_two_holes_without_a_record_between_are_one(lake: Lake) -> None:
    recorder = small(lake)
    feed(recorder, feed_rows(5))
    recorder.hole(Hole(10, 20, "one"))
    recorder.hole(Hole(15, 30, "two"))
    feed(recorder, feed_rows(5))
    recorder.end()
    assert recording_holes(lake, SYMBOL, DAY) == [Hole(10, 30, "one; two")]


def test_a_hole_at_the_end_is_told_before_the_end(lake: Lake) -> None:
    rows = feed_rows(5)
    recorder = small(lake)
    following = open_follower(lake, SYMBOL, DAY)
    feed(recorder, rows)
    hole = Hole(int(rows["ts_event"][-1]), int(rows["ts_event"][-1]) + 9, "the gateway went away")
    recorder.hole(hole)
    recorder.end()
    assert take_all(following)[1] == [(18, hole)]
    assert take_all(open_follower(lake, SYMBOL, DAY))[1] == [(18, hole)]
    assert recording_holes(lake, SYMBOL, DAY) == [hole]


def test_another_id_begins_a_segment_that_names_it(lake: Lake) -> None:
    rows = feed_rows(40)
    rows["instrument_id"][30:] = 7
    recorder = small(lake)
    feed(recorder, rows[:30])
    feed(recorder, rows[30:])
    recorder.end()
    files = open_source(recording_files(lake, SYMBOL, DAY), load_instrument()).files
    assert [one.identity.mappings[0].instrument_id for one in files] == [INSTRUMENT_ID, 7]


def test_a_second_recorder_is_refused_with_the_firsts_pid(lake: Lake) -> None:
    recorder = small(lake)
    assert is_recorded(lake, SYMBOL)
    with pytest.raises(WorkError, match=rf"^MNQH6 is being recorded by process {os.getpid()} in .*end that one first$"):
        small(lake)
    other = Recorder(lake, "MNQM6", Options(ring_mb=1), silent)
    other.end()
    recorder.end()
    assert not is_recorded(lake, SYMBOL)
    small(lake).end()


@pytest.mark.parametrize("symbol", ["", "..", "a/b", ".x", "MNQ H6"])
def test_what_cannot_be_a_folder_is_no_symbol(symbol: str, lake: Lake) -> None:
    with pytest.raises(ConfigError, match="give one contract, like MNQH6$"):
        symbol_folder(lake, symbol)


def test_the_state_is_there_for_others(lake: Lake) -> None:
    assert read_state(lake, SYMBOL) is None
    recorder = small(lake)
    assert (read_state(lake, SYMBOL) or {})["pid"] == os.getpid()
    rows = feed_rows(10)
    feed(recorder, rows)
    recorder.state(FeedState(kind="live", n_records=23, warning="slow"))
    state = read_state(lake, SYMBOL)
    assert state is not None
    assert (state["is_alive"], state["pid"], state["day"], state["number"]) == (True, os.getpid(), str(DAY), 23)
    assert (state["feed"]["kind"], state["feed"]["warning"], state["alarm"]) == ("live", "slow", "")
    assert state["newest_ns"] == state["known_until_ns"] == int(rows["ts_event"][-1])
    recorder.state(FeedState(kind="dead", alarm="no gateway"))
    assert (read_state(lake, SYMBOL) or {})["alarm"] == "no gateway"
    recorder.end()
    ended = read_state(lake, SYMBOL) or {}
    assert (ended["is_alive"], ended["alarm"], ended["n_records"]) == (False, "no gateway", 23)
    assert not state_path(lake, SYMBOL).exists()
    again = small(lake)
    assert (read_state(lake, SYMBOL) or {})["alarm"] == ""
    again.end()


def test_what_was_recorded_is_on_the_disk_soon(lake: Lake) -> None:
    """The sync takes what was written since the last one, closed segments included."""
    recorder = small(lake, segment_mb=1, sync_ms=3_600_000)
    feed(recorder, feed_rows(40_000), 1_000)
    day = recorder._day
    assert day is not None
    held = day.segments.held()
    names = [os.readlink(f"/proc/self/fd/{one}").rpartition("/")[2] for one in held]
    assert names == ["0001.dbn", "0002.dbn", "journal.jsonl", "0003.dbn", str(DAY)]
    for one in held:
        os.close(one)
    feed(recorder, feed_rows(10))
    again = day.segments.held()
    assert len(again) == 3
    for one in again:
        os.close(one)


def test_the_next_recorder_goes_on_where_the_last_one_ended(lake: Lake) -> None:
    rows = feed_rows(400)
    first = small(lake)
    assert len(first.resume) == 0
    feed(first, rows[:200])
    first.end()
    second = small(lake)
    # All behind the snapshot are of the last ten seconds.
    assert second.resume.tobytes() == rows[13:200].tobytes()
    follower = open_follower(lake, SYMBOL, DAY)
    feed(second, rows[200:])
    second.end()
    live, holes = take_all(follower)
    assert (live.tobytes(), holes) == (rows.tobytes(), [])
    assert recorded(lake).tobytes() == rows.tobytes()
    assert [path.name for path in recording_files(lake, SYMBOL, DAY)] == ["0001.dbn", "0002.dbn"]


def test_what_is_handed_to_the_feed_is_of_the_last_ten_seconds(lake: Lake) -> None:
    rows = feed_rows(100)
    rows["ts_event"][60:] += (
        10 * 10**9 - 10 * STEP_NS
    )  # the last one is 10 s less 10 steps and 51 steps behind row 60's former time
    first = small(lake)
    feed(first, rows)
    first.end()
    newest = int(rows["ts_event"][-1])
    expected = [int(t) for t in rows["ts_event"][13:] if int(t) >= newest - 10 * 10**9]
    second = small(lake)
    assert second.resume["ts_event"].tolist() == expected
    assert 40 < len(expected) < 100
    second.end()


def test_a_recorder_that_ended_within_a_snapshot_names_a_hole(lake: Lake) -> None:
    rows = feed_rows(20)
    first = small(lake)
    feed(first, rows)
    feed(first, rows[:6])  # a snapshot that breaks off
    first.end()
    second = small(lake)
    assert len(second.resume) == 0
    again = feed_rows(5, int(rows["ts_event"][-1]) + 10**9)
    feed(second, again)
    second.end()
    (hole,) = recording_holes(lake, SYMBOL, DAY)
    assert (hole.since_ns, hole.until_ns) == (int(rows["ts_event"][-1]), int(again["ts_recv"][0]))


def die(lake: Lake, rows: np.ndarray) -> None:
    feed(small(lake), rows, 50)
    os._exit(9)


def test_a_new_day_after_a_kill_closes_the_old_one_and_clears_its_ring(lake: Lake) -> None:
    rows = feed_rows(300)
    assert in_process(die, lake, rows) == 9
    assert rings(lake, SYMBOL) == [ring_path(lake, SYMBOL, DAY)]
    follower = open_follower(lake, SYMBOL, DAY)
    later = feed_rows(50, MIDNIGHT + 10**9)
    recorder = small(lake)
    recorder.hole(Hole(int(rows["ts_event"][-1]), int(later["ts_recv"][0]), "the night"))
    feed(recorder, later)
    got, holes = take_all(follower)
    assert got.tobytes() == rows.tobytes()
    assert holes == [(313, Hole(int(rows["ts_event"][-1]), MIDNIGHT, "the night"))]
    assert rings(lake, SYMBOL) == [ring_path(lake, SYMBOL, NEXT_DAY)]
    recorder.end()
    assert rings(lake, SYMBOL) == []
    assert recorded(lake, NEXT_DAY).tobytes() == later.tobytes()  # the vendor's snapshot, none of ours before it


def test_a_torn_tail_is_no_error_for_a_reader_and_is_cut_at_the_next_start(lake: Lake) -> None:
    rows = feed_rows(100)
    assert in_process(die, lake, rows) == 9
    (path,) = recording_files(lake, SYMBOL, DAY)
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(rows[:1].tobytes()[:55])
    journal = day_folder(lake, SYMBOL, DAY) / "journal.jsonl"
    before = journal.read_bytes()
    journal.write_bytes(before + before[: len(before) // 2])
    assert recorded(lake).tobytes() == rows.tobytes()
    small(lake).end()
    assert path.stat().st_size == size
    assert [json.loads(line) for line in journal.read_text().splitlines()][0]["segment"] == 1
    # What a machine without power may leave: whole records of zeros.
    with path.open("ab") as file:
        file.write(bytes(560))
    small(lake).end()
    assert path.stat().st_size == size


def test_times_between_segments_never_fall(lake: Lake) -> None:
    recorder = small(lake, segment_mb=1)
    seen: list[int] = []
    follower = open_follower(lake, SYMBOL, DAY)

    def follow() -> None:
        while not (batch := follower.read(5.0)).is_over:
            seen.append(batch.known_until_ns)

    thread = threading.Thread(target=follow)
    thread.start()
    feed(recorder, feed_rows(30_000), 500)
    recorder.end()
    thread.join(30)
    assert all(one <= other for one, other in pairwise(seen))
