"""The one loop: where bins begin and end, what each one says, times and quality, by hand."""

import math
from typing import Any

import numpy as np
import pytest

from engine.config import InstrumentConfig
from engine.schema import GRID_COLUMNS
from tests.reference import (
    BAD_TIME,
    COLD,
    CROSSED,
    DOUBTFUL,
    F_BAD_TS_RECV,
    F_LAST,
    F_MAYBE_BAD_BOOK,
    F_SNAPSHOT,
    ONE_SIDED,
    UNDEF_PRICE,
    Record,
)
from tests.sessions import DAY_NS, Bins, join, make_runner, run_engine, small_config
from tests.streams import DAY_START, MID_TICK, OPEN, TICK, build_up, harmless, record, to_array

CONFIG = small_config()
MS = 1_000_000
BIN = 100 * MS
SNAPSHOT = build_up()  # 13 records at 09:00, best 21,599.75 and 21,600.25


def column(bins: Bins, name: str) -> list[Any]:
    values: list[Any] = bins.fields[name].tolist()
    return values


def bins_of(*stream: Record, start_ns: int | None = None, config: InstrumentConfig = CONFIG) -> Bins:
    """Bins of a snapshot at 09:00 and what follows it."""
    return run_engine(config, [*SNAPSHOT, *stream], start_ns)


# Where bins begin and end


def test_first_bin_starts_at_the_first_event_without_a_start_time() -> None:
    assert column(bins_of(harmless(30)), "bin_start_ns") == [OPEN]


def test_first_bin_starts_at_the_start_time() -> None:
    assert column(bins_of(harmless(130), harmless(260), start_ns=OPEN + 2 * BIN), "bin_start_ns") == [OPEN + 2 * BIN]


def test_an_event_at_the_end_of_a_bin_belongs_to_the_next() -> None:
    assert column(bins_of(harmless(99.9), harmless(100), harmless(150)), "bin_event_count") == [14, 2]


def test_bins_follow_without_a_gap_empty_ones_included() -> None:
    bins = bins_of(harmless(10), harmless(520))
    assert column(bins, "bin_event_count") == [14, 0, 0, 0, 0, 1]
    assert column(bins, "bin_start_ns") == [OPEN + i * BIN for i in range(6)]


def test_bin_times_and_numbers_are_consistent() -> None:
    bins = bins_of(harmless(10), harmless(520))
    assert column(bins, "bin_end_ns") == [start + BIN for start in column(bins, "bin_start_ns")]
    assert column(bins, "ts_ns") == column(bins, "bin_end_ns")
    assert column(bins, "bin_seq") == list(range(6))


def test_no_bin_follows_the_last_event_when_the_data_say_no_end() -> None:
    assert len(bins_of(harmless(10), harmless(110)).fields) == 2


def test_whole_bins_follow_up_to_the_end_that_the_data_declare() -> None:
    runner = make_runner(CONFIG)
    bins = join([*runner.feed(to_array([*SNAPSHOT, harmless(10)]), 64), *runner.finish(OPEN + 4 * BIN + 7, 64)])
    assert column(bins, "bin_event_count") == [14, 0, 0, 0]


def test_run_ends_with_the_last_wanted_bin() -> None:
    runner = make_runner(CONFIG, n_bins=2)
    bins = join([*runner.feed(to_array([*SNAPSHOT, harmless(10), harmless(900)]), 64), *runner.finish(None, 64)])
    assert len(bins.fields) == 2
    assert runner.is_finished


