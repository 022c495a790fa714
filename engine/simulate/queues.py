"""The simulator's order book: price-time queues in flat arrays, a random source, and the records they emit.

The engine's own book follows a feed; this one *makes* it, so it keeps what a feed does not show: the place of each
order in its queue. Levels are indexed by tick within a fixed window, orders by slot in a fixed pool; a queue is a
linked list.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.constants import MBO_LENGTH_WORDS, RTYPE_MBO, SIDE_ASK, SIDE_BID
from engine.jit import kernel
from engine.schema import MboRecords, Structured

BID: Final = 0
ASK: Final = 1
NIL: Final = -1  # end of a queue
U32: Final = 0xFFFFFFFF
N_LEVELS: Final = 1 << 14  # ticks in the window, the opening price in its middle
N_SLOTS: Final = 1 << 14  # orders that can rest at once
MAX_FILLS: Final = 64  # resting orders one sweep can hit
N_CUES: Final = 1 << 15  # in a chunk
N_RECENT: Final = 16  # latest orders near the touch, some of which are pulled at once

ORDER_DTYPE: Final = np.dtype(
    [
        ("id", "i8"),
        ("size", "i8"),  # contracts
        ("tick", "i8"),  # level
        ("side", "i8"),  # BID or ASK
        ("ahead", "i8"),  # slot before it in the queue, NIL at the front
        ("behind", "i8"),  # slot after it, NIL at the back
        ("rank", "i8"),  # its place in `live`
        ("ts", "i8"),  # ns, when it took its place in the queue
    ]
)

LEVEL_DTYPE: Final = np.dtype(
    [
        ("front", "i8"),  # slot of the first order in the queue, NIL when empty
        ("back", "i8"),
        ("count", "i8"),  # orders
    ]
)

STATE_DTYPE: Final = np.dtype(
    [
        ("ts_event", "i8"),  # ns, of the event being made
        ("ts_recv", "i8"),
        ("ts_in_delta", "i8"),
        ("sequence", "i8"),
        ("last_order_id", "i8"),
        ("n_out", "i8"),  # records in the chunk at work
        ("n_records", "i8"),  # after the snapshot
        ("n_events", "i8"),
        ("n_trades", "i8"),
        ("best_bid", "i8"),  # level
        ("best_ask", "i8"),
        ("n_live", "i8"),  # resting orders
        ("n_bids", "i8"),  # of them bids
        ("latent_ns", "i8"),  # the latent state stands at this time
        ("regime_end_ns", "i8"),
        ("activity", "f8"),  # arrivals, 1 is usual
        ("eagerness", "f8"),  # share of marketable orders, 1 is usual
        ("volatility", "f8"),  # ticks per root second, of fair
        ("drift", "f8"),  # ticks per second, of fair
        ("fair", "f8"),  # level; where the market leans to
        ("mood", "f8"),  # persistent lean of the flow, + buys
        ("chain", "f8"),  # decayed sum of trade signs
        ("parent", "f8"),  # the same over a few trades: the order that is being cut into children
        ("heat_slow", "f8"),  # log of the activity: over minutes
        ("heat_fast", "f8"),  # over seconds
        ("heat", "f8"),  # activity of both, mean 1
        ("burst_left", "i8"),  # ticks that a burst has still to go, + up; 0 when there is none
        ("edge_ns", "i8"),  # the edge's state stands at this time
        ("cue", "i8"),  # side of the cue that is being given, + up; 0 when there is none
        ("cue_since_ns", "i8"),
        ("cue_until_ns", "i8"),
        ("next_cue_ns", "i8"),
        ("owed", "i8"),  # ticks that the price has still to go for the cues given, + up
        ("pushes", "i8"),  # of them due now
        ("settling", "i8"),  # orders that follow a push, + on the bid side
        ("n_cues", "i8"),  # in `cues`
        ("n_recent", "i8"),  # orders ever put into `recent`
        ("lean_takers", "f8"),  # which way they lean now, + buys
        ("lean_makers", "f8"),
        ("excite_fast", "f8"),  # events/s above the base rate
        ("excite_slow", "f8"),
    ]
)


# One cue of a planted edge.
CUE_DTYPE: Final = np.dtype(
    [
        ("start_ns", "i8"),
        ("end_ns", "i8"),
        ("side", "i8"),  # + up
        ("ticks", "i8"),  # that the price goes for it, + up; 0 where the edge does not hold
        ("holds", "i8"),
    ]
)


class Market(NamedTuple):
    """All the simulator's state; plain arrays, so that a chunk can end anywhere."""

    rng: NDArray[np.int64]  # (4,) 32-bit words
    state: Structured  # (1,) STATE_DTYPE
    orders: Structured  # (N_SLOTS,) ORDER_DTYPE
    live: NDArray[np.int64]  # (N_SLOTS,) slots, the resting ones first, the free ones after
    levels: Structured  # (2, N_LEVELS) LEVEL_DTYPE, bid then ask
    fills: NDArray[np.int64]  # (MAX_FILLS, 2) slot, contracts: the sweep at work
    cues: Structured  # (N_CUES,) CUE_DTYPE, those of the chunk at work
    recent: NDArray[np.int64]  # (N_RECENT, 2) slot, order id: the latest orders near the touch, a ring


