"""The force field's arithmetic: a touch, the steps between bins, and the forces.

One row of ``values`` is one tick slot; the column numbers below are the layout. Chains are add, pull, fill, bid, ask.

Without input a slot moves by a linear map of its own state. So nobody visits a slot at the end of a bin: it is brought up to
date when it is touched or read, bin by bin as far back as the spectrum looks, and before that by powers of one bin's map.

Source: engine.md sections 3 and 5 (balance).
"""

import math
from typing import Final, NamedTuple

import numpy as np

from engine.config import Params
from engine.field.rates import MAP_SIZE, StepMap, alpha_of, exact_map, step_map
from engine.jit import inline_kernel, kernel
from engine.schema import Floats, Ints

ADD: Final = 0  # masses at 0..2
V: Final = 3  # chains: first derivative at 3..7, second at 8..12, third at 13..17
A: Final = 8
J: Final = 13
BID_DEPTH: Final = 18  # the field's own depths, as of the slot's last touch
ASK_DEPTH: Final = 19
N_VALUES: Final = 20
N_CHAINS: Final = 5

LAST_TS: Final = 0  # columns of `stamps`
LAST_EVENT: Final = 1
LISTED: Final = 2  # 1 once the slot was touched
NEXT_BIN: Final = 3  # the first bin whose end the slot has not been brought to
N_STAMPS: Final = 4

N_POWERS: Final = 40  # maps of 2^0 .. 2^39 bins: more than any session holds
BALANCE_FLOOR: Final = 1e-12
FLUSH_BINS: Final = 64  # every so many bins what has decayed below TINY becomes zero: subnormal numbers are slow
TINY: Final = 1e-280


class FieldState(NamedTuple):
    """The field of all slots.

    ``values`` (n_slots, N_VALUES), ``stamps`` (n_slots, N_STAMPS) ns/count/flag/bin, ``balance`` (n_slots, length) the last
    bins' balance of pressure and vacuum, a ring by bin number, ``maps`` (N_POWERS, MAP_SIZE) the step of 2^i bins without
    input, ``n_in_use`` (1,) slots ever touched.
    """

    values: Floats
    stamps: Ints
    balance: Floats
    maps: Floats
    n_in_use: Ints


def make_field(n_slots: int, history_bins: int, p: Params) -> FieldState:
    """An untouched field that remembers the balances of ``history_bins`` bins."""
    maps = np.zeros((N_POWERS, MAP_SIZE))
    maps[0] = step_map(p.dt, p)
    for i in range(1, N_POWERS):
        maps[i] = _twice(maps[i - 1])
    return FieldState(
        values=np.zeros((n_slots, N_VALUES)),
        stamps=np.zeros((n_slots, N_STAMPS), np.int64),
        balance=np.zeros((n_slots, history_bins)),
        maps=maps,
        n_in_use=np.zeros(1, np.int64),
    )


def _twice(m: Floats) -> Floats:
    """The map of twice the time; entries below TINY count as zero."""
    decay, vv, av, aa, jv, ja, jj = m
    twice = np.array(
        [decay * decay, vv * vv, av * vv + aa * av, aa * aa, jv * vv + ja * av + jj * jv, ja * aa + jj * ja, jj * jj]
    )
    twice[np.abs(twice) < TINY] = 0.0
    return twice


@inline_kernel
def apply_map(row: Floats, m: Floats | StepMap) -> None:
    """One step without input: masses decay, each chain moves linearly."""
    decay = m[0]
    vv = m[1]
    av = m[2]
    aa = m[3]
    jv = m[4]
    ja = m[5]
    jj = m[6]
    row[ADD] *= decay
    row[ADD + 1] *= decay
    row[ADD + 2] *= decay
    for chain in range(N_CHAINS):
        v = row[V + chain]
        a = row[A + chain]
        row[J + chain] = jv * v + ja * a + jj * row[J + chain]
        row[A + chain] = av * v + aa * a
        row[V + chain] = vv * v


