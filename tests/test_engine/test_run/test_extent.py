"""Where a session's bins begin and end, known beforehand: by hand, and as the replay then has them."""

import os
from pathlib import Path

import numpy as np
import pytest

from engine.config import load_instrument
from engine.run import keyframes
from engine.run.extent import Extent, extent_of
from engine.run.replay import Replay
from engine.source.decoded import decode_once
from engine.source.records import open_source
from tests.reference import UNDEF_PRICE, Record
from tests.sessions import join
from tests.streams import DAY, DAY_START, OPEN, build_up, harmless, record, to_array, write_dbn

CONFIG = load_instrument()
BIN = 100_000_000  # ns
CLOSE = DAY_START + 22 * 3600 * 10**9  # 17:00 in New York, when the equity futures' day of trading ends


def played(path: Path, start: str | None = None) -> tuple[int | None, int]:
    """Start of the first bin, and how many there are."""
    replay = Replay(open_source([path], CONFIG, DAY), CONFIG, start)
    fields = join(replay).fields
    return (int(fields["bin_start_ns"][0]) if len(fields) else None), len(fields)


def extent(path: Path, start: str | None = None, folder: Path | None = None) -> Extent | None:
    return extent_of(open_source([path], CONFIG, DAY), CONFIG, start, folder)


def session(*times_ms: float) -> list[Record]:
    """The opening snapshot at 09:00, then a record at each time."""
    return [*build_up(), *(harmless(ms) for ms in times_ms)]


# Last record's time in ms, the declared end in bins behind 09:00 (None: none is declared), bins expected.
CASES: dict[str, tuple[float, float | None, int]] = {
    "to the last record where no end is declared": (250, None, 3),
    "a record on a bin's edge opens that bin": (300, None, 4),
    "a record just before the edge": (299.9, None, 3),
    "to the declared end, empty bins too": (250, 10, 10),
    "a broken last bin without an event is left out": (250, 10.5, 10),
    "a broken last bin with an event is not": (1_020, 10.5, 11),
    "an event behind the declared end": (1_150, 10, 12),
    "a declared end on a bin's edge with an event before it": (999.9, 10, 10),
}


@pytest.mark.parametrize("case", CASES)
def test_bins_are_counted_beforehand(case: str, tmp_path: Path) -> None:
    last_ms, end_bins, expected = CASES[case]
    end = None if end_bins is None else OPEN + round(end_bins * BIN)
    path = write_dbn(tmp_path / "day.dbn", to_array(session(50, last_ms)), end_ns=end)
    assert extent(path) == Extent(OPEN, OPEN + expected * BIN, expected, BIN)
    assert played(path) == (OPEN, expected)


def test_trading_that_ends_before_the_declared_end_ends_the_bins(tmp_path: Path) -> None:
    """The last record 250 ms before the close, the file reaches an hour further."""
    at = (CLOSE - OPEN) // 10**6 - 250
    path = write_dbn(tmp_path / "day.dbn", to_array(session(at)), end_ns=CLOSE + 3600 * 10**9)
    found = extent(path, "16:59:59")
    assert found == Extent(CLOSE - 10**9, CLOSE, 10, BIN)
    assert played(path, "16:59:59") == (CLOSE - 10**9, 10)


def test_a_last_record_outside_the_hours_is_the_end(tmp_path: Path) -> None:
    at = (CLOSE - OPEN) // 10**6 + 250
    path = write_dbn(tmp_path / "day.dbn", to_array(session(at)), end_ns=CLOSE + 3600 * 10**9)
    found = extent(path, "16:59:59")
    assert found is not None
    assert found.n_bins == 13
    assert played(path, "16:59:59") == (CLOSE - 10**9, 13)


