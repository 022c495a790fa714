"""The one loop: record -> book -> field -> bin. A sweep and a stream both go through `consume`, and nothing else.

Source: engine.md sections 1 to 6.
"""

from typing import Any, Final

import numpy as np

from engine import constants as c
from engine.book.kernels import (
    ASK,
    BID,
    FIRST_TABLE,
    NO_TICK,
    OFF_GRID,
    BookState,
    add_order,
    cancel_order,
    clear_book,
    fill_order,
    modify_order,
    place_orders,
    remove_order,
    slot_of,
    tick_of,
)
from engine.book.order_table import find_order
from engine.config import Params
from engine.field.kernels import (
    synchronise_depths,
    touch,
)
from engine.jit import inline_kernel, kernel
from engine.run.bins import close_bin, open_bin, see_quotes
from engine.run.silence import heard_at, is_silence, judge_silence, mark_gap, note_heard
from engine.run.state import (
    BINS,
    BOOK_ONLY,
    CARE_FAR,
    CARE_RECENTRE,
    CARE_SYNC,
    CARE_TABLE,
    UNSET,
    WARM_UP,
    Engine,
    Out,
    has_both_sides,
    middle_tick,
)
from engine.run.traded import see_trade
from engine.run.window import captured_at, effective_time, opens_session
from engine.schema import MboRecords, Record, Structured

# What a call of `consume` ended with; the owner acts on it and calls again.
DONE: Final = 0  # all records are in
OUT_FULL: Final = 1  # the block of bins is full
FINISHED: Final = 2  # the last wanted bin is out
TABLE_FULL: Final = 3  # the order table must grow
CARE: Final = 4  # the owner must see to what `care` says
AT_WARM_UP: Final = 5  # the next record opens the warm-up; said once, and only where `pause_at_warm_up` asks for it
AT_SESSION: Final = 6  # the next record begins the session anew: the owner makes everything fresh, but for what is counted

# Places in `counts`.
UNKNOWN_CANCEL: Final = c.ANOMALIES.index("unknown_cancel")
UNKNOWN_MODIFY: Final = c.ANOMALIES.index("unknown_modify")
UNKNOWN_FILL: Final = c.ANOMALIES.index("unknown_fill")
DUPLICATE_ADD: Final = c.ANOMALIES.index("duplicate_add")
UNDEFINED_PRICE: Final = c.ANOMALIES.index("undefined_price")
BAD_SIDE: Final = c.ANOMALIES.index("bad_side")
BAD_ACTION: Final = c.ANOMALIES.index("bad_action")
OFF_TICK_PRICE: Final = c.ANOMALIES.index("off_tick_price")
CROSSED_EVENT_END: Final = c.ANOMALIES.index("crossed_event_end")
LATE_RECORD: Final = c.ANOMALIES.index("late_record")
OUTSIDE_WINDOW: Final = c.ANOMALIES.index("outside_window")


@kernel
def count_anomaly(counts: Structured, kind: int, record: Record) -> None:
    """Count one by kind and remember the first, so that it can be found again."""
    one = counts[kind]
    if one["count"] == 0:
        one["order_id"] = record["order_id"]
        one["sequence"] = record["sequence"]
        one["ts_event"] = record["ts_event"]
    one["count"] += 1


@inline_kernel
def needs_recentre(s: Record, radius: int, n_slots: int) -> bool:
    """Whether spot lies within four radii of an edge of the slots, or beyond it."""
    slot = middle_tick(s["best_bid"], s["best_ask"]) - s["anchor"] + n_slots // 2
    return slot < 4 * radius or slot >= n_slots - 4 * radius


