"""Silences of the feed: what is a hole, what is quiet, and what told them apart; every number by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.audit.raw_file import check_raw
from engine.config import load_instrument
from engine.dataset.capture import publish_replay
from engine.lake import Lake
from engine.run.replay import Replay
from engine.source.records import open_source
from tests.reference import F_LAST, F_SNAPSHOT, Record
from tests.sessions import join, small_config
from tests.streams import DAY, OPEN, build_up, record, to_array, write_dbn

SECOND = 10**9
MS = 1_000_000
CONFIG = small_config(cell_width_ms=1000)
CLOSE = 8 * 3600  # Friday's, s behind 09:00 in New York
OPENS = -15 * 3600 + 3600  # its session's open, Thursday at 18:00


def on(second: float, *, snapshot: bool = False) -> Record:
    """A harmless record, s behind 09:00."""
    return record("A", 5000 + round(second * 10), tick=-6, time=round(second * SECOND), flags=F_SNAPSHOT if snapshot else F_LAST)


def opened(second: float) -> list[Record]:
    shift = round(second * SECOND)
    return [Record(**{**vars(r), "ts_event": r.ts_event + shift, "ts_recv": r.ts_recv + shift}) for r in build_up()]


def found(folder: Path, records: list[Record], numbers: list[int] | None = None, **more: Any) -> tuple[list[int], dict[str, int]]:
    """Bins of a second marked as a gap, and the silences by what they were judged to be."""
    rows = to_array(records)
    if numbers is not None:
        rows["sequence"][-len(numbers) :] = numbers
    path = write_dbn(folder / "day-20260206.dbn", rows, end_ns=more.pop("end_ns", None))
    replay = Replay(open_source([path], CONFIG, DAY), CONFIG, more.pop("start", None))
    quality = join(replay).fields["quality"]
    return np.flatnonzero(quality & 2).tolist(), replay.runner.silences


# Scheduled closes


def test_silence_that_ends_behind_a_close_does_not_mark_the_last_second_before_it(tmp_path: Path) -> None:
    """The exchange was open for 0.5 s of it."""
    assert found(tmp_path, [*opened(CLOSE - 2), on(CLOSE - 0.5), on(CLOSE + 300)]) == ([], {})


def test_silence_of_more_than_a_minute_before_a_close_is_a_hole_up_to_it_and_no_further(tmp_path: Path) -> None:
    marked, silences = found(tmp_path, [*opened(CLOSE - 70), on(CLOSE - 65.5), on(CLOSE + 300)])
    assert marked == list(range(4, 70))
    assert silences == {"holes": 1}


@pytest.mark.parametrize(("before", "holes"), [(60, {}), (60.000000001, {"holes": 1})])
def test_exactly_a_minute_of_open_trading_before_the_close_is_no_hole(
    before: float, holes: dict[str, int], tmp_path: Path
) -> None:
    last = on(CLOSE - 60)
    moved = Record(**{**vars(last), "ts_event": last.ts_event - round((before - 60) * SECOND)})
    assert found(tmp_path, [*opened(CLOSE - 61), moved, on(CLOSE + 300)])[1] == holes


@pytest.mark.parametrize(("ns", "holes"), [(0, {}), (1, {"holes": 1})])
def test_exactly_a_minute_is_no_hole_and_a_nanosecond_more_is_one(ns: int, holes: dict[str, int], tmp_path: Path) -> None:
    late = [Record(**{**vars(r), "ts_event": r.ts_event + ns, "ts_recv": r.ts_recv + ns}) for r in (on(61),)]
    assert found(tmp_path, [*opened(0), on(1), *late])[1] == holes


# A snapshot dated by an older clear


def old_snapshot() -> list[Record]:
    """Captured at 09:00; its clear is of the evening before."""
    first, *orders = build_up()
    return [Record(**{**vars(first), "ts_event": OPEN - 16 * 3600 * SECOND}), *orders]


def test_silence_behind_a_snapshot_dated_the_evening_before_is_a_hole(tmp_path: Path) -> None:
    """From its capture at 09:00 to the next record nine minutes later: 540 silent bins and the one that ends them."""
    marked, silences = found(tmp_path, [*old_snapshot(), on(540.5), on(541.5)], start="09:00")
    assert (marked, silences) == (list(range(541)), {"holes": 1})


def test_snapshot_captured_in_a_silence_shows_the_feed_alive(tmp_path: Path) -> None:
    middle = [Record(**{**vars(r), "ts_recv": OPEN + 50 * SECOND}) for r in old_snapshot()]
    assert found(tmp_path, [*opened(0), on(0.5), *middle, on(100)]) == ([], {})


# Quiet, and by what


def thin(n: int, step: float = 75.0) -> list[Record]:
    """Three records within a second, then one every 75 s."""
    return [on(0.1), on(0.2), on(0.3), *(on(0.3 + step * i) for i in range(1, n + 1))]


def test_numbers_that_count_on_across_it_make_a_silence_quiet(tmp_path: Path) -> None:
    assert found(tmp_path, [*opened(0), *thin(5)]) == ([], {"quiet_by_sequence": 5})


@pytest.mark.parametrize(("n_steps", "silences"), [(1, {"holes": 1}), (2, {"quiet_by_sequence": 1})])
def test_numbers_are_believed_once_they_have_counted_twice(n_steps: int, silences: dict[str, int], tmp_path: Path) -> None:
    first = [on(0.1 * (i + 1)) for i in range(n_steps + 1)]
    assert found(tmp_path, [*opened(0), *first, on(80)])[1] == silences


@pytest.mark.parametrize("number", [3, 5, 0], ids=["the same", "one left out", "begun anew"])
def test_numbers_that_do_not_count_on_prove_nothing(number: int, tmp_path: Path) -> None:
    marked, silences = found(tmp_path, [*opened(0), on(0.1), on(0.2), on(0.3), on(80.3)], [1, 2, 3, number])
    assert (marked, silences) == (list(range(81)), {"holes": 1})


def test_feed_without_numbers_is_not_quiet_by_them(tmp_path: Path) -> None:
    assert found(tmp_path, [*opened(0), *thin(1)], [0, 0, 0, 0])[1] == {"holes": 1}


def test_rhythm_is_known_after_eight_silences(tmp_path: Path) -> None:
    """Seven of 30 s and one of 75 s, which counts as a minute: on average 33.75 s; twelve times that is 405 s."""
    times = [1 + 30.0 * i for i in range(8)] + [286.0]
    numbers = list(range(0, 50, 5))
    for until, silences in ((286.0 + 405.0, {"holes": 1, "quiet_by_rhythm": 1}), (286.0 + 405.1, {"holes": 2})):
        stream = [*opened(0), *map(on, [*times, until])]
        assert found(tmp_path, stream, numbers)[1] == silences


def test_leap_in_numbers_that_always_counted_is_a_hole_whatever_the_rhythm(tmp_path: Path) -> None:
    """One record every 75 s, and the 20th of them is missing: the rhythm would let 900 s be. Behind the leap the numbers must
    count twice again before they are believed."""
    whole = [*opened(0), *thin(30)]
    rows = to_array(whole)
    at = 13 + 3 + 19
    path = write_dbn(tmp_path / "day-20260206.dbn", np.delete(rows, at))
    replay = Replay(open_source([path], CONFIG, DAY), CONFIG)
    marked = np.flatnonzero(join(replay).fields["quality"] & 2).tolist()
    assert replay.runner.silences == {"holes": 1, "quiet_by_sequence": 26, "quiet_by_rhythm": 2}
    assert marked == list(range(19 * 75, 21 * 75 + 1))


def test_thin_day_without_numbers_is_quiet_by_its_rhythm(tmp_path: Path) -> None:
    """Its first eight silences, of 75 s each, are holes by the minute; from then on its own rhythm is known."""
    numbers = list(range(0, 7 * 43, 7))
    marked, silences = found(tmp_path, [*opened(0), *thin(40)], numbers)
    assert silences == {"holes": 8, "quiet_by_rhythm": 32}
    assert marked == list(range(8 * 75 + 1))


def test_late_record_in_a_silence_shows_the_feed_alive(tmp_path: Path) -> None:
    late = Record(**{**vars(on(0.2)), "ts_recv": OPEN + 50 * SECOND})
    assert found(tmp_path, [*opened(0), on(0.3), late, on(100)]) == ([], {"quiet_by_capture": 1})


def test_hole_before_the_declared_end_is_marked(tmp_path: Path) -> None:
    marked, silences = found(tmp_path, [*opened(0), on(0.5)], end_ns=OPEN + 90 * SECOND)
    assert (marked, silences) == (list(range(90)), {"holes": 1})


# Who says so


def test_manifest_and_check_say_how_silences_were_judged(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day-20260206.dbn", to_array([*opened(0), *thin(2), on(300)]), end_ns=None)
    config = load_instrument(overrides={"cell_width_ms": 1000})
    dataset = publish_replay(Lake(tmp_path / "lake"), "d", [path], config, dt=DAY)
    report = check_raw(path, config, keeps_book=False).report
    assert dataset.manifest["silences"] == report["silences"] == {"quiet_by_sequence": 3}
    assert (dataset.manifest["quality"], report["gaps"]) == ({}, [])
