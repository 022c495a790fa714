"""Mirrored bands of rows around spot, and how the bid side differs from the ask side in them.

Source: signals.md section 2, P1, P2, P9. Sides are summed outwards, in step, so a mirrored grid negates a gap to the last bit.
"""

from typing import Final

import numpy as np

from engine.jit import kernel
from engine.schema import Floats, Ints

BANDS: Final = ((1, 3), (4, 11), (12, 23))  # first and last distance from spot, ticks: inner, mid, outer
BAND_REACH: Final = BANDS[-1][1]


@kernel
def side_gap(row: Floats, first: int, last: int) -> float:
    """Mean of a row over the bid side less that over the ask side, distances ``first`` to ``last``."""
    centre = row.shape[0] // 2
    bid = 0.0
    ask = 0.0
    for d in range(first, last + 1):
        bid += row[centre - d]
        ask += row[centre + d]
    return (bid - ask) / (last - first + 1)


@kernel
def weighted_gap(row: Floats, weights: Floats) -> float:
    """Weighted sum over the ask side less that over the bid side; ``weights`` (n,) from distance 1 outwards."""
    centre = row.shape[0] // 2
    bid = 0.0
    ask = 0.0
    for d in range(1, weights.shape[0] + 1):
        bid += weights[d - 1] * row[centre - d]
        ask += weights[d - 1] * row[centre + d]
    return ask - bid


@kernel
def mean_over(row: Floats, columns: Ints) -> float:
    """Mean of a row over some of its columns, given by index."""
    total = 0.0
    for i in range(columns.shape[0]):
        total += row[columns[i]]
    return total / columns.shape[0]


def inverse_distance(reach: int) -> Floats:
    """1/d for distances 1 to ``reach``, not normalised; shape (reach,)."""
    weights: Floats = 1.0 / np.arange(1, reach + 1)
    return weights
