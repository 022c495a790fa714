"""The id behind the contract changes: what rested under the old one leaves the book, and that is told."""

import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import databento_dbn as dbn
import numpy as np
import pytest

from engine.audit.raw_file import check_raw
from engine.commands.book import book_at
from engine.config import load_instrument
from engine.errors import SourceError
from engine.run.replay import Replay
from engine.source.records import open_source
from tests.reference import F_MAYBE_BAD_BOOK, F_SNAPSHOT, Record
from tests.streams import DAY, SYMBOL, build_up, harmless, record, to_array, write_dbn

CONFIG = load_instrument()
NEXT = DAY + dt.timedelta(days=1)
DAY_NS = 86_400 * 10**9
OLD, NEW = 100, 200


def rows_of(records: list[Record], instrument_id: int, days: int = 0) -> np.ndarray:
    rows = to_array(records)
    rows["instrument_id"] = instrument_id
    rows["ts_event"] += days * DAY_NS
    rows["ts_recv"] += days * DAY_NS
    return rows


def two_intervals(path: Path, rows: np.ndarray, other: tuple[dt.date, dt.date] = (NEXT, NEXT + dt.timedelta(days=1))) -> Path:
    """One file in which the contract is OLD on DAY, and NEW in ``other``."""
    spans = [(DAY, NEXT, OLD), (*other, NEW)]
    intervals = [SimpleNamespace(start_date=a, end_date=b, symbol=str(n)) for a, b, n in spans]
    head = dbn.Metadata(
        dataset="GLBX.MDP3",
        start=int(dt.datetime.combine(DAY, dt.time(), dt.UTC).timestamp()) * 10**9,
        end=None,
        stype_in=dbn.SType.RAW_SYMBOL,
        stype_out=dbn.SType.INSTRUMENT_ID,
        schema=dbn.Schema.MBO,
        symbols=[SYMBOL],
        mappings=[SimpleNamespace(raw_symbol=SYMBOL, intervals=intervals)],
    )
    path.write_bytes(head.encode() + rows.tobytes())
    return path


LATER = [record("A", 1, side="B", tick=-9, size=2), record("A", 2, side="A", tick=9, size=3, time=5)]


@pytest.fixture
def one_file(tmp_path: Path) -> Path:
    """OLD's book on the first day; on the second NEW's, without a snapshot."""
    return two_intervals(tmp_path / "mnq-20260207.dbn", np.concatenate([rows_of(build_up(), OLD), rows_of(LATER, NEW, 1)]))


def test_no_order_of_the_old_id_is_in_the_new_ones_book(one_file: Path) -> None:
    book = book_at([one_file], None, 10)
    assert (book["bid_orders"], book["ask_orders"], book["best_bid_size"], book["best_ask_size"]) == (1, 1, 2, 3)


def test_same_holds_from_one_file_to_the_next(tmp_path: Path) -> None:
    files = [
        write_dbn(tmp_path / "a-20260206.dbn", rows_of(build_up(), OLD), {SYMBOL: OLD}, DAY),
        write_dbn(tmp_path / "b-20260207.dbn", rows_of(LATER, NEW, 1), {SYMBOL: NEW}, NEXT),
    ]
    assert book_at(files, None, 10)["bid_orders"] == 1


def test_order_id_used_under_both_ids_is_no_duplicate(tmp_path: Path) -> None:
    rows = np.concatenate([rows_of([*build_up(), LATER[0]], OLD), rows_of(LATER, NEW, 1)])
    assert book_at([two_intervals(tmp_path / "mnq-20260207.dbn", rows)], None, 10)["anomalies"] == {}


def test_change_is_counted_and_told_with_ids_and_place(one_file: Path) -> None:
    source = open_source([one_file], CONFIG, NEXT)
    for _ in range(2):  # however often it is read
        records = np.concatenate(list(source.records()))
        assert source.id_changes.count == 1
    (notice,) = source.notices
    assert f"from {OLD} to {NEW}" in notice
    assert str(int(records["ts_recv"][-2])) in notice
    assert source.damage == []


def test_clear_of_ours_is_marked_and_stands_between_the_two(one_file: Path) -> None:
    records = np.concatenate(list(open_source([one_file], CONFIG, NEXT).records(4)))
    at = int(np.flatnonzero(records["action"] == ord("R"))[-1])
    assert records["instrument_id"].tolist() == [OLD] * at + [NEW] * 3
    assert records["flags"][at] & F_MAYBE_BAD_BOOK
    assert records["ts_event"][at] == records["ts_event"][at + 1]


