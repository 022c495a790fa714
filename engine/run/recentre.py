"""Moving the tick slots with the market: rare, so it is plain numpy.

State moves with its price. What falls off one edge is parked by tick and comes back when its tick returns; its passive steps are
taken then, like any other slot's, when it is touched or read.

Source: engine.md section 2, *Tick slots*.
"""

from dataclasses import dataclass

import numpy as np

from engine.book.kernels import ASK, BID, NO_TICK, BookState, place_orders
from engine.config import Params
from engine.field.kernels import (
    ASK_DEPTH,
    BID_DEPTH,
    LISTED,
    FieldState,
    touch,
)
from engine.jit import kernel
from engine.run.state import Engine, middle_tick
from engine.schema import Floats, Ints, Record


@dataclass
class Parked:
    """One tick's state, off the grid."""

    values: Floats  # (N_VALUES,)
    stamps: Ints  # (N_STAMPS,)
    balance: Floats  # (length,)


Parking = dict[int, Parked]


def touch_far(engine: Engine, parking: Parking, p: Params) -> None:
    """Order flow at ticks outside the slots reaches their parked state, as it would have reached a slot."""
    run = engine.run[0]
    for one in engine.far[engine.far["tick"] != NO_TICK]:
        tick = int(one["tick"])
        depth = _depth_at(engine.book, tick)
        if tick not in parking:
            parking[tick] = _untouched(engine.field)
        parked = parking[tick]
        touch_once(
            parked.values.reshape(1, -1),
            parked.stamps.reshape(1, -1),
            parked.balance.reshape(1, -1),
            engine.field.maps,
            engine.field.n_in_use,
            depth.reshape(1, 2),
            one,
            run,
            p,
        )
    engine.far["tick"] = NO_TICK
    run["n_parked"] = len(parking)


def synchronise_parked(engine: Engine, parking: Parking) -> None:
    """The part that ticks outside the slots have in a synchronisation of depths: what rests there is kept as theirs."""
    book = engine.book
    live = book.orders[(book.orders["side"] != 0) & (book.orders["size"] > 0)]
    slots = live["tick"] - book.scalars[0]["anchor"] + len(book.depth) // 2
    far = live[(slots < 0) | (slots >= len(book.depth))]
    ticks, places = np.unique(far["tick"], return_inverse=True)
    depths = np.zeros((len(ticks), 2), np.int64)
    np.add.at(depths, (places, far["side"] - BID), far["size"])
    resting = dict(zip(ticks.tolist(), depths, strict=True))
    for tick in [t for t, parked in parking.items() if parked.stamps[LISTED] == 0 and t not in resting]:
        del parking[tick]
    for tick in resting.keys() - parking.keys():
        parking[tick] = _untouched(engine.field)
    for tick, parked in parking.items():
        parked.values[[BID_DEPTH, ASK_DEPTH]] = resting.get(tick, 0)
    engine.run["n_parked"] = len(parking)


def _untouched(field: FieldState) -> Parked:
    """A tick that nothing has met yet."""
    return Parked(np.zeros_like(field.values[0]), np.zeros_like(field.stamps[0]), np.zeros_like(field.balance[0]))


def _depth_at(book: BookState, tick: int) -> Ints:
    """Contracts (bid, ask) at a tick, from the orders."""
    orders = book.orders[(book.orders["tick"] == tick) & (book.orders["side"] != 0)]
    return np.array([int(orders["size"][orders["side"] == side].sum()) for side in (BID, ASK)], np.int64)


@kernel
def touch_once(
    values: Floats, stamps: Ints, balance: Floats, maps: Floats, n_in_use: Ints, depth: Ints, flow: Record, run: Record, p: Params
) -> None:
    """A touch of a field of one slot."""
    field = FieldState(values, stamps, balance, maps, n_in_use)
    touch(
        field,
        depth,
        0,
        flow["ts"],
        run["event_id"],
        flow["add"],
        flow["pull"],
        flow["fill"],
        run["bin_seq"],
        run["bin_start"],
        p,
    )


def recentre(engine: Engine, parking: Parking) -> None:
    """Move the slots so that spot lies in their middle; every array follows, nothing is lost."""
    book, field, spectrum = engine.book, engine.field, engine.spectrum
    scalars = book.scalars[0]
    n = len(field.values)
    old_anchor = int(scalars["anchor"])
    anchor = int(middle_tick(int(scalars["best_bid"]), int(scalars["best_ask"])))
    shift = anchor - old_anchor
    # A slot that was never touched may hold depths all the same, since the last synchronisation.
    has_state = (field.stamps[:, LISTED] == 1) | field.values[:, [BID_DEPTH, ASK_DEPTH]].any(axis=1)
    for slot in np.flatnonzero(has_state).tolist():
        if not 0 <= slot - shift < n:
            parking[slot + old_anchor - n // 2] = Parked(
                field.values[slot].copy(), field.stamps[slot].copy(), field.balance[slot].copy()
            )
    for array in (field.values, field.stamps, field.balance):
        _shift_rows(array, shift)
    scalars["anchor"] = anchor
    place_orders(book)
    entering = range(max(0, n - shift), n) if shift > 0 else range(min(n, -shift))
    low, high = anchor - n // 2 + entering.start, anchor - n // 2 + entering.stop
    for tick in [t for t in parking if low <= t < high]:
        parked = parking.pop(tick)
        slot = tick - anchor + n // 2
        field.values[slot] = parked.values
        field.stamps[slot] = parked.stamps
        field.balance[slot] = parked.balance
    spectrum.tags[:] = -1
    engine.run["n_parked"] = len(parking)
    assert scalars["best_bid"] != NO_TICK  # a side cannot vanish by moving the slots


def _shift_rows(array: Floats | Ints, shift: int) -> None:
    """Row ``i + shift`` becomes row ``i``; rows that come in are zero."""
    n = len(array)
    if abs(shift) >= n:
        array[:] = 0
    elif shift > 0:
        array[: n - shift] = array[shift:].copy()
        array[n - shift :] = 0
    elif shift < 0:
        array[-shift:] = array[: n + shift].copy()
        array[:-shift] = 0
