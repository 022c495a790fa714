"""What one does in the simulated market: rest an order, change one, take what rests."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import ACTION_CANCEL, ACTION_FILL, ACTION_MODIFY, ACTION_TRADE, F_LAST, SIDE_ASK, SIDE_BID
from engine.jit import kernel
from engine.schema import MboRecords
from engine.simulate.flow import PARENT_STAYS
from engine.simulate.queues import (
    ASK,
    BID,
    MAX_FILLS,
    N_RECENT,
    NIL,
    Feed,
    Market,
    below,
    drop_order,
    emit,
    emit_order,
    exponential,
    join_queue,
    leave_queue,
    new_order_id,
    rest_order,
    uniform,
)

REACH: Final = 450  # ticks from the touch where new orders rest
NEAR: Final = 32  # ticks from the touch where most of them do
NEAR_TICKS: Final = 3.0  # mean distance of a near add behind the touch
JOIN_TOUCH: Final = 0.18  # share of near adds that join the best level
NARROW: Final = 0.8  # chance per tick of room that a near add goes inside the spread
P_DEEP: Final = 0.07  # share of sweeps that may reach beyond the best level
DEEP_LEVELS: Final = 3
SIZE_NEAR: Final = 4.0  # contracts, tail of the size of an order
SIZE_FAR: Final = 3.0
SIZE_TRADE: Final = 4.2
ALL_OF_IT: Final = 1 << 30  # contracts; a level holds fewer


@kernel
def draw_size(rng: NDArray[np.int64], tail: float) -> int:
    """Contracts of a new order: mostly one or two, now and then a round lot."""
    u = uniform(rng)
    if u < 0.5:
        return 1
    if u > 0.975:
        return 5 * (1 + below(rng, 6))
    return 1 + int(exponential(rng, tail))


@kernel
def draw_far_tick(market: Market, feed: Feed, side: int, touch: int) -> int:
    """Level away from the touch, drawn to whole points and rounder prices."""
    rng = market.rng
    if uniform(rng) < 0.3:
        distance = NEAR + int(exponential(rng, 150.0))
    else:
        distance = NEAR + below(rng, REACH - NEAR)
    if distance >= REACH:
        distance = NEAR + below(rng, REACH - NEAR)
    tick = touch - distance if side == BID else touch + distance
    u = uniform(rng)
    if u < 0.08:
        tick -= (feed.base_tick + tick) % 20
    elif u < 0.25:
        tick -= (feed.base_tick + tick) % 4
    if side == ASK and tick < touch + NEAR:
        tick = touch + NEAR
    return tick


@kernel
def place_order(market: Market, feed: Feed, side: int, is_near: bool) -> int:
    """Rest a new passive order, inside the spread when there is room and somebody cares; returns its slot."""
    rng = market.rng
    state = market.state[0]
    touch = state["best_bid"] if side == BID else state["best_ask"]
    towards = 1 if side == BID else -1
    if not is_near:
        tick = draw_far_tick(market, feed, side, touch)
    else:
        room = state["best_ask"] - state["best_bid"] - 1
        u = uniform(rng)
        if uniform(rng) < NARROW * room:
            tick = touch + towards * (1 + int(u * u * room))
        elif u < JOIN_TOUCH:
            tick = touch
        else:
            tick = touch - towards * (1 + min(int(exponential(rng, NEAR_TICKS)), NEAR - 1))
    size = draw_size(rng, SIZE_NEAR if is_near else SIZE_FAR)
    slot: int = rest_order(market, new_order_id(market), side, tick, size)
    if is_near:
        recent = market.recent[state["n_recent"] % N_RECENT]
        recent[0] = slot
        recent[1] = market.orders[slot]["id"]
        state["n_recent"] += 1
    return slot


@kernel
def change_order(market: Market, slot: int) -> None:
    """Change size or price; only a smaller size at the same price keeps the place in the queue."""
    rng = market.rng
    state = market.state[0]
    order = market.orders[slot]
    side = order["side"]
    tick = order["tick"]
    u = uniform(rng)
    if u < 0.35 and order["size"] > 1:
        order["size"] = 1 + below(rng, order["size"] - 1)
        return
    target = tick
    if u < 0.75:
        ticks = 1 + int(exponential(rng, 1.5))
        if uniform(rng) < 0.4:
            ticks = -ticks
        if side == BID:
            target = min(tick + ticks, state["best_ask"] - 1)
        else:
            target = max(tick - ticks, state["best_bid"] + 1)
    if target == tick:
        order["size"] += 1 + int(exponential(rng, 1.5))
    leave_queue(market, slot)
    join_queue(market, slot, side, target)


@kernel
def draw_sweep(market: Market) -> tuple[int, int]:
    """Contracts wanted by a marketable order and the levels it may reach."""
    wanted = draw_size(market.rng, SIZE_TRADE)
    if uniform(market.rng) < P_DEEP * market.state[0]["eagerness"]:
        return wanted + int(exponential(market.rng, 12.0)), DEEP_LEVELS
    return wanted, 1


@kernel
def sweep(market: Market, feed: Feed, out: MboRecords, hit_side: int, wanted: int, n_levels: int) -> None:
    """A marketable order: the trade, a fill per resting order hit in price-time priority, then what is left of each.

    The trade bears the whole size and the first fill's price.
    """
    state = market.state[0]
    touch = state["best_bid"] if hit_side == BID else state["best_ask"]
    step = -1 if hit_side == BID else 1
    n_fills = 0
    traded = 0
    for distance in range(n_levels):
        slot = market.levels[hit_side, touch + step * distance]["front"]
        while slot != NIL and traded < wanted and n_fills < MAX_FILLS:
            size = min(wanted - traded, market.orders[slot]["size"])
            market.fills[n_fills, 0] = slot
            market.fills[n_fills, 1] = size
            traded += size
            n_fills += 1
            slot = market.orders[slot]["behind"]
    aggressor = SIDE_ASK if hit_side == BID else SIDE_BID
    emit(market, feed, out, ACTION_TRADE, aggressor, 0, (feed.base_tick + touch) * feed.tick_int, traded, 0)
    for i in range(n_fills):
        emit_order(market, feed, out, ACTION_FILL, market.fills[i, 0], market.fills[i, 1], 0)
    for i in range(n_fills):
        slot = market.fills[i, 0]
        rest = market.orders[slot]["size"] - market.fills[i, 1]
        action = ACTION_MODIFY if rest > 0 else ACTION_CANCEL
        # A modify says what is left, a cancel what went.
        size = rest if rest > 0 else market.fills[i, 1]
        emit_order(market, feed, out, action, slot, size, F_LAST if i == n_fills - 1 else 0)
        if rest > 0:
            market.orders[slot]["size"] = rest
        else:
            drop_order(market, slot)
    state["n_trades"] += 1
    sign = 1.0 if hit_side == ASK else -1.0
    state["chain"] += sign
    state["parent"] = PARENT_STAYS * state["parent"] + sign
