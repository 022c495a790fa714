"""The order book as flat arrays: add, cancel, modify, fill, clear, and the upkeep of the best prices.

Depth lives in tick slots around an anchor; orders beyond the slots stay in the table and are counted in ``n_far``.
Sides are 1 (bid) and 2 (ask), 0 marks an empty place of the table; depth columns are 0 (bid) and 1 (ask).

Source: engine.md section 2.
"""

from typing import Final, NamedTuple

import numpy as np

from engine.book.order_table import delete_order, free_place
from engine.constants import UNDEF_PRICE
from engine.jit import inline_kernel, kernel
from engine.schema import Ints, Record, Structured

BID: Final = 1
ASK: Final = 2
FIRST_TABLE: Final = 1 << 12  # orders' places, twice as many as orders at least; small, so that they stay in the cache
NO_TICK: Final = UNDEF_PRICE  # no best price on that side; no price is it, so no tick of any size is
LARGEST_PRICE: Final = 2**63 - 1
SMALLEST_PRICE: Final = -(2**63)
EXACT_QUOTIENT: Final = 2.0**50  # below it a quotient of floats is at most one off
OFF_GRID: Final = -1  # slot of a price outside the grid

BOOK_DTYPE: Final = np.dtype(
    [
        ("n_orders", "<i8"),
        ("anchored", "<i8"),  # 1 once the tick slots have a place
        ("anchor", "<i8"),  # tick of slot n_slots // 2
        ("best_bid", "<i8"),  # tick, NO_TICK when the side is empty
        ("best_ask", "<i8"),
        ("n_far_bid", "<i8"),  # orders with size outside the slots
        ("n_far_ask", "<i8"),
        ("far_bid", "<i8"),  # best tick among them
        ("far_ask", "<i8"),
        ("far_stale", "<i8"),  # 1 when far_bid or far_ask must be searched again
        ("book_valid", "<i8"),
        ("snapshot_open", "<i8"),
        ("snapshot_ts", "<i8"),  # ns, of the Clear that opened the snapshot; means nothing while none is open
        ("snapshot_seen", "<i8"),  # 1 after a snapshot or a clear: the book is whole
    ]
)


class BookState(NamedTuple):
    """All of a book: ``scalars`` (1,), ``orders`` (2^m,), ``depth`` (n_slots, 2) contracts."""

    scalars: Structured
    orders: Structured
    depth: Ints


@inline_kernel
def tick_of(price: int, tick_int: int) -> tuple[int, bool]:
    """Nearest tick of a price, and whether the price lies off it; halves go up. A tick beyond the 64-bit range is none."""
    guess = float(price) / float(tick_int)
    if abs(guess) < EXACT_QUOTIENT:
        # At most one off; a division of floats takes a third of the time of one of 64-bit integers.
        q = int(guess)
        rest = price - q * tick_int
        if rest < 0:
            q -= 1
            rest += tick_int
        elif rest >= tick_int:
            q += 1
            rest -= tick_int
    else:
        q = price // tick_int
        rest = price - q * tick_int
    above = rest * 2 >= tick_int and price <= LARGEST_PRICE - tick_int
    if above or (rest != 0 and price < SMALLEST_PRICE + tick_int):
        q += 1
    return q, rest != 0


@inline_kernel
def slot_of(s: Record, tick: int, n_slots: int) -> int:
    """Slot of a tick, OFF_GRID outside or before the anchor is set."""
    if s["anchored"] == 0:
        return OFF_GRID
    slot = tick - s["anchor"] + n_slots // 2
    if slot < 0 or slot >= n_slots:
        return OFF_GRID
    return slot


@kernel
def _search_far(book: BookState) -> None:
    """Find the best ticks among the orders outside the slots; rare, so it may visit the whole table."""
    s = book.scalars[0]
    n_slots = book.depth.shape[0]
    far_bid = NO_TICK
    far_ask = NO_TICK
    for i in range(book.orders.shape[0]):
        order = book.orders[i]
        if order["side"] != 0 and order["size"] > 0 and slot_of(s, order["tick"], n_slots) == OFF_GRID:
            tick = order["tick"]
            if order["side"] == BID:
                if far_bid == NO_TICK or tick > far_bid:
                    far_bid = tick
            elif far_ask == NO_TICK or tick < far_ask:
                far_ask = tick
    s["far_bid"] = far_bid
    s["far_ask"] = far_ask
    s["far_stale"] = 0


