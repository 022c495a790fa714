"""What traded in a bin, by price and aggressor: in the rows around its last spot, or told as outside, and never lost."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from engine.config import InstrumentConfig
from engine.run.traded import FIRST_TAPE
from tests.reference import F_BAD_TS_RECV, UNDEF_PRICE, Record
from tests.sessions import Bins, differences, join, make_runner, run_engine, run_reference, small_config
from tests.streams import MID_TICK, OPEN, TICK, build_up, harmless, record, records, to_array
from tests.test_engine.test_run.test_recentre import walk

CONFIG = small_config()  # rows from -5 to 5
MS = 1_000_000
SNAPSHOT = build_up()  # 5 contracts at each of -1..-6 and 1..6: spot is tick 0
LARGEST = 2**31 - 1


def trade(tick: int, size: int, ms: float = 1, side: str = "B", **more: Any) -> Record:
    return record("T", 0, side=side, tick=tick, size=size, time=round(ms * MS), **more)


def bins_of(*stream: Record, config: InstrumentConfig = CONFIG) -> Bins:
    return run_engine(config, [*SNAPSHOT, *stream])


def rows(bins: Bins, i: int = 0) -> tuple[dict[int, int], dict[int, int]]:
    """Contracts bought and sold by k, where there are any."""
    return tuple(  # type: ignore[return-value]
        {int(bins.grid["k"][i, r]): int(column[i, r]) for r in np.flatnonzero(column[i])}
        for column in (bins.grid["traded_buy"], bins.grid["traded_sell"])
    )


def outside(bins: Bins, i: int = 0) -> tuple[int, int]:
    return int(bins.fields["traded_buy_outside"][i]), int(bins.fields["traded_sell_outside"][i])


def require_whole(bins: Bins) -> None:
    """Rows and what stands outside them are the bin's volumes, exactly."""
    for side in ("buy", "sell"):
        inside = bins.grid[f"traded_{side}"].astype(object).sum(axis=1)
        assert (inside + bins.fields[f"traded_{side}_outside"].astype(object)).tolist() == bins.fields[f"{side}_volume"].tolist()
        assert (bins.grid[f"traded_{side}"] >= 0).all()
        assert (bins.fields[f"traded_{side}_outside"] >= 0).all()


def test_contracts_stand_at_their_price_by_aggressor() -> None:
    bins = bins_of(trade(1, 3), trade(1, 4), trade(-1, 2, side="A"), trade(1, 5), trade(2, 6), trade(1, 9, side="A"))
    assert rows(bins) == ({1: 12, 2: 6}, {-1: 2, 1: 9})
    assert outside(bins) == (0, 0)
    assert (bins.fields["buy_volume"][0], bins.fields["sell_volume"][0]) == (18, 11)


def test_row_at_the_edge_has_them_and_the_tick_behind_it_is_outside() -> None:
    bins = bins_of(trade(5, 1), trade(6, 2), trade(-5, 4, side="A"), trade(-6, 8, side="A"))
    assert (rows(bins), outside(bins)) == (({5: 1}, {-5: 4}), (2, 8))


def test_each_bin_has_its_own() -> None:
    bins = bins_of(trade(1, 3, 99.999), trade(1, 4, 100), trade(9, 7, 150), harmless(310))
    assert [rows(bins, i) for i in range(4)] == [({1: 3}, {}), ({1: 4}, {}), ({}, {}), ({}, {})]
    assert [outside(bins, i) for i in range(4)] == [(0, 0), (7, 0), (0, 0), (0, 0)]


def test_late_trade_is_of_the_bin_it_came_into() -> None:
    bins = bins_of(harmless(120), trade(1, 3, 20))
    assert [rows(bins, i)[0] for i in range(2)] == [{}, {1: 3}]


