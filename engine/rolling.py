"""Order statistics of a sliding window: the window is kept sorted, so median and MAD need no re-sort.

Both the spectrum and the signals use these, so that a value means the same everywhere.
Negative zeros must be kept out of a window (add 0.0): which of two equal values leaves it would otherwise show in the sign bit.
"""

import math
from typing import Final

import numpy as np

from engine.jit import inline_kernel, kernel
from engine.schema import Floats

LINEAR: Final = 192  # values below which a search counts instead of halving, by strides first
STRIDE: Final = 16
MAD_TO_SIGMA: Final = 1.4826  # makes the MAD of a normal sample estimate its standard deviation


@inline_kernel
def _lower_bound(values: Floats, n: int, x: float) -> int:
    """First place in the ascending ``values[:n]`` that is not below ``x``.

    Halving without branches down to a few strides, then counting: a mispredicted branch costs as much as sixteen comparisons.
    """
    low = 0
    while n > LINEAR:
        half = n >> 1
        low += half * (values[low + half - 1] < x)
        n -= half
    end = np.uint64(low + n)
    strides = 0
    for i in range(np.uint64(low + STRIDE - 1), end, np.uint64(STRIDE)):
        strides += values[i] < x
    low += STRIDE * strides
    below = 0
    for i in range(np.uint64(low), min(end, np.uint64(low + STRIDE))):
        below += values[i] < x
    return low + below


@inline_kernel
def _open_place(values: Floats, at: int, to: int) -> None:
    """Move ``values[to:at]`` up by one, over ``values[at]``. Unsigned, so that it becomes one block move."""
    one = np.uint64(1)
    last = np.uint64(at)
    for i in range(np.uint64(at - to)):
        values[last - i] = values[last - i - one]


@inline_kernel
def sorted_insert(values: Floats, n: int, x: float) -> None:
    """Insert ``x`` into the ascending ``values[:n]``, which grows to n + 1."""
    to = _lower_bound(values, n, x)
    _open_place(values, n, to)
    values[to] = x


@inline_kernel
def _move_in(values: Floats, at: int, to: int, new: float) -> int:
    """Give up the value at ``at`` for ``new``, whose lower bound is ``to``; returns the place it takes."""
    if to > at:
        to -= 1
        one = np.uint64(1)
        for i in range(np.uint64(at), np.uint64(to)):
            values[i] = values[i + one]
    else:
        _open_place(values, at, to)
    values[to] = new
    return to


@inline_kernel
def sorted_replace(values: Floats, n: int, old: float, new: float) -> None:
    """Replace one ``old``, which must be there, by ``new`` in the ascending ``values[:n]``."""
    at = _lower_bound(values, n, old)
    _move_in(values, at, _lower_bound(values, n, new), new)


@inline_kernel
def _count_below(values: Floats, first: int, last: int, x: float) -> int:
    """How many of ``values[first:last]`` lie below ``x``; whole strides, so that it becomes a few vector comparisons."""
    below = 0
    for i in range(np.uint64(first), np.uint64(last)):
        below += values[i] < x
    return below


@inline_kernel
def _fenced_lower_bound(values: Floats, fence: Floats, x: float) -> int:
    """`_lower_bound` by way of the fence, without a branch that depends on the values."""
    first = STRIDE * max(_count_below(fence, 0, fence.shape[0], x) - 1, 0)
    return first + _count_below(values, first, min(first + STRIDE, values.shape[0]), x)


def whole_strides(n: int) -> int:
    """``n`` rounded up: a fenced window and its fence are as long, filled up with infinity."""
    return -(-n // STRIDE) * STRIDE


@kernel
def make_fence(values: Floats, fence: Floats, n: int) -> None:
    """``fence[k]`` is ``values[STRIDE * k]`` of the ascending ``values[:n]``; the rest of both is infinite."""
    for k in range((n + STRIDE - 1) // STRIDE):
        fence[k] = values[STRIDE * k]


@inline_kernel
def fenced_replace(values: Floats, fence: Floats, old: float, new: float) -> None:
    """`sorted_replace` of a full window with a fence, which follows."""
    at = _fenced_lower_bound(values, fence, old)
    to = _move_in(values, at, _fenced_lower_bound(values, fence, new), new)
    low = min(at, to)
    high = max(at, to)
    for k in range(np.uint64((low + STRIDE - 1) // STRIDE), np.uint64(high // STRIDE + 1)):
        fence[k] = values[np.uint64(STRIDE) * k]


@inline_kernel
def _split_bounds(n: int) -> tuple[int, int, int]:
    """Of the ``rank`` smallest distances from the median of ``n`` values, how few and how many may lie left of it."""
    half = n // 2
    rank = (n - 1) // 2 + 1
    return rank, max(0, rank - (n - half)), min(rank, half)


@inline_kernel
def _median(values: Floats, n: int) -> float:
    half = n // 2
    return values[half] if n % 2 == 1 else 0.5 * (values[half - 1] + values[half])


@inline_kernel
def _mad_at(values: Floats, n: int, median: float, rank: int, i: int) -> float:
    """Median distance, where ``i`` of the ``rank`` smallest distances lie left of the median."""
    half = n // 2
    j = rank - i
    lower = 0.0
    if i > 0:
        lower = median - values[half - i]
    if j > 0:
        lower = max(lower, values[half + j - 1] - median)
    if n % 2 == 1:
        return lower
    upper = math.inf
    if i < half:
        upper = median - values[half - 1 - i]
    if j < n - half:
        upper = min(upper, values[half + j] - median)
    return 0.5 * (lower + upper)


@kernel
def median_mad(values: Floats, n: int) -> tuple[float, float]:
    """Median of the ascending ``values[:n]`` and the median of the distances from it.

    The distances are two ascending runs, leftwards and rightwards of the median, so the middle of their union is found by
    bisection. Even counts take the mean of the middle two.
    """
    half = n // 2
    median = _median(values, n)
    rank, low, high = _split_bounds(n)
    while low < high:
        i = (low + high) // 2  # distances taken from the left
        if median - values[half - 1 - i] < values[half + rank - i - 1] - median:
            low = i + 1
        else:
            high = i
    return median, _mad_at(values, n, median, rank, low)


@inline_kernel
def median_mad_near(values: Floats, n: int, hint: int) -> tuple[float, float, int]:
    """`median_mad`, looking from ``hint`` on, and the hint for the next time: from bin to bin the middle hardly moves."""
    half = n // 2
    median = _median(values, n)
    rank, low, high = _split_bounds(n)
    i = min(max(hint, low), high)
    while i < high and median - values[half - 1 - i] < values[half + rank - i - 1] - median:
        i += 1
    while i > low and median - values[half - i] >= values[half + rank - i] - median:
        i -= 1
    return median, _mad_at(values, n, median, rank, i), i
