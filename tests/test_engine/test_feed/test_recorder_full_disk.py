"""A full disk: the segments stop and are gone on with, whoever follows the ring loses nothing, and the hole is named."""

from pathlib import Path

import numpy as np
import pytest

from engine.feed.gateway.snapshot import snapshot_of
from engine.feed.record.follower import DayFollower, open_follower
from engine.feed.record.place import recorded_segments, recording_holes
from engine.feed.record.recorder import Recorder, read_state
from engine.feed.record.segments import segment_head
from engine.lake import Lake
from tests.full_disk import room_for
from tests.recordings import feed, feed_rows, lake_of, recorded, small, take_all, take_n
from tests.streams import DAY, INSTRUMENT_ID, OPEN, SYMBOL

# 256 slots, so that a ring fits where a segment does not; no try to record again but when a test says so, since each new segment
# would have the same room.
TINY: dict[str, float] = {"ring_mb": 1 / 64, "retry_s": 3600.0}
HEAD_BYTES = len(segment_head(SYMBOL, "GLBX.MDP3", INSTRUMENT_ID, OPEN, 2**64 - 1))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return lake_of(tmp_path)


def feed_and_follow(recorder: Recorder, follower: DayFollower, rows: np.ndarray, batch: int) -> np.ndarray:
    """What a follower gets who keeps up."""
    parts = []
    for start in range(0, len(rows), batch):
        recorder.take(rows[start : start + batch])
        parts.append(take_n(follower, len(rows[start : start + batch])))
    return np.concatenate(parts)


@pytest.mark.parametrize("n_more", [0, 1, 55, 50 * 56 - 1, 50 * 56])  # bytes behind the room for 700 records
def test_a_full_disk_stops_segments_alone_and_the_hole_is_named(n_more: int, lake: Lake) -> None:
    rows = feed_rows(2_000)
    told: list[str] = []
    recorder = small(lake, told.append, **TINY)
    follower = open_follower(lake, SYMBOL, DAY)
    with room_for(HEAD_BYTES + 700 * 56 + n_more):
        live = feed_and_follow(recorder, follower, rows[:1_500], 50)
        n_before = 750 if n_more == 50 * 56 else 700
        assert recorded(lake).tobytes() == rows[:n_before].tobytes()  # a batch that did not fit left nothing
        assert not (read_state(lake, SYMBOL) or {})["is_recording"]
    recorder._retry_at_s = 0.0
    live = np.concatenate([live, feed_and_follow(recorder, follower, rows[1_500:], 50)])
    recorder.end()
    rest, holes = take_all(follower)
    assert (live.tobytes(), len(rest), holes) == (rows.tobytes(), 0, [])  # serving went on
    (hole,) = recording_holes(lake, SYMBOL, DAY)
    assert (hole.since_ns, hole.until_ns) == (int(rows["ts_event"][n_before - 1]), int(rows["ts_event"][1_499]))
    assert hole.reason.startswith("not recorded: File too large")
    book = snapshot_of(rows[:1_500], int(rows["ts_recv"][1_500]))
    late, late_holes = take_all(open_follower(lake, SYMBOL, DAY))
    assert late_holes == [(n_before, hole)]
    assert late["order_id"].tolist() == [*rows["order_id"][:n_before], *book["order_id"], *rows["order_id"][1_500:]]
    assert recorded(lake).tobytes() == late.tobytes()
    assert [line.split(":")[0] for line in told] == ["alarm", "recording goes on, its hole is named"]


def test_a_follower_overrun_while_the_disk_was_full_gets_the_hole_and_the_book(lake: Lake) -> None:
    rows = feed_rows(2_000)
    recorder = small(lake, **TINY)
    follower = open_follower(lake, SYMBOL, DAY)
    with room_for(HEAD_BYTES + 700 * 56):
        assert len(feed_and_follow(recorder, follower, rows[:800], 50)) == 800
        feed(recorder, rows[800:1_500], 50)
        assert len(follower.read(0.05).records) == 0  # neither has it: he waits
    recorder._retry_at_s = 0.0
    feed(recorder, rows[1_500:], 50)
    recorder.end()
    got, holes = take_all(follower)
    (hole,) = recording_holes(lake, SYMBOL, DAY)
    assert holes == [(0, hole)]
    book = snapshot_of(rows[:1_500], int(rows["ts_recv"][1_500]))
    assert got["order_id"].tolist() == [*book["order_id"], *rows["order_id"][1_500:]]


def test_a_disk_that_stays_full_ends_in_a_hole(lake: Lake) -> None:
    rows = feed_rows(1_500)
    recorder = small(lake, **TINY)
    with room_for(HEAD_BYTES + 700 * 56):
        feed(recorder, rows[:1_000], 50)
    feed(recorder, rows[1_000:], 50)
    recorder.end()
    assert recorded(lake).tobytes() == rows[:700].tobytes()
    (hole,) = recording_holes(lake, SYMBOL, DAY)
    assert (hole.since_ns, hole.until_ns) == (int(rows["ts_event"][699]), int(rows["ts_event"][-1]))


def test_recording_goes_on_only_between_two_events(lake: Lake) -> None:
    rows = feed_rows(1_500)
    rows["flags"][1_010:] = 0
    rows["flags"][1_099] = 128
    recorder = small(lake, **TINY)
    with room_for(HEAD_BYTES + 700 * 56):
        feed(recorder, rows[:1_050], 50)
    recorder._retry_at_s = 0.0
    feed(recorder, rows[1_050:], 50)
    recorder.end()
    assert [one.first for one in recorded_segments(lake, SYMBOL, DAY)] == [0, 1_100]
