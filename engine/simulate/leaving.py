"""Which order leaves the simulated book next: the touch's more readily, the younger ones, those that are outweighed."""

from typing import Final

import numpy as np

from engine.jit import kernel
from engine.simulate.orders import NEAR
from engine.simulate.queues import ASK, BID, N_RECENT, NIL, Market, below, uniform

FLEETING: Final = 0.75  # share of near adds that are pulled almost at once
P_RUN: Final = 0.03  # of the orders that are left at a touch against which the other one stands heavily
RUN_BELOW: Final = 0.35  # share of the orders at both touches below which they run
PULL_TILT: Final = 0.9  # how far the makers' lean shows in what they pull
HASTE: Final = np.exp(-np.arange(NEAR) / 8.0)  # how readily an order is pulled, by its distance


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
def pick_recent(market: Market) -> int:
    """Slot of one of the latest orders near the touch; NIL when it has gone by now."""
    recent = market.recent[below(market.rng, N_RECENT)]
    slot: int = recent[0]
    if slot == NIL:
        return NIL
    rank = market.orders[slot]["rank"]
    is_resting = rank < market.state[0]["n_live"] and market.live[rank] == slot
    return slot if is_resting and market.orders[slot]["id"] == recent[1] else NIL


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
def pick_leaving(market: Market, near_bid: float, near_ask: float, u: float, v: float) -> int:
    """Slot of the order near the touch that is pulled next; ``u`` in (0, 1) says why, ``v`` from which side."""
    state = market.state[0]
    if u < FLEETING:
        slot = pick_recent(market)
        if slot != NIL:
            return slot
    # A market that leans to buying pulls its offers.
    pull_bid = near_bid * (1.0 - PULL_TILT * state["lean_makers"])
    pull_ask = near_ask * (1.0 + PULL_TILT * state["lean_makers"])
    is_bid = v * (pull_bid + pull_ask) < pull_bid
    return pick_near(market, BID if is_bid else ASK, near_bid if is_bid else near_ask)


@kernel
def weigh_run(market: Market) -> tuple[float, int]:
    """How readily the orders leave a touch that the other one outweighs, and its side."""
    state = market.state[0]
    n_bid = market.levels[BID, state["best_bid"]]["count"]
    n_ask = market.levels[ASK, state["best_ask"]]["count"]
    share = min(n_bid, n_ask) / (n_bid + n_ask)
    return P_RUN * max(0.0, 1.0 - share / RUN_BELOW), BID if n_bid < n_ask else ASK
