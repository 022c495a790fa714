"""The one loop: record -> book -> field -> bin. A sweep and a stream both go through `consume`, and nothing else.

Source: engine.md sections 1 to 6.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine import constants as c
from engine.book_kernels import (
    ASK,
    BID,
    NO_TICK,
    OFF_GRID,
    BookState,
    add_order,
    cancel_order,
    clear_book,
    fill_order,
    find_order,
    modify_order,
    place_orders,
    remove_order,
    slot_of,
    tick_of,
)
from engine.config import Params
from engine.field_kernels import (
    ADD,
    ASK_DEPTH,
    BID_DEPTH,
    LAST_EVENT,
    LISTED,
    PRESSURE,
    VACUUM,
    A,
    FieldState,
    J,
    V,
    passive_advance,
    synchronise_depths,
    touch,
)
from engine.jit import kernel
from engine.moves import move_ticks, sign, state5
from engine.schema import Floats, Ints, MboRecords, Record
from engine.spectrum import SpectrumState, record_composites, score_slot

# What a call of `consume` ended with; the owner acts on it and calls again.
DONE: Final = 0  # all records are in
OUT_FULL: Final = 1  # the block of bins is full
FINISHED: Final = 2  # the last wanted bin is out
TABLE_FULL: Final = 3  # the order table must grow
RECENTRE: Final = 4  # spot is near the edge of the slots
AT_WARM_UP: Final = 5  # the next record opens the warm-up; said once, and only where `pause_at_warm_up` asks for it

BOOK_ONLY: Final = 0  # phases: before the warm-up,
WARM_UP: Final = 1  # the field runs,
BINS: Final = 2  # bins are emitted

UNSET: Final = -(2**63)
QUIET: Final = 4  # perm_microstate_id of unmoved quotes

# Places in `counts`, in the order of constants.ANOMALIES.
UNKNOWN_CANCEL: Final = 0
UNKNOWN_MODIFY: Final = 1
UNKNOWN_FILL: Final = 2
DUPLICATE_ADD: Final = 3
UNDEFINED_PRICE: Final = 4
BAD_SIDE: Final = 5
BAD_ACTION: Final = 6
OFF_TICK_PRICE: Final = 7
CROSSED_EVENT_END: Final = 8
LATE_RECORD: Final = 9
OUTSIDE_WINDOW: Final = 10

RUN_DTYPE: Final = np.dtype(
    [
        ("phase", "<i8"),
        ("warm_start", "<i8"),  # ns; events before it build the book only
        ("first_bin", "<i8"),  # ns, UNSET until the first event when no start was given
        ("day_start", "<i8"),  # ns, the session window
        ("day_end", "<i8"),
        ("max_bins", "<i8"),  # -1 without limit
        ("pause_at_warm_up", "<i8"),  # 1: stop once before the record that opens the warm-up
        ("event_id", "<i8"),  # kept events so far
        ("latest_ts", "<i8"),  # ns, greatest effective time inside the window
        ("bin_seq", "<i8"),
        ("bin_start", "<i8"),
        ("bin_events", "<i8"),
        ("trade_count", "<i8"),
        ("buy_volume", "<i8"),
        ("sell_volume", "<i8"),
        ("last_trade_price", "<i8"),
        ("bid_low", "<i8"),  # ticks, NO_TICK until a sound event end
        ("bid_high", "<i8"),
        ("ask_low", "<i8"),
        ("ask_high", "<i8"),
        ("quality", "<i8"),
        ("previous_bid", "<i8"),  # price_int at the end of the bin before, 0 where missing
        ("previous_ask", "<i8"),
    ]
)
ANOMALY_DTYPE: Final = np.dtype(
    [("count", "<i8"), ("order_id", "<u8"), ("sequence", "<i8"), ("ts_event", "<u8")]  # the first one's
)


class Engine(NamedTuple):
    """All mutable state of a run. ``run`` (1,), ``counts`` (n_kinds,), ``sessions`` (m, 2) ns of open trading."""

    run: MboRecords
    counts: MboRecords
    sessions: Ints
    book: BookState
    field: FieldState
    spectrum: SpectrumState


class Out(NamedTuple):
    """Room for a block: ``bins`` (n,), then per grid dtype ``(n, columns, rows)``; ``codes`` and ``event_ids`` (n, rows)."""

    bins: MboRecords
    floats: Floats
    codes: NDArray[np.int8]
    moves: NDArray[np.int32]
    labels: NDArray[np.int8]
    event_ids: Ints


@kernel
def count_anomaly(counts: MboRecords, kind: int, record: Record) -> None:
    """Count one by kind and remember the first, so that it can be found again."""
    one = counts[kind]
    if one["count"] == 0:
        one["order_id"] = record["order_id"]
        one["sequence"] = record["sequence"]
        one["ts_event"] = record["ts_event"]
    one["count"] += 1


@kernel
def has_both_sides(s: Record) -> bool:
    """Whether the book has a best bid and a best ask."""
    return s["best_bid"] != NO_TICK and s["best_ask"] != NO_TICK


@kernel
def middle_tick(low: int, high: int) -> int:
    """floor((low + high) / 2 + 1/2) without overflow."""
    return (low >> 1) + (high >> 1) + (((low & 1) + (high & 1) + 1) >> 1)


@kernel
def needs_recentre(s: Record, radius: int, n_slots: int) -> bool:
    """Whether spot lies within four radii of an edge of the slots, or beyond it."""
    slot = middle_tick(s["best_bid"], s["best_ask"]) - s["anchor"] + n_slots // 2
    return slot < 4 * radius or slot >= n_slots - 4 * radius


@kernel
def _touch_tick(engine: Engine, tick: int, ts: int, add: float, pull: float, fill: float, p: Params) -> None:
    s = engine.book.scalars[0]
    slot = slot_of(s, tick, p.n_slots)
    if slot != OFF_GRID:
        touch(engine.field, engine.book.depth, slot, ts, engine.run[0]["event_id"], add, pull, fill, p)


@kernel
def _apply(engine: Engine, record: Record, ts: int, flowing: bool, p: Params) -> None:
    """One kept record meets the book and, when ``flowing``, the field."""
    book = engine.book
    counts = engine.counts
    action = record["action"]
    size: Any = np.int64(record["size"])
    if action == c.ACTION_TRADE or action == c.ACTION_NONE:
        return
    if action == c.ACTION_CLEAR:
        clear_book(book)
        return
    i = find_order(book.orders, record["order_id"])
    if action == c.ACTION_CANCEL:
        if i < 0:
            count_anomaly(counts, UNKNOWN_CANCEL, record)
            return
        pulled, tick = cancel_order(book, i, size)
        if flowing and pulled >= 0:
            _touch_tick(engine, tick, ts, 0.0, float(pulled), 0.0, p)
    elif action == c.ACTION_FILL:
        if i < 0:
            count_anomaly(counts, UNKNOWN_FILL, record)
            return
        tick = fill_order(book, i, size)
        if flowing:
            _touch_tick(engine, tick, ts, 0.0, 0.0, float(size), p)
    elif action == c.ACTION_ADD or action == c.ACTION_MODIFY:
        side = BID if record["side"] == c.SIDE_BID else ASK if record["side"] == c.SIDE_ASK else 0
        if side == 0:
            count_anomaly(counts, BAD_SIDE, record)
            return
        price = record["price"]
        tick = tick_of(price, p.tick_int)
        if price % p.tick_int != 0:
            count_anomaly(counts, OFF_TICK_PRICE, record)
        if action == c.ACTION_MODIFY and i >= 0:
            old_price = book.orders[i]["price"]
            old_size, old_tick = modify_order(book, i, price, tick, side, size)
            if flowing:
                if old_price != price:
                    _touch_tick(engine, old_tick, ts, 0.0, float(old_size), 0.0, p)
                    _touch_tick(engine, tick, ts, float(size), 0.0, 0.0, p)
                else:
                    change = float(size - old_size)
                    _touch_tick(engine, tick, ts, max(change, 0.0), max(-change, 0.0), 0.0, p)
            return
        if action == c.ACTION_MODIFY:
            count_anomaly(counts, UNKNOWN_MODIFY, record)
        elif i >= 0:
            # An order that was filled to nothing and only waits for its book update is no duplicate.
            if book.orders[i]["size"] > 0 or book.orders[i]["pending"] == 0:
                count_anomaly(counts, DUPLICATE_ADD, record)
            remove_order(book, i)
        add_order(book, record["order_id"], price, tick, side, size)
        if flowing:
            _touch_tick(engine, tick, ts, float(size), 0.0, 0.0, p)
    else:
        count_anomaly(counts, BAD_ACTION, record)


@kernel
def _see_quotes(run: Record, s: Record) -> None:
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
def _open_bin(run: Record, s: Record, start: int) -> None:
    run["bin_start"] = start
    run["bin_events"] = 0
    run["trade_count"] = 0
    run["buy_volume"] = 0
    run["sell_volume"] = 0
    run["quality"] = 0
    run["bid_low"] = NO_TICK
    run["bid_high"] = NO_TICK
    run["ask_low"] = NO_TICK
    run["ask_high"] = NO_TICK
    _see_quotes(run, s)


@kernel
def _open_since(sessions: Ints, start: int, end: int) -> int:
    """Start of the trading interval that overlaps [start, end); UNSET when the exchange is closed then."""
    for i in range(sessions.shape[0]):
        if sessions[i, 0] < end and start < sessions[i, 1]:
            return sessions[i, 0]
    return UNSET


@kernel
def mark_gap(engine: Engine, next_ts: int, p: Params) -> None:
    """Mark the open bin when it lies in, or right behind, a hole in the feed that ends at ``next_ts``."""
    run = engine.run[0]
    since = run["latest_ts"]
    if since == UNSET or next_ts - since <= c.FEED_GAP_NS:
        return
    if engine.sessions.shape[0] > 0:
        opened = _open_since(engine.sessions, run["bin_start"], run["bin_start"] + p.bin_ns)
        if opened == UNSET:
            return
        since = max(since, opened)
    if next_ts - since > c.FEED_GAP_NS:
        run["quality"] = run["quality"] | c.Q_GAP


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
    """Read the slots around spot into the block's row arrays."""
    field = engine.field
    s = engine.book.scalars[0]
    i_bin = engine.run[0]["bin_seq"]
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
        floats[0, r] = row[PRESSURE]
        floats[1, r] = row[VACUUM]
        floats[2, r] = row[ADD]
        floats[3, r] = row[ADD + 1]
        floats[4, r] = row[ADD + 2]
        floats[5, r] = row[BID_DEPTH] + row[ASK_DEPTH]
        floats[6, r] = row[BID_DEPTH]
        floats[7, r] = row[ASK_DEPTH]
        column = 8
        for first in (V, A, J):
            floats[column, r] = row[first]
            floats[column + 1, r] = row[first + 1]
            floats[column + 2, r] = row[first + 2]
            floats[column + 3, r] = row[first + 3] + row[first + 4]
            floats[column + 4, r] = row[first + 3]
            floats[column + 5, r] = row[first + 4]
            column += 6
        score = 0.0
        if field.stamps[slot, LISTED] == 1:
            score = score_slot(engine.spectrum, slot, i_bin, p)
        floats[column, r] = score
        code = 0
        if score >= p.threshold_neutral:
            code = 1
        elif score <= -p.threshold_neutral:
            code = -1
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
            labels[2, r] = QUIET
            continue
        moves[0, r] = ask_move
        moves[1, r] = bid_move
        labels[0, r] = ask_sign
        labels[1, r] = bid_sign
        labels[2, r] = micro
        labels[3, r] = state5(k, ask_sign, bid_sign, p.by_side)
        labels[4, r] = up
        labels[5, r] = down
    run["previous_ask"] = ask
    run["previous_bid"] = bid