def test_no_bin_when_nothing_reaches_the_start_time() -> None:
    assert len(bins_of(harmless(10), start_ns=OPEN + DAY_NS // 4).fields) == 0


def test_events_before_the_warm_up_build_the_book_only() -> None:
    start = OPEN + 40 * 60 * 10**9  # the warm-up begins 10 minutes after the snapshot
    bins = bins_of(record("A", 7, tick=-1, size=9, time=MS), harmless(40 * 60_000), start_ns=start)
    assert bins.grid["bid_depth"][0].max() == 14.0
    assert not bins.grid["add_mass"][0].any()


def test_events_in_the_warm_up_run_the_field() -> None:
    start = OPEN + 2 * 60 * 10**9
    bins = bins_of(record("A", 7, tick=-1, size=9, time=MS), harmless(120_000), start_ns=start)
    assert bins.grid["add_mass"][0].max() == pytest.approx(9 * math.exp(-120.1 / 30), rel=1e-3)


# What a bin says


def test_events_are_counted_from_the_start_of_the_data() -> None:
    assert column(bins_of(harmless(30), harmless(150), harmless(160)), "event_id") == [14, 16]


def test_every_event_stands_in_exactly_one_bin() -> None:
    """G1."""
    bins = bins_of(*(harmless(i * 3.7) for i in range(400)))
    assert sum(column(bins, "bin_event_count")) == 413
    assert column(bins, "event_id") == np.cumsum(column(bins, "bin_event_count")).tolist()


def test_mid_and_spot_round_a_half_tick_up() -> None:
    bins = bins_of(record("C", 1000, tick=-1, size=5, time=MS))  # bid falls to -2: mid is -0.5 ticks
    assert column(bins, "mid_price") == [(MID_TICK - 0.5) / 4]
    assert column(bins, "spot_ref_price_int") == [MID_TICK * TICK]


def test_best_sizes_are_those_of_the_best_levels() -> None:
    bins = bins_of(record("A", 7, tick=-1, size=9, time=MS))
    assert (column(bins, "best_bid_size"), column(bins, "best_ask_size")) == ([14], [5])


def test_trades_are_told_apart_by_the_aggressors_side() -> None:
    trades = [record("T", 0, side=side, tick=1, size=size, time=MS) for side, size in (("B", 3), ("B", 4), ("A", 10), ("N", 50))]
    bins = bins_of(*trades)
    assert (column(bins, "trade_count"), column(bins, "buy_volume"), column(bins, "sell_volume")) == ([4], [7], [10])


def test_trades_are_counted_anew_in_each_bin() -> None:
    assert column(bins_of(record("T", 0, tick=1, time=MS), harmless(150)), "trade_count") == [1, 0]


def test_last_trade_price_is_carried_forward() -> None:
    bins = bins_of(harmless(10), record("T", 0, tick=1, time=150 * MS), harmless(250))
    assert column(bins, "last_trade_price_int") == [UNDEF_PRICE, (MID_TICK + 1) * TICK, (MID_TICK + 1) * TICK]


def test_quote_extremes_cover_the_bins_event_ends() -> None:
    up_and_down = [record("A", 7, tick=0, time=MS), record("C", 7, time=2 * MS), record("C", 1000, size=5, time=3 * MS)]
    bins = bins_of(*up_and_down)
    ticks = [column(bins, name)[0] // TICK - MID_TICK for name in ("bid_low_int", "bid_high_int", "ask_low_int", "ask_high_int")]
    assert ticks == [-2, 0, 1, 1]


def test_quote_extremes_take_the_state_at_the_bins_start() -> None:
    bins = bins_of(harmless(10), record("C", 1000, size=5, time=150 * MS))
    assert column(bins, "bid_high_int")[1] == (MID_TICK - 1) * TICK


def test_quote_extremes_leave_crossed_moments_out() -> None:
    bins = bins_of(record("A", 7, tick=3, time=MS), record("C", 7, time=2 * MS))
    assert column(bins, "bid_high_int") == [(MID_TICK - 1) * TICK]


def test_quote_extremes_leave_the_middle_of_an_event_out() -> None:
    bins = bins_of(record("A", 7, tick=0, time=MS, flags=0), record("C", 7, time=2 * MS))
    assert column(bins, "bid_high_int") == [(MID_TICK - 1) * TICK]


def test_quote_extremes_are_missing_without_a_sound_event_end() -> None:
    bins = run_engine(CONFIG, [record("A", 1, tick=-1)])
    assert [column(bins, name) for name in ("bid_low_int", "ask_high_int")] == [[UNDEF_PRICE], [UNDEF_PRICE]]


def test_moves_compare_the_ends_of_consecutive_bins() -> None:
    bins = bins_of(harmless(10), record("C", 1000, size=5, time=150 * MS), harmless(250))
    assert column(bins, "best_bid_move_ticks") == [0, -1, 0]


def test_a_side_that_was_missing_has_not_moved() -> None:
    gone = [record("C", 1000 + 2 * i, size=5, time=10 * MS) for i in range(6)]
    bins = bins_of(*gone, record("A", 7, tick=-4, time=150 * MS))
    assert column(bins, "best_bid_move_ticks") == [0, 0]


def test_rows_are_read_around_spot() -> None:
    bins = bins_of(harmless(10))
    assert bins.grid["bid_depth"][0].tolist() == [5.0] * 5 + [0.0] * 6
    assert bins.grid["ask_depth"][0].tolist() == [0.0] * 6 + [5.0] * 5


def test_rows_follow_spot() -> None:
    up = [record("C", 1001, side="A", size=5, time=110 * MS), record("A", 7, tick=1, size=2, time=120 * MS)]
    bins = bins_of(harmless(10), *up)  # best 1 and 2: spot is 1.5 ticks, rounded up
    assert bins.grid["bid_depth"][1].tolist() == [5.0, 5.0, 5.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_rows_are_zero_and_labels_neutral_without_a_spot() -> None:
    gone = [record("C", 1000 + 2 * i, size=5, time=110 * MS) for i in range(6)]
    bins = bins_of(harmless(10), *gone, record("C", 5100, size=1, time=120 * MS))
    last = {name: bins.grid[name][1] for name in GRID_COLUMNS if name != "k"}
    assert set(last.pop("perm_microstate_id").tolist()) == {4}
    assert not any(values.any() for values in last.values())


def test_validity_follows_clears() -> None:
    bins = bins_of(harmless(10), record("R", 0, side="N", price=UNDEF_PRICE, time=150 * MS), harmless(250))
    assert column(bins, "book_valid") == [True, False, True]


# Quality


@pytest.mark.parametrize(
    ("stream", "quality"),
    [
        ([harmless(10)], 0),
        ([record("A", 7, tick=3, time=MS)], CROSSED),
        ([record("A", 7, tick=3, time=MS, flags=0), record("C", 7, time=2 * MS)], 0),
        ([harmless(10, flags=F_LAST | F_BAD_TS_RECV)], BAD_TIME),
        ([harmless(10, flags=F_LAST | F_MAYBE_BAD_BOOK)], DOUBTFUL),
        ([record("C", 1000 + 2 * i, size=5, time=MS) for i in range(6)], ONE_SIDED),
    ],
    ids=["sound", "crossed", "crossed within an event", "bad time", "doubtful", "one-sided"],
)
def test_quality_of_a_bin_with(stream: list[Record], quality: int) -> None:
    assert column(bins_of(*stream), "quality") == [quality]


def test_quality_is_cold_until_a_snapshot_or_clear() -> None:
    stream = [record("A", 1, tick=-1), record("A", 2, side="A", tick=1), record("R", 0, side="N", time=150 * MS)]
    assert [q & COLD for q in column(run_engine(CONFIG, stream), "quality")] == [COLD, 0]


def test_quality_of_a_bin_with_a_late_record_is_bad_time() -> None:
    assert column(bins_of(harmless(10), harmless(150), harmless(20)), "quality") == [0, BAD_TIME]


def test_late_record_goes_into_the_open_bin() -> None:
    assert column(bins_of(harmless(10), harmless(150), harmless(20)), "bin_event_count") == [14, 2]


def test_snapshot_records_are_neither_late_nor_of_bad_time() -> None:
    middle = [Record(**{**vars(r), "flags": r.flags | F_BAD_TS_RECV}) for r in SNAPSHOT]
    assert column(bins_of(harmless(10), harmless(150), *middle), "quality") == [0, 0]


def test_quality_marks_only_its_own_bin() -> None:
    crossed = [record("A", 7, tick=3, time=110 * MS), record("C", 7, time=120 * MS)]
    assert column(bins_of(harmless(10), *crossed, harmless(250)), "quality") == [0, CROSSED, 0]


# Times and the window


def test_snapshot_bears_the_time_of_its_clear() -> None:
    old = [Record(**{**vars(r), "ts_event": DAY_START - i * 10**12}) if r.action == "A" else r for i, r in enumerate(SNAPSHOT)]
    assert column(run_engine(CONFIG, [*old, harmless(50)]), "bin_start_ns") == [OPEN]


def test_snapshot_without_a_clear_bears_its_capture_time() -> None:
    loose = [Record(**{**vars(r), "ts_event": DAY_START - 10**15}) for r in SNAPSHOT[1:]]
    assert column(run_engine(CONFIG, [*loose, harmless(50)]), "bin_start_ns") == [SNAPSHOT[1].ts_recv]


def test_old_clear_does_not_start_the_day() -> None:
    old = [Record(**{**vars(r), "ts_event": DAY_START - 3 * DAY_NS}) for r in SNAPSHOT]
    bins = run_engine(CONFIG, [*old, harmless(50)])
    assert (column(bins, "bin_start_ns"), column(bins, "event_id")) == ([OPEN + 50 * MS], [14])


@pytest.mark.parametrize("action", ["R", "A"])
def test_undefined_time_of_a_snapshot_does_not_run_the_clock(action: str) -> None:
    wild = [Record(**{**vars(r), "ts_event": 2**64 - 1, "ts_recv": 2**64 - 1}) if r.action == action else r for r in SNAPSHOT]
    assert len(run_engine(CONFIG, [harmless(0), *wild, harmless(50)]).fields) == 1


@pytest.mark.parametrize("time", [DAY_START + DAY_NS, 2**64 - 1])
def test_record_outside_the_day_is_dropped_and_counted(time: int) -> None:
    runner = make_runner(CONFIG)
    outside = Record(**{**vars(harmless(20)), "ts_event": time})
    list(runner.feed(to_array([*SNAPSHOT, outside]), 8))
    assert (runner.n_events, runner.anomalies) == (13, {"outside_window": 1})


@pytest.mark.parametrize("time", [DAY_START, DAY_START + DAY_NS - 1])
def test_record_at_either_end_of_the_day_is_taken(time: int) -> None:
    runner = make_runner(CONFIG)
    list(runner.feed(to_array([Record(**{**vars(harmless(20)), "ts_event": time})]), 8))
    assert (runner.n_events, runner.anomalies) == (1, {})


@pytest.mark.parametrize("time", [DAY_START + DAY_NS, DAY_START + DAY_NS + 1])
@pytest.mark.parametrize("flags", [F_LAST, F_LAST | F_SNAPSHOT])
def test_clear_dated_beyond_the_day_bears_the_latest_time_and_one_captured_there_is_the_next_days(time: int, flags: int) -> None:
    clear = vars(record("R", 0, side="N", size=0, flags=flags, time=160 * MS))
    assert column(bins_of(harmless(150), Record(**{**clear, "ts_event": time})), "bin_event_count") == [13, 2]
    beyond = bins_of(harmless(150), Record(**{**clear, "ts_event": time, "ts_recv": time}))
    assert (column(beyond, "bin_event_count"), column(beyond, "best_bid_size")) == ([13, 1], [5, 5])


def test_loose_snapshot_record_bears_its_capture_time_and_one_within_a_snapshot_its_clears() -> None:
    """The first snapshot is closed; a record marked so behind it is dated by itself."""
    loose = record("A", 7, tick=-3, time=150 * MS, flags=F_LAST | F_SNAPSHOT)
    assert loose.ts_recv == OPEN + 150 * MS + 100_000
    late = Record(**{**vars(loose), "ts_recv": OPEN + 250 * MS})
    assert column(bins_of(harmless(10), late), "bin_event_count") == [14, 0, 1]
    opened = record("R", 0, side="N", size=0, time=150 * MS, flags=F_SNAPSHOT)
    assert column(bins_of(harmless(10), opened, late), "bin_event_count") == [14, 2]


def test_trade_without_a_price_counts_and_leaves_the_last_one() -> None:
    trades = [record("T", 0, side="B", tick=1, size=2, time=MS), record("T", 0, side="A", size=3, price=UNDEF_PRICE, time=2 * MS)]
    bins = bins_of(*trades)
    assert [column(bins, name) for name in ("trade_count", "buy_volume", "sell_volume")] == [[2], [2], [3]]
    assert column(bins, "last_trade_price_int") == [(MID_TICK + 1) * TICK]


@pytest.mark.parametrize("price", [TICK, 0, -TICK])
def test_trade_at_zero_or_below_is_the_last_one(price: int) -> None:
    assert column(bins_of(record("T", 0, side="B", price=price, time=MS)), "last_trade_price_int") == [price]


def test_trades_before_the_first_bin_are_in_none_but_give_the_last_price() -> None:
    bins = bins_of(record("T", 0, side="B", tick=1, size=2, time=MS), harmless(250), start_ns=OPEN + 2 * BIN)
    assert [column(bins, name) for name in ("trade_count", "buy_volume", "sell_volume")] == [[0], [0], [0]]
    assert column(bins, "last_trade_price_int") == [(MID_TICK + 1) * TICK]


@pytest.mark.parametrize(("tick", "quality", "bid_high"), [(0, 0, 0), (1, CROSSED, -1), (2, CROSSED, -1)])
def test_bid_at_the_ask_is_crossed(tick: int, quality: int, bid_high: int) -> None:
    """The best ask stands at tick 1; a locked book is no sound one, also where it is over before the bin is."""
    at_tick = record("A", 7, tick=tick, time=MS)
    assert column(bins_of(at_tick, record("C", 7, time=2 * MS)), "quality") == [quality]
    bins = bins_of(at_tick)
    assert column(bins, "quality") == [quality]
    assert column(bins, "bid_high_int") == [(MID_TICK + bid_high) * TICK]
    assert column(bins, "bid_low_int") == [(MID_TICK - 1) * TICK]


def test_each_extreme_is_that_of_its_own_side() -> None:
    wider = [record("C", 1001, side="A", size=5, time=MS), record("A", 7, tick=0, time=2 * MS), record("C", 7, time=3 * MS)]
    wider += [record("C", 1000, size=5, time=4 * MS), record("C", 1002, size=5, time=5 * MS)]
    wider += [record("C", 1003, side="A", size=5, time=6 * MS)]
    bins = bins_of(*wider)
    names = ("bid_low_int", "bid_high_int", "ask_low_int", "ask_high_int")
    assert [column(bins, name)[0] // TICK - MID_TICK for name in names] == [-3, 0, 1, 3]


@pytest.mark.parametrize(("behind", "is_run"), [(-1, False), (0, True), (1, True)])
def test_warm_up_begins_half_an_hour_before_the_first_bin_to_the_nanosecond(behind: int, is_run: bool) -> None:
    half_an_hour = 1800 * 10**9
    flow = record("A", 7, tick=-1, size=9, time=10**9 + behind)
    bins = bins_of(flow, record("N", 0, side="N", time=10**9 + half_an_hour), start_ns=OPEN + 10**9 + half_an_hour)
    assert bool(bins.grid["add_mass"][0].any()) is is_run
    assert bins.grid["bid_depth"][0].max() == 14.0


# 128 slots hold -64..63; they move where spot comes within 20 of an edge.
@pytest.mark.parametrize(("spot", "anchor"), [(43, 0), (44, 44), (45, 45), (-44, 0), (-45, -45)])
def test_slots_move_where_spot_is_four_radii_from_an_edge(spot: int, anchor: int) -> None:
    runner = make_runner(CONFIG)
    quotes = [record("A", 1, side="B", tick=-1), record("A", 2, side="A", tick=1)]
    sides = ((1, "B", -1), (2, "A", 1)) if spot < 0 else ((2, "A", 1), (1, "B", -1))
    moved = [
        record("M", i, side=side, tick=spot + step, time=MS, flags=F_LAST * (n == 1)) for n, (i, side, step) in enumerate(sides)
    ]
    list(runner.feed(to_array([*quotes, *moved]), 8))
    assert int(runner.engine.book.scalars["anchor"][0]) - MID_TICK == anchor


def test_depths_are_the_books_when_a_snapshot_closes() -> None:
    middle = [Record(**{**vars(r), "size": 7 * (r.action == "A")}) for r in SNAPSHOT]
    bins = bins_of(harmless(10), *middle)
    assert bins.grid["rest_depth"][0].tolist() == [7.0] * 5 + [0.0] + [7.0] * 5
