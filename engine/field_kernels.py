"""The force field's arithmetic: a touch, the passive advance, and the forces.

One row of ``values`` is one tick slot; the column numbers below are the layout. Chains are add, pull, fill, bid, ask.

Source: engine.md section 3.
"""

import math
from typing import Final, NamedTuple

import numpy as np

from engine.config import Params
from engine.jit import kernel
from engine.schema import Floats, Ints

ADD: Final = 0  # masses at 0..2
V: Final = 3  # chains: first derivative at 3..7, second at 8..12, third at 13..17
A: Final = 8
J: Final = 13
PRESSURE: Final = 18
VACUUM: Final = 19
BID_DEPTH: Final = 20  # the field's own depths, as of the slot's last touch
ASK_DEPTH: Final = 21
N_VALUES: Final = 22
N_CHAINS: Final = 5

LAST_TS: Final = 0  # columns of `stamps`
LAST_EVENT: Final = 1
LISTED: Final = 2  # 1 once the slot stands in `in_use`

SATURATED: Final = 50.0  # dt/tau beyond which a filter has forgotten everything


class FieldState(NamedTuple):
    """``values`` (n_slots, N_VALUES), ``stamps`` (n_slots, 3) ns/count/flag, ``in_use`` (n_slots,), ``n_in_use`` (1,)."""

    values: Floats
    stamps: Ints
    in_use: Ints
    n_in_use: Ints


def make_field(n_slots: int) -> FieldState:
    """An untouched field."""
    return FieldState(
        values=np.zeros((n_slots, N_VALUES)),
        stamps=np.zeros((n_slots, 3), np.int64),
        in_use=np.zeros(n_slots, np.int64),
        n_in_use=np.zeros(1, np.int64),
    )


@kernel
def alpha_of(dt: float, tau: float) -> float:
    """Share of the new value that a first-order filter takes in over ``dt`` seconds."""
    if dt / tau > SATURATED:
        return 1.0
    return 1.0 - math.exp(-dt / tau)


@kernel
def _step_chain(row: Floats, chain: int, rate: float, dt: float, alpha_v: float, alpha_a: float, alpha_j: float) -> None:
    """One step of v, a, j; a non-finite result keeps all three."""
    v0 = row[V + chain]
    a0 = row[A + chain]
    j0 = row[J + chain]
    v = alpha_v * rate + (1.0 - alpha_v) * v0
    a = alpha_a * ((v - v0) / dt) + (1.0 - alpha_a) * a0
    j = alpha_j * ((a - a0) / dt) + (1.0 - alpha_j) * j0
    if math.isfinite(v) and math.isfinite(a) and math.isfinite(j):
        row[V + chain] = v
        row[A + chain] = a
        row[J + chain] = j


@kernel
def _forces(row: Floats, p: Params) -> None:
    """Pressure and vacuum of a slot from its derivatives."""
    v_rest = row[V + 3] + row[V + 4]
    row[PRESSURE] = p.c1_v_add * row[V] + p.c2_v_rest_pos * max(v_rest, 0.0) + p.c3_a_add * max(row[A], 0.0)
    row[VACUUM] = (
        p.c4_v_pull * row[V + 1]
        + p.c5_v_fill * row[V + 2]
        + p.c6_v_rest_neg * max(-v_rest, 0.0)
        + p.c7_a_pull * max(row[A + 1], 0.0)
    )


@kernel
def touch(
    field: FieldState, depth: Ints, slot: int, ts: int, event_id: int, add: float, pull: float, fill: float, p: Params
) -> None:
    """An event meets a slot: masses, depths, derivatives and forces at time ``ts``.

    ``add``, ``pull``, ``fill`` are contracts; ``depth`` is the book's, after the event.
    """
    row = field.values[slot]
    last_ts = field.stamps[slot, LAST_TS]
    dt = 0.0
    if last_ts > 0 and ts > last_ts:
        dt = (ts - last_ts) / 1e9
    bid = float(depth[slot, 0])
    ask = float(depth[slot, 1])
    if dt > 0.0:
        decay = math.exp(-dt / p.tau_rest_decay)
        alpha_v = alpha_of(dt, p.tau_velocity)
        alpha_a = alpha_of(dt, p.tau_acceleration)
        alpha_j = alpha_of(dt, p.tau_jerk)
        row[ADD] = row[ADD] * decay + add
        row[ADD + 1] = row[ADD + 1] * decay + pull
        row[ADD + 2] = row[ADD + 2] * decay + fill
        _step_chain(row, 0, add / dt, dt, alpha_v, alpha_a, alpha_j)
        _step_chain(row, 1, pull / dt, dt, alpha_v, alpha_a, alpha_j)
        _step_chain(row, 2, fill / dt, dt, alpha_v, alpha_a, alpha_j)
        _step_chain(row, 3, (bid - row[BID_DEPTH]) / dt, dt, alpha_v, alpha_a, alpha_j)
        _step_chain(row, 4, (ask - row[ASK_DEPTH]) / dt, dt, alpha_v, alpha_a, alpha_j)
    else:
        row[ADD] += add
        row[ADD + 1] += pull
        row[ADD + 2] += fill
    row[BID_DEPTH] = bid
    row[ASK_DEPTH] = ask
    _forces(row, p)
    field.stamps[slot, LAST_TS] = ts
    field.stamps[slot, LAST_EVENT] = event_id
    if field.stamps[slot, LISTED] == 0:
        field.stamps[slot, LISTED] = 1
        field.in_use[field.n_in_use[0]] = slot
        field.n_in_use[0] += 1


@kernel
def advance_slot(row: Floats, dt: float, decay: float, alpha_v: float, alpha_a: float, alpha_j: float, p: Params) -> None:
    """A slot's passive step of ``dt`` seconds with zero input."""
    row[ADD] *= decay
    row[ADD + 1] *= decay
    row[ADD + 2] *= decay
    for chain in range(N_CHAINS):
        _step_chain(row, chain, 0.0, dt, alpha_v, alpha_a, alpha_j)
    _forces(row, p)


@kernel
def passive_advance(field: FieldState, ts: int, p: Params) -> None:
    """Bring every slot in use to ``ts``. Slots untouched since the last bin share one dt, so its exponentials are made once."""
    last_dt = -1.0
    decay = alpha_v = alpha_a = alpha_j = 0.0
    for i in range(field.n_in_use[0]):
        slot = field.in_use[i]
        last_ts = field.stamps[slot, LAST_TS]
        if last_ts <= 0 or last_ts >= ts:
            continue
        dt = (ts - last_ts) / 1e9
        if dt != last_dt:
            decay = math.exp(-dt / p.tau_rest_decay)
            alpha_v = alpha_of(dt, p.tau_velocity)
            alpha_a = alpha_of(dt, p.tau_acceleration)
            alpha_j = alpha_of(dt, p.tau_jerk)
            last_dt = dt
        advance_slot(field.values[slot], dt, decay, alpha_v, alpha_a, alpha_j, p)
        field.stamps[slot, LAST_TS] = ts


@kernel
def synchronise_depths(field: FieldState, depth: Ints) -> None:
    """The field's depths become the book's in one go, without derivatives or time stamps."""
    for slot in range(depth.shape[0]):
        field.values[slot, BID_DEPTH] = depth[slot, 0]
        field.values[slot, ASK_DEPTH] = depth[slot, 1]