@kernel
def close_bin(engine: Engine, out: Out, i_out: int, p: Params) -> None:
    """End the open bin: passive advance, read, label; then open the next one."""
    run = engine.run[0]
    s = engine.book.scalars[0]
    end = run["bin_start"] + p.bin_ns
    passive_advance(engine.field, end, p)
    record_composites(engine.spectrum, engine.field, run["bin_seq"])
    quality = run["quality"]
    bid = ask = spot = 0
    bid_size = ask_size = 0
    mid_price = 0.0
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
    else:
        quality = quality | c.Q_ONE_SIDED
    if s["snapshot_seen"] == 0:
        quality = quality | c.Q_COLD
    # A trade proves that the market is open, whatever the calendar says.
    hours_known = engine.sessions.shape[0] > 0 and run["trade_count"] == 0
    if hours_known and _open_since(engine.sessions, run["bin_start"], end) == UNSET:
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
    one["bid_low_int"] = run["bid_low"] * p.tick_int if sound else 0
    one["bid_high_int"] = run["bid_high"] * p.tick_int if sound else 0
    one["ask_low_int"] = run["ask_low"] * p.tick_int if sound else 0
    one["ask_high_int"] = run["ask_high"] * p.tick_int if sound else 0
    one["trade_count"] = run["trade_count"]
    one["buy_volume"] = run["buy_volume"]
    one["sell_volume"] = run["sell_volume"]
    one["last_trade_price_int"] = run["last_trade_price"]
    one["quality"] = quality
    _write_rows(engine, spot_tick, out, i_out, p)
    _write_labels(engine, spot_tick, bid, ask, out, i_out, p)
    run["bin_seq"] += 1
    _open_bin(run, s, end)


