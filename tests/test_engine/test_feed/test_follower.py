"""The follower: late, slow, or with a ring that is damaged or gone, he gets each record once."""

import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from engine.feed.record.follower import DayFollower, open_follower
from engine.feed.record.place import day_folder, recording_files, ring_path
from engine.lake import Lake
from tests.recordings import STEP_NS, feed, feed_rows, in_process, lake_of, small, take_all, take_n
from tests.streams import DAY, SYMBOL

MARKET_RATE = 5_000  # events/s of a busy market, as `feed_rows` makes them


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_of(tmp_path)


def test_whoever_is_there_before_the_recorder_waits_for_it(lake: Lake) -> None:
    follower = open_follower(lake, SYMBOL, DAY)
    batch = follower.read(0.05)
    assert (len(batch.records), batch.hole, batch.known_until_ns, batch.is_over) == (0, None, 0, False)
    recorder = small(lake)
    rows = feed_rows(20)
    feed(recorder, rows)
    assert take_n(follower, 33).tobytes() == rows.tobytes()
    recorder.end()


def test_a_day_that_was_recorded_is_read_and_over(lake: Lake) -> None:
    recorder = small(lake)
    rows = feed_rows(200_000)
    feed(recorder, rows, 20_000)
    recorder.known_until(int(rows["ts_event"][-1]) + 7)
    recorder.end()
    follower = open_follower(lake, SYMBOL, DAY)
    got, holes = take_all(follower)
    assert (got.tobytes(), holes) == (rows.tobytes(), [])
    batch = follower.read(0.0)
    assert (batch.is_over, len(batch.records), batch.known_until_ns) == (True, 0, int(rows["ts_event"][-1]) + 7)


@pytest.mark.parametrize("n", [1, 15_000, 16_000, 16_384, 17_000, 70_000])
def test_whoever_joins_late_gets_the_segments_first_and_then_the_ring(n: int, lake: Lake) -> None:
    rows = feed_rows(n + 500)
    recorder = small(lake)  # 16,384 slots
    feed(recorder, rows[:n], 700)
    follower = open_follower(lake, SYMBOL, DAY)
    first = take_n(follower, n)
    feed(recorder, rows[n:], 50)
    recorder.end()
    rest, holes = take_all(follower)
    assert (np.concatenate([first, rest]).tobytes(), holes) == (rows.tobytes(), [])


def test_what_is_known_is_told_without_a_record_and_never_falls(lake: Lake) -> None:
    rows = feed_rows(10)
    newest = int(rows["ts_event"][-1])
    recorder = small(lake)
    feed(recorder, rows)
    follower = open_follower(lake, SYMBOL, DAY)
    batch = follower.read(5.0)
    assert (len(batch.records), batch.known_until_ns) == (23, newest)
    recorder.known_until(newest + 100)
    batch = follower.read(5.0)
    assert (len(batch.records), batch.known_until_ns) == (0, newest + 100)
    recorder.known_until(newest + 50)
    batch = follower.read(0.05)
    assert (len(batch.records), batch.known_until_ns) == (0, newest + 100)
    recorder.end()


def test_what_is_known_is_that_of_the_batch_and_not_of_what_lies_behind_it(lake: Lake) -> None:
    """Batches hold 65,536 records; a bin may not be closed by word of records that have not been read."""
    rows = feed_rows(70_000)
    recorder = small(lake, ring_mb=8)
    feed(recorder, rows, 10_000)
    follower = open_follower(lake, SYMBOL, DAY)
    batch = follower.read(5.0)
    assert len(batch.records) == 65_536
    assert batch.known_until_ns == int(rows["ts_event"][65_535])
    assert follower.read(5.0).known_until_ns == int(rows["ts_event"][-1])
    recorder.end()


def overwrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(bytes(64))


def cut(path: Path) -> None:
    os.truncate(path, 4_096)