class Edge(NamedTuple):
    """A planted edge as kernels take it; `engine.simulate.edge.EdgeSpec` says what it means."""

    relation: int = -1  # place in RELATIONS; -1: there is none
    size: float = 0.0  # ticks
    decay_s: float = 1.0
    every_s: float = 1.0
    lead_s: float = 1.0
    where: int = 0  # place in HOLDS
    span_s: float = 1.0  # of a regime


class Feed(NamedTuple):
    """What does not change during a session."""

    instrument_id: int
    tick_int: int  # 1e-9 dollars
    base_tick: int  # absolute tick of level 0
    limit_ticks: float  # the fair value stays this close to the middle of the window
    start_ns: int
    end_ns: int
    rate: float  # records/s
    edge: Edge = Edge()


def empty_market(seed_words: NDArray[np.int64]) -> Market:
    """A market without orders; ``seed_words`` are four 32-bit words, not all zero."""
    levels = np.zeros((2, N_LEVELS), LEVEL_DTYPE)
    levels["front"] = NIL
    levels["back"] = NIL
    return Market(
        rng=seed_words.copy(),
        state=np.zeros(1, STATE_DTYPE),
        orders=np.zeros(N_SLOTS, ORDER_DTYPE),
        live=np.arange(N_SLOTS, dtype=np.int64),
        levels=levels,
        fills=np.zeros((MAX_FILLS, 2), np.int64),
        cues=np.zeros(N_CUES, CUE_DTYPE),
        recent=np.full((N_RECENT, 2), NIL),
    )


@kernel
def uniform(rng: NDArray[np.int64]) -> float:
    """Number in (0, 1) from xoshiro128**; 32-bit words kept in int64, so that compiled and plain Python agree."""
    word = (rng[1] * 5) & U32
    word = ((word << 7) | (word >> 25)) & U32
    word = (word * 9) & U32
    carried = (rng[1] << 9) & U32
    rng[2] ^= rng[0]
    rng[3] ^= rng[1]
    rng[1] ^= rng[2]
    rng[0] ^= rng[3]
    rng[2] ^= carried
    rng[3] = ((rng[3] << 11) | (rng[3] >> 21)) & U32
    drawn: float = (word + 0.5) / 4294967296.0
    return drawn


@kernel
def below(rng: NDArray[np.int64], n: int) -> int:
    """Integer in [0, n)."""
    return int(uniform(rng) * n)


@kernel
def exponential(rng: NDArray[np.int64], mean: float) -> float:
    drawn: float = -mean * np.log(uniform(rng))
    return drawn


@kernel
def normal(rng: NDArray[np.int64]) -> float:
    drawn: float = np.sqrt(-2.0 * np.log(uniform(rng))) * np.cos(6.283185307179586 * uniform(rng))
    return drawn


@kernel
def new_order_id(market: Market) -> int:
    """An id above all earlier ones; gaps, as an exchange's other products leave them."""
    order_id: int = market.state[0]["last_order_id"] + 1 + below(market.rng, 6)
    market.state[0]["last_order_id"] = order_id
    return order_id


