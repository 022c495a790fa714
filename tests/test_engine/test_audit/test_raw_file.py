"""What a raw file says of itself: holes as far as the exchange was open, each count with what it leaves out."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.audit.raw_file import _Facts, check_raw
from engine.config import load_instrument
from engine.run.runner import ALL_TIME, Runner
from tests.reference import F_BAD_TS_RECV, F_LAST, F_MAYBE_BAD_BOOK, F_SNAPSHOT, Record
from tests.streams import DAY, DAY_START, OPEN, build_up, harmless, record, to_array, write_dbn

CONFIG = load_instrument()
S = 10**9
DAY_NS = 86_400 * S
THURSDAY = DAY - dt.timedelta(days=1)
CLOSE = OPEN + 8 * 3600 * S - DAY_NS  # Thursday's, 22:00 UTC; it opens again an hour later
REOPEN = CLOSE + 3600 * S


def told(folder: Path, records: list[Record], day: dt.date = DAY) -> dict[str, Any]:
    path = write_dbn(folder / f"mnq-{day:%Y%m%d}.dbn", to_array(records), day=day)
    return check_raw(path, CONFIG, keeps_book=False).report


def times(*moments: int) -> list[Record]:
    """A harmless record at each of these, ns."""
    return [Record(**{**vars(harmless(i)), "ts_event": t, "ts_recv": t}) for i, t in enumerate(moments)]


@pytest.mark.parametrize(
    ("last", "next_one", "gaps"),
    [
        (CLOSE - S, REOPEN + 30 * S, []),
        (CLOSE - S, REOPEN + 60 * S, []),
        (CLOSE - S, REOPEN + 60 * S + 1, [(REOPEN, REOPEN + 60 * S + 1)]),
        (CLOSE - S, REOPEN + 61 * S, [(REOPEN, REOPEN + 61 * S)]),
        (CLOSE - 60 * S, REOPEN, []),
        (CLOSE - 60 * S - 1, REOPEN, [(CLOSE - 60 * S - 1, CLOSE)]),
        (CLOSE - 61 * S, REOPEN + 61 * S, [(CLOSE - 61 * S, CLOSE), (REOPEN, REOPEN + 61 * S)]),
        (CLOSE + S, REOPEN - S, []),
        (CLOSE - 200 * S, CLOSE - 140 * S, []),
        (CLOSE - 200 * S, CLOSE - 140 * S + 1, [(CLOSE - 200 * S, CLOSE - 140 * S + 1)]),
    ],
    ids=[
        "half a minute behind the opening", "a minute", "1 ns more", "61 s", "a minute before the close", "1 ns more before it",
        "on both sides", "while it is closed", "a minute in open hours", "1 ns more in open hours",
    ],
)  # fmt: skip
def test_hole_counts_as_far_as_the_exchange_was_open(
    last: int, next_one: int, gaps: list[tuple[int, int]], tmp_path: Path
) -> None:
    report = told(tmp_path, times(last - S, last, next_one), THURSDAY)
    assert [(gap["start_ns"], gap["end_ns"]) for gap in report["gaps"]] == gaps


def test_hole_is_found_over_the_edge_of_two_arrays() -> None:
    """And time that goes back is seen against all that came before, not against its own array alone."""
    rows = to_array(times(OPEN, OPEN + S, OPEN + 62 * S, OPEN + 61 * S))
    facts, runner = _Facts(), Runner(CONFIG, ALL_TIME)
    for i in range(len(rows)):
        facts.take(rows[i : i + 1])
        list(runner.feed(rows[i : i + 1], 1))
    report = facts.report()
    assert runner.holes == [(OPEN + S, OPEN + 62 * S)]
    assert (report["backwards"], report["n_records"]) == (1, 4)


def test_snapshots_and_what_lies_outside_the_day_tell_no_time(tmp_path: Path) -> None:
    outside = times(DAY_START - 1, DAY_START + DAY_NS)
    old = [Record(**{**vars(r), "ts_event": OPEN - 3600 * S, "flags": r.flags | F_SNAPSHOT}) for r in times(OPEN + 3)]
    report = told(tmp_path, [*times(OPEN, OPEN + 2), *outside, *old, *times(OPEN + 4)])
    assert (report["gaps"], report["backwards"], report["n_snapshot"]) == ([], 0, 1)
    report = told(tmp_path, times(DAY_START, DAY_START + DAY_NS - 1, DAY_START + DAY_NS - 2))
    assert report["backwards"] == 1


@pytest.mark.parametrize(
    ("flags", "bad_time", "doubtful"),
    [
        (F_LAST, 0, 0),
        (F_LAST | F_BAD_TS_RECV, 1, 0),
        (F_LAST | F_BAD_TS_RECV | F_SNAPSHOT, 0, 0),
        (F_LAST | F_MAYBE_BAD_BOOK, 0, 1),
        (F_LAST | F_MAYBE_BAD_BOOK | F_SNAPSHOT, 0, 1),
        (255 & ~F_BAD_TS_RECV & ~F_MAYBE_BAD_BOOK, 0, 0),
    ],
)
def test_flags_are_counted_snapshots_apart_where_they_say_nothing(
    flags: int, bad_time: int, doubtful: int, tmp_path: Path
) -> None:
    report = told(tmp_path, [*build_up(), record("A", 50, tick=-6, time=5, flags=flags)])
    assert (report["bad_time"], report["doubtful_book"]) == (bad_time, doubtful)


def test_span_is_from_the_first_capture_to_the_latest(tmp_path: Path) -> None:
    rows = to_array(times(OPEN + 5, OPEN + 9, OPEN + 7))
    path = write_dbn(tmp_path / "mnq-20260206.dbn", rows)
    report = check_raw(path, CONFIG, keeps_book=False).report
    assert (report["first_ns"], report["last_ns"]) == (OPEN + 5, OPEN + 9)
    assert np.all(rows["ts_recv"] >= report["first_ns"])
