"""What learned signals see of a bin: asymmetries per band, slopes and moments of what came before.

Source: signals.md sections 2 and 5; section 14 items 17 and 31. Windows are summed anew from their ring, newest first and from
the newest value's level: no drift over a long session, and nothing depends on bins that have left.
"""

import math
from typing import Final

import numpy as np

from engine.constants import PRICE_SCALE
from engine.jit import kernel
from engine.schema import Floats, Ints
from engine.signals.parts.bands import side_gap

N_ASYM: Final = 18  # three bands of six columns
C6: Final = ("v_add", "v_pull", "a_add", "a_pull", "j_add", "j_pull")
MIN_VARIANCE: Final = 1e-12
NO_MID: Final = -(2**63)  # half ticks
LARGEST_MID: Final = 2.0**60  # half ticks, further from 0 than any price in 1e-9 dollars that a float tells from its neighbour


def half_ticks(mid: Floats, tick_int: int) -> Ints:
    """Mids as whole numbers of half ticks, on which they lie; NO_MID where there is none.

    Parameters
    ----------
    mid : NDArray[np.float64], shape (n,)
        Dollars, NaN for none.
    tick_int
        One tick, 1e-9 dollars.
    """
    halves = np.empty(len(mid), np.int64)
    _count_half_ticks(mid, tick_int, halves)
    return halves


@kernel
def _count_half_ticks(mid: Floats, tick_int: int, halves: Ints) -> None:
    for i in range(mid.shape[0]):
        halves[i] = NO_MID
        if math.isfinite(mid[i]):
            halves[i] = round(min(max(mid[i] * (2.0 / PRICE_SCALE) / tick_int, -LARGEST_MID), LARGEST_MID))


def no_mid_yet() -> Ints:
    """What `tick_return` carries before the first mid, shape (1,)."""
    return np.full(1, NO_MID, np.int64)


@kernel
def _three_bands(row: Floats, sign: float, out: Floats, at: int) -> None:
    out[at] = sign * side_gap(row, 1, 3)
    out[at + 1] = sign * side_gap(row, 4, 11)
    out[at + 2] = sign * side_gap(row, 12, 23)


@kernel
def asymmetries(v_add: Floats, v_pull: Floats, a_add: Floats, a_pull: Floats, j_add: Floats, j_pull: Floats, out: Floats) -> None:
    """The 18 asymmetries of one bin: columns in the order of C6, bands inner, mid, outer; positive is bullish."""
    _three_bands(v_add, 1.0, out, 0)
    _three_bands(v_pull, -1.0, out, 3)
    _three_bands(a_add, 1.0, out, 6)
    _three_bands(a_pull, -1.0, out, 9)
    _three_bands(j_add, 1.0, out, 12)
    _three_bands(j_pull, -1.0, out, 15)


@kernel
def are_numbers(values: Floats, n: int) -> bool:
    """Whether the first ``n`` values are all finite."""
    total = 0.0
    for i in range(n):
        total += 0.0 * values[i]
    return total == 0.0


@kernel
def tick_return(last_mid: Ints, mid: int, is_usable: bool) -> float:
    """Change of the mid in ticks since the last usable bin; 0 where this one is not, and at the first.

    ``mid`` in half ticks; ``last_mid`` (1,) carries the last usable one, NO_MID before the first.
    """
    if not is_usable:
        return 0.0
    before = last_mid[0]
    last_mid[0] = mid
    return 0.5 * (mid - before) if before != NO_MID else 0.0


@kernel
def ring_slopes(rings: Floats, newest: int, window: int, out: Floats, at: int, stride: int) -> None:
    """`slopes.ring_slope` of several series at once: ``rings`` (length, m) to ``out[at + stride * series]``."""
    length, m = rings.shape
    late = newest
    early = newest - window + 1
    if early < 0:
        early += length
    lever = 0.5 * (window - 1)
    for series in range(m):
        out[at + stride * series] = 0.0
    for _ in range(window // 2):
        for series in range(m):
            out[at + stride * series] += lever * (rings[late, series] - rings[early, series])
        lever -= 1.0
        late = late - 1 if late > 0 else length - 1
        early = early + 1 if early < length - 1 else 0
    scale = 12.0 / (window * (window * window - 1.0))
    for series in range(m):
        out[at + stride * series] *= scale


@kernel
def ring_moments(ring: Floats, newest: int, seen: int, windows: Ints, with_skew: bool, out: Floats, at: int) -> None:
    """Mean, std and, on demand, skew over each of the ascending ``windows`` that end at ``newest``; 0 where one is not full.

    ``seen`` values have been put into ``ring`` (length,); ``out`` takes two or three numbers a window from ``at`` on.
    """
    length = ring.shape[0]
    level = ring[newest]
    place = newest
    taken = 0
    s = q = c = 0.0
    for i in range(windows.shape[0]):
        window = windows[i]
        mean = std = skew = 0.0
        if seen >= window:
            while taken < window:
                y = ring[place] - level
                s += y
                q += y * y
                c += y * y * y
                place = place - 1 if place > 0 else length - 1
                taken += 1
            m = s / window
            variance = max(q / window - m * m, 0.0)
            mean = level + m
            std = math.sqrt(variance)
            if variance > MIN_VARIANCE:
                skew = (c / window - 3.0 * m * (q / window) + 2.0 * m * m * m) / (std * std * std)
        out[at] = mean
        out[at + 1] = std
        at += 2
        if with_skew:
            out[at] = skew
            at += 1


@kernel
def padded_mean(ring: Floats, newest: int, seen: int, window: int) -> float:
    """Mean of the last ``window`` values of a ring, counting those before the first as 0."""
    length = ring.shape[0]
    place = newest
    total = 0.0
    for _ in range(min(seen, window)):
        total += ring[place]
        place = place - 1 if place > 0 else length - 1
    return total / window
