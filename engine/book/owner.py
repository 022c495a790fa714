"""The order book's owner: allocates the arrays, grows the order table, offers views.

Source: engine.md section 2.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from engine.book.kernels import ASK, BID, BOOK_DTYPE, FIRST_TABLE, NO_TICK, BookState
from engine.book.order_table import ORDER_DTYPE, rehash
from engine.constants import NS_PER_S
from engine.schema import Structured


def make_book(n_slots: int, table: int = FIRST_TABLE) -> BookState:
    """An empty book with ``n_slots`` tick slots and room for ``table // 2`` orders."""
    scalars = np.zeros(1, BOOK_DTYPE)
    for name in ("best_bid", "best_ask", "far_bid", "far_ask"):
        scalars[name] = NO_TICK
    return BookState(scalars=scalars, orders=np.zeros(table, ORDER_DTYPE), depth=np.zeros((n_slots, 2), np.int64))


def table_for(n_orders: int) -> Structured:
    """An empty order table with ample room for so many orders."""
    return np.zeros(max(FIRST_TABLE, 1 << (4 * n_orders).bit_length()), ORDER_DTYPE)


def grow(book: BookState) -> BookState:
    """The same book with twice the room for orders."""
    larger = np.zeros(2 * len(book.orders), ORDER_DTYPE)
    rehash(book.orders, larger)
    return book._replace(orders=larger)


@dataclass(frozen=True)
class Level:
    """One price of one side."""

    price: float  # dollars
    size: int  # contracts
    orders: int


@dataclass(frozen=True)
class BookView:
    """A book at a moment; prices in dollars, sizes in contracts, levels best first."""

    bid_levels: int
    ask_levels: int
    best_bid: float | None
    best_bid_size: int
    best_ask: float | None
    best_ask_size: int
    bid_orders: int
    ask_orders: int
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]

    def to_json(self) -> dict[str, Any]:
        """As the ``book`` command prints it: the counts, and the levels of both sides under ``levels``."""
        values = asdict(self)
        levels = {"bid": values.pop("bids"), "ask": values.pop("asks")}
        return {**values, "levels": levels}


def view_book(book: BookState, tick_int: int, depth: int) -> BookView:
    """Count the levels and orders of a book and show its best ``depth`` levels.

    Counted from the orders themselves, so it does not depend on where the tick slots lie.
    """
    live = book.orders[(book.orders["side"] != 0) & (book.orders["size"] > 0)]
    sides: dict[int, list[Level]] = {}
    totals: dict[int, tuple[int, int]] = {}
    for side in (BID, ASK):
        orders = live[live["side"] == side]
        ticks, places = np.unique(orders["tick"], return_inverse=True)
        sizes = np.zeros(len(ticks), np.int64)
        np.add.at(sizes, places, orders["size"])
        counts = np.bincount(places, minlength=len(ticks))
        best_first = slice(None, None, -1) if side == BID else slice(None)
        shown = list(zip(ticks[best_first], sizes[best_first], counts[best_first], strict=True))[: max(depth, 1)]
        sides[side] = [Level(int(t) * tick_int / NS_PER_S, int(z), int(n)) for t, z, n in shown]
        totals[side] = (len(ticks), len(orders))
    bids, asks = sides[BID], sides[ASK]
    return BookView(
        bid_levels=totals[BID][0],
        ask_levels=totals[ASK][0],
        best_bid=bids[0].price if bids else None,
        best_bid_size=bids[0].size if bids else 0,
        best_ask=asks[0].price if asks else None,
        best_ask_size=asks[0].size if asks else 0,
        bid_orders=totals[BID][1],
        ask_orders=totals[ASK][1],
        bids=tuple(bids[:depth]),
        asks=tuple(asks[:depth]),
    )
