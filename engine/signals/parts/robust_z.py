"""Robust z-scores over sliding windows, several windows at once.

Source: signals.md section 2, P4: (x - median) / (1.4826 MAD) of the last W values, the newest included.
"""

from typing import Final, NamedTuple

import numpy as np

from engine.jit import kernel
from engine.rolling import MAD_TO_SIGMA, median_mad, sorted_insert, sorted_replace
from engine.schema import Floats, Ints

ABSOLUTE_GUARD: Final = 1e-12  # of the reference: a smaller scale counts as constant
RELATIVE_GUARD: Final = 1e-9  # of the window's largest magnitude


class ZWindows(NamedTuple):
    """``ring`` (m, W) values in order of arrival, ``ordered`` (m, W) ascending, ``seen`` (m,) values taken in."""

    ring: Floats
    ordered: Floats
    seen: Ints


def make_z_windows(m: int, window: int) -> ZWindows:
    """``m`` empty windows of ``window`` values."""
    return ZWindows(np.zeros((m, window)), np.zeros((m, window)), np.zeros(m, np.int64))


@kernel
def take_in(windows: ZWindows, i: int, x: float) -> int:
    """Put a finite ``x`` into window ``i``; how many values it holds now."""
    length = windows.ring.shape[1]
    seen = windows.seen[i]
    place = seen % length
    x += 0.0  # no negative zeros: see rolling.py
    if seen < length:
        sorted_insert(windows.ordered[i], seen, x)
    else:
        sorted_replace(windows.ordered[i], length, windows.ring[i, place], x)
    windows.ring[i, place] = x
    windows.seen[i] = seen + 1
    return min(seen + 1, length)


@kernel
def robust_z(ordered: Floats, n: int, x: float, is_relative: bool) -> float:
    """Robust z of ``x`` in the ascending ``ordered[:n]``; 0 where the window is constant."""
    median, mad = median_mad(ordered, n)
    scale = MAD_TO_SIGMA * mad
    guard = ABSOLUTE_GUARD
    if is_relative:
        guard = RELATIVE_GUARD * max(abs(ordered[0]), abs(ordered[n - 1]))
    if scale < guard or scale == 0.0:
        return 0.0
    return (x - median) / scale


@kernel
def take_in_and_score(windows: ZWindows, i: int, x: float, min_periods: int, is_relative: bool) -> float:
    """`take_in`, then the z of ``x``; 0 while the window holds fewer than ``min_periods`` values."""
    n = take_in(windows, i, x)
    if n < min_periods:
        return 0.0
    return robust_z(windows.ordered[i], n, x, is_relative)


@kernel
def median_of(windows: ZWindows, i: int) -> float:
    """Median of window ``i``, which must not be empty."""
    n = min(windows.seen[i], windows.ring.shape[1])
    half = n // 2
    if n % 2 == 1:
        return windows.ordered[i, half]
    return 0.5 * (windows.ordered[i, half - 1] + windows.ordered[i, half])