@inline_kernel
def _apply(book: BookState, counts: Structured, record: Record, p: Params) -> tuple[int, float, float, float, int, float]:
    """One kept record meets the book.

    Returns (tick, add, pull, fill, second tick, its add): the order flow at up to two ticks, NO_TICK where there is none. Only a
    change of price has a second one.
    """
    action = record["action"]
    size: Any = np.int64(record["size"])
    if action == c.ACTION_ADD or action == c.ACTION_MODIFY:
        side = BID if record["side"] == c.SIDE_BID else ASK if record["side"] == c.SIDE_ASK else 0
        if side == 0:
            count_anomaly(counts, BAD_SIDE, record)
            return NO_TICK, 0.0, 0.0, 0.0, NO_TICK, 0.0
        price = record["price"]
        tick, is_off = tick_of(price, p.tick_int)
        if is_off:
            count_anomaly(counts, OFF_TICK_PRICE, record)
        i = find_order(book.orders, record["order_id"])
        if action == c.ACTION_MODIFY and i >= 0:
            old_price = book.orders[i]["price"]
            old_size, old_tick = modify_order(book, i, price, tick, side, size)
            if old_price != price:
                return old_tick, 0.0, float(old_size), 0.0, tick, float(size)
            change = float(size - old_size)
            return tick, max(change, 0.0), max(-change, 0.0), 0.0, NO_TICK, 0.0
        if action == c.ACTION_MODIFY:
            count_anomaly(counts, UNKNOWN_MODIFY, record)
        elif i >= 0:
            # An order that was filled to nothing and only waits for its book update is no duplicate.
            if book.orders[i]["size"] > 0 or book.orders[i]["pending"] == 0:
                count_anomaly(counts, DUPLICATE_ADD, record)
            remove_order(book, i)
        add_order(book, record["order_id"], price, tick, side, size)
        return tick, float(size), 0.0, 0.0, NO_TICK, 0.0
    if action == c.ACTION_CANCEL:
        i = find_order(book.orders, record["order_id"])
        if i < 0:
            count_anomaly(counts, UNKNOWN_CANCEL, record)
            return NO_TICK, 0.0, 0.0, 0.0, NO_TICK, 0.0
        pulled, tick = cancel_order(book, i, size)
        return tick if pulled >= 0 else NO_TICK, 0.0, float(pulled), 0.0, NO_TICK, 0.0
    if action == c.ACTION_FILL:
        i = find_order(book.orders, record["order_id"])
        if i < 0:
            count_anomaly(counts, UNKNOWN_FILL, record)
            return NO_TICK, 0.0, 0.0, 0.0, NO_TICK, 0.0
        tick = fill_order(book, i, size)
        return tick, 0.0, 0.0, float(size), NO_TICK, 0.0
    if action == c.ACTION_CLEAR:
        clear_book(book)
    elif action != c.ACTION_TRADE and action != c.ACTION_NONE:
        count_anomaly(counts, BAD_ACTION, record)
    return NO_TICK, 0.0, 0.0, 0.0, NO_TICK, 0.0


@kernel
def anchor_book(book: BookState) -> None:
    """Centre the slots on the BBO and place every order anew; nothing happens while a side is empty."""
    s = book.scalars[0]
    if has_both_sides(s):
        s["anchor"] = middle_tick(s["best_bid"], s["best_ask"])
        s["anchored"] = 1
        place_orders(book)


@inline_kernel
def _lifecycle(s: Record, run: Record, record: Record, ts: int) -> bool:
    """Snapshot bracket, validity and change of contract, before the action itself. Returns whether this closes a snapshot."""
    is_snapshot = record["flags"] & c.F_SNAPSHOT != 0
    is_clear = record["action"] == c.ACTION_CLEAR
    if is_snapshot or is_clear:
        s["snapshot_seen"] = 1
    if run["instrument_id"] != record["instrument_id"]:
        if run["instrument_id"] != UNSET:
            run["quality"] = run["quality"] | c.Q_ROLL
            if not is_snapshot and record["flags"] & c.F_MAYBE_BAD_BOOK != 0:
                # The source's own clear between two ids empties the book, but tells nothing of what rests in the new one.
                s["snapshot_seen"] = 0
        run["instrument_id"] = record["instrument_id"]
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


@inline_kernel
def _see_record(engine: Engine, record: Record, ts: int, p: Params) -> None:
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
        see_trade(engine, record, p)


@kernel
def _synchronise(engine: Engine) -> None:
    """The field's depths become the book's; those of ticks outside the slots are the owner's to see to."""
    synchronise_depths(engine.field, engine.book.depth)
    s = engine.book.scalars[0]
    if s["anchored"] == 1 and (engine.run[0]["n_parked"] > 0 or s["n_far_bid"] + s["n_far_ask"] > 0):
        engine.run[0]["care"] = engine.run[0]["care"] | CARE_SYNC


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
        _synchronise(engine)
    if run["phase"] == WARM_UP and ts >= run["first_bin"]:
        run["phase"] = BINS
        open_bin(run, engine.book.scalars[0], run["first_bin"])


@kernel
def _leave_far(engine: Engine, tick: int, ts: int, add: float, pull: float, fill: float) -> None:
    """Order flow at a tick outside the slots is the owner's to keep, before the next record."""
    one = engine.far[0 if engine.far[0]["tick"] == NO_TICK else 1]
    one["tick"] = tick
    one["ts"] = ts
    one["add"] = add
    one["pull"] = pull
    one["fill"] = fill
    engine.run[0]["care"] = engine.run[0]["care"] | CARE_FAR


