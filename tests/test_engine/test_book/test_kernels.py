"""The book's rare places: prices between ticks, orders beyond the slots, orders of size 0. Each by hand, and mirrored."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.book.kernels import BID, OFF_GRID, slot_of, tick_of
from engine.run.bins import level_size
from engine.run.runner import Runner
from tests import reference
from tests.reference import F_LAST, UNDEF_PRICE, Record
from tests.sessions import make_runner, run_engine, small_config
from tests.streams import MID_TICK, TICK, record, to_array

CONFIG = small_config()  # 128 slots


@pytest.mark.parametrize(
    ("price", "tick_int", "expected"),
    [
        (0, 250, (0, False)),
        (250, 250, (1, False)),
        (124, 250, (0, True)),
        (125, 250, (1, True)),
        (126, 250, (1, True)),
        (249, 250, (1, True)),
        (-1, 250, (0, True)),
        (-124, 250, (0, True)),
        (-125, 250, (0, True)),
        (-126, 250, (-1, True)),
        (-250, 250, (-1, False)),
        (-375, 250, (-1, True)),
        (-376, 250, (-2, True)),
        (1, 3, (0, True)),
        (2, 3, (1, True)),
        (-1, 3, (0, True)),
        (-2, 3, (-1, True)),
        (7, 1, (7, False)),
        (2**62 + 1, 1, (2**62 + 1, False)),  # more digits than a float has
        (2**60 + 1, 2, (2**59 + 1, True)),
        (2**60 - 1, 2, (2**59, True)),
        (3 * 2**58 + 1, 3, (2**58, True)),
        (3 * 2**58 + 2, 3, (2**58 + 1, True)),
        (2**63 - 2, 2**62, (1, True)),  # the nearest tick, 2, lies beyond 64 bits
        (-(2**63), 2**62, (-2, False)),
        (-(2**63), 3, (-(2**63) // 3 + 1, True)),  # -3074457345618258602.67: that tick's price is in range, the one below is not
    ],
)
def test_nearest_tick_and_whether_the_price_lies_off_it(price: int, tick_int: int, expected: tuple[int, bool]) -> None:
    tick, is_off = tick_of(price, tick_int)
    assert (int(tick), bool(is_off)) == expected


@pytest.mark.parametrize(("tick", "slot"), [(-1, 0), (-2, OFF_GRID), (0, 1), (6, 7), (7, OFF_GRID)])
def test_slots_reach_from_half_below_the_anchor_to_one_less_above(tick: int, slot: int) -> None:
    scalars = make_runner(CONFIG).engine.book.scalars
    assert slot_of(scalars[0], tick, 8) == OFF_GRID  # no anchor yet
    scalars["anchored"], scalars["anchor"] = 1, 3
    assert slot_of(scalars[0], tick, 8) == slot


BID_5 = record("A", 1, side="B", tick=-1, size=5)
ASK_5 = record("A", 2, side="A", tick=2, size=5)
NO_ASK = record("C", 2, side="A", tick=2, size=5)
CLEAR = record("R", 0, side="N", price=UNDEF_PRICE, size=0)


def far(action: str, order_id: int, tick: int, size: int, side: str = "A", flags: int = F_LAST) -> Record:
    return record(action, order_id, side=side, tick=tick, size=size, flags=flags)


FAR = [NO_ASK, far("A", 7, 5000, 4), far("A", 8, 5001, 3)]
# What follows 5 bid at -1 (id 1) and 5 ask at +2 (id 2): best bid and ask with their sizes at the bin's end.
CASES: dict[str, tuple[list[Record], tuple[int, int, int, int]]] = {
    "best ask beyond the slots": (FAR, (-1, 5, 5000, 4)),
    "it is cancelled": ([*FAR, far("C", 7, 5000, 4)], (-1, 5, 5001, 3)),
    "it is cancelled in part": ([*FAR, far("C", 7, 5000, 1)], (-1, 5, 5000, 3)),
    "it is filled": ([*FAR, far("F", 7, 5000, 4)], (-1, 5, 5001, 3)),
    "it is filled in part": ([*FAR, far("F", 7, 5000, 3)], (-1, 5, 5000, 1)),
    "it is filled and brought back": ([*FAR, far("F", 7, 5000, 4), far("M", 7, 5000, 2)], (-1, 5, 5000, 2)),
    "it is filled, brought back and cancelled": (
        [*FAR, far("F", 7, 5000, 4), far("M", 7, 5000, 2), far("C", 7, 5000, 2)], (-1, 5, 5001, 3),
    ),
    "it grows": ([*FAR, far("M", 7, 5000, 9)], (-1, 5, 5000, 9)),
    "it shrinks": ([*FAR, far("M", 7, 5000, 2)], (-1, 5, 5000, 2)),
    "it shrinks to nothing": ([*FAR, far("M", 7, 5000, 0)], (-1, 5, 5001, 3)),
    "it moves away": ([*FAR, far("M", 7, 5002, 4)], (-1, 5, 5001, 3)),
    "it moves nearer": ([*FAR, far("M", 8, 4999, 3)], (-1, 5, 4999, 3)),
    "it moves into the slots": ([*FAR, far("M", 8, 9, 3)], (-1, 5, 9, 3)),
    "it moves into the slots and out again": ([*FAR, far("M", 8, 9, 3), far("M", 8, 5001, 6)], (-1, 5, 5000, 4)),
    "it changes sides": ([*FAR, far("M", 7, 5000, 4, "B")], (5000, 4, 5001, 3)),
    "it is added again further away": ([*FAR, far("A", 7, 5003, 1)], (-1, 5, 5001, 3)),
    "two at the best tick, one goes": ([*FAR, far("A", 9, 5000, 6), far("C", 7, 5000, 4)], (-1, 5, 5000, 6)),
    "two at the best tick, both go": (
        [*FAR, far("A", 9, 5000, 6), far("C", 7, 5000, 4), far("C", 9, 5000, 6)], (-1, 5, 5001, 3),
    ),
    "one that is not the best goes": ([*FAR, far("C", 8, 5001, 3)], (-1, 5, 5000, 4)),
    "none is left": ([*FAR, far("C", 8, 5001, 3), far("C", 7, 5000, 4)], (-1, 5, 0, 0)),
    "of size 0, re-sized and cancelled": (
        [NO_ASK, far("A", 7, 5000, 0), far("M", 7, 5000, 4), far("A", 8, 5001, 3), far("C", 7, 5000, 4)], (-1, 5, 5001, 3),
    ),
    "of size 0 is no level": ([NO_ASK, far("A", 7, 5000, 0), far("A", 8, 5001, 3)], (-1, 5, 5001, 3)),
    "of size 0 in the slots is no level": ([NO_ASK, far("A", 7, 3, 0), far("A", 8, 4, 3)], (-1, 5, 4, 3)),
    "of size 0 in the slots, re-sized and cancelled": (
        [NO_ASK, far("A", 7, 3, 0), far("M", 7, 3, 4), far("A", 8, 4, 3), far("C", 7, 3, 4)], (-1, 5, 4, 3),
    ),
    "an ask in the slots goes before": ([*FAR, far("A", 9, 20, 1)], (-1, 5, 20, 1)),
    "and gives way again": ([*FAR, far("A", 9, 20, 1), far("C", 9, 20, 1)], (-1, 5, 5000, 4)),
    "a level in the slots keeps its other order": ([far("A", 7, 2, 4), far("C", 2, 2, 5)], (-1, 5, 2, 4)),
    "worse than the best in the slots": ([far("A", 7, 5000, 4)], (-1, 5, 2, 5)),
    "a clear forgets them": ([*FAR, far("C", 7, 5000, 4), CLEAR, BID_5, far("A", 9, 6000, 1)], (-1, 5, 6000, 1)),
    "a cancel beyond the size": ([*FAR, far("C", 7, 5000, 9)], (-1, 5, 5001, 3)),
    "price between the ticks moves within its tick": (
        [record("M", 2, side="A", price=(MID_TICK + 2) * TICK + 1, size=5)], (-1, 5, 2, 5),
    ),
    "below the slots": ([far("A", 7, -5000, 4)], (-1, 5, -5000, 4)),
    "below the slots and gone": ([far("A", 7, -5000, 4), far("C", 7, -5000, 4)], (-1, 5, 2, 5)),
    # Spot moves to -2500 with the ask at -5000, and the slots with it.
    "below the slots and gone, the next in the outermost slot": (
        [far("A", 7, -5000, 4), far("A", 8, -2564, 3), far("C", 7, -5000, 4)], (-1, 5, -2564, 3),
    ),
    # The slots move at event ends only, and stand around 2500 until then.
    "a clear forgets which was the best": (
        [*FAR, CLEAR, BID_5, far("A", 9, 6000, 1, flags=0), far("A", 10, 2500, 2, flags=0), far("C", 10, 2500, 2)],
        (-1, 5, 6000, 1),
    ),
    "above and below the slots": ([*FAR, far("A", 9, -5000, 2), far("C", 9, -5000, 2)], (-1, 5, 5000, 4)),
}  # fmt: skip


def mirrored(r: Record) -> Record:
    """Bids become asks, and a tick t from 21,600.00 becomes 1 - t: the two orders at the start change places."""
    price = r.price if r.price == UNDEF_PRICE else (2 * MID_TICK + 1) * TICK - r.price
    order_id = {1: 2, 2: 1}.get(r.order_id, r.order_id)
    return Record(**{**vars(r), "side": {"A": "B", "B": "A"}.get(r.side, r.side), "price": price, "order_id": order_id})


def bests(stream: Sequence[Record]) -> tuple[int, int, int, int]:
    last = run_engine(CONFIG, [BID_5, ASK_5, *stream]).fields[-1]
    ticks = [int(price) // TICK - MID_TICK if price else 0 for price in (last["best_bid_price_int"], last["best_ask_price_int"])]
    return ticks[0], int(last["best_bid_size"]), ticks[1], int(last["best_ask_size"])


@pytest.mark.parametrize("flags", [F_LAST, 0], ids=["at an event end", "within an event"])
@pytest.mark.parametrize("case", CASES)
def test_best_prices_and_sizes_after(case: str, flags: int) -> None:
    """Within an event the slots do not move, so that nothing is placed anew."""
    (*before, last), (bid, bid_size, ask, ask_size) = CASES[case]
    stream = [*before, Record(**{**vars(last), "flags": flags})]
    assert bests(stream) == (bid, bid_size, ask, ask_size)
    assert bests([mirrored(r) for r in stream]) == (1 - ask if ask_size else 0, ask_size, 1 - bid, bid_size)


def far_orders(runner: Runner) -> list[int]:
    """Bids and asks with size that no slot holds, counted anew."""
    book = runner.engine.book
    live = book.orders[(book.orders["side"] != 0) & (book.orders["size"] > 0)]
    slots = live["tick"] - book.scalars["anchor"][0] + len(book.depth) // 2
    outside = live["side"][(slots < 0) | (slots >= len(book.depth)) | (book.scalars["anchored"][0] == 0)]
    return [int(np.count_nonzero((outside == BID) == is_bid)) for is_bid in (True, False)]


far_tick = st.sampled_from([-5000, -900, -60, -3, 3, 60, 900, 5000])
sized = st.tuples(
    st.sampled_from("AAAACCMMMFR"), st.integers(1, 6), st.sampled_from("BA"), far_tick, st.sampled_from([0, 1, 2, 2, 5])
)


@given(st.lists(sized, min_size=5, max_size=60))
@settings(max_examples=40)
def test_levels_beyond_the_slots_equal_the_reference(steps: list[tuple[str, int, str, int, int]]) -> None:
    slow, runner = reference.Book(TICK), make_runner(CONFIG)
    for action, order_id, side, tick, size in steps:
        item = record(action, order_id, side=side, tick=tick, size=size)
        slow.apply(item)
        list(runner.feed(to_array([item]), 1))
        book = runner.engine.book
        scalars = book.scalars[0]
        for column, best in (("B", "best_bid"), ("A", "best_ask")):
            price = slow.best(column)
            if price is None:
                assert scalars[best] < -(2**60)
                continue
            assert int(scalars[best]) * TICK == price
            assert level_size(book, scalars[best], "BA".index(column) + 1) == slow.best_size(column)
        assert [int(scalars["n_far_bid"]), int(scalars["n_far_ask"])] == far_orders(runner)