@inline_kernel
def forces(row: Floats, p: Params) -> tuple[float, float]:
    """Pressure and vacuum of a slot from its derivatives."""
    v_rest = row[V + 3] + row[V + 4]
    pressure = p.c1_v_add * row[V] + p.c2_v_rest_pos * max(v_rest, 0.0) + p.c3_a_add * max(row[A], 0.0)
    vacuum = (
        p.c4_v_pull * row[V + 1]
        + p.c5_v_fill * row[V + 2]
        + p.c6_v_rest_neg * max(-v_rest, 0.0)
        + p.c7_a_pull * max(row[A + 1], 0.0)
    )
    return pressure, vacuum


@inline_kernel
def _remember(row: Floats, balance: Floats, b: int, p: Params) -> None:
    """Leave the balance of bin ``b`` in the slot's ring."""
    if b % FLUSH_BINS == 0:
        for i in range(BID_DEPTH):
            if abs(row[i]) < TINY:
                row[i] = 0.0
    pressure, vacuum = forces(row, p)
    balance[b % balance.shape[0]] = (pressure - vacuum) / (abs(pressure) + abs(vacuum) + BALANCE_FLOOR)


@kernel
def _advance(row: Floats, stamps: Ints, balance: Floats, maps: Floats, n_bins: int, end: int, p: Params) -> None:
    """Take a slot through the ends of the bins before ``n_bins``, the last of which ends at ``end``."""
    b = stamps[NEXT_BIN]
    last_ts = stamps[LAST_TS]
    moves = last_ts > 0  # else it was never touched at a time that counts, and stands still
    next_end = end - (n_bins - 1 - b) * p.bin_ns
    if moves:
        while b < n_bins and last_ts >= next_end:
            _remember(row, balance, b, p)
            b += 1
            next_end += p.bin_ns
        if b < n_bins:
            if next_end - last_ts == p.bin_ns:
                apply_map(row, maps[0])
            else:
                apply_map(row, step_map((next_end - last_ts) / 1e9, p))
            _remember(row, balance, b, p)
            b += 1
            last_ts = end
    skipped = n_bins - b - balance.shape[0]
    if skipped > 0:
        # Older than anyone looks back: in powers of two, without balances.
        b += skipped
        power = 0
        while moves and skipped > 0:
            if skipped & 1:
                apply_map(row, maps[power])
            skipped >>= 1
            power += 1
    while b < n_bins:
        if moves:
            apply_map(row, maps[0])
        _remember(row, balance, b, p)
        b += 1
    stamps[LAST_TS] = last_ts
    stamps[NEXT_BIN] = n_bins


@inline_kernel
def bring_up(field: FieldState, slot: int, n_bins: int, end: int, p: Params) -> None:
    """Bring a touched slot through bin ``n_bins - 1``, which ends at ``end`` ns, if it lags behind."""
    if field.stamps[slot, NEXT_BIN] < n_bins:
        _advance(field.values[slot], field.stamps[slot], field.balance[slot], field.maps, n_bins, end, p)


@inline_kernel
def _step_chain(
    row: Floats, chain: int, input_v: float, keep_v: float, gain_a: float, keep_a: float, gain_j: float, keep_j: float
) -> None:
    """One step of v, a, j; a non-finite result keeps all three (j holds a and v, so it is finite only where they are)."""
    v0 = row[V + chain]
    a0 = row[A + chain]
    v = input_v + keep_v * v0
    a = gain_a * (v - v0) + keep_a * a0
    j = gain_j * (a - a0) + keep_j * row[J + chain]
    if math.isfinite(j):
        row[V + chain] = v
        row[A + chain] = a
        row[J + chain] = j


