"""The order book: a table of cases by hand, and every level and order against the reference on hostile streams."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.book.kernels import ASK, BID, NO_TICK
from engine.book.owner import BookView, view_book
from engine.run.runner import Runner
from tests import reference
from tests.reference import F_LAST, F_SNAPSHOT, UNDEF_PRICE, Record
from tests.sessions import make_runner, small_config
from tests.streams import DAY_START, MID_TICK, TICK, build_up, record, records, to_array

CONFIG = small_config()
hostile = settings(max_examples=60)


def fed(stream: Sequence[Record]) -> Runner:
    """A runner that has taken the records in."""
    runner = make_runner(CONFIG)
    for _ in runner.feed(to_array(stream), 64):
        pass
    return runner


def view(stream: Sequence[Record], depth: int = 20) -> BookView:
    return view_book(fed(stream).engine.book, TICK, depth)


def levels(stream: Sequence[Record]) -> tuple[dict[int, int], dict[int, int]]:
    """Contracts by tick from 21,600.00, bids and asks."""
    seen = view(stream)
    bids, asks = ({round(level.price * 4) - MID_TICK: level.size for level in side} for side in (seen.bids, seen.asks))
    return bids, asks


BID_5 = record("A", 1, side="B", tick=-1, size=5)
ASK_5 = record("A", 2, side="A", tick=2, size=5)

# What follows two resting orders, 5 bid at -1 (id 1) and 5 ask at +2 (id 2): bids, asks and anomalies after it.
CASES: dict[str, tuple[list[Record], dict[int, int], dict[int, int], dict[str, int]]] = {
    "add at an empty tick opens a level": ([record("A", 3, tick=-3, size=2)], {-1: 5, -3: 2}, {2: 5}, {}),
    "add at a level joins it": ([record("A", 3, tick=-1, size=2)], {-1: 7}, {2: 5}, {}),
    "full cancel removes the order": ([record("C", 1, tick=-1, size=5)], {}, {2: 5}, {}),
    "partial cancel takes its size off": ([record("C", 1, tick=-1, size=2)], {-1: 3}, {2: 5}, {}),
    "cancel beyond the size removes no more than there is": ([record("C", 1, tick=-1, size=9)], {}, {2: 5}, {}),
    "cancel of an unknown order is counted and leaves the book": (
        [record("C", 9, tick=-1, size=5)], {-1: 5}, {2: 5}, {"unknown_cancel": 1},
    ),
    "modify changes the size in place": ([record("M", 1, tick=-1, size=8)], {-1: 8}, {2: 5}, {}),
    "modify moves the price": ([record("M", 1, tick=-4, size=5)], {-4: 5}, {2: 5}, {}),
    "modify moves across sides": ([record("M", 1, side="A", tick=3, size=4)], {}, {2: 5, 3: 4}, {}),
    "modify moves across sides at its own price": ([record("M", 1, side="A", tick=-1, size=5)], {}, {-1: 5, 2: 5}, {}),
    "modify of an unknown order is an add and counted": (
        [record("M", 9, tick=-2, size=4)], {-1: 5, -2: 4}, {2: 5}, {"unknown_modify": 1},
    ),
    "duplicate add replaces the order and is counted": (
        [record("A", 1, tick=-2, size=3)], {-2: 3}, {2: 5}, {"duplicate_add": 1},
    ),
    "fill takes its size off at once": ([record("F", 1, tick=-1, size=2)], {-1: 3}, {2: 5}, {}),
    "fill beyond the size takes no more than there is": ([record("F", 1, tick=-1, size=9)], {}, {2: 5}, {}),
    "fill of an unknown order is counted and leaves the book": (
        [record("F", 9, tick=-1, size=2)], {-1: 5}, {2: 5}, {"unknown_fill": 1},
    ),
    "partial fill then modify with the rest counts once": (
        [record("F", 1, tick=-1, size=2), record("M", 1, tick=-1, size=3)], {-1: 3}, {2: 5}, {},
    ),
    "full fill then cancel counts once": (
        [record("F", 1, tick=-1, size=5), record("C", 1, tick=-1, size=5)], {}, {2: 5}, {},
    ),
    "partial fill then a cancel of it leaves the rest": (
        [record("F", 1, tick=-1, size=2), record("C", 1, tick=-1, size=2)], {-1: 3}, {2: 5}, {},
    ),
    "cancel beyond the pending fill takes the excess": (
        [record("F", 1, tick=-1, size=2), record("C", 1, tick=-1, size=4)], {-1: 1}, {2: 5}, {},
    ),
    "several fills are pending together": (
        [record("F", 1, size=1), record("F", 1, size=2), record("C", 1, size=3)], {-1: 2}, {2: 5}, {},
    ),
    "modify forgets the pending fill": (
        [record("F", 1, size=2), record("M", 1, tick=-1, size=3), record("C", 1, size=2)], {-1: 1}, {2: 5}, {},
    ),
    "filled order that is added anew is no duplicate": (
        [record("F", 1, size=5), record("A", 1, tick=-3, size=2)], {-3: 2}, {2: 5}, {},
    ),
    "filled order goes with a second fill": (
        [record("F", 1, size=5), record("F", 1, size=1), record("C", 1, size=5)], {}, {2: 5}, {"unknown_cancel": 1},
    ),
    "modify brings a filled order back": (
        [record("F", 1, size=5), record("M", 1, tick=-1, size=4)], {-1: 4}, {2: 5}, {},
    ),
    "trade leaves the book": ([record("T", 1, tick=-1, size=5)], {-1: 5}, {2: 5}, {}),
    "none leaves the book": ([record("N", 1, tick=-1, size=5)], {-1: 5}, {2: 5}, {}),
    "clear empties the book": ([record("R", 0, side="N", price=UNDEF_PRICE, size=0)], {}, {}, {}),
    "clear forgets the orders": (
        [record("R", 0, side="N", price=UNDEF_PRICE, size=0), record("C", 1, size=5)], {}, {}, {"unknown_cancel": 1},
    ),
    "add at an undefined price is dropped and counted": (
        [record("A", 3, price=UNDEF_PRICE)], {-1: 5}, {2: 5}, {"undefined_price": 1},
    ),
    "modify to an undefined price is dropped and counted": (
        [record("M", 1, price=UNDEF_PRICE)], {-1: 5}, {2: 5}, {"undefined_price": 1},
    ),
    "cancel at an undefined price goes on": ([record("C", 1, price=UNDEF_PRICE, size=5)], {}, {2: 5}, {}),
    "add without a side is counted": ([record("A", 3, side="N")], {-1: 5}, {2: 5}, {"bad_side": 1}),
    "action nobody knows is counted": ([record("X", 1)], {-1: 5}, {2: 5}, {"bad_action": 1}),
    "price between ticks goes to the nearest and is counted": (
        [record("A", 3, price=(MID_TICK - 3) * TICK + 1)], {-1: 5, -3: 1}, {2: 5}, {"off_tick_price": 1},
    ),
    "crossed book at an event end is counted": (
        [record("A", 3, tick=4, size=1)], {-1: 5, 4: 1}, {2: 5}, {"crossed_event_end": 1},
    ),
    "crossed book within an event is not counted": (
        [record("A", 3, tick=4, size=1, flags=0), record("C", 3, size=1)], {-1: 5}, {2: 5}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_levels_after(case: str) -> None:
    then, bids, asks, _ = CASES[case]
    assert levels([BID_5, ASK_5, *then]) == (bids, asks)


@pytest.mark.parametrize("case", CASES)
def test_anomalies_after(case: str) -> None:
    then, _, _, anomalies = CASES[case]
    assert fed([BID_5, ASK_5, *then]).anomalies == anomalies


def test_first_anomaly_of_a_kind_can_be_found_again() -> None:
    runner = fed([BID_5, record("C", 77, time=5), record("C", 78, time=6)])
    assert runner.first_anomalies["unknown_cancel"] == {"order_id": 77, "sequence": 2, "ts_event": record("C", time=5).ts_event}


def test_best_bid_falls_to_the_next_level_when_its_own_empties() -> None:
    seen = view([BID_5, ASK_5, record("A", 3, tick=-4, size=2), record("C", 1, size=5)])
    assert (seen.best_bid, seen.best_bid_size) == ((MID_TICK - 4) / 4, 2)


def test_best_ask_is_missing_when_its_side_is_empty() -> None:
    assert view([BID_5, ASK_5, record("C", 2, side="A", size=5)]).best_ask is None


def test_level_counts_its_orders() -> None:
    (level,) = view([BID_5, record("A", 3, tick=-1, size=2)]).bids
    assert (level.orders, level.size) == (2, 7)


def test_view_shows_no_more_levels_than_asked_for_but_counts_all() -> None:
    seen = view(build_up(n_levels=6), depth=2)
    assert (len(seen.bids), len(seen.asks), seen.bid_levels, seen.ask_levels) == (2, 2, 6, 6)


# Validity and snapshots


@pytest.mark.parametrize(
    ("stream", "is_valid"),
    [
        ([], False),
        ([BID_5], True),
        ([record("R", 0, side="N", price=UNDEF_PRICE)], False),
        ([record("R", 0, side="N", price=UNDEF_PRICE), BID_5], True),
        ([record("R", 0, side="N", price=UNDEF_PRICE, flags=F_SNAPSHOT)], False),
        ([*build_up()[:-1]], False),
        ([*build_up()], True),
        ([BID_5, record("R", 0, side="N", price=UNDEF_PRICE)], False),
    ],
    ids=[
        "nothing",
        "an add",
        "a clear",
        "an add after a clear",
        "snapshot opened",
        "snapshot open",
        "snapshot closed",
        "cleared",
    ],
)
def test_book_is_valid_after(stream: list[Record], is_valid: bool) -> None:
    assert bool(fed(stream).engine.book.scalars[0]["book_valid"]) is is_valid


def test_snapshot_replaces_the_book() -> None:
    assert levels([BID_5, ASK_5, *build_up(n_levels=1, size=7)]) == ({-1: 7}, {1: 7})


# Room


def test_order_table_grows_and_keeps_every_order() -> None:
    many = [
        record("A", 10 + i, side="BA"[i % 2], tick=-1 - i % 7 if i % 2 == 0 else 1 + i % 7, size=1 + i % 3) for i in range(70_000)
    ]
    gone = [record("C", 10 + i, size=9) for i in range(0, 70_000, 3)]
    slow = reference.Book(TICK)
    for item in (*many, *gone):
        slow.apply(item)
    bids, asks = levels([*many, *gone])
    assert (bids, asks) == tuple({tick - MID_TICK: n for tick, n in slow.depth[side].items()} for side in "BA")


far_tick = st.sampled_from([-5000, -900, -60, -3, 3, 60, 900, 5000])  # 128 slots hold -64..63


@hostile
@given(st.lists(st.tuples(st.sampled_from("AAACM"), st.integers(1, 6), st.sampled_from("BA"), far_tick), min_size=5, max_size=60))
def test_best_prices_beyond_the_slots_equal_the_reference(steps: list[tuple[str, int, str, int]]) -> None:
    stream = [record(action, i, side=side, tick=tick, size=2) for action, i, side, tick in steps]
    slow, runner = reference.Book(TICK), make_runner(CONFIG)
    for item in stream:
        slow.apply(item)
        list(runner.feed(to_array([item]), 1))
        scalars = runner.engine.book.scalars[0]
        bests = [None if scalars[name] == NO_TICK else int(scalars[name]) * TICK for name in ("best_bid", "best_ask")]
        assert bests == [slow.best("B"), slow.best("A")]


# Hostile streams


def compare_books(runner: Runner, slow: reference.Book) -> None:
    live = runner.engine.book.orders[runner.engine.book.orders["side"] != 0]
    ours = {
        int(o["order_id"]): ("B" if o["side"] == BID else "A", int(o["price"]), int(o["size"]), int(o["pending"])) for o in live
    }
    theirs = {i: (o.side, o.price, o.size, o.pending_fill) for i, o in slow.orders.items()}
    assert ours == theirs
    of_a_session = ("crossed_event_end", "late_record")
    assert {kind: n for kind, n in runner.anomalies.items() if kind not in of_a_session} == dict(slow.anomalies)


@hostile
@given(records())
def test_every_order_equals_the_reference(stream: list[Record]) -> None:
    slow = reference.Book(TICK)
    for _, item in reference.prepare(stream, DAY_START, slow.anomalies):
        slow.apply(item)
    compare_books(fed(stream), slow)


def depth_by_slot(runner: Runner) -> NDArray[np.int64]:
    """Depth (n_slots, 2) summed anew over the live orders."""
    book = runner.engine.book
    scalars = book.scalars[0]
    total = np.zeros_like(book.depth)
    for order in book.orders[book.orders["side"] != 0]:
        slot = int(order["tick"] - scalars["anchor"]) + len(total) // 2
        if 0 <= slot < len(total):
            total[slot, 0 if order["side"] == BID else 1] += order["size"]
    return total


def extreme_tick(runner: Runner, side: int, pick: Callable[..., int]) -> int:
    live = runner.engine.book.orders
    ticks = live["tick"][(live["side"] == side) & (live["size"] > 0)]
    return int(pick(ticks)) if len(ticks) else NO_TICK


@hostile
@given(records(max_size=120))
def test_depth_is_the_sum_of_live_orders_after_every_record(stream: list[Record]) -> None:
    """G5; whatever comes, also between event ends."""
    runner = fed(build_up())
    for item in stream:
        list(runner.feed(to_array([item]), 8))
        scalars = runner.engine.book.scalars[0]
        assert scalars["anchored"] == 1
        assert np.array_equal(runner.engine.book.depth, depth_by_slot(runner))
        assert scalars["best_bid"] == extreme_tick(runner, BID, np.max)
        assert scalars["best_ask"] == extreme_tick(runner, ASK, np.min)


@hostile
@given(records(actions="AMCF", max_size=60), st.integers(-8, 8), st.integers(1, 9))
def test_add_then_cancel_restores_the_book(stream: list[Record], tick: int, size: int) -> None:
    before, after = fed([*build_up(), *stream]), fed([*build_up(), *stream])
    late = stream[-1].ts_event - record("A").ts_event if stream else 0
    pair = [
        record("A", 999, tick=tick, size=size, time=late, flags=0),
        record("C", 999, tick=tick, size=size, time=late, flags=F_LAST),
    ]
    list(after.feed(to_array(pair), 8))
    assert np.array_equal(before.engine.book.depth, after.engine.book.depth)
    for name in ("n_orders", "best_bid", "best_ask"):
        assert before.engine.book.scalars[0][name] == after.engine.book.scalars[0][name]