@pytest.mark.parametrize(
    ("start", "first", "n_bins"),
    [("09:00:00", OPEN, 10), ("09:00:01", OPEN + 10**9, 0), ("08:59:59", OPEN - 10**9, 20), (None, OPEN, 10)],
)
def test_a_start_is_that_of_the_first_bin(start: str | None, first: int, n_bins: int, tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", to_array(session(950)), end_ns=OPEN + 10 * BIN)
    assert extent(path, start) == Extent(first, first + n_bins * BIN, n_bins, BIN)
    assert played(path, start) == (first if n_bins else None, n_bins)


def test_the_first_bin_opens_with_the_first_event_that_counts(tmp_path: Path) -> None:
    """What was captured the day before opens none, nor does an add without a price."""
    before = record("A", 1, time=-(14 * 3600 * 10**9) - 10)
    without = record("A", 2, price=UNDEF_PRICE, time=5_000_000)
    rows = to_array([before, without, harmless(30), harmless(250)])
    rows["ts_recv"][0] = DAY_START - 1
    path = write_dbn(tmp_path / "day.dbn", rows)
    first = OPEN + 30_000_000
    assert extent(path) == Extent(first, first + 3 * BIN, 3, BIN)
    assert played(path) == (first, 3)


def test_a_session_without_an_event_has_none(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", to_array([]))
    assert extent(path) is None
    found = extent(path, "09:00")
    assert found is not None
    assert found.n_bins is None


def test_a_tail_that_breaks_off_ends_with_its_last_record(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn", to_array(session(150, 250)), end_ns=OPEN + 10 * BIN)
    os.truncate(path, path.stat().st_size - 1)
    assert extent(path) == Extent(OPEN, OPEN + 2 * BIN, 2, BIN)
    assert played(path) == (OPEN, 2)


@pytest.mark.parametrize("what", ["snapshot", "behind the session"])
def test_an_end_that_only_a_replay_understands_is_not_counted(what: str, tmp_path: Path) -> None:
    rows = to_array(session(50, 250, 350))
    if what == "snapshot":
        rows["flags"][-1] |= 32
    else:
        rows["ts_recv"][-1] = rows["ts_event"][-1] = DAY_START + 86_400 * 10**9
    path = write_dbn(tmp_path / "day.dbn", rows, end_ns=OPEN + 10 * BIN + 1, n_days=2)
    found = extent(path)
    assert found == Extent(OPEN, OPEN + 11 * BIN, None, BIN)  # no further than this


def test_a_compressed_file_tells_once_it_is_decoded(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn.zst", to_array(session(250)), end_ns=OPEN + 10 * BIN)
    assert extent(path) == Extent(OPEN, OPEN + 10 * BIN, None, BIN)
    source = decode_once(open_source([path], CONFIG, DAY), tmp_path / "records", 2**62)
    assert extent_of(source, CONFIG) == Extent(OPEN, OPEN + 10 * BIN, 10, BIN)


def test_a_session_that_was_played_to_its_end_is_known(tmp_path: Path) -> None:
    path = write_dbn(tmp_path / "day.dbn.zst", to_array(session(250)), end_ns=OPEN + 10 * BIN)
    folder = tmp_path / "kept"
    for n_bins in (5, 10):  # of which none is the end: so many were wanted
        join(Replay(open_source([path], CONFIG, DAY), CONFIG, keyframes=folder, n_bins=n_bins))
        keyframes.wait()
        assert extent(path, None, folder) == Extent(OPEN, OPEN + 10 * BIN, None, BIN)
    join(Replay(open_source([path], CONFIG, DAY), CONFIG, keyframes=folder))
    keyframes.wait()
    assert extent(path, None, folder) == Extent(OPEN, OPEN + 10 * BIN, 10, BIN)
    (kept,) = folder.glob("*/end.bins")
    kept.write_bytes(kept.read_bytes()[:-1])
    found = extent(path, None, folder)
    assert found is not None
    assert found.n_bins is None


def test_a_time_names_its_bin() -> None:
    one = Extent(1_000, 1_000 + 5 * BIN, 5, BIN)
    times = (999, 1_000, 999 + BIN, 1_000 + BIN, 999 + 5 * BIN)
    assert [one.bin_at(ts) for ts in times] == [-1, 0, 0, 1, 4]


def test_bins_go_on_through_closed_hours(tmp_path: Path) -> None:
    """A record before the maintenance hour and one behind it: 20 s from a second before the close are 36,200 bins further."""
    before, after = (CLOSE - OPEN) // 10**6 - 50, (CLOSE - OPEN) // 10**6 + 3_600_000 + 19_000
    path = write_dbn(tmp_path / "day.dbn", to_array(session(before, after)))
    found = extent(path, "16:59:59")
    assert found is not None
    replay = Replay(open_source([path], CONFIG, DAY), CONFIG, "16:59:59")
    starts = np.concatenate([block.bins["bin_start_ns"] for block in replay])
    assert found.n_bins == len(starts) == 10 + 36_000 + 191
    assert starts.tolist() == [found.start_ns + i * BIN for i in range(len(starts))]
    assert [found.bin_at(int(starts[i])) for i in (0, 9, 10, 36_200)] == [0, 9, 10, 36_200]


def test_a_replay_goes_on_undisturbed_while_its_source_is_asked(tmp_path: Path) -> None:
    """Asked behind each bin, and states kept with places in the source: both are as if nobody had asked."""
    path = write_dbn(tmp_path / "day.dbn", to_array(session(*range(50, 4_000, 10))), end_ns=OPEN + 40 * BIN)
    found = []
    for asks in (False, True):
        source = open_source([path], CONFIG, DAY)
        replay = Replay(source, CONFIG, block_bins=1, chunk_records=16)
        places = []
        for _ in replay:
            if asks:
                assert extent_of(source, CONFIG) == Extent(OPEN, OPEN + 40 * BIN, 40, BIN)
            places.append(source.place)
        found.append((places, replay.notices))
    assert found[0] == found[1]
    assert len(set(found[0][0])) > 20
