"""Moving the tick slots with the market: rare, so it is plain numpy.

State moves with its price. What falls off one edge is parked by tick and comes back, brought up to date, when its tick returns.

Source: engine.md section 2, *Tick slots*.
"""

from dataclasses import dataclass

import numpy as np

from engine.book_kernels import NO_TICK, place_orders
from engine.config import Params
from engine.field_kernels import (
    ASK_DEPTH,
    BID_DEPTH,
    LAST_TS,
    LISTED,
    PRESSURE,
    VACUUM,
    advance_slot,
    alpha_of,
)
from engine.jit import kernel
from engine.run_state import BINS, Engine, middle_tick
from engine.schema import Floats, Ints
from engine.spectrum import COMPOSITE_FLOOR


@dataclass
class Parked:
    """One tick's state, off the grid."""

    values: Floats  # (N_VALUES,)
    stamps: Ints  # (3,)
    composites: Floats  # (length,)
    next_bin: int  # the first bin whose end it has not yet been advanced to


Parking = dict[int, Parked]


@kernel
def catch_up(
    values: Floats, stamps: Ints, composites: Floats, first_bin: int, n_bins: int, bin_seq: int, bin_start: int, p: Params
) -> None:
    """Advance a parked slot through bins ``first_bin`` .. ``first_bin + n_bins - 1``, as if it had stayed on the grid.

    ``values`` (1, N_VALUES), ``stamps`` (1, 3), ``composites`` (1, length); ``bin_seq`` is the open bin, begun at ``bin_start``.
    """
    for b in range(first_bin, first_bin + n_bins):
        end = bin_start - (bin_seq - b - 1) * p.bin_ns
        last_ts = stamps[0, LAST_TS]
        if 0 < last_ts < end:
            dt = (end - last_ts) / 1e9
            decay = np.exp(-dt / p.tau_rest_decay)
            alpha_v = alpha_of(dt, p.tau_velocity)
            alpha_a = alpha_of(dt, p.tau_acceleration)
            alpha_j = alpha_of(dt, p.tau_jerk)
            advance_slot(values[0], dt, decay, alpha_v, alpha_a, alpha_j, p)
            stamps[0, LAST_TS] = end
        pressure = values[0, PRESSURE]
        vacuum = values[0, VACUUM]
        composites[0, b % composites.shape[1]] = (pressure - vacuum) / (abs(pressure) + abs(vacuum) + COMPOSITE_FLOOR)


def recentre(engine: Engine, parking: Parking, p: Params) -> None:
    """Move the slots so that spot lies in their middle; every array follows, nothing is lost."""
    book, field, spectrum = engine.book, engine.field, engine.spectrum
    scalars, run = book.scalars[0], engine.run[0]
    n = p.n_slots
    old_anchor = int(scalars["anchor"])
    anchor = int(middle_tick(int(scalars["best_bid"]), int(scalars["best_ask"])))
    shift = anchor - old_anchor
    bin_seq = int(run["bin_seq"])
    for slot in np.flatnonzero(field.stamps[:, LISTED]).tolist():
        if not 0 <= slot - shift < n:
            parking[slot + old_anchor - n // 2] = Parked(
                field.values[slot].copy(), field.stamps[slot].copy(), spectrum.composites[slot].copy(), bin_seq
            )
    for array in (field.values, field.stamps, spectrum.composites):
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
        if run["phase"] == BINS:
            catch_up(
                parked.values.reshape(1, -1),
                parked.stamps.reshape(1, -1),
                parked.composites.reshape(1, -1),
                parked.next_bin,
                bin_seq - parked.next_bin,
                bin_seq,
                int(run["bin_start"]),
                p,
            )
        depths = field.values[slot, [BID_DEPTH, ASK_DEPTH]]
        field.values[slot] = parked.values
        field.values[slot, [BID_DEPTH, ASK_DEPTH]] = depths
        field.stamps[slot] = parked.stamps
        spectrum.composites[slot] = parked.composites
    listed = np.flatnonzero(field.stamps[:, LISTED])
    field.in_use[: len(listed)] = listed
    field.n_in_use[0] = len(listed)
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