@kernel
def join_queue(market: Market, slot: int, side: int, tick: int) -> None:
    """Put the order of ``slot`` at the back of a level's queue."""
    level = market.levels[side, tick]
    order = market.orders[slot]
    last = level["back"]
    order["ts"] = market.state[0]["ts_event"]
    order["side"] = side
    order["tick"] = tick
    order["ahead"] = last
    order["behind"] = NIL
    if last == NIL:
        level["front"] = slot
    else:
        market.orders[last]["behind"] = slot
    level["back"] = slot
    level["count"] += 1
    state = market.state[0]
    if side == BID:
        state["n_bids"] += 1
        state["best_bid"] = max(state["best_bid"], tick)
    else:
        state["best_ask"] = min(state["best_ask"], tick)


@kernel
def leave_queue(market: Market, slot: int) -> None:
    """Take the order of ``slot`` out of its queue; the side must hold another order."""
    order = market.orders[slot]
    side = order["side"]
    ahead = order["ahead"]
    behind = order["behind"]
    level = market.levels[side, order["tick"]]
    if ahead == NIL:
        level["front"] = behind
    else:
        market.orders[ahead]["behind"] = behind
    if behind == NIL:
        level["back"] = ahead
    else:
        market.orders[behind]["ahead"] = ahead
    level["count"] -= 1
    state = market.state[0]
    if side == BID:
        state["n_bids"] -= 1
        best = state["best_bid"]
        while market.levels[BID, best]["count"] == 0:
            best -= 1
        state["best_bid"] = best
    else:
        best = state["best_ask"]
        while market.levels[ASK, best]["count"] == 0:
            best += 1
        state["best_ask"] = best


@kernel
def rest_order(market: Market, order_id: int, side: int, tick: int, size: int) -> int:
    """Add an order to the book; returns its slot. The pool must have room."""
    state = market.state[0]
    rank = state["n_live"]
    slot: int = market.live[rank]
    state["n_live"] = rank + 1
    order = market.orders[slot]
    order["id"] = order_id
    order["size"] = size
    order["rank"] = rank
    join_queue(market, slot, side, tick)
    return slot


@kernel
def drop_order(market: Market, slot: int) -> None:
    """Remove an order from the book and give its slot back."""
    leave_queue(market, slot)
    state = market.state[0]
    last_rank = state["n_live"] - 1
    rank = market.orders[slot]["rank"]
    moved = market.live[last_rank]
    market.live[rank] = moved
    market.orders[moved]["rank"] = rank
    market.live[last_rank] = slot
    state["n_live"] = last_rank


@kernel
def emit(
    market: Market,
    feed: Feed,
    out: MboRecords,
    action: int,
    side: int,
    order_id: int,
    price: int,
    size: int,
    flags: int,
) -> None:
    """Write the next record of ``out``; all records of an event share its times."""
    state = market.state[0]
    sequence = state["sequence"] + 1
    record = out[state["n_out"]]
    record["length"] = MBO_LENGTH_WORDS
    record["rtype"] = RTYPE_MBO
    record["publisher_id"] = 1
    record["instrument_id"] = feed.instrument_id
    record["ts_event"] = state["ts_event"]
    record["order_id"] = order_id
    record["price"] = price
    record["size"] = size
    record["flags"] = flags
    record["channel_id"] = 0
    record["action"] = action
    record["side"] = side
    record["ts_recv"] = state["ts_recv"]
    record["ts_in_delta"] = state["ts_in_delta"]
    record["sequence"] = sequence
    state["sequence"] = sequence
    state["n_out"] += 1


@kernel
def emit_order(market: Market, feed: Feed, out: MboRecords, action: int, slot: int, size: int, flags: int) -> None:
    """Write a record about the resting order of ``slot``."""
    order = market.orders[slot]
    side = SIDE_BID if order["side"] == BID else SIDE_ASK
    price = (feed.base_tick + order["tick"]) * feed.tick_int
    emit(market, feed, out, action, side, order["id"], price, size, flags)
