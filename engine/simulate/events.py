"""What happens next in the simulated market: adds, cancels, modifies and sweeps, bursts, and a planted edge's events.

Adds come at a rate per book, cancels at a rate per resting order, more readily near the touch: that balance makes the
depth profile and brings it back after a move.
"""

from typing import Final

from engine.constants import ACTION_ADD, ACTION_CANCEL, ACTION_MODIFY, F_LAST
from engine.jit import kernel
from engine.schema import MboRecords
from engine.simulate.edge import CUE_SHARE, NO_EDGE, add_cue, advance_edge, push_on
from engine.simulate.flow import advance_latent, draw_arrival, excite, set_leans
from engine.simulate.leaving import FLEETING, pick_far, pick_leaving, pick_near, weigh_near, weigh_run
from engine.simulate.orders import ALL_OF_IT, SIZE_NEAR, change_order, draw_size, draw_sweep, place_order, sweep
from engine.simulate.queues import (
    ASK,
    BID,
    MAX_FILLS,
    N_SLOTS,
    Feed,
    Market,
    drop_order,
    emit_order,
    new_order_id,
    rest_order,
    uniform,
)

MAX_EVENT_RECORDS: Final = 1 + 2 * MAX_FILLS
MIN_SIDE_ORDERS: Final = 150  # a side is never emptied: below this it only gains

# Share of each kind of event when the book stands at its usual size.
P_TRADE: Final = 0.07
P_ADD_NEAR: Final = 0.45
P_ADD_FAR: Final = 0.10
P_MODIFY: Final = 0.09
USUAL_NEAR: Final = 1200.0  # orders within NEAR of the touch, both sides, weighted by HASTE
USUAL_LIVE: Final = 2300.0  # orders


@kernel
def run_burst(market: Market, feed: Feed, out: MboRecords) -> None:
    """One event of a burst: the level in its way is taken or pulled, and the other side follows into the room."""
    state = market.state[0]
    left = state["burst_left"]
    hit = ASK if left > 0 else BID
    before = state["best_ask"] if hit == ASK else state["best_bid"]
    u = uniform(market.rng)
    excite(market, feed, u > 0.7)
    if u < 0.4 and state["best_ask"] - state["best_bid"] > 1:
        tick = before - 1 if hit == ASK else before + 1
        slot = rest_order(market, new_order_id(market), 1 - hit, tick, draw_size(market.rng, SIZE_NEAR))
        emit_order(market, feed, out, ACTION_ADD, slot, market.orders[slot]["size"], F_LAST)
        return
    if u < 0.7:
        slot = market.levels[hit, before]["back"]
        emit_order(market, feed, out, ACTION_CANCEL, slot, market.orders[slot]["size"], F_LAST)
        drop_order(market, slot)
    else:
        sweep(market, feed, out, hit, ALL_OF_IT, 1)
    if hit == ASK:
        state["burst_left"] = max(0, left - (state["best_ask"] - before))
    else:
        state["burst_left"] = min(0, left + (before - state["best_bid"]))


@kernel
def make_event(market: Market, feed: Feed, out: MboRecords) -> None:
    """Choose what happens at the current time and write its records."""
    rng = market.rng
    state = market.state[0]
    set_leans(market)
    n_asks = state["n_live"] - state["n_bids"]
    thin = BID if state["n_bids"] < n_asks else ASK
    is_thin = min(state["n_bids"], n_asks) < MIN_SIDE_ORDERS
    if not is_thin:
        if state["pushes"] != 0 or state["settling"] != 0:
            push_on(market, feed, out)
            return
        if state["burst_left"] != 0:
            run_burst(market, feed, out)
            return
        if state["cue"] != 0 and uniform(rng) < CUE_SHARE:
            add_cue(market, feed, out)
            return
    near_bid = weigh_near(market, BID)
    near_ask = weigh_near(market, ASK)
    w_trade = P_TRADE * state["eagerness"]
    if state["best_ask"] - state["best_bid"] > 1:
        w_trade *= 0.4  # a wide market is not hit
    w_run, run_side = weigh_run(market)
    w_near = P_ADD_NEAR * (FLEETING + (1.0 - FLEETING) * (near_bid + near_ask) / USUAL_NEAR)
    w_far = P_ADD_FAR * state["n_live"] / USUAL_LIVE
    u = uniform(rng) * (w_trade + P_ADD_NEAR + P_ADD_FAR + P_MODIFY + w_near + w_run + w_far)
    v = uniform(rng)
    is_trade = u < w_trade and not is_thin
    excite(market, feed, is_trade)
    if is_trade:
        wanted, n_levels = draw_sweep(market)
        sweep(market, feed, out, ASK if v < 0.5 + 0.5 * state["lean_takers"] else BID, wanted, n_levels)
        return
    u -= w_trade
    if is_thin or (u < P_ADD_NEAR + P_ADD_FAR and state["n_live"] < N_SLOTS):
        side = BID if v < 0.5 + 0.5 * state["lean_makers"] else ASK
        slot = place_order(market, feed, thin if is_thin else side, u < P_ADD_NEAR)
        emit_order(market, feed, out, ACTION_ADD, slot, market.orders[slot]["size"], F_LAST)
        return
    u -= P_ADD_NEAR + P_ADD_FAR
    if u < P_MODIFY:
        slot = pick_near(market, BID, near_bid) if u < 0.375 * P_MODIFY else pick_far(market)
        if 0.375 * P_MODIFY <= u < 0.75 * P_MODIFY:
            slot = pick_near(market, ASK, near_ask)
        change_order(market, slot)
        emit_order(market, feed, out, ACTION_MODIFY, slot, market.orders[slot]["size"], F_LAST)
        return
    u -= P_MODIFY
    if u < w_near:
        slot = pick_leaving(market, near_bid, near_ask, u / w_near, v)
    elif u < w_near + w_run:
        slot = market.levels[run_side, state["best_bid"] if run_side == BID else state["best_ask"]]["back"]
    else:
        slot = pick_far(market)
    emit_order(market, feed, out, ACTION_CANCEL, slot, market.orders[slot]["size"], F_LAST)
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
        if feed.edge.relation != NO_EDGE:
            advance_edge(market, feed, state["ts_event"])
        make_event(market, feed, out)
        state["n_events"] += 1
        state["n_records"] += state["n_out"] - before
        draw_arrival(market, feed)
    n_written: int = state["n_out"]
    return n_written