@kernel
def _refresh_bid(book: BookState, slot: int) -> None:
    """Best bid anew, searching the slots downwards from ``slot``."""
    s = book.scalars[0]
    n_slots = book.depth.shape[0]
    best = NO_TICK
    while slot >= 0:
        if book.depth[slot, 0] > 0:
            best = slot + s["anchor"] - n_slots // 2
            break
        slot -= 1
    if s["n_far_bid"] > 0:
        if s["far_stale"] == 1:
            _search_far(book)
        if s["far_bid"] != NO_TICK and (best == NO_TICK or s["far_bid"] > best):
            best = s["far_bid"]
    s["best_bid"] = best


@kernel
def _refresh_ask(book: BookState, slot: int) -> None:
    """Best ask anew, searching the slots upwards from ``slot``."""
    s = book.scalars[0]
    n_slots = book.depth.shape[0]
    best = NO_TICK
    while slot < n_slots:
        if book.depth[slot, 1] > 0:
            best = slot + s["anchor"] - n_slots // 2
            break
        slot += 1
    if s["n_far_ask"] > 0:
        if s["far_stale"] == 1:
            _search_far(book)
        if s["far_ask"] != NO_TICK and (best == NO_TICK or s["far_ask"] < best):
            best = s["far_ask"]
    s["best_ask"] = best


@inline_kernel
def put_depth(book: BookState, tick: int, side: int, size: int) -> None:
    """``size`` contracts come to rest at a tick: depth and best price follow."""
    if size <= 0:
        return
    s = book.scalars[0]
    slot = slot_of(s, tick, book.depth.shape[0])
    if side == BID:
        if slot != OFF_GRID:
            book.depth[slot, 0] += size
        if s["best_bid"] == NO_TICK or tick > s["best_bid"]:
            s["best_bid"] = tick
    else:
        if slot != OFF_GRID:
            book.depth[slot, 1] += size
        if s["best_ask"] == NO_TICK or tick < s["best_ask"]:
            s["best_ask"] = tick


@inline_kernel
def count_far(book: BookState, tick: int, side: int, change: int) -> None:
    """An order with size appears (+1) or vanishes (-1) at a tick outside the slots."""
    s = book.scalars[0]
    if slot_of(s, tick, book.depth.shape[0]) != OFF_GRID:
        return
    if side == BID:
        s["n_far_bid"] += change
        if change > 0:
            if s["far_bid"] == NO_TICK or tick > s["far_bid"]:
                s["far_bid"] = tick
        elif tick == s["far_bid"]:
            s["far_stale"] = 1
    else:
        s["n_far_ask"] += change
        if change > 0:
            if s["far_ask"] == NO_TICK or tick < s["far_ask"]:
                s["far_ask"] = tick
        elif tick == s["far_ask"]:
            s["far_stale"] = 1


@inline_kernel
def take_depth(book: BookState, tick: int, side: int, size: int, emptied: bool) -> None:
    """``size`` contracts leave a tick; ``emptied`` says that the order there has none left."""
    if size <= 0:
        return
    s = book.scalars[0]
    n_slots = book.depth.shape[0]
    if emptied:
        count_far(book, tick, side, -1)
    slot = slot_of(s, tick, n_slots)
    if side == BID:
        if slot != OFF_GRID:
            book.depth[slot, 0] -= size
            if tick == s["best_bid"] and book.depth[slot, 0] == 0:
                _refresh_bid(book, slot - 1)
        elif emptied and tick == s["best_bid"]:
            _refresh_bid(book, n_slots - 1 if s["anchored"] == 1 else -1)
    else:
        if slot != OFF_GRID:
            book.depth[slot, 1] -= size
            if tick == s["best_ask"] and book.depth[slot, 1] == 0:
                _refresh_ask(book, slot + 1)
        elif emptied and tick == s["best_ask"]:
            _refresh_ask(book, 0 if s["anchored"] == 1 else n_slots)


@kernel
def place_orders(book: BookState) -> None:
    """Depth, far counts and best prices from the orders alone: after the anchor is set or moved."""
    s = book.scalars[0]
    n_slots = book.depth.shape[0]
    book.depth[:, :] = 0
    s["n_far_bid"] = 0
    s["n_far_ask"] = 0
    s["far_bid"] = NO_TICK
    s["far_ask"] = NO_TICK
    s["far_stale"] = 0
    s["best_bid"] = NO_TICK
    s["best_ask"] = NO_TICK
    for i in range(book.orders.shape[0]):
        order = book.orders[i]
        if order["side"] == 0 or order["size"] <= 0:
            continue
        slot = slot_of(s, order["tick"], n_slots)
        if slot == OFF_GRID:
            count_far(book, order["tick"], order["side"], 1)
        put_depth(book, order["tick"], order["side"], order["size"])


