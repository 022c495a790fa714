"""A feed through the real recorder and its follower: live, caught up later, and replayed from the segments, the same bits."""

import datetime as dt
from pathlib import Path

import pytest

from engine.feed.follow import PlacedHole, Watch
from engine.feed.record.follower import open_follower
from engine.feed.record.place import recording_files
from engine.feed.record.recorder import Options, Recorder
from engine.feed.record.watch import recording_watch
from engine.lake import Lake
from engine.run.live import LiveReplay
from tests.following import CONFIG, MS, file_replay, gaps, hole, on, shifted
from tests.sessions import join
from tests.streams import DAY, OPEN, SYMBOL, build_up, to_array


@pytest.mark.parametrize("has_hole_at_end", [False, True])
def test_recorded_feed_live_and_later_and_from_its_files(has_hole_at_end: bool, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    recorder = Recorder(lake, SYMBOL, Options(), print)
    live = LiveReplay(open_follower(lake, SYMBOL, DAY), CONFIG, DAY)
    blocks = iter(live)
    recorder.take(to_array(build_up()))
    recorder.take(to_array([on(0.15)]))
    recorder.known_until(OPEN + 250 * MS)
    bins = [next(blocks), next(blocks)]  # both without a record behind them
    recorder.hole(hole(0.25, 0.42))
    recorder.take(to_array(shifted(build_up(2, size=9), 0.45)))
    recorder.known_until(OPEN + 700 * MS)
    if has_hole_at_end:
        recorder.hole(hole(0.71, 0.95))
    recorder.end()
    bins += blocks
    seen = join(bins)
    n_bins, marked = (9, [2, 3, 4, 7, 8]) if has_hole_at_end else (7, [2, 3, 4])
    assert (len(seen.fields), gaps(seen)) == (n_bins, marked)
    later = LiveReplay(open_follower(lake, SYMBOL, DAY), CONFIG, DAY)
    assert join(later).to_bytes() == seen.to_bytes()
    watch = recording_watch(lake, SYMBOL, DAY)
    replay = file_replay(recording_files(lake, SYMBOL, DAY), CONFIG, watch)
    assert join(replay).to_bytes() == seen.to_bytes()
    assert live.runner.holes == later.runner.holes == replay.runner.holes
    assert len(watch.holes) == len(marked) // 2
    assert watch.holes[0] == PlacedHole(14, hole(0.25, 0.42))
    assert watch.known_until_ns == OPEN + 700 * MS


def test_day_that_nobody_recorded_was_not_watched_to_any_time(tmp_path: Path) -> None:
    assert recording_watch(Lake(tmp_path), SYMBOL, dt.date(2026, 1, 5)) == Watch((), None)