def test_clear_of_ours_before_a_snapshot_has_the_snapshots_time_and_not_its_orders(tmp_path: Path) -> None:
    """A snapshot that begins without a clear: its orders' own times are of the day before."""
    later = rows_of(LATER, NEW, 1)
    later["flags"] |= F_SNAPSHOT
    later["ts_event"] -= DAY_NS // 2
    path = two_intervals(tmp_path / "mnq-20260207.dbn", np.concatenate([rows_of(build_up(), OLD), later]))
    records = np.concatenate(list(open_source([path], CONFIG, NEXT).records(4)))
    clear = records[np.flatnonzero(records["action"] == ord("R"))[-1]]
    assert clear["flags"] & F_MAYBE_BAD_BOOK
    assert (clear["ts_event"], clear["ts_recv"]) == (later["ts_recv"][0], later["ts_recv"][0])
    assert (clear["price"], clear["order_id"], clear["size"], chr(clear["side"])) == (2**63 - 1, 0, 0, "N")


def test_snapshot_of_the_new_id_needs_no_clear_of_ours(tmp_path: Path) -> None:
    rows = np.concatenate([rows_of(build_up(), OLD), rows_of(build_up(), NEW, 1)])
    source = open_source([two_intervals(tmp_path / "mnq-20260207.dbn", rows)], CONFIG, NEXT)
    assert np.concatenate(list(source.records())).tobytes() == rows.tobytes()
    assert source.id_changes.count == 1


def test_old_ids_snapshot_does_not_reach_into_the_new_ids_session(tmp_path: Path) -> None:
    """A session's window drops what flowed the day before, but keeps its snapshots: they must go by the change of id."""
    rows = np.concatenate([rows_of(build_up(), OLD), rows_of(LATER, NEW, 1)])
    replay = Replay(open_source([two_intervals(tmp_path / "mnq-20260207.dbn", rows)], CONFIG, NEXT), CONFIG)
    bins = np.concatenate([block.bins for block in replay])
    assert (bins["best_bid_size"][-1], bins["best_ask_size"][-1]) == (2, 3)


def test_same_id_from_day_to_day_is_no_change(tmp_path: Path) -> None:
    files = [
        write_dbn(tmp_path / "a-20260206.dbn", rows_of(build_up(), OLD), {SYMBOL: OLD}, DAY),
        write_dbn(tmp_path / "b-20260207.dbn", rows_of(LATER, OLD, 1), {SYMBOL: OLD}, NEXT),
    ]
    source = open_source(files, CONFIG)
    assert sum(len(block) for block in source.records()) == len(build_up()) + 2
    assert source.id_changes.count == 0


def test_files_of_unmapped_instruments_do_not_mix(tmp_path: Path) -> None:
    files = [
        write_dbn(tmp_path / "a-20260206.dbn", rows_of(build_up(), OLD), {}, DAY),
        write_dbn(tmp_path / "b-20260207.dbn", rows_of(LATER, NEW, 1), {}, NEXT),
    ]
    assert book_at(files, None, 10, assumes_symbol=True)["bid_orders"] == 1


COLD, ROLL, DOUBTFUL = 1, 128, 32


def bins_over_two_files(folder: Path, later: list[Record]) -> list[int]:
    """Quality of the bins of one day over two unmapped files, OLD's first."""
    files = [
        write_dbn(folder / "a-20260206.dbn", rows_of([*build_up(), harmless(50)], OLD), {}, DAY),
        write_dbn(folder / "b-20260206.dbn", rows_of(later, NEW), {}, DAY),
    ]
    source = open_source(files, CONFIG, DAY, assumes_symbol=True)
    return np.concatenate([block.bins["quality"] for block in Replay(source, CONFIG)]).tolist()


def moved(records: list[Record], ns: int) -> list[Record]:
    return [Record(**{**vars(r), "ts_event": r.ts_event + ns, "ts_recv": r.ts_recv + ns}) for r in records]


def test_first_bin_of_the_new_id_is_a_roll_and_all_are_cold_without_a_snapshot(tmp_path: Path) -> None:
    later = [*moved(LATER, 150_000_000), harmless(250)]
    assert bins_over_two_files(tmp_path, later) == [0, ROLL | DOUBTFUL | COLD, COLD]


def test_first_bin_of_the_new_id_is_a_roll_and_sound_otherwise_with_a_snapshot(tmp_path: Path) -> None:
    later = [*moved(build_up(), 150_000_000), harmless(250)]
    assert bins_over_two_files(tmp_path, later) == [0, ROLL, 0]


def test_check_tells_the_change_and_calls_the_file_sound(one_file: Path) -> None:
    report = check_raw(one_file, CONFIG, keeps_book=False).report
    assert (report["id_changes"], report["problem"]) == (1, "")


def test_two_ids_on_one_day_are_refused(tmp_path: Path) -> None:
    path = two_intervals(tmp_path / "mnq-20260207.dbn", rows_of(build_up(), OLD), (DAY, NEXT))
    with pytest.raises(SourceError, match=f"ids {OLD} and {NEW} on the same day"):
        open_source([path], CONFIG, DAY)
