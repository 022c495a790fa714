"""Order statistics of a sliding window: the window is kept sorted, so median and MAD need no re-sort.

Both the spectrum and the runtime models use these, so that a value means the same everywhere.
Negative zeros must be kept out of a window (add 0.0): which of two equal values leaves it would otherwise show in the sign bit.
"""

import math
from typing import Final

from engine.jit import kernel
from engine.schema import Floats

MAD_TO_SIGMA: Final = 1.4826  # makes the MAD of a normal sample estimate its standard deviation


@kernel
def _lower_bound(values: Floats, n: int, x: float) -> int:
    """First place in the ascending ``values[:n]`` that is not below ``x``."""
    low = 0
    high = n
    while low < high:
        mid = (low + high) // 2
        if values[mid] < x:
            low = mid + 1
        else:
            high = mid
    return low


@kernel
def sorted_insert(values: Floats, n: int, x: float) -> None:
    """Insert ``x`` into the ascending ``values[:n]``, which grows to n + 1."""
    at = _lower_bound(values, n, x)
    for i in range(n, at, -1):
        values[i] = values[i - 1]
    values[at] = x


@kernel
def sorted_replace(values: Floats, n: int, old: float, new: float) -> None:
    """Replace one ``old``, which must be there, by ``new`` in the ascending ``values[:n]``."""
    at = _lower_bound(values, n, old)
    if new > old:
        while at + 1 < n and values[at + 1] < new:
            values[at] = values[at + 1]
            at += 1
    else:
        while at > 0 and values[at - 1] > new:
            values[at] = values[at - 1]
            at -= 1
    values[at] = new


@kernel
def median_mad(values: Floats, n: int) -> tuple[float, float]:
    """Median of the ascending ``values[:n]`` and the median of the distances from it.

    The distances are two ascending runs, leftwards and rightwards of the median, so the middle of their union is found by
    bisection. Even counts take the mean of the middle two.
    """
    half = n // 2
    median = values[half] if n % 2 == 1 else 0.5 * (values[half - 1] + values[half])
    n_left = half
    n_right = n - half
    rank = (n - 1) // 2 + 1  # how many of the smallest distances to take
    low = max(0, rank - n_right)
    high = min(rank, n_left)
    while low < high:
        i = (low + high) // 2  # distances taken from the left
        if median - values[half - 1 - i] < values[half + rank - i - 1] - median:
            low = i + 1
        else:
            high = i
    i = low
    j = rank - i
    lower = 0.0
    if i > 0:
        lower = median - values[half - i]
    if j > 0:
        lower = max(lower, values[half + j - 1] - median)
    if n % 2 == 1:
        return median, lower
    upper = math.inf
    if i < n_left:
        upper = median - values[half - 1 - i]
    if j < n_right:
        upper = min(upper, values[half + j] - median)
    return median, 0.5 * (lower + upper)