def test_trade_without_an_aggressor_is_in_neither_column_and_told() -> None:
    bins = bins_of(trade(1, 3, side="N"), trade(1, 4), trade(1, 5, 101, side="N"))
    assert (rows(bins), outside(bins)) == (({1: 4}, {}), (0, 0))
    assert [bins.fields[name].tolist() for name in ("unsided_volume", "trade_count", "buy_volume")] == [[3, 5], [2, 1], [4, 0]]


def test_trade_without_a_price_is_outside() -> None:
    bins = bins_of(trade(1, 3), trade(0, 4, price=UNDEF_PRICE), trade(0, 6, side="A", price=UNDEF_PRICE))
    assert (rows(bins), outside(bins)) == (({1: 3}, {}), (4, 6))


def test_fill_and_trade_of_nothing_are_no_volume() -> None:
    bins = bins_of(record("F", 1001, side="A", tick=1, size=3, time=MS), trade(1, 0), trade(2, 1))
    assert rows(bins) == ({2: 1}, {})


def test_price_between_ticks_counts_at_the_nearest_halves_upward() -> None:
    at = (MID_TICK + 1) * TICK
    bins = bins_of(*(trade(0, size, price=at + TICK // 2 + off) for size, off in ((1, -1), (2, 0), (4, TICK // 2 - 1))))
    assert rows(bins)[0] == {1: 1, 2: 6}


def test_bin_without_a_spot_has_all_of_it_outside() -> None:
    gone = [record("C", 1000 + 2 * i, size=5, tick=-1 - i, time=2 * MS) for i in range(6)]
    bins = bins_of(trade(1, 3), trade(-1, 2, side="A"), *gone)
    assert bins.fields["spot_ref_price_int"][0] == UNDEF_PRICE
    assert (rows(bins), outside(bins)) == (({}, {}), (3, 2))


@pytest.mark.parametrize(("mid", "bought", "beyond"), [(0, {-5: 1, 5: 2}, 12), (1, {4: 2, 5: 4}, 9), (-1, {-5: 8, -4: 1}, 6)])
def test_rows_are_those_around_the_bins_last_spot(mid: int, bought: dict[int, int], beyond: int) -> None:
    """1 at -5, 2 at 5, 4 at 6 and 8 at -6 traded before the market moved by a tick, and one row left and one came."""
    early = [trade(-5, 1), trade(5, 2), trade(6, 4), trade(-6, 8)]
    bins = run_engine(CONFIG, [*walk([0]), *(moved(one, 41) for one in early), *walk([0, mid])[6:]])
    assert len(bins.fields) == 1
    assert (rows(bins)[0], outside(bins)) == (bought, (beyond, 0))


def moved(one: Record, ms: int) -> Record:
    return Record(**{**vars(one), "ts_event": one.ts_event + ms * MS, "ts_recv": one.ts_recv + ms * MS})


@pytest.mark.parametrize("n_slots", [64, 1024])
def test_slots_that_move_within_the_bin_lose_nothing(n_slots: int) -> None:
    """Slots reach from -32 to 31 at first. Traded: 1 at 0, which leaves them, 2 at 61, before it has a slot, 4 at 59, 8 at 66."""
    config = small_config(n_absolute_ticks=n_slots, cell_width_ms=2000)
    early = [moved(one, 41) for one in (trade(0, 1), trade(61, 2), trade(66, 4), trade(59, 8, side="A"))]
    stream = walk([*range(0, 62, 2), 60])
    bins = run_engine(config, [*stream[:6], *early, *stream[6:]])
    assert len(bins.fields) == 1
    assert bins.fields["spot_ref_price_int"][0] == (MID_TICK + 60) * TICK
    assert (rows(bins), outside(bins)) == (({1: 2}, {-1: 8}), (5, 0))


def test_row_without_a_slot_is_empty_and_its_trades_outside() -> None:
    """Slots -32..31, and the market goes to 29 in an event that the bin's end cuts: ticks from 32 on have no slot yet."""
    config = small_config(n_absolute_ticks=64)
    near = [r for r in walk([0, 29]) if r.flags == 0 or r.ts_event < OPEN + 60 * MS]
    late = [moved(trade(tick, size, flags=0), 82) for tick, size in ((31, 1), (32, 2))]
    cut = run_engine(config, [*near, *late, harmless(190, flags=0)])
    assert cut.fields["spot_ref_price_int"][0] == (MID_TICK + 29) * TICK
    assert (rows(cut)[0], outside(cut)) == ({2: 1}, (2, 0))


def test_cell_holds_31_bits_and_the_rest_stands_outside() -> None:
    bins = bins_of(trade(1, LARGEST), trade(2, LARGEST, side="A"), trade(2, 1, side="A"), trade(3, 2**32 - 1), trade(1, 5, 101))
    assert rows(bins) == ({1: LARGEST, 3: LARGEST}, {2: LARGEST})
    assert outside(bins) == (2**31, 1)
    assert rows(bins, 1) == ({1: 5}, {})
    require_whole(bins)


@pytest.mark.parametrize("n", [FIRST_TAPE - 1, FIRST_TAPE, FIRST_TAPE + 1, 4 * FIRST_TAPE + 1])
def test_bin_may_hold_any_number_of_trades(n: int) -> None:
    """Two prices in turn, so that none joins the one before."""
    runner = make_runner(CONFIG)
    stream = [*SNAPSHOT, *(trade(1 + i % 2, 1 + i % 3, side="BA"[i // 2 % 2]) for i in range(n)), trade(3, 7, 120)]
    bins = join([*runner.feed(to_array(stream), 64), *runner.finish(None, 64)])
    wanted: dict[tuple[str, int], int] = {}
    for i in range(n):
        at = ("BA"[i // 2 % 2], 1 + i % 2)
        wanted[at] = wanted.get(at, 0) + 1 + i % 3
    assert rows(bins) == tuple({k: wanted[side, k] for k in (1, 2)} for side in "BA")
    assert rows(bins, 1) == ({3: 7}, {})
    require_whole(bins)


def test_trades_before_the_first_bin_are_in_none() -> None:
    start = OPEN + 2 * 60 * 10**9
    bins = run_engine(CONFIG, [*SNAPSHOT, trade(1, 3), trade(1, 4, 119_999), trade(1, 5, 120_000), harmless(120_050)], start)
    assert (rows(bins), outside(bins)) == (({1: 5}, {}), (0, 0))


@pytest.mark.parametrize("n", [1, FIRST_TAPE, FIRST_TAPE + 1])
def test_run_that_goes_on_from_within_a_bin_knows_what_traded_in_it(n: int) -> None:
    stream = [*SNAPSHOT, *(trade(1 + i % 2, 1 + i % 3) for i in range(n))]
    after = to_array([trade(1, 9, 20, side="A"), trade(4, 2, 30), harmless(110)])
    first, second = make_runner(CONFIG), make_runner(CONFIG)
    assert list(first.feed(to_array(stream), 8)) == []
    second.restore(first.snapshot())
    ran_on, went_on = (join([*one.feed(after, 8), *one.finish(None, 8)]) for one in (first, second))
    assert went_on.to_bytes() == ran_on.to_bytes()
    assert rows(went_on)[1] == {1: 9}
    require_whole(went_on)


@given(stream=records(actions="AAACCTTTTTMFNR"))
@settings(max_examples=10)
def test_nothing_is_lost_in_hostile_streams_and_both_readings_agree(stream: list[Record]) -> None:
    bins = run_engine(CONFIG, [*SNAPSHOT, *stream])
    require_whole(bins)
    plain, _ = run_reference(CONFIG, [*SNAPSHOT, *stream])
    assert {name for name in differences(bins, plain) if "traded" in name or "volume" in name} == set()


def test_doubtful_trade_counts_like_any_other() -> None:
    assert rows(bins_of(trade(1, 3, flags=F_BAD_TS_RECV)))[0] == {1: 3}