@kernel
def anchor_book(book: BookState) -> None:
    """Centre the slots on the BBO and place every order anew; nothing happens while a side is empty."""
    s = book.scalars[0]
    if has_both_sides(s):
        s["anchor"] = middle_tick(s["best_bid"], s["best_ask"])
        s["anchored"] = 1
        place_orders(book)


@kernel
def effective_time(record: Record, s: Record, run: Record) -> int:
    """A record's place in time, ns, or UNSET when it lies outside the session window and must be dropped.

    Snapshot records carry their orders' old times: the Clear that opened the snapshot dates them, else their own capture time.
    """
    action = record["action"]
    is_snapshot = record["flags"] & c.F_SNAPSHOT != 0
    raw = record["ts_event"]
    if is_snapshot and action != c.ACTION_CLEAR:
        if s["snapshot_open"] == 1:
            return s["snapshot_ts"]
        raw = record["ts_recv"]
    ts: Any = np.int64(raw) if raw < np.uint64(2**63) else np.int64(UNSET)
    if ts == UNSET or ts >= run["day_end"]:
        if is_snapshot or action == c.ACTION_CLEAR:
            # An undefined time must not run the clock.
            return run["latest_ts"] if run["latest_ts"] != UNSET else run["day_start"]
        return UNSET
    if ts < run["day_start"] and not is_snapshot and action != c.ACTION_CLEAR:
        return UNSET
    return ts


