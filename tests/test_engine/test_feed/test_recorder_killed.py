"""A recorder killed at every write it makes, in the middle of it too: what lies there is valid, and goes on exactly once.

The processes are real and so is the signal; they send it to themselves, having written so many bytes of one write.
"""

import os
import signal
from pathlib import Path

import numpy as np
import pytest

from engine.feed.record.follower import DayFollower, open_follower
from engine.feed.record.place import recorded_segments, recording_files, recording_holes, rings
from engine.feed.record.recorder import is_recorded
from engine.feed.record.resting import Resting
from engine.lake import Lake
from tests.recordings import feed_rows, in_process, lake_of, recorded, small, take_all
from tests.streams import DAY, SYMBOL

ROWS = feed_rows(1_200)
BATCH = 9
PARTS = (0.0, 0.3, 0.999, 1.0)  # of the bytes of the write that is the last


@pytest.fixture(autouse=True, scope="module")
def _compiled() -> None:
    """What is compiled here is there in every process that comes of this one."""
    Resting().take(ROWS[:1])


def die_at(i_write: int, part: float) -> None:
    """From now on this process ends itself in its ``i_write``-th write."""
    genuine, left = os.pwrite, [i_write]

    def pwrite(descriptor: int, data: bytes, at: int) -> int:
        left[0] -= 1
        if left[0]:
            return genuine(descriptor, data, at)
        view = memoryview(data).cast("B") if not isinstance(data, np.ndarray) else memoryview(data.tobytes())
        genuine(descriptor, view[: int(len(view) * part)], at)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    os.pwrite = pwrite


def go_on(lake: Lake, i_write: int, part: float, most: int) -> None:
    """Record from where the one before ended, as the feed would: at most so many records, or until the end."""
    if i_write:
        die_at(i_write, part)
    recorder = small(lake, sync_ms=1)
    first = int(recorder.resume["sequence"][-1]) if len(recorder.resume) else 0
    # A snapshot that broke off has no record to go on from: everything comes again, behind a hole.
    for start in range(first, min(first + most, len(ROWS)), BATCH):
        recorder.take(ROWS[start : min(start + BATCH, first + most, len(ROWS))])
    if i_write:
        os.kill(os.getpid(), signal.SIGKILL)  # it had fewer writes
    recorder.end()


def pull(follower: DayFollower) -> np.ndarray:
    """Everything that has come by now."""
    parts = [ROWS[:0]]
    while True:
        batch = follower.read(0.0)
        assert batch.hole is None
        assert not batch.is_over
        if not len(batch.records):
            return np.concatenate(parts)
        parts.append(batch.records)


@pytest.mark.parametrize("part", PARTS)
def test_killed_in_every_write_it_goes_on_exactly_once(part: float, tmp_path: Path) -> None:
    lake = lake_of(tmp_path)
    assert in_process(go_on, lake, 1_000_000, 0.0, 100) == -signal.SIGKILL  # behind the snapshot
    follower = open_follower(lake, SYMBOL, DAY)
    got = [pull(follower)]
    assert got[0].tobytes() == ROWS[:100].tobytes()
    for i_write in range(1, 25):
        assert in_process(go_on, lake, i_write, part, 60) == -signal.SIGKILL
        assert not is_recorded(lake, SYMBOL)
        here = recorded(lake)
        assert here.tobytes() == ROWS[: len(here)].tobytes()
        got.append(pull(follower))
        assert sum(map(len, got)) <= len(here)
    assert 100 < len(recorded(lake)) < len(ROWS) - 100
    assert in_process(go_on, lake, 0, 0.0, len(ROWS)) == 0
    rest, holes = take_all(follower)
    assert np.concatenate([*got, rest]).tobytes() == ROWS.tobytes()
    assert holes == []
    assert recorded(lake).tobytes() == ROWS.tobytes()
    assert recording_holes(lake, SYMBOL, DAY) == []
    assert rings(lake, SYMBOL) == []
    late, _ = take_all(open_follower(lake, SYMBOL, DAY))
    assert late.tobytes() == ROWS.tobytes()


@pytest.mark.parametrize("n_bytes", [1, 7, 55, 56, 57, 400])
def test_a_segment_cut_off_anywhere_is_read_and_gone_on_with(n_bytes: int, tmp_path: Path) -> None:
    """As a machine without power may leave it: shorter than what was written."""
    lake = lake_of(tmp_path)
    assert in_process(go_on, lake, 1_000_000, 0.0, 500) == -signal.SIGKILL
    (path,) = recording_files(lake, SYMBOL, DAY)
    os.truncate(path, path.stat().st_size - n_bytes)
    left = 500 - -(-n_bytes // 56)
    assert recorded(lake).tobytes() == ROWS[:left].tobytes()
    assert in_process(go_on, lake, 0, 0.0, len(ROWS)) == 0
    assert recorded(lake).tobytes() == ROWS.tobytes()
    assert [one.first for one in recorded_segments(lake, SYMBOL, DAY)] == [0, left]
    late, holes = take_all(open_follower(lake, SYMBOL, DAY))
    assert (late.tobytes(), holes) == (ROWS.tobytes(), [])
