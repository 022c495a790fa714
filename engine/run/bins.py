"""Closing a bin: quality, prices, rows and labels, and the opening of the next.

Source: engine.md sections 4, 6 and 8.
"""

import math
from typing import Final

from engine import constants as c
from engine.book.kernels import (
    ASK,
    BID,
    NO_TICK,
    OFF_GRID,
    BookState,
    slot_of,
)
from engine.config import Params
from engine.field.kernels import (
    ADD,
    ASK_DEPTH,
    BID_DEPTH,
    LAST_EVENT,
    LISTED,
    A,
    J,
    V,
    bring_up,
    forces,
)
from engine.field.spectrum import score_slot
from engine.jit import inline_kernel, kernel
from engine.run.moves import move_ticks, sign, state5
from engine.run.silence import longest_open
from engine.run.state import QUIET, Engine, Out, has_both_sides, middle_tick
from engine.run.traded import write_traded
from engine.schema import CHAINS, GRID_F64, GRID_I32, GRID_LABELS_I8, Record

# Rows of a bin's arrays, by the schema's names: a column that joins it can shift nothing in silence.
PRESSURE: Final = GRID_F64.index("pressure_variant")
VACUUM: Final = GRID_F64.index("vacuum_variant")
ADD_MASS: Final = GRID_F64.index("add_mass")
PULL_MASS: Final = GRID_F64.index("pull_mass")
FILL_MASS: Final = GRID_F64.index("fill_mass")
REST_DEPTH: Final = GRID_F64.index("rest_depth")
BID_DEPTH_ROW: Final = GRID_F64.index("bid_depth")
ASK_DEPTH_ROW: Final = GRID_F64.index("ask_depth")
SCORE: Final = GRID_F64.index("spectrum_score")
V_ROW: Final = GRID_F64.index("v_add")  # the chains follow in the order of CHAINS, which is asserted below
A_ROW: Final = GRID_F64.index("a_add")
J_ROW: Final = GRID_F64.index("j_add")
for _order, _first in (("v", V_ROW), ("a", A_ROW), ("j", J_ROW)):
    assert GRID_F64[_first : _first + len(CHAINS)] == tuple(f"{_order}_{chain}" for chain in CHAINS)
assert CHAINS == ("add", "pull", "fill", "rest_depth", "bid_depth", "ask_depth")
ASK_MOVE: Final = GRID_I32.index("best_ask_move_ticks")
BID_MOVE: Final = GRID_I32.index("best_bid_move_ticks")
ASK_SIGN: Final = GRID_LABELS_I8.index("ask_reprice_sign")
BID_SIGN: Final = GRID_LABELS_I8.index("bid_reprice_sign")
MICROSTATE: Final = GRID_LABELS_I8.index("perm_microstate_id")
STATE5: Final = GRID_LABELS_I8.index("perm_state5_code")
CHASE_UP: Final = GRID_LABELS_I8.index("chase_up_flag")
CHASE_DOWN: Final = GRID_LABELS_I8.index("chase_down_flag")


@inline_kernel
def see_quotes(run: Record, s: Record) -> None:
    """Widen the bin's price extremes by the present best prices, if they are sound."""
    bid = s["best_bid"]
    ask = s["best_ask"]
    if bid == NO_TICK or ask == NO_TICK or bid >= ask:
        return
    if run["bid_low"] == NO_TICK:
        run["bid_low"] = bid
        run["bid_high"] = bid
        run["ask_low"] = ask
        run["ask_high"] = ask
        return
    run["bid_low"] = min(run["bid_low"], bid)
    run["bid_high"] = max(run["bid_high"], bid)
    run["ask_low"] = min(run["ask_low"], ask)
    run["ask_high"] = max(run["ask_high"], ask)


@kernel
def open_bin(run: Record, s: Record, start: int) -> None:
    run["bin_start"] = start
    run["bin_events"] = 0
    run["trade_count"] = 0
    run["buy_volume"] = 0
    run["sell_volume"] = 0
    run["unsided_volume"] = 0
    run["n_traded"] = 0
    run["quality"] = 0
    run["bid_low"] = NO_TICK
    run["bid_high"] = NO_TICK
    run["ask_low"] = NO_TICK
    run["ask_high"] = NO_TICK
    see_quotes(run, s)