@kernel
def _lifecycle(s: Record, record: Record, ts: int) -> bool:
    """Snapshot bracket and validity, before the action itself. Returns whether this record closes a snapshot."""
    is_snapshot = record["flags"] & c.F_SNAPSHOT != 0
    is_clear = record["action"] == c.ACTION_CLEAR
    if is_snapshot or is_clear:
        s["snapshot_seen"] = 1
    if is_snapshot and is_clear:
        s["snapshot_open"] = 1
        s["snapshot_ts"] = ts
    if s["snapshot_open"] == 1:
        if record["flags"] & c.F_LAST != 0:
            s["snapshot_open"] = 0
            s["book_valid"] = 1
            return True
        return False
    s["book_valid"] = 1
    return False


@kernel
def _see_record(engine: Engine, record: Record, ts: int) -> None:
    """Count a kept record into the open bin: trades, times and doubts."""
    run = engine.run[0]
    flags = record["flags"]
    if run["phase"] == BINS:
        run["bin_events"] += 1
        if flags & c.F_SNAPSHOT == 0:
            late = ts < run["bin_start"]
            if late:
                count_anomaly(engine.counts, LATE_RECORD, record)
            if late or flags & c.F_BAD_TS_RECV != 0:
                run["quality"] = run["quality"] | c.Q_BAD_TIME
        if flags & c.F_MAYBE_BAD_BOOK != 0:
            run["quality"] = run["quality"] | c.Q_DOUBTFUL
    if record["action"] == c.ACTION_TRADE:
        run["trade_count"] += 1
        size: Any = np.int64(record["size"])
        if record["side"] == c.SIDE_BID:
            run["buy_volume"] += size
        elif record["side"] == c.SIDE_ASK:
            run["sell_volume"] += size
        if record["price"] != c.UNDEF_PRICE and record["price"] != 0:
            run["last_trade_price"] = record["price"]


