"""What happens in the simulated market: the opening book and its snapshot, then adds, cancels, modifies and sweeps.

Adds come at a rate per book, cancels at a rate per resting order, more readily near the touch: that balance makes the
depth profile and brings it back after a move.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from engine.constants import (
    ACTION_ADD,
    ACTION_CANCEL,
    ACTION_CLEAR,
    ACTION_FILL,
    ACTION_MODIFY,
    ACTION_TRADE,
    F_LAST,
    F_SNAPSHOT,
    SIDE_ASK,
    SIDE_BID,
    SIDE_NONE,
    UNDEF_PRICE,
)
from engine.jit import kernel
from engine.schema import MboRecords
from engine.simulate.flow import advance_latent, draw_arrival, excite, set_leans, start_latent
from engine.simulate.queues import (
    ASK,
    BID,
    MAX_FILLS,
    N_LEVELS,
    N_SLOTS,
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

MAX_EVENT_RECORDS: Final = 1 + 2 * MAX_FILLS
REACH: Final = 450  # ticks from the touch where new orders rest
NEAR: Final = 32  # ticks from the touch where most of them do
MIN_SIDE_ORDERS: Final = 150  # a side is never emptied: below this it only gains
OPENING_FAR_ORDERS: Final = 900  # a side

# Share of each kind of event when the book stands at its usual size.
P_TRADE: Final = 0.05
P_ADD_NEAR: Final = 0.34
P_ADD_FAR: Final = 0.10
P_MODIFY: Final = 0.09
USUAL_NEAR: Final = 60.0  # orders within NEAR of the touch, both sides, weighted by HASTE
USUAL_LIVE: Final = 2300.0  # orders
HASTE: Final = np.exp(-np.arange(NEAR) / 8.0)  # how readily an order is pulled, by its distance
NEAR_TICKS: Final = 9.0  # mean distance of a near add behind the touch
JOIN_TOUCH: Final = 0.18  # share of near adds that join the best level
NARROW: Final = 0.22  # chance per tick of room that a near add goes inside the spread
P_DEEP: Final = 0.10  # share of sweeps that may reach beyond the best level
DEEP_LEVELS: Final = 3
SIZE_NEAR: Final = 2.2  # contracts, tail of the size of an order
SIZE_FAR: Final = 3.0


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


@kernel
def weigh_near(market: Market, side: int) -> float:
    """Orders near the touch, each weighted by how readily it is pulled."""
    state = market.state[0]
    touch = state["best_bid"] if side == BID else state["best_ask"]
    step = -1 if side == BID else 1
    total = 0.0
    for distance in range(NEAR):
        total += HASTE[distance] * market.levels[side, touch + step * distance]["count"]
    return total


@kernel
def pick_near(market: Market, side: int, total: float) -> int:
    """Slot of a random order near the touch with the weights of ``weigh_near``; younger ones rather than older."""
    rng = market.rng
    state = market.state[0]
    tick = state["best_bid"] if side == BID else state["best_ask"]
    step = -1 if side == BID else 1
    chosen = tick
    left = uniform(rng) * total
    for distance in range(NEAR):
        if market.levels[side, tick]["count"] > 0:
            chosen = tick
            left -= HASTE[distance] * market.levels[side, tick]["count"]
            if left < 0.0:
                break
        tick += step
    n_orders = market.levels[side, chosen]["count"]
    from_back = min(below(rng, n_orders), below(rng, n_orders))
    slot: int = market.levels[side, chosen]["back"]
    for _ in range(from_back):
        slot = market.orders[slot]["ahead"]
    return slot


@kernel
def pick_far(market: Market) -> int:
    """Slot of a random resting order away from the touch (or, rarely, any)."""
    state = market.state[0]
    slot = NIL
    for _ in range(8):
        slot = market.live[below(market.rng, state["n_live"])]
        order = market.orders[slot]
        if order["side"] == BID:
            distance = state["best_bid"] - order["tick"]
        else:
            distance = order["tick"] - state["best_ask"]
        if distance >= NEAR:
            break
    return slot


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
    return rest_order(market, new_order_id(market), side, tick, size)


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
def sweep(market: Market, feed: Feed, out: MboRecords, hit_side: int) -> None:
    """A marketable order: the trade, a fill per resting order hit in price-time priority, then what is left of each.

    The trade bears the whole size and the first fill's price.
    """
    rng = market.rng
    state = market.state[0]
    touch = state["best_bid"] if hit_side == BID else state["best_ask"]
    step = -1 if hit_side == BID else 1
    wanted = draw_size(rng, 2.5)
    n_levels = 1
    if uniform(rng) < P_DEEP * state["eagerness"]:
        wanted += int(exponential(rng, 12.0))
        n_levels = DEEP_LEVELS
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
    state["chain"] += 1.0 if hit_side == ASK else -1.0


@kernel
def make_event(market: Market, feed: Feed, out: MboRecords) -> None:
    """Choose what happens at the current time and write its records."""
    rng = market.rng
    state = market.state[0]
    set_leans(market)
    tilt = state["lean_makers"]
    near_bid = weigh_near(market, BID)
    near_ask = weigh_near(market, ASK)
    w_trade = P_TRADE * state["eagerness"]
    if state["best_ask"] - state["best_bid"] > 1:
        w_trade *= 0.4  # a wide market is not hit
    w_cancel_near = P_ADD_NEAR * (near_bid + near_ask) / USUAL_NEAR
    w_cancel_far = P_ADD_FAR * state["n_live"] / USUAL_LIVE
    u = uniform(rng) * (w_trade + P_ADD_NEAR + P_ADD_FAR + P_MODIFY + w_cancel_near + w_cancel_far)
    v = uniform(rng)
    n_asks = state["n_live"] - state["n_bids"]
    thin = BID if state["n_bids"] < n_asks else ASK
    is_thin = min(state["n_bids"], n_asks) < MIN_SIDE_ORDERS
    is_trade = u < w_trade and not is_thin
    excite(market, feed, is_trade)
    if is_trade:
        sweep(market, feed, out, ASK if v < 0.5 + 0.5 * state["lean_takers"] else BID)
        return
    u -= w_trade
    if is_thin or (u < P_ADD_NEAR + P_ADD_FAR and state["n_live"] < N_SLOTS):
        action = ACTION_ADD
        side = BID if v < 0.5 + 0.5 * tilt else ASK
        slot = place_order(market, feed, thin if is_thin else side, u < P_ADD_NEAR)
    else:
        u -= P_ADD_NEAR + P_ADD_FAR
        action = ACTION_MODIFY if u < P_MODIFY else ACTION_CANCEL
        u_near = 0.75 * P_MODIFY if u < P_MODIFY else P_MODIFY + w_cancel_near
        if u < u_near:
            # A market that leans to buying pulls its offers.
            pull_bid = near_bid * (1.0 - 0.5 * tilt)
            pull_ask = near_ask * (1.0 + 0.5 * tilt)
            is_bid = v * (pull_bid + pull_ask) < pull_bid
            slot = pick_near(market, BID if is_bid else ASK, near_bid if is_bid else near_ask)
        else:
            slot = pick_far(market)
        if action == ACTION_MODIFY:
            change_order(market, slot)
    emit_order(market, feed, out, action, slot, market.orders[slot]["size"], F_LAST)
    if action == ACTION_CANCEL:
        drop_order(market, slot)


@kernel
def fill_chunk(market: Market, feed: Feed, out: MboRecords) -> int:
    """Make events until ``out`` has no room for another or the session ends; returns the records written.

    The next event's time is drawn as soon as the last one is done, so where a chunk ends changes nothing.
    """
    state = market.state[0]
    state["n_out"] = 0
    while state["n_out"] + MAX_EVENT_RECORDS <= out.shape[0] and state["ts_recv"] < feed.end_ns:
        before = state["n_out"]
        advance_latent(market, feed, state["ts_event"])
        make_event(market, feed, out)
        state["n_events"] += 1
        state["n_records"] += state["n_out"] - before
        draw_arrival(market, feed)
    n_written: int = state["n_out"]
    return n_written
