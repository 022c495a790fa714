"""Sums of whole numbers over the last so many values: exact, so that nothing drifts over a long session."""

from typing import NamedTuple

import numpy as np

from engine.jit import kernel
from engine.schema import Ints


class WindowSums(NamedTuple):
    """``ring`` (W,) values in order of arrival, ``totals`` (2,): their sum, and how many ever came."""

    ring: Ints
    totals: Ints


def make_window_sums(window: int) -> WindowSums:
    """An empty window of ``window`` values."""
    return WindowSums(np.zeros(window, np.int64), np.zeros(2, np.int64))


@kernel
def add(sums: WindowSums, x: int) -> None:
    """Take ``x`` in, and let the oldest value go where the window is full."""
    place = sums.totals[1] % sums.ring.shape[0]
    sums.totals[0] += x - sums.ring[place]
    sums.ring[place] = x
    sums.totals[1] += 1