@kernel
def clear_book(book: BookState) -> None:
    """All orders and depth go; the anchor stays, since field state is bound to it."""
    s = book.scalars[0]
    if s["n_orders"] > 0:
        for i in range(book.orders.shape[0]):
            book.orders[i]["side"] = 0
        book.depth[:, :] = 0
    s["n_orders"] = 0
    s["n_far_bid"] = 0
    s["n_far_ask"] = 0
    s["far_bid"] = NO_TICK
    s["far_ask"] = NO_TICK
    s["far_stale"] = 0
    s["best_bid"] = NO_TICK
    s["best_ask"] = NO_TICK
    s["book_valid"] = 0


@inline_kernel
def remove_order(book: BookState, i: int) -> int:
    """Take an order out of the table and what it still holds out of the depth; returns that size."""
    order = book.orders[i]
    size = order["size"]
    tick = order["tick"]
    side = order["side"]
    delete_order(book.orders, i)
    book.scalars[0]["n_orders"] -= 1
    take_depth(book, tick, side, size, True)
    return size


@inline_kernel
def add_order(book: BookState, order_id: int, price: int, tick: int, side: int, size: int) -> None:
    """Insert an order whose id is not in the table."""
    i = free_place(book.orders, order_id)
    order = book.orders[i]
    order["price"] = price
    order["size"] = size
    order["pending"] = 0
    order["tick"] = tick
    order["side"] = side
    book.scalars[0]["n_orders"] += 1
    if size > 0:
        count_far(book, tick, side, 1)
        put_depth(book, tick, side, size)


@inline_kernel
def cancel_order(book: BookState, i: int, size: int) -> tuple[int, int]:
    """Take ``size`` off an order, pending fill first.

    Returns (pulled, tick): contracts pulled, or -1 when pending fill absorbed it all and no tick is touched. An order with
    nothing left goes, whatever is still pending.
    """
    order = book.orders[i]
    tick = order["tick"]
    side = order["side"]
    absorbed = min(size, order["pending"])
    order["pending"] -= absorbed
    rest = size - absorbed
    pulled = -1
    if rest > 0 or absorbed == 0:
        pulled = min(rest, order["size"])
        order["size"] -= pulled
        take_depth(book, tick, side, pulled, order["size"] == 0)
    if order["size"] == 0:
        delete_order(book.orders, i)
        book.scalars[0]["n_orders"] -= 1
    return pulled, tick


@inline_kernel
def fill_order(book: BookState, i: int, size: int) -> int:
    """A resting order trades: what it shows leaves the depth at once and waits as pending fill for its book update.

    An order that was filled to nothing before, and still owes its book update, goes with this event. Returns the tick.
    """
    order = book.orders[i]
    tick = order["tick"]
    if order["size"] == 0 and order["pending"] > 0:
        delete_order(book.orders, i)
        book.scalars[0]["n_orders"] -= 1
        return tick
    taken = min(size, order["size"])
    order["size"] -= taken
    order["pending"] += taken
    take_depth(book, tick, order["side"], taken, order["size"] == 0)
    return tick


@inline_kernel
def modify_order(book: BookState, i: int, price: int, tick: int, side: int, size: int) -> tuple[int, int]:
    """Set price, side and size of a live order; returns (old size, old tick)."""
    order = book.orders[i]
    old_size = order["size"]
    old_tick = order["tick"]
    old_side = order["side"]
    order["pending"] = 0
    if old_tick == tick and old_side == side:
        # One step, so that a level does not vanish and come back between the two halves of the change.
        if size > old_size:
            if old_size == 0:
                count_far(book, tick, side, 1)
            order["size"] = size
            put_depth(book, tick, side, size - old_size)
        elif size < old_size:
            order["size"] = size
            take_depth(book, tick, side, old_size - size, size == 0)
        order["price"] = price
        return old_size, old_tick
    order["size"] = 0
    take_depth(book, old_tick, old_side, old_size, True)
    order["price"] = price
    order["tick"] = tick
    order["side"] = side
    order["size"] = size
    if size > 0:
        count_far(book, tick, side, 1)
        put_depth(book, tick, side, size)
    return old_size, old_tick
