"""Replay: where bins begin by the New York clock, what is refused, what is counted on the way."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from engine.config import InstrumentConfig
from engine.errors import ConfigError
from engine.run.replay import Replay, first_bin_ns
from engine.source.records import Source, open_source
from tests.reference import F_LAST, F_MAYBE_BAD_BOOK, Record
from tests.sessions import replay_file, small_config
from tests.streams import DAY, OPEN, build_up, harmless, record, to_array, write_dbn

CONFIG = small_config()
HOUR = 3600 * 10**9
MS = 1_000_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A snapshot at 09:00 and an add every 30 ms for three seconds."""
    adds = [record("A", 100 + i, tick=-5, time=i * 30 * MS) for i in range(100)]
    return write_dbn(tmp_path / "day.dbn", to_array([*build_up(), *adds]))


def source_of(day: dt.date) -> Source:
    return Source([], day)


@pytest.mark.parametrize(
    ("day", "clock", "expected"),
    [
        (dt.date(2026, 2, 6), "09:25", "2026-02-06T14:25:00"),
        (dt.date(2026, 2, 6), "09:25:07", "2026-02-06T14:25:07"),
        (dt.date(2026, 7, 1), "09:25", "2026-07-01T13:25:00"),
        (dt.date(2026, 3, 6), "09:25", "2026-03-06T14:25:00"),
        (dt.date(2026, 3, 9), "09:25", "2026-03-09T13:25:00"),
        (dt.date(2023, 12, 25), "18:00", "2023-12-25T23:00:00"),
        (dt.date(2023, 12, 25), "20:00", "2023-12-25T01:00:00"),
    ],
    ids=["winter", "with seconds", "summer", "before the change", "after the change", "evening", "evening of the day before"],
)
def test_start_time_is_new_york_time_within_the_utc_day(day: dt.date, clock: str, expected: str) -> None:
    ns = first_bin_ns(source_of(day), clock)
    assert ns == int(dt.datetime.fromisoformat(expected).replace(tzinfo=dt.UTC).timestamp()) * 10**9


@pytest.mark.parametrize("text", ["9:25", "0925", "25:00", "09:61", "nine", "", "09:25:00.5", "09:25Z", "09:25+01"])
def test_bad_start_time_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        first_bin_ns(source_of(DAY), text)
    assert repr(text) in str(error.value)
    assert "HH:MM" in str(error.value)


@pytest.mark.parametrize("n_bins", [0, -1])
def test_bad_number_of_bins_is_refused(n_bins: int, file: Path) -> None:
    with pytest.raises(ConfigError, match=f"was {n_bins}"):
        Replay(open_source([file], CONFIG, DAY), CONFIG, n_bins=n_bins)


def test_bins_begin_at_the_start_time(file: Path) -> None:
    assert replay_file(file, CONFIG, start_time="09:00:01").fields["bin_start_ns"][0] == OPEN + 10**9


def test_replay_stops_after_the_wanted_bins(file: Path) -> None:
    assert len(replay_file(file, CONFIG, n_bins=7).fields) == 7


def test_fewer_bins_come_when_the_data_end(file: Path) -> None:
    assert len(replay_file(file, CONFIG, n_bins=700).fields) == 30


def test_empty_bins_follow_up_to_the_files_declared_end(file: Path, tmp_path: Path) -> None:
    rows = to_array([*build_up(), record("A", 7, tick=-5, time=20 * MS)])
    path = write_dbn(tmp_path / "declared.dbn", rows, end_ns=OPEN + 450 * MS)
    assert replay_file(path, CONFIG).fields["bin_event_count"].tolist() == [14, 0, 0, 0]


def test_model_name_stands_on_every_block(file: Path) -> None:
    assert {block.model_name for block in Replay(open_source([file], CONFIG, DAY), CONFIG)} == {"perm_derivative"}


def test_model_may_be_switched_off(file: Path) -> None:
    config = small_config(perm_runtime_enabled=False)
    assert {block.model_name for block in Replay(open_source([file], config, DAY), config)} == {""}


