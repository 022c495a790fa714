"""Fuzzed records through the kernels: no crash, no NaN, no record lost, and to the last column what the reference says.

SPYMASTER_FUZZ_EXAMPLES=N makes each test try N new examples.
"""

import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.book.kernels import tick_of
from engine.book.owner import view_book
from engine.schema import MBO_DTYPE
from tests.fuzzing import NEAR, PRICE_ENDS, fuzz, lost, non_finite, raw_records, run_raw, sessions
from tests.reference import F_LAST, UNDEF_PRICE, Record
from tests.reference import tick_of as reference_tick
from tests.sessions import differences, make_runner, run_reference, small_config
from tests.streams import MID_TICK, OPEN, TICK, build_up, record, to_array

CONFIG = small_config()
WIDE = small_config(cell_width_ms=20_000)  # times leap by minutes: not too many bins
MS = 1_000_000
BOOK_FIELDS = (
    *("best_bid_price_int", "best_ask_price_int", "best_bid_size", "best_ask_size", "book_valid"),
    *("event_id", "bin_event_count", "bid_low_int", "bid_high_int", "ask_low_int", "ask_high_int"),
    *("trade_count", "buy_volume", "sell_volume", "unsided_volume", "last_trade_price_int"),
)


@pytest.mark.slow
@given(st.one_of(raw_records(NEAR), raw_records(NEAR).map(lambda stream: [*build_up(), *stream])))
@fuzz(60)
def test_any_bytes_in_the_fields_equal_the_reference(stream: list[Record]) -> None:
    # A session that begins at midnight has 2,000 empty bins before the first quote; they are one test's business, not each one's.
    stream = [r for r in stream if not OPEN - 10**9 > r.ts_event >= OPEN - 14 * 3600 * 10**9]
    bins, session = run_reference(WIDE, stream)
    ours, runner = run_raw(WIDE, stream)
    assert differences(ours, bins) == {}
    assert runner.anomalies == {kind: n for kind, n in session.anomalies.items() if n}
    assert lost(len(stream), runner.n_events, runner.anomalies) == 0


@pytest.mark.slow
@given(sessions())
@fuzz(60)
def test_snapshots_clears_and_crossings_in_any_order_equal_the_reference(stream: list[Record]) -> None:
    bins, session = run_reference(CONFIG, stream)
    ours, runner = run_raw(CONFIG, stream)
    assert differences(ours, bins) == {}
    assert runner.anomalies == dict(session.anomalies)
    assert lost(len(stream), runner.n_events, runner.anomalies) == 0


FINITE = small_config(rate_kernel="finite")


@given(sessions(max_parts=5))
@fuzz(15)
def test_the_finite_rate_kernel_equals_the_reference_too(stream: list[Record]) -> None:
    bins, _ = run_reference(FINITE, stream)
    assert differences(run_raw(FINITE, stream)[0], bins) == {}


@given(raw_records(st.one_of(NEAR, st.sampled_from(PRICE_ENDS), st.integers(-(2**63), 2**63 - 1))))
@fuzz(120)
def test_no_price_breaks_or_loses_anything(stream: list[Record]) -> None:
    ours, runner = run_raw(WIDE, [*build_up(), *stream])
    assert non_finite(ours) == []
    assert lost(len(stream) + 13, runner.n_events, runner.anomalies) == 0


@given(st.one_of(sessions(), raw_records(NEAR), raw_records(st.sampled_from(PRICE_ENDS))))
@fuzz(40)
def test_each_kind_of_anomaly_names_the_first_record_of_it(stream: list[Record]) -> None:
    rows = to_array(stream)
    _, whole = run_raw(WIDE, stream)
    assert whole.first_anomalies.keys() == whole.anomalies.keys()
    for kind, first in whole.first_anomalies.items():
        i = first["sequence"] - 1
        assert [first[name] for name in ("order_id", "ts_event")] == [rows[name][i] for name in ("order_id", "ts_event")]
        assert kind not in run_raw(WIDE, stream[:i])[1].anomalies
        assert run_raw(WIDE, stream[: i + 1])[1].anomalies[kind] == 1


TICK_SIZES = st.sampled_from([1, 3, 50_000, 7_812_500, 10_000_000, TICK, 10**9, 10**10])
TICKS = st.one_of(st.integers(-(2**40), 2**40), st.integers(-(10**6), 10**6))


