"""Holes of a live feed that are told: which bins they mark, where their snapshot falls, the same from the recording; by hand."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.run import keyframes
from engine.run.runner import Runner, Span
from engine.source.follow import Batch, Hole, PlacedHole, Watch
from tests.following import (
    CLOSE,
    CONFIG,
    DAY_NS,
    MS,
    SECOND,
    SLOW,
    both,
    file_replay,
    follow,
    gaps,
    hole,
    live_bins,
    on,
    said,
    same,
    shifted,
    written,
)
from tests.reference import Record
from tests.sessions import Bins, join
from tests.streams import DAY, DAY_START, OPEN, SYMBOL, build_up, to_array, write_dbn

AFTER = build_up(2, size=9)  # the snapshot behind a hole


def bid_sizes(bins: Bins) -> list[int]:
    return bins.fields["best_bid_size"].tolist()


@pytest.mark.parametrize("captured", [0.45, 0.3, 0.2], ids=["its clear in the last bin", "in an older one", "long ago"])
def test_hole_marks_each_bin_that_it_touches_and_its_snapshot_falls_where_it_ends(captured: float, tmp_path: Path) -> None:
    """From 0.15 s to 0.42 s: bins 1 to 4; the clear bears an older time."""
    snapshot = [Record(**{**vars(r), "ts_recv": OPEN + 450 * MS}) for r in shifted(AFTER, captured)]
    given = [
        said(0, *build_up()),
        said(0.15, on(0.15)),
        said(0.45, *snapshot, hole=hole(0.15, 0.42)),
        said(0.61, on(0.61)),
        said(0.7, is_over=True),
    ]
    bins = both(tmp_path, given)
    assert gaps(bins) == [1, 2, 3, 4]
    assert bid_sizes(bins) == [5, 5, 5, 5, 9, 9, 9]
    assert bins.fields["bin_event_count"].tolist() == [13, 1, 0, 0, 5, 0, 1]


def test_hole_of_more_than_a_minute_is_told_once_and_is_no_silence(tmp_path: Path) -> None:
    """And one before the first record has no beginning."""
    given = [
        said(0, *shifted(build_up(), 0.1), hole=Hole(0, OPEN + SECOND, "recording begins")),
        said(81, *shifted(AFTER, 80.2), hole=hole(5.5, 80)),
        said(82, is_over=True),
    ]
    live, follower = follow(SLOW, given)
    bins = same(live, live_bins(live, follower), written(tmp_path, given, SLOW))
    assert gaps(bins) == [0, *range(5, 80)]  # bins begin at 0.1 s, the second hole ends in the one from 79.1 s on
    assert live.runner.silences == {"holes": 2}


def test_hole_taken_in_twice_is_one() -> None:
    runner = Runner(CONFIG, Span(DAY_START, DAY_START + DAY_NS), is_watched=True)
    list(runner.feed(to_array(build_up()), 1))
    for n_bins in (3, 0):
        assert sum(block.n for block in runner.take_hole(OPEN, OPEN + 300 * MS, 1)) == n_bins
        assert (runner.silences, runner.holes) == ({"holes": 1}, [(OPEN, OPEN + 300 * MS)])
    list(runner.take_hole(OPEN, OPEN + 310 * MS, 1))
    assert runner.silences == {"holes": 2}


def test_silence_behind_a_hole_that_was_told_is_judged_by_the_hours_again() -> None:
    """Nobody watches; 65 s before the close a silence begins that ends behind it."""
    sessions = np.array([[OPEN, OPEN + 70 * SECOND]])
    runner = Runner(SLOW, Span(DAY_START, DAY_START + DAY_NS), sessions)
    blocks = [*runner.feed(to_array(build_up()), 64), *runner.take_hole(OPEN + SECOND, OPEN + 2 * SECOND, 64)]
    blocks += runner.feed(to_array([*shifted(AFTER, 2), on(4.5), on(90)]), 64)
    assert gaps(join(blocks)) == [1, 2, *range(4, 70)]


@pytest.mark.parametrize(
    ("since", "until", "marked"),
    [
        (0.2, 0.3, [2, 3]),  # its end is the first instant of bin 3, its beginning of bin 2
        (0.199999999, 0.299999999, [1, 2]),
        (0.12, 0.18, [1]),
    ],
)
def test_bounds_of_a_hole_on_the_edges_of_bins(since: float, until: float, marked: list[int], tmp_path: Path) -> None:
    given = [
        said(0, *build_up()),
        said(0.11, on(0.11)),
        said(0.5, *shifted(AFTER, 0.31), hole=hole(since, until)),
        said(0.5, is_over=True),
    ]
    assert gaps(both(tmp_path, given)) == marked


def test_quiet_bins_before_a_hole_are_not_marked(tmp_path: Path) -> None:
    """And a snapshot of older times behind a hole has not been overtaken by the clock."""
    given = [said(0, *build_up()), said(0.2), said(0.5, *shifted(AFTER, 0.1), hole=hole(0.2, 0.4)), said(0.5, is_over=True)]
    assert gaps(both(tmp_path, given)) == [2, 3, 4]


def test_two_holes_in_a_row_and_one_at_the_end(tmp_path: Path) -> None:
    given = [
        said(0, *build_up()),
        said(0.1, hole=hole(0.05, 0.1)),
        said(0.45, *shifted(AFTER, 0.41), hole=hole(0.3, 0.4)),
        said(0.6, on(0.6)),
        said(0.8, hole=hole(0.65, 0.8)),
        said(0.8, is_over=True),
    ]
    live, follower = follow(CONFIG, given)
    bins = same(live, live_bins(live, follower), written(tmp_path, given))
    assert gaps(bins) == [0, 1, 3, 4, 6, 7]
    assert live.runner.silences == {"holes": 3}
    assert [(one.since_ns, one.until_ns) for one in live.holes] == live.runner.holes
    assert live.notices[0] == f"hole from {OPEN + 50 * MS} to {OPEN + 100 * MS} ns: gateway away"


def test_hole_in_closed_hours_is_marked_and_its_bins_are_there(tmp_path: Path) -> None:
    given = [
        said(CLOSE - 3, *shifted(build_up(), CLOSE - 3)),
        said(CLOSE + 10, *shifted(AFTER, CLOSE + 9.5), hole=hole(CLOSE + 5.5, CLOSE + 9)),
        said(CLOSE + 10, is_over=True),
    ]
    assert gaps(both(tmp_path, given, SLOW)) == [8, 9, 10, 11, 12]


@pytest.mark.parametrize(("until", "marked"), [(2.5, [0, 1, 2]), (0, [0]), (-0.000000001, [])])
def test_hole_across_midnight_reaches_into_the_session_that_a_snapshot_opens(
    until: float, marked: list[int], tmp_path: Path
) -> None:
    """From 30 s before midnight in UTC, 19:00 in New York; the first bin begins there."""
    night = -14 * 3600
    given = [
        said(night - 40, *shifted(build_up(), night - 40)),
        said(night + 2.6, *shifted(AFTER, night + 2.6), hole=hole(night - 30, night + until)),
        said(night + 5, is_over=True),
    ]
    rows = np.concatenate([one.records for one in given])
    path = write_dbn(tmp_path / "n.dbn", rows, n_days=2, day=DAY.replace(day=5))
    watch = Watch((PlacedHole(13, hole(night - 30, night + until)),), given[-1].known_until_ns)
    live, follower = follow(SLOW, given, start_time="19:00")
    bins = same(live, live_bins(live, follower), file_replay(path, SLOW, watch, start_time="19:00"))
    assert gaps(bins) == marked


def test_records_are_cut_where_holes_lie() -> None:
    first, second, third = hole(1, 2), hole(2, 3), hole(3, 4)
    watch = Watch((PlacedHole(10, first), PlacedHole(12, second), PlacedHole(12, third), PlacedHole(15, first)))
    rows = to_array([on(0.1 * i) for i in range(5)])
    cut = [(one, part["order_id"].tolist()) for one, part in watch.cut(rows, 10, 0)]
    ids = rows["order_id"].tolist()
    assert cut == [(first, ids[:2]), (second, []), (third, ids[2:])]  # the last one lies before the record behind these
    assert [(one, len(part)) for one, part in watch.cut(rows, 10, 3)] == [(None, 5)]
    assert [(one, len(part)) for one, part in watch.cut(rows, 11, 1)] == [(None, 1), (second, 0), (third, 3), (first, 1)]


# The contract's id changes


def test_change_of_id_clears_the_book_as_in_a_file(tmp_path: Path) -> None:
    rows = [to_array(part) for part in (build_up(), [on(0.15)], shifted(AFTER[1:], 0.3))]
    for part, number in zip(rows, (1, 1, 2), strict=True):
        part["instrument_id"] = number
    files = []
    for number, part in ((1, np.concatenate(rows[:2])), (2, rows[2])):
        files.append(write_dbn(tmp_path / f"{number}-20260206.dbn", part, {SYMBOL: number}))
    watch = Watch((PlacedHole(14, hole(0.15, 0.29)),), OPEN + 500 * MS)
    given = [
        Batch(np.concatenate(rows[:2]), None, OPEN, False),
        Batch(rows[2], watch.holes[0].hole, OPEN, False),
        said(0.5, is_over=True),
    ]
    live, follower = follow(CONFIG, given)
    replay = file_replay(files, CONFIG, watch)
    bins = same(live, live_bins(live, follower), replay)
    assert np.flatnonzero(bins.fields["quality"] & 128).tolist() == [3]
    assert gaps(bins) == [1, 2]
    assert live.notices[1:] == replay.notices
    assert live.n_records == len(rows[0]) + 1 + len(rows[2]) + 1
    assert len([records for records in replay.source.records(1)]) == live.n_records


# Kept states


@pytest.mark.parametrize("form", ["dbn", "dbn.zst"])
def test_replay_of_a_recording_with_holes_begins_at_a_kept_state(
    form: str, market: NDArray[np.void], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyframes, "KEYFRAME_BINS", 60)
    path = write_dbn(tmp_path / f"m-20260206.{form}", market, {SYMBOL: int(market["instrument_id"][0])})
    holes = tuple(
        PlacedHole(n, Hole(int(market["ts_event"][n - 1]), int(market["ts_event"][n]) + 150 * MS, "cut")) for n in (2400, 3000)
    )
    watch = Watch(holes, OPEN + 26 * SECOND)
    bins = join(file_replay(path, CONFIG, watch, chunk_records=37, keyframes=tmp_path / "k"))
    keyframes.wait()
    assert join(file_replay(path, CONFIG, watch)).to_bytes() == bins.to_bytes()
    assert len(gaps(bins)) >= 4
    for first in (61, 130, 200):
        later = file_replay(path, CONFIG, watch, chunk_records=53, keyframes=tmp_path / "k", from_bin=first)
        assert join(later).fields.tobytes() == bins.fields[first:].tobytes()
        assert later.keyframes is not None
        assert later.keyframes.began_at > 0
    unwatched = file_replay(path, CONFIG, None, keyframes=tmp_path / "k", from_bin=200)
    assert not gaps(join(unwatched))