def slots_away(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(8_192)
        file.write(bytes(1 << 20))


@pytest.mark.parametrize("harm", [overwrite, cut, slots_away, Path.unlink])
def test_a_ring_damaged_or_removed_under_a_reader_costs_nothing(harm: object, lake: Lake) -> None:
    rows = feed_rows(3_000)
    recorder = small(lake)
    follower = open_follower(lake, SYMBOL, DAY)
    feed(recorder, rows[:1_000])
    got = [take_n(follower, 1_000)]
    feed(recorder, rows[1_000:1_500])
    harm(ring_path(lake, SYMBOL, DAY))  # type: ignore[operator]
    got.append(take_n(follower, 500))
    feed(recorder, rows[1_500:], 10)
    recorder.end()
    rest, holes = take_all(follower)
    assert (np.concatenate([*got, rest]).tobytes(), holes) == (rows.tobytes(), [])


def test_something_else_in_the_rings_place_is_passed_over(lake: Lake) -> None:
    ring_path(lake, SYMBOL, DAY).write_bytes(b"no ring")
    follower = open_follower(lake, SYMBOL, DAY)
    assert len(follower.read(0.03).records) == 0
    recorder = small(lake)
    rows = feed_rows(5)
    feed(recorder, rows)
    assert take_n(follower, 18).tobytes() == rows.tobytes()
    recorder.end()


def test_segments_that_somebody_took_away_are_a_named_hole(lake: Lake) -> None:
    rows = feed_rows(60_000)
    recorder = small(lake, segment_mb=1)
    feed(recorder, rows, 1_000)
    recorder.end()
    recording_files(lake, SYMBOL, DAY)[1].unlink()
    got, holes = take_all(open_follower(lake, SYMBOL, DAY))
    assert got.tobytes() == np.concatenate([rows[:19_000], rows[38_000:]]).tobytes()
    ((n, hole),) = holes
    assert (n, hole.since_ns, hole.until_ns) == (19_000, int(rows["ts_event"][18_999]), int(rows["ts_recv"][38_000]))
    assert "0003.dbn are missing" in hole.reason


def test_a_line_that_is_being_written_is_no_segment_yet(lake: Lake) -> None:
    recorder = small(lake)
    rows = feed_rows(5)
    feed(recorder, rows)
    with (day_folder(lake, SYMBOL, DAY) / "journal.jsonl").open("ab") as file:
        file.write(b'{"segment": 2, "fir')
    ring_path(lake, SYMBOL, DAY).unlink()
    assert take_n(open_follower(lake, SYMBOL, DAY), 18).tobytes() == rows.tobytes()
    recorder.end()


def pour(lake: Lake, n: int, batch: int) -> None:
    recorder = small(lake, ring_mb=64)
    feed(recorder, feed_rows(n), batch)
    recorder.end()


def test_a_follower_frozen_for_30_s_of_market_loses_nothing_and_catches_up(lake: Lake) -> None:
    """150,000 events, read only then; in less than a third of the time in which they came."""
    rows = feed_rows(30 * MARKET_RATE)
    recorder = small(lake, ring_mb=4)  # 65,536 slots: overrun, so the segments are needed
    follower = open_follower(lake, SYMBOL, DAY)
    feed(recorder, rows[:1_000])
    first = take_n(follower, 1_000)
    feed(recorder, rows[1_000:], 500)
    began = time.perf_counter()
    rest = take_n(follower, len(rows) - 1_000)
    took_s = time.perf_counter() - began
    assert np.concatenate([first, rest]).tobytes() == rows.tobytes()
    assert took_s < len(rows) * STEP_NS / 1e9 / 3
    recorder.end()


def test_recorder_ring_and_follower_keep_up_with_many_times_the_market(lake: Lake) -> None:
    """In two processes. The market would need 40 s for as much; four times its rate is asked here, 20 times was measured."""
    n = 40 * MARKET_RATE
    began = time.perf_counter()
    thread = threading.Thread(target=in_process, args=(pour, lake, n, 100))
    thread.start()
    got, holes = take_all(open_follower(lake, SYMBOL, DAY), 60.0)
    took_s = time.perf_counter() - began
    thread.join(60)
    assert holes == []
    assert got.tobytes() == feed_rows(n).tobytes()
    assert n * STEP_NS / 1e9 / took_s > 4


def test_readers_who_come_and_go_hold_up_nobody(lake: Lake) -> None:
    rows = feed_rows(20_000)
    recorder = small(lake)
    got: dict[int, np.ndarray] = {}

    def follow(i: int) -> None:
        follower = open_follower(lake, SYMBOL, DAY)
        got[i] = take_all(follower)[0]
        follower.close()

    followers = [threading.Thread(target=follow, args=(i,)) for i in range(4)]
    frozen = open_follower(lake, SYMBOL, DAY)
    for one, (first, last) in zip(followers, pairwise(range(0, 20_001, 5_000)), strict=True):
        one.start()
        feed(recorder, rows[first:last], 250)
    feed(recorder, rows[20_000:])
    recorder.end()
    for one in followers:
        one.join(30)
    assert {i: one.tobytes() == rows.tobytes() for i, one in got.items()} == dict.fromkeys(range(4), True)
    assert take_all(frozen)[0].tobytes() == rows.tobytes()


def test_waking_takes_far_less_than_a_look_now_and_then_would(lake: Lake) -> None:
    """The median time from a record's arrival at the recorder to its reader, beside the reader's own pause without a ring."""
    recorder = small(lake)
    rows = feed_rows(200)
    arrived: list[float] = []
    sent: list[float] = []
    follower = open_follower(lake, SYMBOL, DAY)
    recorder.take(rows[:1])
    take_n(follower, 1)
    ready = threading.Semaphore(0)

    def follow(one: DayFollower) -> None:
        for _ in range(1, len(rows)):
            ready.release()
            take_n(one, 1)
            arrived.append(time.perf_counter())

    thread = threading.Thread(target=follow, args=(follower,))
    thread.start()
    for i in range(1, len(rows)):
        ready.acquire()
        sent.append(time.perf_counter())
        recorder.take(rows[i : i + 1])
    thread.join(30)
    recorder.end()
    median_s = float(np.median(np.array(arrived) - np.array(sent)))
    assert median_s < 0.02 / 4