@given(st.one_of(st.integers(-(2**63), 2**63 - 1), st.tuples(TICKS, st.integers(-2, 2))), TICK_SIZES)
@fuzz(300)
def test_nearest_tick_of_any_price_is_that_of_whole_numbers(price: int | tuple[int, int], tick_int: int) -> None:
    if isinstance(price, tuple):  # at, or a hair from, the middle between two ticks
        tick, hair = price
        price = tick * tick_int + tick_int // 2 + hair
    price = min(max(price, -(2**63) + tick_int), 2**63 - 1 - tick_int)
    assert tuple(tick_of(np.int64(price), tick_int)) == (reference_tick(price, tick_int), price % tick_int != 0)


@given(st.sampled_from([-(2**63), -(2**63) + 1, 2**63 - 2, 2**63 - 1]), TICK_SIZES)
@fuzz(60)
def test_a_tick_at_the_ends_of_the_range_has_a_price(price: int, tick_int: int) -> None:
    tick, _ = tick_of(np.int64(price), tick_int)
    assert -(2**63) <= int(tick) * tick_int <= 2**63 - 1
    assert abs(int(tick) * tick_int - price) < tick_int


WITHIN = st.integers(-(2**63) + TICK, 2**63 - 1 - TICK)  # whose nearest tick has a price of 64 bits


@given(raw_records(st.one_of(NEAR, NEAR, WITHIN), max_size=60))
@fuzz(60)
def test_books_of_any_prices_equal_the_reference(stream: list[Record]) -> None:
    """The book alone: the reference has no slots, so what a wild order does to the field far from spot is its own."""
    bins, session = run_reference(WIDE, [*build_up(), *stream])
    ours, runner = run_raw(WIDE, [*build_up(), *stream])
    assert runner.anomalies == dict(session.anomalies)
    for name in BOOK_FIELDS:
        assert ours.fields[name].tolist() == [one.fields[name] for one in bins], name
    view = view_book(runner.engine.book, WIDE.tick_int, 1)
    assert (view.bid_levels, view.ask_levels) == tuple(len(session.book.depth[side]) for side in "BA")


@given(st.lists(st.sampled_from([-(2**63), -(2**62), -1, 0, 2**62, 2**63 - 2]), min_size=2, max_size=12))
@fuzz(40)
def test_quotes_that_leap_across_the_price_range_keep_their_sign(prices: list[int]) -> None:
    stream = [record("A", 1, price=prices[0], time=0), record("A", 2, side="A", price=prices[0], time=0)]
    for i, price in enumerate(prices[1:], 1):
        stream += [record("M", order_id, side=side, price=price, time=i * 100 * MS) for order_id, side in ((1, "B"), (2, "A"))]
    ours, runner = run_raw(CONFIG, stream)
    quotes = ours.fields["best_bid_price_int"]
    signs = [(b > a) - (b < a) for a, b in pairwise(quotes.tolist())]  # no bin is without a bid
    assert non_finite(ours) == []
    assert ours.fields["bid_reprice_sign"].tolist() == [0, *signs]
    assert np.array_equal(np.sign(ours.fields["best_bid_move_ticks"]), ours.fields["bid_reprice_sign"])


def walk(mids: list[int], span_ns: int) -> list[Record]:
    """One bid and one ask go through the given mids, and leave orders behind that are taken up on the way back."""
    stream = [record("A", 1, tick=mids[0] - 1, size=4), record("A", 2, side="A", tick=mids[0] + 1, size=6)]
    left: list[tuple[int, int]] = []
    for i, mid in enumerate(mids, 1):
        at = i * span_ns // len(mids)
        while left and left[-1][1] >= mid - 1:  # else it would stand above the ask
            order_id, tick = left.pop()
            stream.append(record("C", order_id, tick=tick, size=1, time=at, flags=0))
        quotes = [("M", 1, "B", mid - 1, 4 + i % 3), ("M", 2, "A", mid + 1, 6)]
        for action, order_id, side, tick, size in quotes[:: 1 if i % 2 else -1]:
            stream.append(record(action, order_id, side=side, tick=tick, size=size, time=at, flags=0))
        stream.append(record("N", 0, side="N", time=at))
        if i % 40 == 0:
            stream.append(record("A", 100 + i, tick=mid - 2, size=1, time=at))
            left.append((100 + i, mid - 2))
    return stream