def test_anomalies_are_counted_on_the_way(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", to_array([*build_up(), record("C", 77), record("C", 78)]))
    replay = Replay(open_source([path], CONFIG, DAY), CONFIG)
    list(replay)
    assert replay.anomalies == {"unknown_cancel": 2}


def test_quality_is_counted_on_the_way(tmp_path: Path) -> None:
    doubtful = [record("A", 90 + i, tick=-5, time=i * 100 * MS, flags=F_LAST | F_MAYBE_BAD_BOOK) for i in (1, 2)]
    path = write_dbn(tmp_path / "day.dbn", to_array([*build_up(), *doubtful]))
    replay = Replay(open_source([path], CONFIG, DAY), CONFIG)
    list(replay)
    assert replay.quality_counts == {"doubtful_book": 2}


def test_broken_file_gives_bins_up_to_the_break(file: Path) -> None:
    whole = replay_file(file, CONFIG)
    file.write_bytes(file.read_bytes()[:-20])
    broken = replay_file(file, CONFIG)
    n = len(whole.fields) - 1
    assert broken.fields[:n].tobytes() == whole.fields[:n].tobytes()


def gap_bins(path: Path) -> list[int]:
    return np.flatnonzero(replay_file(path, CONFIG).fields["quality"] & 2).tolist()


def test_hole_in_the_feed_marks_its_bins(tmp_path: Path) -> None:
    """Two minutes of silence in open hours: the bins within it and the one that ends it."""
    rows = to_array([*build_up(), record("A", 7, tick=-5, time=50 * MS), record("A", 8, tick=-5, time=120 * 10**9 + 50 * MS)])
    marked = gap_bins(write_dbn(tmp_path / "day.dbn", rows))
    assert marked[-1] == 1200
    assert len(marked) > 1000


def test_short_silence_is_no_hole(tmp_path: Path) -> None:
    rows = to_array([*build_up(), record("A", 7, tick=-5, time=50 * MS), record("A", 8, tick=-5, time=20 * 10**9)])
    assert gap_bins(write_dbn(tmp_path / "day.dbn", rows)) == []


# Where the trading session ends and begins again; 09:00 in New York is OPEN, Friday's close 8 hours later

S = 10**9
CLOSE = 8 * 3600 * S  # from OPEN
GAP, CLOSED = 2, 64


def at(ns: int, *records: Record) -> list[Record]:
    """The same records, so much later."""
    return [Record(**{**vars(r), "ts_event": r.ts_event + ns, "ts_recv": r.ts_recv + ns}) for r in records]


def marked(path: Path, bit: int, config: InstrumentConfig = CONFIG, day: dt.date = DAY) -> tuple[int, list[int]]:
    """How many bins there are, and which of them bear a quality bit."""
    quality = replay_file(path, config, day).fields["quality"]
    return len(quality), np.flatnonzero(quality & bit).tolist()


@pytest.mark.parametrize(
    ("before", "behind", "n_bins"),
    [
        (950 * MS, 100 * S, 1011),
        (50 * MS, 100 * S, 1002),
        (950 * MS, 60 * S - 950 * MS + 1, 601),
    ],
    ids=["long", "in the last bin", "1 ns more than a minute"],
)
def test_silence_over_the_close_is_none_of_the_last_second_before_it(
    before: int, behind: int, n_bins: int, tmp_path: Path
) -> None:
    """The first bin starts on the 100 ms before the last record, the exchange closes, and one record comes behind that."""
    start = CLOSE - before - 50 * MS
    rows = to_array([*at(start, *build_up()), *at(CLOSE - before, harmless(0)), *at(CLOSE + behind, harmless(1))])
    rows["ts_event"][-1] -= MS
    path = write_dbn(tmp_path / "day.dbn", rows)
    assert marked(path, GAP) == (n_bins, [])
    assert marked(path, CLOSED)[1] == list(range((before + 50 * MS) // (100 * MS), n_bins))


THURSDAY = DAY - dt.timedelta(days=1)


@pytest.mark.parametrize(
    ("behind", "gaps"),
    [(30 * S, []), (60 * S, []), (60 * S + 1, range(3601, 3662)), (61 * S, range(3601, 3663))],
    ids=["half a minute", "a minute", "1 ns more", "61 s"],
)
def test_market_that_opens_again_has_a_minute_for_its_first_record(behind: int, gaps: range, tmp_path: Path) -> None:
    """Closed from 22:00 to 23:00 UTC, 1 s bins from 21:59:59 on; the close is no hole, what follows the opening may be."""
    stream = at(CLOSE - S - 24 * HOUR, *build_up(), harmless(500))
    stream += at(CLOSE + HOUR - 24 * HOUR + behind, harmless(0))
    path = write_dbn(tmp_path / "day.dbn", to_array(stream), day=THURSDAY)
    config = small_config(cell_width_ms=1000)
    n_bins, found = marked(path, GAP, config, THURSDAY)
    assert n_bins == 3601 + behind // S + 1
    assert found == [*gaps]
    assert marked(path, CLOSED, config, THURSDAY)[1] == list(range(1, 3601))


@pytest.mark.parametrize(
    ("end", "n_bins"),
    [(499_999_999, 4), (500_000_000, 5), (500_000_001, 5), (99_999_999, 1)],
    ids=["1 ns before the half second", "on it", "1 ns behind it", "within the first bin"],
)
def test_declared_end_closes_the_bins_that_end_by_then(end: int, n_bins: int, tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", to_array(build_up()), end_ns=OPEN + end)
    assert len(replay_file(path, CONFIG).fields) == n_bins


@pytest.mark.parametrize(
    ("last", "end", "root", "n_bins"),
    [
        (0, CLOSE + 3 * S, "MNQ", 10),
        (0, CLOSE - 500 * MS, "MNQ", 5),
        (S - 1, CLOSE + 3 * S, "MNQ", 10),
        (S, CLOSE + 3 * S, "MNQ", 11),
        (0, CLOSE + 3 * S, "XYZ", 40),
    ],
    ids=["the close comes first", "the end comes first", "last record 1 ns before the close", "on it", "hours not known"],
)
def test_declared_end_counts_up_to_the_close(last: int, end: int, root: str, n_bins: int, tmp_path: Path) -> None:
    """A market that has closed needs no empty bins; where the last record lies outside all hours, nothing vouches for more."""
    stream = [*at(CLOSE - S, *build_up()), *at(CLOSE - S + last, harmless(0))]
    path = write_dbn(tmp_path / "day.dbn", to_array(stream), end_ns=OPEN + end)
    assert len(replay_file(path, small_config(symbol_root=root)).fields) == n_bins


@pytest.mark.parametrize(("end", "gaps"), [(60 * S, 0), (60 * S + 1, 600), (60 * S + 100 * MS, 601)])
def test_declared_end_that_far_behind_the_last_record_ends_a_hole(end: int, gaps: int, tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", to_array(build_up()), end_ns=OPEN + end)
    assert len(marked(path, GAP)[1]) == gaps