@kernel
def _enter_phase(engine: Engine, ts: int, inside: bool, p: Params) -> None:
    """Move on from book-only to warm-up to bins as the clock reaches them; there is no way back."""
    run = engine.run[0]
    if run["first_bin"] == UNSET and inside:
        run["first_bin"] = ts
        run["warm_start"] = ts
    if run["first_bin"] == UNSET:
        return
    if run["phase"] == BOOK_ONLY and ts >= run["warm_start"]:
        run["phase"] = WARM_UP
        anchor_book(engine.book)
        synchronise_depths(engine.field, engine.book.depth)
    if run["phase"] == WARM_UP and ts >= run["first_bin"]:
        run["phase"] = BINS
        _open_bin(run, engine.book.scalars[0], run["first_bin"])


@kernel
def consume(engine: Engine, records: MboRecords, first: int, out: Out, n_out: int, p: Params) -> tuple[int, int, int]:
    """Feed ``records[first:]``; returns (status, next record, bins in ``out``).

    Every record is taken in exactly once: a call that stops early leaves the record it returns untouched.
    """
    run = engine.run[0]
    s = engine.book.scalars[0]
    capacity = out.bins.shape[0]
    room = engine.book.orders.shape[0] // 2
    for i in range(first, records.shape[0]):
        if s["n_orders"] >= room:
            return TABLE_FULL, i, n_out
        record = records[i]
        ts = effective_time(record, s, run)
        if ts == UNSET:
            count_anomaly(engine.counts, OUTSIDE_WINDOW, record)
            continue
        action = record["action"]
        if record["price"] == c.UNDEF_PRICE and (action == c.ACTION_ADD or action == c.ACTION_MODIFY):
            count_anomaly(engine.counts, UNDEFINED_PRICE, record)
            continue
        inside = run["day_start"] <= ts < run["day_end"]
        if run["phase"] == BOOK_ONLY and run["pause_at_warm_up"] == 1 and ts >= run["warm_start"]:
            run["pause_at_warm_up"] = 0
            return AT_WARM_UP, i, n_out
        if run["phase"] != BINS:
            _enter_phase(engine, ts, inside, p)
        if run["phase"] == BINS:
            mark_gap(engine, ts, p)
            while ts >= run["bin_start"] + p.bin_ns:
                if n_out == capacity:
                    return OUT_FULL, i, n_out
                close_bin(engine, out, n_out, p)
                n_out += 1
                if run["bin_seq"] == run["max_bins"]:
                    return FINISHED, i, n_out
                mark_gap(engine, ts, p)
        run["event_id"] += 1
        if inside and (run["latest_ts"] == UNSET or ts > run["latest_ts"]):
            run["latest_ts"] = ts
        _see_record(engine, record, ts)
        closes = _lifecycle(s, record, ts)
        flowing = run["phase"] != BOOK_ONLY
        was_anchored = s["anchored"]
        _apply(engine, record, ts, flowing, p)
        if was_anchored == 0:
            anchor_book(engine.book)
        if flowing and (closes or s["anchored"] != was_anchored):
            synchronise_depths(engine.field, engine.book.depth)
        if record["flags"] & c.F_LAST != 0 and has_both_sides(s):
            if s["best_bid"] >= s["best_ask"]:
                count_anomaly(engine.counts, CROSSED_EVENT_END, record)
                run["quality"] = run["quality"] | c.Q_CROSSED
            elif run["phase"] == BINS:
                _see_quotes(run, s)
            if needs_recentre(s, p.radius, p.n_slots):
                if flowing:
                    return RECENTRE, i + 1, n_out
                anchor_book(engine.book)
    return DONE, records.shape[0], n_out
