"""Moving the tick slots with the market: rare, so it is plain numpy.

State moves with its price. What falls off one edge is parked by tick and comes back when its tick returns; its passive steps are
taken then, like any other slot's, when it is touched or read.

Source: engine.md section 2, *Tick slots*.
"""

from dataclasses import dataclass

import numpy as np

from engine.book_kernels import NO_TICK, place_orders
from engine.field_kernels import (
    ASK_DEPTH,
    BID_DEPTH,
    LISTED,
)
from engine.run_state import Engine, middle_tick
from engine.schema import Floats, Ints


@dataclass
class Parked:
    """One tick's state, off the grid."""

    values: Floats  # (N_VALUES,)
    stamps: Ints  # (N_STAMPS,)
    balance: Floats  # (length,)


Parking = dict[int, Parked]


def recentre(engine: Engine, parking: Parking) -> None:
    """Move the slots so that spot lies in their middle; every array follows, nothing is lost."""
    book, field, spectrum = engine.book, engine.field, engine.spectrum
    scalars = book.scalars[0]
    n = len(field.values)
    old_anchor = int(scalars["anchor"])
    anchor = int(middle_tick(int(scalars["best_bid"]), int(scalars["best_ask"])))
    shift = anchor - old_anchor
    for slot in np.flatnonzero(field.stamps[:, LISTED]).tolist():
        if not 0 <= slot - shift < n:
            parking[slot + old_anchor - n // 2] = Parked(
                field.values[slot].copy(), field.stamps[slot].copy(), field.balance[slot].copy()
            )
    for array in (field.values, field.stamps, field.balance):
        _shift_rows(array, shift)
    scalars["anchor"] = anchor
    place_orders(book)
    entering = range(max(0, n - shift), n) if shift > 0 else range(min(n, -shift))
    # A slot that comes in has no history of depth changes to tell: it starts from what the book holds.
    rows = slice(entering.start, entering.stop)
    field.values[rows, BID_DEPTH] = book.depth[rows, 0]
    field.values[rows, ASK_DEPTH] = book.depth[rows, 1]
    low, high = anchor - n // 2 + entering.start, anchor - n // 2 + entering.stop
    for tick in [t for t in parking if low <= t < high]:
        parked = parking.pop(tick)
        slot = tick - anchor + n // 2
        depths = field.values[slot, [BID_DEPTH, ASK_DEPTH]]
        field.values[slot] = parked.values
        field.values[slot, [BID_DEPTH, ASK_DEPTH]] = depths
        field.stamps[slot] = parked.stamps
        field.balance[slot] = parked.balance
    spectrum.tags[:] = -1
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