@kernel
def consume(engine: Engine, records: MboRecords, first: int, out: Out, n_out: int, p: Params) -> tuple[int, int, int]:
    """Feed ``records[first:]``; returns (status, next record, bins in ``out``).

    Every record is taken in exactly once: a call that stops early leaves the record it returns untouched.
    """
    run = engine.run[0]
    book = engine.book
    field = engine.field
    counts = engine.counts
    s = book.scalars[0]
    capacity = out.bins.shape[0]
    room = book.orders.shape[0] // 2
    for i in range(first, records.shape[0]):
        if s["n_orders"] >= room:
            return TABLE_FULL, i, n_out
        record = records[i]
        captured = captured_at(record, run)
        if run["session_begun"] == 0 and run["day_start"] <= captured < run["day_end"]:
            run["session_begun"] = 1
            if run["n_kept"] > 0 and opens_session(record, s, run, captured):
                return AT_SESSION, i, n_out
        run["captured"] = captured
        run["in_snapshot"] = 1 if record["flags"] & c.F_SNAPSHOT != 0 else 0
        if captured >= run["day_end"]:
            run["session_ended"] = 1
        ts = effective_time(record, captured, s, run)
        if ts == UNSET:
            count_anomaly(counts, OUTSIDE_WINDOW, record)
            continue
        action = record["action"]
        if record["price"] == c.UNDEF_PRICE and (action == c.ACTION_ADD or action == c.ACTION_MODIFY):
            count_anomaly(counts, UNDEFINED_PRICE, record)
            continue
        inside = ts >= run["day_start"]
        if run["phase"] == BOOK_ONLY and run["pause_at_warm_up"] == 1 and ts >= run["warm_start"]:
            run["pause_at_warm_up"] = 0
            return AT_WARM_UP, i, n_out
        if run["phase"] != BINS:
            _enter_phase(engine, ts, inside, p)
            if run["care"] != 0:  # before this record, which is not taken in yet
                return CARE, i, n_out
        heard = heard_at(record, ts, captured)
        if is_silence(run, heard):
            is_numbered = record["flags"] & c.F_SNAPSHOT == 0
            judge_silence(engine, heard, captured, record["sequence"] - run["sequence"] if is_numbered else 0)
        if run["phase"] == BINS:
            mark_gap(engine, p.bin_ns)
            while ts >= run["bin_start"] + p.bin_ns:
                if n_out == capacity:
                    return OUT_FULL, i, n_out
                close_bin(engine, out, n_out, p)
                n_out += 1
                if run["bin_seq"] == run["max_bins"]:
                    return FINISHED, i, n_out
                mark_gap(engine, p.bin_ns)
        note_heard(run, record, heard, captured)
        run["n_kept"] += 1
        run["event_id"] += 1
        if inside and (run["latest_ts"] == UNSET or ts > run["latest_ts"]):
            run["latest_ts"] = ts
        _see_record(engine, record, ts, p)
        closes = _lifecycle(s, run, record, ts)
        flowing = run["phase"] != BOOK_ONLY
        was_anchored = s["anchored"]
        tick, add, pull, fill, tick_2, add_2 = _apply(book, counts, record, p)
        if flowing and tick != NO_TICK:
            for _ in range(2):
                slot = slot_of(s, tick, p.n_slots)
                if slot != OFF_GRID:
                    touch(field, book.depth, slot, ts, run["event_id"], add, pull, fill, run["bin_seq"], run["bin_start"], p)
                elif s["anchored"] == 1:
                    _leave_far(engine, tick, ts, add, pull, fill)
                if tick_2 == NO_TICK:
                    break
                tick = tick_2
                add = add_2
                pull = 0.0
                tick_2 = NO_TICK
        if was_anchored == 0:
            anchor_book(engine.book)
        if flowing and (closes or s["anchored"] != was_anchored):
            _synchronise(engine)
        if action == c.ACTION_CLEAR and book.orders.shape[0] > FIRST_TABLE:
            run["care"] = run["care"] | CARE_TABLE
        if record["flags"] & c.F_LAST != 0 and has_both_sides(s):
            if s["best_bid"] >= s["best_ask"]:
                count_anomaly(counts, CROSSED_EVENT_END, record)
                run["quality"] = run["quality"] | c.Q_CROSSED
            elif run["phase"] == BINS:
                see_quotes(run, s)
            if needs_recentre(s, p.radius, p.n_slots):
                if flowing:
                    run["care"] = run["care"] | CARE_RECENTRE
                else:
                    anchor_book(engine.book)
        if run["care"] != 0:
            return CARE, i + 1, n_out
    return DONE, records.shape[0], n_out