@pytest.mark.slow
def test_a_walk_of_20_000_ticks_loses_nothing() -> None:
    """The slots re-centre hundreds of times on the way out and back; time constants are long, so that every trace remains."""
    slow = {"tau_velocity": 3000.0, "tau_acceleration": 5000.0, "tau_jerk": 10_000.0, "tau_rest_decay": 36_000.0}
    config = small_config(grid_radius_ticks=20, n_absolute_ticks=256, cell_width_ms=60_000, **slow)
    stream = walk([*range(0, 20_000, 7), *range(20_000, 9_000, -31)], 40 * 60_000 * MS)
    bins, session = run_reference(config, stream)
    ours, runner = run_raw(config, stream)
    assert len(bins) >= 40
    assert differences(ours, bins) == {}
    assert view_book(runner.engine.book, config.tick_int, 5).bid_levels == len(session.book.depth["B"]) > 30
    assert runner.anomalies == dict(session.anomalies)


N_MANY = 1_000_000


def seconds_to_run(ticks: np.ndarray, ids: np.ndarray) -> float:
    """CPU time of as many adds and then cancels, from the last to the first: the table and the level at their fullest."""
    rows = np.zeros(2 * len(ids), MBO_DTYPE)
    rows["length"], rows["rtype"], rows["side"], rows["flags"], rows["size"] = 14, 160, ord("B"), F_LAST, 1
    rows["ts_event"] = OPEN
    rows["action"] = np.repeat([ord("A"), ord("C")], len(ids))
    rows["order_id"], rows["price"] = np.concatenate([ids, ids[::-1]]), np.concatenate([ticks, ticks[::-1]]) * TICK
    runner = make_runner(CONFIG)
    list(runner.feed(to_array(build_up()), 64))
    start = time.process_time()
    assert list(runner.feed(rows, 64)) == []
    spent = time.process_time() - start
    assert runner.n_events == len(rows) + 13
    assert runner.anomalies == {}
    return spent


def test_a_million_orders_on_one_tick_cost_what_they_cost_on_many() -> None:
    ids = np.arange(10**6, 10**6 + N_MANY, dtype=np.uint64)
    seconds_to_run(np.full(1000, MID_TICK - 2), ids[:1000])  # compiled
    one = seconds_to_run(np.full(N_MANY, MID_TICK - 2), ids)
    many = seconds_to_run(MID_TICK - 2 - np.arange(N_MANY) % 40, ids)
    assert one < 4 * many  # a level that were searched would cost a thousand times more


@pytest.mark.parametrize("shift", [8, 16, 20, 32, 40])
def test_no_pattern_of_ids_makes_the_order_table_slow(shift: int) -> None:
    """Ids that count in strides of a power of two, as exchanges make them, against ids drawn at random."""
    n = min(1 << 18, 1 << (63 - shift))
    ids = (np.arange(1, n + 1, dtype=np.uint64) << np.uint64(shift)) + np.uint64(3)
    drawn = np.unique(np.random.default_rng(5).integers(10**6, 2**63, n, dtype=np.uint64))
    ticks = np.full(n, MID_TICK - 2)
    seconds_to_run(ticks[:1000], ids[:1000])  # compiled
    assert seconds_to_run(ticks, ids) < 3 * seconds_to_run(ticks[: len(drawn)], drawn)


def test_a_clear_costs_by_the_orders_it_removes() -> None:
    clear = record("R", 0, side="N", price=UNDEF_PRICE)
    pairs = np.tile(to_array([record("A", 5, tick=-2), clear]), 200)
    crowd = np.repeat(to_array([record("A", 0, tick=-2)]), N_MANY)
    crowd["order_id"] = np.arange(10**6, 10**6 + N_MANY)
    spent = []
    for before in (crowd[:10], crowd):
        runner = make_runner(CONFIG)
        list(runner.feed(np.concatenate([to_array(build_up()), before, to_array([clear])]), 64))
        start = time.process_time()
        list(runner.feed(pairs, 64))
        spent.append(time.process_time() - start)
    assert spent[1] < 20 * spent[0]