@inline_kernel
def _step_finite(row: Floats, dt: float, add: float, pull: float, fill: float, bid: float, ask: float, p: Params) -> None:
    """Masses and chains over ``dt`` > 0 seconds with the deltas as rates; a non-finite result keeps a chain's three values."""
    decay = math.exp(-dt / p.tau_rest_decay)
    alpha_v = alpha_of(dt, p.tau_velocity)
    alpha_a = alpha_of(dt, p.tau_acceleration)
    alpha_j = alpha_of(dt, p.tau_jerk)
    per_s = 1.0 / dt
    gain_v = alpha_v * per_s
    gain_a = alpha_a * per_s
    gain_j = alpha_j * per_s
    keep_v = 1.0 - alpha_v
    keep_a = 1.0 - alpha_a
    keep_j = 1.0 - alpha_j
    row[ADD] = row[ADD] * decay + add
    row[ADD + 1] = row[ADD + 1] * decay + pull
    row[ADD + 2] = row[ADD + 2] * decay + fill
    _step_chain(row, 0, gain_v * add, keep_v, gain_a, keep_a, gain_j, keep_j)
    _step_chain(row, 1, gain_v * pull, keep_v, gain_a, keep_a, gain_j, keep_j)
    _step_chain(row, 2, gain_v * fill, keep_v, gain_a, keep_a, gain_j, keep_j)
    _step_chain(row, 3, gain_v * bid, keep_v, gain_a, keep_a, gain_j, keep_j)
    _step_chain(row, 4, gain_v * ask, keep_v, gain_a, keep_a, gain_j, keep_j)


@inline_kernel
def _strike(row: Floats, chain: int, delta: float, p: Params) -> None:
    """An impulse enters a chain of the exact kernel."""
    if delta != 0.0:
        v = delta / p.tau_velocity
        a = v / p.tau_acceleration
        row[V + chain] += v
        row[A + chain] += a
        row[J + chain] += a / p.tau_jerk


@inline_kernel
def touch(
    field: FieldState,
    depth: Ints,
    slot: int,
    ts: int,
    event_id: int,
    add: float,
    pull: float,
    fill: float,
    bin_seq: int,
    bin_start: int,
    p: Params,
) -> None:
    """An event meets a slot: masses, depths and derivatives at time ``ts``.

    ``add``, ``pull``, ``fill`` are contracts; ``depth`` is the book's, after the event; bin ``bin_seq`` is open since
    ``bin_start`` ns.
    """
    stamps = field.stamps[slot]
    row = field.values[slot]
    if stamps[LISTED] == 0:
        stamps[LISTED] = 1
        stamps[NEXT_BIN] = bin_seq
        field.n_in_use[0] += 1
    bring_up(field, slot, bin_seq, bin_start, p)
    bid = float(depth[slot, 0])
    ask = float(depth[slot, 1])
    last_ts = stamps[LAST_TS]
    late = last_ts > 0 and ts <= last_ts
    dt = 0.0
    if last_ts > 0 and not late:
        dt = (ts - last_ts) / 1e9
    if p.exact:
        if dt > 0.0:
            apply_map(row, exact_map(dt, p))
        row[ADD] += add
        row[ADD + 1] += pull
        row[ADD + 2] += fill
        _strike(row, 0, add, p)
        _strike(row, 1, pull, p)
        _strike(row, 2, fill, p)
        _strike(row, 3, bid - row[BID_DEPTH], p)
        _strike(row, 4, ask - row[ASK_DEPTH], p)
    elif dt > 0.0:
        _step_finite(row, dt, add, pull, fill, bid - row[BID_DEPTH], ask - row[ASK_DEPTH], p)
    else:
        row[ADD] += add
        row[ADD + 1] += pull
        row[ADD + 2] += fill
    row[BID_DEPTH] = bid
    row[ASK_DEPTH] = ask
    # The exact kernel's state stands at the later of both times, so a late event must not let that span decay twice.
    if not (p.exact and late):
        stamps[LAST_TS] = ts
    stamps[LAST_EVENT] = event_id


@kernel
def synchronise_depths(field: FieldState, depth: Ints) -> None:
    """The field's depths become the book's in one go, without derivatives or time stamps."""
    for slot in range(depth.shape[0]):
        field.values[slot, BID_DEPTH] = depth[slot, 0]
        field.values[slot, ASK_DEPTH] = depth[slot, 1]