@kernel
def level_size(book: BookState, tick: int, side: int) -> int:
    """Contracts at a tick, also outside the slots."""
    s = book.scalars[0]
    slot = slot_of(s, tick, book.depth.shape[0])
    if slot != OFF_GRID:
        return book.depth[slot, side - 1]
    total = 0
    for i in range(book.orders.shape[0]):
        if book.orders[i]["side"] == side and book.orders[i]["tick"] == tick:
            total += book.orders[i]["size"]
    return total


@kernel
def _write_rows(engine: Engine, spot_tick: int, out: Out, i_out: int, p: Params) -> None:
    """Read the slots around spot into the block's row arrays, as of the end of the open bin."""
    field = engine.field
    s = engine.book.scalars[0]
    i_bin = engine.run[0]["bin_seq"]
    end = engine.run[0]["bin_start"] + p.bin_ns
    floats = out.floats[i_out]
    n_floats = floats.shape[0]
    for r in range(2 * p.radius + 1):
        slot = OFF_GRID
        if spot_tick != NO_TICK:
            slot = slot_of(s, spot_tick + r - p.radius, p.n_slots)
        if slot == OFF_GRID:
            for column in range(n_floats):
                floats[column, r] = 0.0
            out.codes[i_out, r] = 0
            out.event_ids[i_out, r] = 0
            continue
        row = field.values[slot]
        pressure = vacuum = score = 0.0
        code = 0
        if field.stamps[slot, LISTED] == 1:
            bring_up(field, slot, i_bin + 1, end, p)
            pressure, vacuum = forces(row, p)
            score = score_slot(engine.spectrum, field.balance[slot], slot, i_bin, p)
            if score >= p.threshold_neutral:
                code = 1
            elif score <= -p.threshold_neutral:
                code = -1
        floats[PRESSURE, r] = pressure
        floats[VACUUM, r] = vacuum
        floats[ADD_MASS, r] = row[ADD]
        floats[PULL_MASS, r] = row[ADD + 1]
        floats[FILL_MASS, r] = row[ADD + 2]
        floats[REST_DEPTH, r] = row[BID_DEPTH] + row[ASK_DEPTH]
        floats[BID_DEPTH_ROW, r] = row[BID_DEPTH]
        floats[ASK_DEPTH_ROW, r] = row[ASK_DEPTH]
        for first, column in ((V, V_ROW), (A, A_ROW), (J, J_ROW)):
            floats[column, r] = row[first]
            floats[column + 1, r] = row[first + 1]
            floats[column + 2, r] = row[first + 2]
            floats[column + 3, r] = row[first + 3] + row[first + 4]
            floats[column + 4, r] = row[first + 3]
            floats[column + 5, r] = row[first + 4]
        floats[SCORE, r] = score
        out.codes[i_out, r] = code
        out.event_ids[i_out, r] = field.stamps[slot, LAST_EVENT]


@kernel
def _write_labels(engine: Engine, spot_tick: int, bid: int, ask: int, out: Out, i_out: int, p: Params) -> None:
    """Quote moves since the bin before, on the bin and on its rows."""
    run = engine.run[0]
    s = engine.book.scalars[0]
    ask_move = move_ticks(ask, run["previous_ask"], p.tick_int)
    bid_move = move_ticks(bid, run["previous_bid"], p.tick_int)
    ask_sign = sign(ask_move)
    bid_sign = sign(bid_move)
    micro = 3 * (ask_sign + 1) + bid_sign + 1
    up = 1 if ask_sign > 0 and bid_sign > 0 else 0
    down = 1 if ask_sign < 0 and bid_sign < 0 else 0
    one = out.bins[i_out]
    one["best_ask_move_ticks"] = ask_move
    one["best_bid_move_ticks"] = bid_move
    one["ask_reprice_sign"] = ask_sign
    one["bid_reprice_sign"] = bid_sign
    one["perm_microstate_id"] = micro
    one["chase_up_flag"] = up
    one["chase_down_flag"] = down
    moves = out.moves[i_out]
    labels = out.labels[i_out]
    for r in range(2 * p.radius + 1):
        k = r - p.radius
        if spot_tick == NO_TICK or slot_of(s, spot_tick + k, p.n_slots) == OFF_GRID:
            moves[:, r] = 0
            labels[:, r] = 0
            labels[MICROSTATE, r] = QUIET
            continue
        moves[ASK_MOVE, r] = ask_move
        moves[BID_MOVE, r] = bid_move
        labels[ASK_SIGN, r] = ask_sign
        labels[BID_SIGN, r] = bid_sign
        labels[MICROSTATE, r] = micro
        labels[STATE5, r] = state5(k, ask_sign, bid_sign, p.by_side)
        labels[CHASE_UP, r] = up
        labels[CHASE_DOWN, r] = down
    run["previous_ask"] = ask
    run["previous_bid"] = bid


