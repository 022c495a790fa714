"""The book that a simulated session opens with, and its snapshot."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import ACTION_ADD, ACTION_CLEAR, F_LAST, F_SNAPSHOT, SIDE_NONE, UNDEF_PRICE
from engine.jit import kernel
from engine.schema import MboRecords
from engine.simulate.flow import draw_arrival, start_latent
from engine.simulate.orders import NEAR, SIZE_FAR, SIZE_NEAR, draw_far_tick, draw_size
from engine.simulate.queues import (
    ASK,
    BID,
    N_LEVELS,
    NIL,
    Feed,
    Market,
    below,
    emit,
    emit_order,
    exponential,
    rest_order,
)

OPENING_FAR_ORDERS: Final = 900  # a side


@kernel
def open_book(market: Market, feed: Feed, ages: NDArray[np.int64]) -> None:
    """Fill the book that the snapshot shows and start the latent state.

    ``ages`` (N_SLOTS,) takes each order's age in ns, by slot: growing towards the front of its queue.
    """
    rng = market.rng
    state = market.state[0]
    middle = N_LEVELS // 2
    state["best_bid"] = middle - 1
    state["best_ask"] = middle
    start_latent(market, feed)
    for side in range(2):
        touch = state["best_bid"] if side == BID else state["best_ask"]
        step = -1 if side == BID else 1
        for distance in range(NEAR):
            n_orders = 2 + below(rng, 4)
            for _ in range(n_orders):
                rest_order(market, 0, side, touch + step * distance, draw_size(rng, SIZE_NEAR))
        for _ in range(OPENING_FAR_ORDERS):
            rest_order(market, 0, side, draw_far_tick(market, feed, side, touch), draw_size(rng, SIZE_FAR))
        for tick in range(N_LEVELS):
            slot = market.levels[side, tick]["back"]
            distance = abs(tick - touch)
            age = 0.0
            while slot != NIL:
                age += exponential(rng, 20.0 if distance < NEAR else 1800.0)
                ages[slot] = int(age * 1e9)
                slot = market.orders[slot]["ahead"]


@kernel
def write_snapshot(market: Market, feed: Feed, out: MboRecords) -> int:
    """Write the clear and the adds of the opening snapshot, best level first, queues from the front; returns the count.

    Each add bears the time at which its order took its place.
    """
    state = market.state[0]
    state["n_out"] = 0
    state["ts_event"] = feed.start_ns
    state["ts_recv"] = feed.start_ns
    emit(market, feed, out, ACTION_CLEAR, SIDE_NONE, 0, UNDEF_PRICE, 0, F_SNAPSHOT)
    for side in range(2):
        step = -1 if side == BID else 1
        tick = state["best_bid"] if side == BID else state["best_ask"]
        left = state["n_bids"] if side == BID else state["n_live"] - state["n_bids"]
        while left > 0:
            slot = market.levels[side, tick]["front"]
            while slot != NIL:
                state["ts_event"] = market.orders[slot]["ts"]
                flags = F_SNAPSHOT | F_LAST if side == ASK and left == 1 else F_SNAPSHOT
                emit_order(market, feed, out, ACTION_ADD, slot, market.orders[slot]["size"], flags)
                slot = market.orders[slot]["behind"]
                left -= 1
            tick += step
    state["ts_event"] = feed.start_ns
    draw_arrival(market, feed)
    n_written: int = state["n_out"]
    return n_written