@kernel
def close_bin(engine: Engine, out: Out, i_out: int, p: Params) -> None:
    """End the open bin: read and label; then open the next one."""
    run = engine.run[0]
    s = engine.book.scalars[0]
    end = run["bin_start"] + p.bin_ns
    quality = run["quality"]
    bid = ask = spot = c.UNDEF_PRICE
    bid_size = ask_size = 0
    mid_price = math.nan
    spot_tick = NO_TICK
    if s["best_bid"] != NO_TICK:
        bid = s["best_bid"] * p.tick_int
        bid_size = level_size(engine.book, s["best_bid"], BID)
    if s["best_ask"] != NO_TICK:
        ask = s["best_ask"] * p.tick_int
        ask_size = level_size(engine.book, s["best_ask"], ASK)
    if has_both_sides(s):
        # Halves first: hostile prices at the ends of the range must not overflow.
        mid_price = (bid / 2.0 + ask / 2.0) / 1e9
        spot_tick = middle_tick(s["best_bid"], s["best_ask"])
        spot = spot_tick * p.tick_int
        if bid >= ask:  # also where no event of this bin left it so
            quality = quality | c.Q_CROSSED
    else:
        quality = quality | c.Q_ONE_SIDED
    if s["snapshot_seen"] == 0:
        quality = quality | c.Q_COLD
    # A trade proves that the market is open, whatever the calendar says.
    hours_known = engine.sessions.shape[0] > 0 and run["trade_count"] == 0
    if hours_known and longest_open(engine.sessions, run["bin_start"], end) == 0:
        quality = quality | c.Q_CLOSED
    one = out.bins[i_out]
    one["bin_seq"] = run["bin_seq"]
    one["bin_start_ns"] = run["bin_start"]
    one["bin_end_ns"] = end
    one["ts_ns"] = end
    one["bin_event_count"] = run["bin_events"]
    one["event_id"] = run["event_id"]
    one["mid_price"] = mid_price
    one["best_bid_price_int"] = bid
    one["best_ask_price_int"] = ask
    one["spot_ref_price_int"] = spot
    one["book_valid"] = s["book_valid"] == 1
    one["best_bid_size"] = bid_size
    one["best_ask_size"] = ask_size
    sound = run["bid_low"] != NO_TICK
    one["bid_low_int"] = run["bid_low"] * p.tick_int if sound else c.UNDEF_PRICE
    one["bid_high_int"] = run["bid_high"] * p.tick_int if sound else c.UNDEF_PRICE
    one["ask_low_int"] = run["ask_low"] * p.tick_int if sound else c.UNDEF_PRICE
    one["ask_high_int"] = run["ask_high"] * p.tick_int if sound else c.UNDEF_PRICE
    one["trade_count"] = run["trade_count"]
    one["buy_volume"] = run["buy_volume"]
    one["sell_volume"] = run["sell_volume"]
    one["unsided_volume"] = run["unsided_volume"]
    one["last_trade_price_int"] = run["last_trade_price"]
    one["quality"] = quality
    _write_rows(engine, spot_tick, out, i_out, p)
    _write_labels(engine, spot_tick, bid, ask, out, i_out, p)
    write_traded(engine, spot_tick, out, i_out, p)
    run["bin_seq"] += 1
    open_bin(run, s, end)
